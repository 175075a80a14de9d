//! Rules on headers and cookies, as HAProxy has them: lines of configuration and entries of the map.
//! Pure.
//!
//! Which names are looked at stands in the configuration, so a rule on another one needs an install
//! and a reload; which values lead where stands in the map, so rules come and go with the routes. An
//! entry says slot and version itself: a request never sees half of a change. It reads no requests
//! and decides nothing.

use std::fmt::{self, Write as _};

use model::{AppName, Fault, Kind, Mark, Selector, Version, Wanted};

/// The variable of the process that says what its configuration looks at.
pub(super) const VARIABLE: &str = "proc.cutover_rules";
/// How its value begins.
const FIRST: &str = "cutover";

/// What names may be made of, as the fix.
const PLAIN: &str = "use letters, digits and `- _ .` in the name";

/// Why HAProxy cannot carry a rule on this mark, and what to do; `None` when it can: its entries of the
/// map are found by whole values.
pub fn unfit(mark: &Mark) -> Option<(String, &'static str)> {
    let whole = matches!(mark.wanted(), Wanted::Exactly(_));
    nameless(mark.on()).or_else(|| {
        let help = "name a whole `value`: parts of one, and presence alone, are not looked up";
        (!whole).then(|| (format!("a rule on the {mark}"), help))
    })
}

/// Why HAProxy cannot look at this, and what to do; `None` when it can.
pub(super) fn nameless(on: &Selector) -> Option<(String, &'static str)> {
    let (Selector::Header(name) | Selector::Cookie(name)) = on else {
        return Some((
            format!("a rule on the {on}"),
            "use a `header` or a `cookie` with a `value`",
        ));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (name.is_empty() || !name.chars().all(plain)).then(|| (format!("a rule on the {on}"), PLAIN))
}

/// `h.NAME` or `c.NAME`; nobody is told of the others.
fn word(on: &Selector) -> String {
    match on {
        Selector::Header(name) => format!("h.{name}"),
        Selector::Cookie(name) => format!("c.{name}"),
        Selector::Query(name) => format!("q.{name}"),
        Selector::Source(network) => format!("s.{network}"),
    }
}

/// The value that an entry stands for; without a whole one there is none.
fn value(mark: &Mark) -> &str {
    match mark.wanted() {
        Wanted::Exactly(value) => value,
        Wanted::Prefix(_) | Wanted::Present => "",
    }
}

fn read_word(word: &str) -> Option<Selector> {
    match word.split_once('.')? {
        ("h", name) => Some(Selector::Header(name.to_owned())),
        ("c", name) => Some(Selector::Cookie(name.to_owned())),
        _ => None,
    }
}

/// The line of `global` that tells what is looked at, for the driver to ask at run time.
pub(super) fn announce<'a>(
    apps: impl Iterator<Item = (&'a AppName, &'a [Selector])>,
) -> Result<String, Fault> {
    let mut line = format!("    set-var {VARIABLE} \"str({FIRST}");
    for (app, selectors) in apps {
        for on in selectors {
            if let Some((what, help)) = nameless(on) {
                let what = format!("HAProxy cannot carry {what}");
                return Err(Fault::new(Kind::Config, what).help(help));
            }
            // Writing to a string cannot fail.
            let _written = write!(line, " {app}={}", word(on));
        }
    }
    Ok(line + ")\"\n")
}

/// What the answer to `get var` says an app's requests are looked at for; `None` when it is none.
pub(super) fn announced(answer: &str, app: &AppName) -> Option<Vec<Selector>> {
    let answer = answer.trim_end();
    if answer == "Variable not found." {
        return Some(Vec::new());
    }
    let value = answer.split_once("value=<")?.1.strip_suffix('>')?;
    let words = value.strip_prefix(FIRST)?.split_ascii_whitespace();
    let own = words.filter_map(|word| word.split_once('=').filter(|(of, _)| *of == app.as_str()));
    own.map(|(_, word)| read_word(word)).collect()
}

/// What stands before the lines of the names.
pub(super) const RULES: &str = "
    # --- Rules: requests with a certain header or cookie go to a certain release, whatever its share.
    # Each name has its lines here; the values, and where they lead, stand in the map of the app, as
    # RANK:SLOT:VERSION. The lowest rank wins. A header may come several times: any of them will do.
    http-request set-var(txn.cutover_rank) int(1000000)
";

