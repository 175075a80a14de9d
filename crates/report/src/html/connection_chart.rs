//! Chart E: one row per kept connection, in the look of the version that answered on it.
//!
//! Which clients stayed with the old version, until when, and whether they were cut. What became of a
//! connection is not worked out here, but in `connections`; WebSockets have `socket_chart`.

use model::attempt::Ending;

use crate::document::Report;
use crate::figures::{clock_ms, count, several, span};
use crate::html::axis::{LEFT, TimeAxis, cross};
use crate::html::lifelines;
use crate::html::marks::{self, ink, label, short_label};
use crate::html::svg::{Drawing, esc, n};
use crate::html::tables::{folded, table};
use crate::kept::KeptConnection;

/// Rows drawn.
const ROWS: usize = 40;
const ROW: f64 = 15.0;

/// The chart, when connections were kept.
pub(crate) fn section(report: &Report) -> String {
    if report.connections.is_empty() {
        return String::new();
    }
    let shown = shown(report);
    let all = report.connections_left_out.saturating_add(report.connections.len() as u64);
    let left = all.saturating_sub(shown.len() as u64);
    let note = if left > 0 {
        format!(
            " {} more are not drawn; those with failures come first, then those that stayed longest with \
             the old version.",
            count(left)
        )
    } else {
        String::new()
    };
    let mut out = format!(
        "<section><h2>Kept connections</h2><p class=\"say\">One row per connection that carried several \
         requests, from its first to its end: a bar while the same version answered. A cross is an end in \
         the middle of a request or by a reset; a tick, any other end by the peer.{note}</p>\n"
    );
    out.push_str(&marks::key(report, shown.iter().any(|c| cut(c)), &[]));
    out.push_str(&chart(report, &shown));
    out.push_str(&rows(report, &shown));
    out.push_str("</section>\n");
    out
}

/// The rows in words.
fn rows(report: &Report, shown: &[&KeptConnection]) -> String {
    let row = |c: &&KeptConnection| {
        let at = [c.opened_us, c.closed_us].map(|us| clock_ms(report.t0_unix_ms, us));
        let [from, to] = at;
        vec![format!("#{}", c.connection), c.lane.name().to_owned(), from, to, summary(report, c)]
    };
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    let head = ["connection", "lane", "from (UTC)", "to (UTC)", "who answered, and its end"];
    folded("The rows in words", &table(&head, &rows))
}

/// Those that matter first when there is no room for all; then in the order in which they were opened.
fn shown(report: &Report) -> Vec<&KeptConnection> {
    let first = report.versions.iter().position(|v| v.role == crate::VersionRole::Old);
    let stayed = |c: &KeptConnection| {
        c.stretches.iter().filter(|s| Some(s.version) == first).map(|s| s.to_us).max()
    };
    let mut out: Vec<&KeptConnection> = report.connections.iter().collect();
    out.sort_by_key(|c| std::cmp::Reverse((c.failed, cut(c), stayed(c))));
    out.truncate(ROWS);
    out.sort_by_key(|c| (c.opened_us, c.connection));
    out
}

fn chart(report: &Report, shown: &[&KeptConnection]) -> String {
    let words = (
        "Kept connections over the run",
        "One row per connection; the words at its right say what the row shows.",
    );
    lifelines::chart(report, words, shown, ROW, |d, axis, connection, top| {
        row(d, report, axis, (connection, top));
    })
}

fn row(d: &mut Drawing, report: &Report, axis: TimeAxis, at: (&KeptConnection, f64)) {
    let (connection, top) = at;
    d.text("end", LEFT - 6.0, top + 11.0, &format!("#{}", connection.connection));
    d.rect(
        "alive",
        [
            axis.x(connection.opened_us),
            top + 6.0,
            (axis.x(connection.closed_us) - axis.x(connection.opened_us)).max(1.0),
            1.5,
        ],
    );
    for stretch in &connection.stretches {
        let (x, end) = (axis.x(stretch.from_us), axis.x(stretch.to_us));
        d.raw(&format!(
            "<rect class=\"bar {}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"9\"><title>{}</title></rect>",
            ink(report, stretch.version),
            n(x),
            n(top + 2.0),
            n((end - x).max(1.5)),
            esc(&format!(
                "#{}: {} of {}, {} to {}",
                connection.connection,
                several(stretch.requests, "answer"),
                label(report, stretch.version),
                clock_ms(report.t0_unix_ms, stretch.from_us),
                clock_ms(report.t0_unix_ms, stretch.to_us)
            ))
        ));
    }
    let end = axis.x(connection.closed_us);
    // One beyond the axis has no mark, which would stand where it did not end: the words say when.
    let on_axis = axis.holds(connection.closed_us);
    if on_axis && cut(connection) {
        d.path("cross", &cross(end, top + 6.5));
    } else if on_axis && connection.ending.is_some_and(|ending| ending != Ending::ByUs) {
        d.line("gone", [end, top, end, top + 13.0]);
    }
    lifelines::words(d, axis, top + 11.0, &summary(report, connection));
}

fn summary(report: &Report, connection: &KeptConnection) -> String {
    let mut path: Vec<String> = Vec::new();
    for stretch in &connection.stretches {
        let name = short_label(report, stretch.version, 10);
        if path.last() != Some(&name) {
            path.push(name);
        }
    }
    let path = match path.as_slice() {
        [] => "no version".to_owned(),
        [first, .., last] if path.len() > 3 => format!("{first} → … → {last}"),
        few => few.join(" → "),
    };
    // Failures first: what has no room is left out at the end.
    let mut parts = vec![path, several(connection.requests, "request")];
    if connection.failed > 0 {
        parts.insert(0, format!("{} failed", count(connection.failed)));
    }
    parts.extend(connection.ending.map(|ending| ended(report, connection, ending)));
    parts.join(" · ")
}

fn ended(report: &Report, connection: &KeptConnection, ending: Ending) -> String {
    let words = match ending {
        Ending::ByUs => return "open to the end".to_owned(),
        Ending::IdleByPeer => "closed while idle",
        Ending::AnnouncedByPeer => "closed as announced",
        Ending::MidAttempt => "cut in a request",
        Ending::Reset => "reset",
        Ending::Reconnected => "told to reconnect",
        Ending::CloseFrame => "close frame",
        Ending::Failed => "never stood",
    };
    let after = crate::axis::between(report.from_us, connection.closed_us);
    format!("{words} +{}", span(after))
}

fn cut(connection: &KeptConnection) -> bool {
    matches!(connection.ending, Some(Ending::MidAttempt | Ending::Reset | Ending::Failed))
}
