//! Clients that come back, as browsers do: each keeps the cookies it was told, says them again, and asks
//! for one thing at a time. Whoever keeps a client with a version by a cookie or by a field is held to it.
//!
//! Names and values only: paths, domains and dates are not read, since one host is asked and a run is short;
//! `Max-Age=0` takes a cookie back. What a hostile server makes a client keep is bounded.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write as _;

use model::attempt::{Attempt, Lane};

/// Cookies of one client, and bytes of one of them; what is more is not kept.
const COOKIES_MAX: usize = 16;
const COOKIE_MAX: usize = 4 * 1024;

/// The clients of a run.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Cookies by client.
    jars: RefCell<Vec<Vec<Cookie>>>,
    /// Those that ask for nothing at the moment, the one that has waited longest first.
    free: RefCell<VecDeque<u16>>,
    /// A field that names the client, and the part of its value that is this run's own.
    field: Option<(String, String)>,
    turn: Cell<[bool; Lane::ALL.len()]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
}

impl Clients {
    /// So many; `field` is what else they name themselves in.
    pub(crate) fn new(count: u16, field: Option<&str>) -> Self {
        let field = field.map(|name| (name.to_owned(), format!("probe-{:08x}", fastrand::u32(..))));
        Self {
            jars: RefCell::new((0..count).map(|_| Vec::new()).collect()),
            free: RefCell::new((1..=count).collect()),
            field,
            turn: Cell::default(),
        }
    }

    /// True when there are any.
    pub(crate) fn any(&self) -> bool {
        !self.jars.borrow().is_empty()
    }

    /// The client of a new attempt on this lane, from 1: of every second one, while a client is free. The
    /// others come from nobody who was there before, so that shares of requests can still be counted.
    pub(crate) fn seat(&self, lane: Lane) -> Option<u16> {
        let short = matches!(lane, Lane::KeepAlive | Lane::Fresh | Lane::Http2 | Lane::Idle);
        if !short || !self.any() {
            return None;
        }
        let mut turns = self.turn.get();
        let turn = Lane::ALL.iter().position(|other| *other == lane)?;
        turns[turn] = !turns[turn];
        let theirs = turns[turn];
        self.turn.set(turns);
        if theirs { self.free.borrow_mut().pop_front() } else { None }
    }

    /// An attempt of that client has ended.
    pub(crate) fn leave(&self, client: Option<u16>) {
        self.free.borrow_mut().extend(client);
    }

    /// What this attempt's client says of itself: names and values of fields.
    pub(crate) fn says(&self, attempt: &Attempt) -> Vec<(&str, String)> {
        let Some(client) = attempt.client else { return Vec::new() };
        let mut says = Vec::new();
        if let Some((name, run)) = &self.field {
            says.push((name.as_str(), format!("{run}-{client}")));
        }
        let jars = self.jars.borrow();
        if let Some(jar) = jars.get(place(client)).filter(|jar| !jar.is_empty()) {
            let mut line = String::new();
            for Cookie { name, value } in jar {
                let gap = if line.is_empty() { "" } else { "; " };
                // Writing to a string cannot fail.
                let _written = write!(line, "{gap}{name}={value}");
            }
            says.push(("cookie", line));
        }
        says
    }

    /// An answer told this attempt's client these, each the value of a `Set-Cookie`.
    pub(crate) fn told(&self, attempt: &Attempt, lines: &[String]) {
        let Some(client) = attempt.client else { return };
        let mut jars = self.jars.borrow_mut();
        let Some(jar) = jars.get_mut(place(client)) else { return };
        for (cookie, taken_back) in lines.iter().filter_map(|line| read(line)) {
            let known = jar.iter().position(|other| other.name == cookie.name);
            match (known, taken_back) {
                (Some(at), true) => drop(jar.remove(at)),
                (Some(at), false) => jar[at] = cookie,
                (None, false) if jar.len() < COOKIES_MAX => jar.push(cookie),
                (None, _) => {}
            }
        }
    }
}

const fn place(client: u16) -> usize {
    (client as usize).wrapping_sub(1)
}

/// The cookie of a `Set-Cookie`, and whether it is taken back with it; `None` for one that is not kept.
fn read(line: &str) -> Option<(Cookie, bool)> {
    let mut parts = line.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let plain = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let kept = !name.is_empty() && name.len() + value.len() <= COOKIE_MAX;
    if !kept || !plain(name) || !plain(value) {
        return None;
    }
    let age = parts.filter_map(|part| part.split_once('='));
    let mut ages = age.filter(|(word, _)| word.trim().eq_ignore_ascii_case("max-age"));
    let taken_back = ages.next_back().is_some_and(|(_, seconds)| {
        let seconds = seconds.trim();
        seconds == "0" || seconds.starts_with('-')
    });
    Some((Cookie { name: name.to_owned(), value: value.to_owned() }, taken_back))
}

#[cfg(test)]
mod tests {
    use model::attempt::Lane;

    use super::{COOKIE_MAX, COOKIES_MAX, Clients, read};
    use crate::clock::Clock;
    use crate::ledger::Ledger;

    fn told(clients: &Clients, client: u16, lines: &[&str]) -> Vec<(String, String)> {
        let ledger = Ledger::new(Clock::start(), 0, None, Clients::default());
        let attempt = model::Attempt { client: Some(client), ..ledger.draft(Lane::KeepAlive) };
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        clients.told(&attempt, &lines);
        let says = clients.says(&attempt).into_iter();
        says.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn cookies(line: &str) -> Vec<(String, String)> {
        vec![("cookie".to_owned(), line.to_owned())]
    }

    #[test]
    fn each_client_says_what_it_was_told_itself_and_the_last_word_counts() {
        let clients = Clients::new(2, None);
        assert_eq!(
            told(&clients, 1, &["a=1; Path=/; HttpOnly", "b = x y "]),
            cookies("a=1; b=x y")
        );
        assert_eq!(told(&clients, 2, &[]), []);
        assert_eq!(told(&clients, 1, &["a=2; Max-Age=60", "c=3"]), cookies("a=2; b=x y; c=3"));
        assert_eq!(told(&clients, 1, &["b=; max-age=0", "c=; Max-Age=-1"]), cookies("a=2"));
        assert_eq!(told(&clients, 9, &["a=1"]), [], "there is no such client");
    }

    #[test]
    fn what_is_hostile_is_not_kept_and_nothing_grows() {
        for odd in ["", "a", "=1", "a=1\u{1b}[2J", "a\r\nb=1", "ä=1"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
        assert_eq!(read(&format!("a={}", "x".repeat(COOKIE_MAX))), None);
        let clients = Clients::new(1, None);
        let many: Vec<String> = (0..1_000).map(|n| format!("c{n}=1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(told(&clients, 1, &many)[0].1.split("; ").count(), COOKIES_MAX);
    }

    #[test]
    fn every_second_attempt_has_a_client_and_each_client_one_attempt_at_a_time() {
        let clients = Clients::new(2, Some("X-User"));
        let seats: Vec<_> = (0..6).map(|_| clients.seat(Lane::Fresh)).collect();
        assert_eq!(seats, [Some(1), None, Some(2), None, None, None]);
        assert_eq!(clients.seat(Lane::Upload), None, "that takes too long");
        clients.leave(Some(2));
        // Another lane has turns of its own.
        assert_eq!([Lane::Http2; 2].map(|lane| clients.seat(lane)), [Some(2), None]);
        let says = told(&clients, 2, &[]);
        assert!(says[0].0 == "X-User" && says[0].1.ends_with("-2"), "{says:?}");
        assert!(!Clients::default().any());
    }
}
