//! Rules on headers and cookies, as nginx has them: one `map` each, by a pattern. Pure.
//!
//! A plain text in a `map` would be found whatever its case, so every value is a pattern, with each
//! byte that is no letter or digit as its number: nothing of a value is read as syntax.

use std::fmt::Write as _;

use model::{Mark, Selector, Wanted};

/// Why nginx cannot carry a rule on this mark, and what to do; `None` when it can.
pub fn unfit(mark: &Mark) -> Option<(String, &'static str)> {
    let why = || format!("a rule on the {mark}");
    if !matches!(mark.wanted(), Wanted::Exactly(_)) {
        return Some((why(), "name a whole `value`"));
    }
    match mark.on() {
        // It drops headers of other names, and its variables know no others.
        Selector::Header(name) => {
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            (!plain).then(|| (why(), "use letters, digits and `-` in the name"))
        }
        Selector::Cookie(_) => None,
        Selector::Query(_) | Selector::Source(_) => {
            Some((why(), "use a `header` or a `cookie` with a `value`"))
        }
    }
}

/// The variable that is looked at, and the pattern of what must be in it. Several headers of one name
/// are one text here, with `, ` between.
pub(super) fn looked_up(mark: &Mark) -> (String, String) {
    let value = match mark.wanted() {
        Wanted::Exactly(value) | Wanted::Prefix(value) => escaped(value),
        Wanted::Present => String::new(),
    };
    match mark.on() {
        Selector::Cookie(name) => {
            let name = escaped(name);
            ("$http_cookie".to_owned(), format!("~(^|;)\\x20*{name}={value}\\x20*(;|$)"))
        }
        Selector::Header(name) => {
            let name = name.replace('-', "_");
            (format!("$http_{name}"), format!("~(^|,\\x20){value}(,\\x20|$)"))
        }
        Selector::Query(_) | Selector::Source(_) => {
            ("$arg_cutover".to_owned(), "~^\\x01".to_owned())
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut pattern, byte| {
        if byte.is_ascii_alphanumeric() {
            pattern.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(pattern, "\\x{byte:02x}");
        }
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::{looked_up, unfit};
    use model::{Mark, Selector, Wanted};

    #[test]
    fn nothing_of_a_value_is_read_as_syntax() {
        let mark = Mark::new(Selector::Header("X-Canary".into()), "a\" $b;{.*").unwrap();
        let pattern = "~(^|,\\x20)a\\x22\\x20\\x24b\\x3b\\x7b\\x2e\\x2a(,\\x20|$)";
        assert_eq!(looked_up(&mark), ("$http_x_canary".into(), pattern.into()));
        let mark = Mark::new(Selector::Cookie("a-b".into()), "1").unwrap();
        assert_eq!(looked_up(&mark).1, "~(^|;)\\x20*a\\x2db=1\\x20*(;|$)");
    }

    #[test]
    fn what_no_variable_holds_is_refused() {
        let mark = |on: Selector| Mark::new(on, "1").unwrap();
        assert!(unfit(&mark(Selector::Header("x-canary".into()))).is_none());
        assert!(unfit(&mark(Selector::Cookie("a.b_c".into()))).is_none());
        assert!(unfit(&mark(Selector::Header("x.canary".into()))).is_some());
        assert!(unfit(&mark(Selector::Header("x_canary".into()))).is_some());
        assert!(unfit(&mark(Selector::Query("v".into()))).is_some());
        let present = Mark::of(Selector::Header("x".into()), Wanted::Present).unwrap();
        assert!(unfit(&present).is_some());
    }
}
