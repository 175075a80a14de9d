//! The frame of a chart with one row per connection or socket: the time axis, when the prober was blind,
//! the switches and the words behind each row. What a row shows is not known here: `connection_chart` and `socket_chart` draw it.

use model::Phase;

use crate::document::Report;
use crate::html::axis::{LEFT, RIGHT, TimeAxis};
use crate::html::marks;
use crate::html::svg::{Drawing, text_width};

/// Switches drawn; a rollout has far fewer.
const SWITCHES: usize = 200;
/// Room for words at the right.
const WORDS: f64 = 330.0;

/// What stands behind a row: as much as has room, since names can be long. A table has all of it.
pub(crate) fn words(d: &mut Drawing, axis: TimeAxis, y: f64, words: &str) {
    let x = axis.right() + 10.0;
    let mut shown = words.to_owned();
    while x + text_width(&shown) > RIGHT + 4.0 {
        let kept = shown.chars().count().saturating_sub(2);
        shown = shown.chars().take(kept).chain(['…']).collect();
    }
    d.text("start", x, y, &shown);
}

/// The chart: `row` draws one of `items` at so many units from the top, each `height` below the one before.
pub(crate) fn chart<T>(
    report: &Report,
    (title, describe): (&str, &str),
    items: &[T],
    height: f64,
    row: impl Fn(&mut Drawing, TimeAxis, &T, f64),
) -> String {
    let axis = TimeAxis::new(report.from_us, report.to_us).until(RIGHT - WORDS);
    let bottom = 8.0 + height * items.len() as f64;
    let mut d = Drawing::new(bottom + 36.0, title, describe);
    marks::blind(&mut d, report, axis, 4.0, bottom);
    for (i, item) in items.iter().enumerate() {
        row(&mut d, axis, item, 8.0 + height * i as f64);
    }
    let switches = report.phases.iter().filter(|p| p.phase == Phase::Shifting);
    for x in switches.take(SWITCHES).filter(|p| axis.holds(p.from_us)).map(|p| axis.x(p.from_us)) {
        d.line("switch", [x, 2.0, x, bottom]);
    }
    d.line("axis", [LEFT, bottom, axis.right(), bottom]);
    axis.wall_ticks(&mut d, bottom, report.t0_unix_ms);
    d.finish()
}
