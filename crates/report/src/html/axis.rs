//! Scales and ticks.
//!
//! It places; what stands there is drawn elsewhere.

use std::cmp::Ordering;

use crate::figures::{moment, span};
use crate::html::svg::{Drawing, WIDTH, n};

/// Left edge of every plot; the names of the tracks stand before it, also in a wide font.
pub(crate) const LEFT: f64 = 76.0;
/// What the label of a tick takes up, also beside one at an edge, which leans inwards.
const TICK_ROOM: f64 = 85.0;
/// The same of one with milliseconds.
const FINE_ROOM: f64 = 124.0;
/// Right edge of every plot.
pub(crate) const RIGHT: f64 = WIDTH - 12.0;

/// Time from left to right.
#[derive(Clone, Copy)]
pub(crate) struct TimeAxis {
    from_us: i64,
    to_us: i64,
    right: f64,
}

const STEPS_US: [i64; 27] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
    1_200_000_000,
    1_800_000_000,
    3_600_000_000,
    7_200_000_000,
    14_400_000_000,
    43_200_000_000,
    86_400_000_000,
    864_000_000_000,
];

impl TimeAxis {
    /// From one time to another.
    pub(crate) fn new(from_us: i64, to_us: i64) -> Self {
        Self { from_us, to_us: to_us.max(from_us.saturating_add(1)), right: RIGHT }
    }

    /// The same with room at the right.
    pub(crate) fn until(self, right: f64) -> Self {
        Self { right, ..self }
    }

    pub(crate) fn right(self) -> f64 {
        self.right
    }

    /// The last time on it.
    pub(crate) fn to_us(self) -> i64 {
        self.to_us
    }

    /// Place of a time, kept inside the plot.
    pub(crate) fn x(self, us: i64) -> f64 {
        let share = us.saturating_sub(self.from_us) as f64 / self.length() as f64;
        LEFT + (self.right - LEFT) * share.clamp(0.0, 1.0)
    }

    /// True when the time is on the axis.
    pub(crate) fn holds(self, us: i64) -> bool {
        (self.from_us..=self.to_us).contains(&us)
    }

    /// True when some of a span is on the axis.
    pub(crate) fn meets(self, from_us: i64, to_us: i64) -> bool {
        from_us <= self.to_us && to_us > self.from_us
    }

    /// Ticks with the UTC time, and the seconds since the start below it.
    pub(crate) fn wall_ticks(self, d: &mut Drawing, y: f64, t0_unix_ms: u64) {
        self.zooms(d, self.from_us);
        let mut ticks = self.ticks(self.from_us, TICK_ROOM);
        if ticks.iter().any(|at| moment(t0_unix_ms, *at).contains('.')) {
            ticks = self.ticks(self.from_us, FINE_ROOM);
        }
        for at in ticks {
            let x = self.x(at);
            d.line("tick", [x, y, x, y + 4.0]);
            d.text(anchor(x, self.right), x, y + 16.0, &moment(t0_unix_ms, at));
            let since = u64::try_from(at.saturating_sub(self.from_us)).unwrap_or(0);
            let since =
                if since == 0 { "0 s, UTC".to_owned() } else { format!("+{}", whole(since)) };
            d.text(&format!("{} faint", anchor(x, self.right)), x, y + 29.0, &since);
        }
    }

    /// Ticks that count from `centre`.
    pub(crate) fn offset_ticks(self, d: &mut Drawing, y: f64, centre: i64) {
        self.zooms(d, centre);
        for at in self.ticks(centre, TICK_ROOM) {
            let x = self.x(at);
            let away = whole(at.abs_diff(centre));
            let text = match at.cmp(&centre) {
                Ordering::Less => format!("−{away}"),
                Ordering::Equal => "switch".to_owned(),
                Ordering::Greater => format!("+{away}"),
            };
            d.line("tick", [x, y, x, y + 4.0]);
            d.text(anchor(x, self.right), x, y + 16.0, &text);
        }
    }

    fn zooms(self, d: &mut Drawing, zero: i64) {
        let ms = |us: i64| us.saturating_sub(zero) / 1_000;
        d.time([LEFT, self.right], [ms(self.from_us), ms(self.to_us)]);
    }

