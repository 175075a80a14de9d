//! Puts the lines of files into sections, and finds what each section inherits.
//!
//! It opens no file, and judges nothing: that is `review`'s.

use super::Written;
use super::line::words;
use super::section::{Section, Setting, Sort};
use crate::router::finding::At;

/// Words that begin a section without requests.
const OTHERS: [&str; 16] = [
    "acme",
    "cache",
    "crt-store",
    "dynamic-update",
    "fcgi-app",
    "http-errors",
    "log-forward",
    "log-profile",
    "mailers",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
    "haterm",
];

/// Reads files, each with its name, in the order in which HAProxy is given them.
pub(in super::super) fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Written {
    let mut written = Written::default();
    for (file, text) in files {
        // A section ends with its file; the defaults in force do not.
        let mut open = false;
        for (number, line) in (1_u32..).zip(text.lines()) {
            let at = || At { file: file.to_owned(), line: number };
            let words = words(line);
            let Some(first) = words.first() else { continue };
            if let Some(sort) = sort_of(first) {
                let section = section(&written, sort, &words, at());
                written.sections.push(section);
                open = true;
            } else if let Some(section) = written.sections.last_mut().filter(|_| open)
                && !first.starts_with('.')
            {
                section.settings.push(Setting { words, at: at() });
            }
        }
    }
    written
}

fn sort_of(word: &str) -> Option<Sort> {
    Some(match word {
        "global" => Sort::Global,
        "defaults" => Sort::Defaults,
        "frontend" => Sort::Frontend,
        "backend" => Sort::Backend,
        "listen" => Sort::Listen,
        other => return OTHERS.contains(&other).then_some(Sort::Other),
    })
}

fn section(written: &Written, sort: Sort, words: &[String], at: At) -> Section {
    let from = words.iter().position(|word| word == "from").filter(|at| *at >= 1);
    let named = words.get(1).filter(|_| from != Some(1));
    let name = named.cloned().unwrap_or_default();
    let mut defaults =
        written.sections.iter().enumerate().filter(|(_, one)| one.sort == Sort::Defaults);
    let inherits = match (from.and_then(|from| words.get(from + 1)), sort) {
        (Some(from), _) => defaults.rfind(|(_, one)| one.name == *from),
        (None, Sort::Frontend | Sort::Backend | Sort::Listen) => defaults.next_back(),
        (None, _) => None,
    };
    let title = if name.is_empty() { words[0].clone() } else { format!("{} {name}", words[0]) };
    let inherits = inherits.map(|(index, _)| index);
    Section { sort, title, name, inherits, at, settings: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::{Said, Written};
    use super::read;

    const ONE: &str = "lost\nglobal\n  maxconn 10 # few\ndefaults\n  mode http\n  retries 3\n\
        defaults named\n  retries 5\n  option redispatch\ndefaults more from named\n  mode tcp\n\
        frontend f\n  bind :80\nbackend a from more\n  no option redispatch\n  \
        .if defined(X)\n  retries 7\n  .endif\nresolvers r\n  retries 9\n";
    const TWO: &str = "  stray\nlisten l\n  bind :81\nlisten last from named\n  retries 1\n  retries 2\n  \
        no option redispatch\n  option redispatch\n";

    fn written() -> Written {
        read([("one.cfg", ONE), ("two.cfg", TWO)])
    }

    #[test]
    fn sections_inherit_from_the_last_defaults_or_those_they_name() {
        let written = written();
        let of = |name: &str| written.sections.iter().find(|one| one.name == name).unwrap();
        let said = |name: &str, words: &[&str]| {
            written.setting(of(name), words).map(|set| format!("{} {}", set.text(), set.at))
        };
        // Names of defaults count as the last ones too; HAProxy takes them in order.
        assert_eq!(said("f", &["mode"]).unwrap(), "mode tcp one.cfg:11");
        assert_eq!(said("f", &["retries"]).unwrap(), "retries 5 one.cfg:8");
        assert_eq!(said("a", &["retries"]).unwrap(), "retries 7 one.cfg:17");
        assert_eq!(said("l", &["retries"]).unwrap(), "retries 5 one.cfg:8");
        assert_eq!(said("f", &["timeout", "server"]), None);
        // It names others than the last ones, and the last word counts.
        assert_eq!(
            (said("last", &["mode"]), said("last", &["retries"]).unwrap()),
            (None, "retries 2 two.cfg:6".into())
        );
        assert!(matches!(written.option(of("last"), "redispatch"), Said::On));
        assert!(
            matches!(written.option(of("a"), "redispatch"), Said::Off(set) if set.at.line == 15)
        );
        assert!(matches!(written.option(of("f"), "redispatch"), Said::On));
        assert!(matches!(written.option(of("f"), "httpclose"), Said::Nothing));
    }

    #[test]
    fn settings_belong_to_their_section_and_its_file() {
        let written = written();
        let titles: Vec<&str> = written.sections.iter().map(|one| one.title.as_str()).collect();
        let wanted = [
            "global",
            "defaults",
            "defaults named",
            "defaults more",
            "frontend f",
            "backend a",
            "resolvers r",
            "listen l",
            "listen last",
        ];
        assert_eq!(titles, wanted);
        let globals: Vec<String> = written.global().map(super::Setting::text).collect();
        assert_eq!(globals, ["maxconn 10"]);
        let all: Vec<String> = written
            .sections
            .iter()
            .flat_map(|one| &one.settings)
            .map(super::Setting::text)
            .collect();
        assert!(!all.iter().any(|text| text == "lost" || text == "stray"), "{all:?}");
    }

    #[test]
    fn whatever_stands_in_a_file_nothing_panics_and_inheritance_ends() {
        let odd = "backend\nfrom\ndefaults d from d\ndefaults from\nbackend b from d\n\"\\\n'";
        for cut in 0..odd.len() {
            let written = read([("odd", &odd[..cut])]);
            for section in &written.sections {
                assert!(written.chain(section).count() <= written.sections.len());
            }
        }
    }
}