/// The lines of one name; `map` is the file of the app's map.
pub(super) fn lines(map: &str, app: &AppName, on: &Selector) -> String {
    let fetch = match on {
        // Not `req.hdr`: that one splits values at commas.
        Selector::Header(name) => format!("req.fhdr({name})"),
        Selector::Cookie(name) => format!("req.cook({name})"),
        Selector::Query(name) => format!("url_param({name})"),
        Selector::Source(_) => "src".to_owned(),
    };
    format!(
        "    # {app}: {on}
    http-request set-var(txn.cutover_rule) var(txn.cutover_hit) \
         if {{ var(txn.cutover_app) -m str {app} }} \
         {{ {fetch},hex,concat(.{word}),map_str({map},~),set-var(txn.cutover_hit) -m sub : }} \
         {{ var(txn.cutover_hit),field(1,:),sub(txn.cutover_rank) lt 0 }}
    http-request set-var(txn.cutover_rank) \"var(txn.cutover_rule),field(1,:),add(0)\" \
         if {{ var(txn.cutover_rule) -m found }}
",
        word = word(on)
    )
}

/// What stands after them.
pub(super) const OBEY: &str = "    http-request set-var(txn.cutover_drawn) \
\"var(txn.cutover_rule),field(2,:)\" if { var(txn.cutover_rule) -m found }
";

/// The entry that requests with this mark read.
pub(super) fn entry(
    rank: usize,
    mark: &Mark,
    slot: impl fmt::Display,
    version: &Version,
) -> (String, String) {
    (format!("{}.{}", hex(value(mark)), word(mark.on())), format!("{rank}:{slot}:{version}"))
}

/// A mark as the driver keeps it in the map.
pub(super) fn keep(mark: &Mark) -> String {
    format!("{}:{}", word(mark.on()), hex(value(mark)))
}

/// Reads it back.
pub(super) fn kept(text: &str) -> Option<Mark> {
    let (word, value) = text.split_once(':')?;
    Mark::new(read_word(word)?, unhex(value)?).ok()
}

/// As HAProxy's converter `hex` writes it.
fn hex(text: &str) -> String {
    let mut hex = String::new();
    for byte in text.bytes() {
        // Writing to a string cannot fail.
        let _written = write!(hex, "{byte:02X}");
    }
    hex
}

fn unhex(hex: &str) -> Option<String> {
    let digits =
        hex.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<_>>>()?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    String::from_utf8(digits.chunks(2).map(byte).collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::{announce, announced, keep, kept, nameless, unfit};
    use model::{AppName, Mark, Selector, Wanted};

    #[test]
    fn what_is_announced_is_heard_and_anything_else_is_no_answer() {
        let [demo, other] = ["demo", "demo-1"].map(|name| AppName::new(name).unwrap());
        let on = [Selector::Header("x-canary".into()), Selector::Cookie("C.1".into())];
        let line = announce([(&demo, &on[..]), (&other, &on[1..])].into_iter()).unwrap();
        let value = line.split_once("str(").unwrap().1.split_once(')').unwrap().0;
        let answer = format!("proc.cutover_rules: type=str value=<{value}>\n\n");
        assert_eq!(announced(&answer, &demo).unwrap(), on);
        assert_eq!(announced(&answer, &other).unwrap(), on[1..]);
        assert_eq!(announced("Variable not found.\n\n", &demo), Some(vec![]));
        for odd in ["", "Unknown command", &answer[..answer.len() - 3], "value=<else>"] {
            assert_eq!(announced(odd, &demo), None, "{odd}");
        }
    }

    #[test]
    fn names_that_mean_something_else_to_haproxy_are_refused() {
        let app = AppName::new("demo").unwrap();
        for name in ["", "a#b", "$HOME", "it's", "a|b", "a)b"] {
            let on = Selector::Cookie(name.into());
            assert!(nameless(&on).is_some(), "{name}");
            assert!(announce([(&app, &[on][..])].into_iter()).is_err(), "{name}");
        }
    }

    #[test]
    fn rules_without_a_whole_value_of_a_header_or_cookie_are_refused() {
        let header = || Selector::Header("x".into());
        let source = Selector::Source("10.0.0.0/8".parse().unwrap());
        for (on, wanted) in [
            (header(), Wanted::Present),
            (header(), Wanted::Prefix("a".into())),
            (Selector::Query("v".into()), Wanted::Exactly("1".into())),
            (source, Wanted::Present),
        ] {
            let mark = Mark::of(on, wanted).unwrap();
            assert!(unfit(&mark).is_some(), "{mark}");
        }
        assert!(unfit(&Mark::new(header(), "a").unwrap()).is_none());
    }

    #[test]
    fn any_value_is_kept_and_read_back() {
        for value in ["1", "a b; \"c\" \\ # ~:@", "~"] {
            let mark = Mark::new(Selector::Header("x-canary".into()), value).unwrap();
            assert_eq!(kept(&keep(&mark)), Some(mark));
        }
        for odd in ["", "h.x", "h.x:", "h.x:3", "x.x:31", "h.x:0A", "h.x:é1", "h.x:FF"] {
            assert_eq!(kept(odd), None, "{odd}");
        }
    }
}