    fn length(self) -> i64 {
        self.to_us.saturating_sub(self.from_us).max(1)
    }

    /// Round times counted from `zero`, ten at most, and no more than have room beside each other.
    fn ticks(self, zero: i64, each: f64) -> Vec<i64> {
        let room = (self.right - LEFT) / each;
        let fits = |step: &&i64| (self.length() / **step) as f64 <= room.min(10.0);
        let Some(step) = STEPS_US.iter().find(fits).copied() else {
            return vec![self.from_us];
        };
        let first = self.from_us.saturating_sub(zero).div_euclid(step);
        let at =
            (first..first.saturating_add(13)).map(|i| zero.saturating_add(i.saturating_mul(step)));
        at.filter(|at| self.holds(*at)).collect()
    }
}

fn whole(us: u64) -> String {
    match us {
        0..1_000_000 if us.is_multiple_of(1_000) => format!("{} ms", us / 1_000),
        1_000_000..120_000_000 if us.is_multiple_of(1_000_000) => format!("{} s", us / 1_000_000),
        120_000_000.. if us.is_multiple_of(60_000_000) => format!("{} min", us / 60_000_000),
        _ => span(us),
    }
}

/// Labels at the edges lean inwards.
pub(crate) fn anchor(x: f64, right: f64) -> &'static str {
    if x < LEFT + 24.0 {
        "start"
    } else if x > right - 30.0 {
        "end"
    } else {
        "middle"
    }
}

/// A linear scale from 0 upwards: a round top not below `most`.
pub(crate) fn round_top(most: f64) -> f64 {
    let mut top = 1.0;
    for step in [2.0, 2.5, 2.0].into_iter().cycle().take(60) {
        if top >= most {
            break;
        }
        top *= step;
    }
    top
}

/// A logarithmic scale for microseconds.
#[derive(Clone, Copy)]
pub(crate) struct LogAxis {
    low: i32,
    high: i32,
    top: f64,
    bottom: f64,
}

impl LogAxis {
    /// Whole decades around the values.
    pub(crate) fn new(least_us: u64, most_us: u64, top: f64, bottom: f64) -> Self {
        let low = i32::try_from(least_us.max(1).ilog10()).unwrap_or(0);
        let high = i32::try_from(most_us.max(1).ilog10()).unwrap_or(0) + 1;
        Self { low, high: high.max(low + 1), top, bottom }
    }

    /// Where a value lies: before its lower end, on it, or beyond its upper end.
    pub(crate) fn holds(self, us: u64) -> Ordering {
        let power = |exponent| 10_u64.saturating_pow(u32::try_from(exponent).unwrap_or(0));
        if us < power(self.low) {
            Ordering::Less
        } else if us > power(self.high) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }

    /// Place of a value, kept inside.
    pub(crate) fn y(self, us: u64) -> f64 {
        let log = (us.max(1) as f64).log10();
        let share = (log - f64::from(self.low)) / f64::from(self.high - self.low);
        self.bottom - (self.bottom - self.top) * share.clamp(0.0, 1.0)
    }

    /// Lines and labels at the decades.
    pub(crate) fn draw(self, d: &mut Drawing, right: f64) {
        for decade in self.low..=self.high {
            let us = 10_u64.saturating_pow(u32::try_from(decade).unwrap_or(0));
            let y = self.y(us);
            d.line("grid", [LEFT, y, right, y]);
            d.text("end", LEFT - 6.0, y + 4.0, &whole(us));
        }
    }
}

/// The head of an arrow to the right with its tip at a point, as a piece of path.
pub(crate) fn arrow(x: f64, y: f64) -> String {
    let (l, t) = (n(x - 4.0), n(y - 4.0));
    format!("M{l} {t}l4 4l-4 4")
}

/// A cross of 8 units around a point, as a piece of path.
pub(crate) fn cross(x: f64, y: f64) -> String {
    let (l, t) = (n(x - 4.0), n(y - 4.0));
    format!("M{l} {t}l8 8m0 -8l-8 8")
}
