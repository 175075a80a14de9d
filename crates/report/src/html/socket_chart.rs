//! Chart F: one row per WebSocket with those that took over from it.
//!
//! Rows that lost something come first when there is no room for all.

use model::attempt::Ending;

use crate::document::{Report, Socket, SocketChain};
use crate::figures::{clock_ms, count, span};
use crate::html::axis::{LEFT, TimeAxis, cross};
use crate::html::lifelines;
use crate::html::marks::{self, ink, label, short_label};
use crate::html::svg::{Drawing, esc, n};
use crate::html::tables::{folded, table};

/// Rows drawn.
const ROWS: usize = 40;
const ROW: f64 = 17.0;

/// The chart, when there were sockets.
pub(crate) fn section(report: &Report) -> String {
    if report.sockets.is_empty() {
        return String::new();
    }
    let mut shown: Vec<&SocketChain> = report.sockets.iter().collect();
    shown.sort_by_key(|c| std::cmp::Reverse(c.failed));
    shown.truncate(ROWS);
    let all = report.sockets_left_out.saturating_add(report.sockets.len() as u64);
    let left = all.saturating_sub(shown.len() as u64);
    let note = if left > 0 {
        format!(" {} more are not drawn; those with failures come first.", count(left))
    } else {
        String::new()
    };
    let mut out = format!(
        "<section><h2>WebSockets</h2><p class=\"say\">One row per socket and those that took over from \
         it. The gap is the time from the last echo on one to the first on the next, the pause between two \
         messages included.{note}</p>\n"
    );
    out.push_str(&marks::key(report, true, &[("gap", "gap")]));
    out.push_str(&chart(report, &shown));
    out.push_str(&rows(report, &shown));
    out.push_str("</section>\n");
    out
}

/// The rows in words.
fn rows(report: &Report, shown: &[&SocketChain]) -> String {
    let row = |chain: &&SocketChain| {
        let (first, last) = (chain.sockets.first()?, chain.sockets.last()?);
        let [from, to] =
            [first.opened_us, last.closed_us].map(|us| clock_ms(report.t0_unix_ms, us));
        let messages = chain.sockets.iter().map(|socket| socket.messages).sum();
        let socket = format!("#{}", first.connection);
        Some(vec![socket, from, to, count(messages), summary(report, chain)])
    };
    let rows: Vec<Vec<String>> = shown.iter().filter_map(row).collect();
    let head = ["socket", "from (UTC)", "to (UTC)", "messages", "who answered, and what happened"];
    folded("The rows in words", &table(&head, &rows))
}

fn chart(report: &Report, chains: &[&SocketChain]) -> String {
    let words = (
        "WebSockets over the run",
        "One row per socket; the words at its right say what the row shows.",
    );
    lifelines::chart(report, words, chains, ROW, |d, axis, chain, top| {
        row(d, report, axis, (chain, top));
    })
}

fn row(d: &mut Drawing, report: &Report, axis: TimeAxis, at: (&SocketChain, f64)) {
    let (chain, top) = at;
    if let Some(first) = chain.sockets.first() {
        d.text("end", LEFT - 6.0, top + 12.0, &format!("#{}", first.connection));
    }
    for socket in &chain.sockets {
        let (x, end) = (axis.x(socket.opened_us), axis.x(socket.closed_us));
        d.raw(&format!(
            "<rect class=\"bar {}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"10\"><title>{}</title></rect>",
            ink(report, socket.version),
            n(x),
            n(top + 2.0),
            n((end - x).max(1.5)),
            esc(&words(report, socket))
        ));
    }
    for pair in chain.sockets.windows(2) {
        if let [before, after] = pair {
            let class = if chain.failed > 0 { "gap bad" } else { "gap" };
            gap(d, class, (axis, top), (before.last_echo_us, after.first_echo_us));
        }
    }
    for socket in chain.sockets.iter().filter(|s| cut(s.ending) && axis.holds(s.closed_us)) {
        d.path("cross", &cross(axis.x(socket.closed_us), top + 7.0));
    }
    lifelines::words(d, axis, top + 12.0, &summary(report, chain));
}

fn gap(d: &mut Drawing, class: &str, at: (TimeAxis, f64), between: (Option<i64>, Option<i64>)) {
    let (axis, top) = at;
    let (Some(from), Some(to)) = between else {
        return;
    };
    let (x, end) = (axis.x(from), axis.x(to));
    if end - x >= 1.0 {
        d.rect(class, [x, top + 5.0, end - x, 4.0]);
    }
}

fn summary(report: &Report, chain: &SocketChain) -> String {
    // Failures first: what has no room is left out at the end.
    let mut parts = Vec::new();
    if chain.failed > 0 {
        parts.push(format!("{} failed", count(chain.failed)));
    }
    let mut versions: Vec<usize> = chain.sockets.iter().map(|s| s.version).collect();
    versions.dedup();
    let path = versions.iter().map(|slot| short_label(report, *slot, 12));
    parts.push(path.collect::<Vec<_>>().join(" → "));
    if let Some(gap) = chain.longest_gap_us {
        parts.push(format!("gap {}", span(gap)));
    }
    // The end that matters is the one after which somebody had to take over.
    let moved = chain.sockets.iter().find(|s| cut(s.ending)).or(chain.sockets.first());
    if let Some(socket) = moved.filter(|s| chain.sockets.len() > 1 || cut(s.ending)) {
        parts.push(ending(socket));
    }
    parts.join(" · ")
}

fn words(report: &Report, socket: &Socket) -> String {
    format!(
        "#{} {}: {} messages, {}",
        socket.connection,
        label(report, socket.version),
        count(socket.messages),
        ending(socket)
    )
}

fn ending(socket: &Socket) -> String {
    let words = match socket.ending {
        Ending::ByUs => "open to the end",
        Ending::IdleByPeer => "closed while idle",
        Ending::AnnouncedByPeer => "announced close",
        Ending::MidAttempt => "cut off",
        Ending::Reset => "reset",
        Ending::Reconnected => "told to reconnect",
        Ending::CloseFrame => "close frame",
        Ending::Failed => "never stood",
    };
    match socket.close_code {
        Some(code) => format!("{words} {code}"),
        None => words.to_owned(),
    }
}

fn cut(ending: Ending) -> bool {
    matches!(ending, Ending::MidAttempt | Ending::Reset | Ending::Failed)
}
