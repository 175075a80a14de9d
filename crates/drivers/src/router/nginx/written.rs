//! A configuration as `nginx -T` prints it: directives with their places, in the order in which nginx reads
//! them.
//!
//! A file that is included stands where it is included, as often as that is. One whose `include` is not
//! understood stands at the end, outside of all blocks. It judges nothing.

use std::time::Duration;

use super::words::{self, Word};
use crate::router::finding::At;

/// What stands above each file.
const FILE: &str = "# configuration file ";
/// More than anybody writes; files that include each other many times are cut off here.
const MOST: usize = 200_000;

/// A directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// Its name and arguments, without quotes.
    pub(super) words: Vec<String>,
    pub(super) at: At,
    /// The places of the blocks that it stands in, from outside, as indices.
    pub(super) within: Vec<usize>,
}

impl Directive {
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Its arguments.
    pub(super) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Its arguments as one text.
    pub(super) fn value(&self) -> String {
        self.arguments().join(" ")
    }
}

/// All directives, blocks before what stands in them.
pub(super) fn read(text: &str) -> Vec<Directive> {
    let files: Vec<File<'_>> = files(text).into_iter().map(File::read).collect();
    let mut tree = Tree { files: &files, taken: vec![false; files.len()], all: Vec::new() };
    for at in 0..files.len() {
        // The first is the one that nginx is started with; another one that nobody includes was not understood.
        if !tree.taken[at] {
            tree.take(at, &[], &mut Vec::new());
        }
    }
    tree.all
}

/// The files with their names; what stands above the first name has none.
fn files(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let (mut name, mut begins, mut at) = ("", 0, 0);
    for line in text.split_inclusive('\n') {
        let header = line.trim_end().strip_prefix(FILE).and_then(|name| name.strip_suffix(':'));
        if let Some(next) = header {
            found.push((name, &text[begins..at]));
            (name, begins) = (next, at + line.len());
        }
        at += line.len();
    }
    found.push((name, &text[begins..]));
    found.retain(|(name, text)| !name.is_empty() || !text.trim().is_empty());
    found
}

/// One file by itself.
struct File<'a> {
    name: &'a str,
    /// Indices count within it.
    all: Vec<Directive>,
}

impl<'a> File<'a> {
    fn read((name, text): (&'a str, &str)) -> Self {
        let mut all: Vec<Directive> = Vec::new();
        let (mut begun, mut within) = (None, Vec::new());
        let mut said = Vec::new();
        for (line, word) in words::of(text) {
            match word {
                Word::Text(text) => {
                    begun.get_or_insert(line);
                    said.push(text);
                }
                Word::End | Word::Open => {
                    let at = At { file: name.to_owned(), line: begun.take().unwrap_or(line) };
                    let words = std::mem::take(&mut said);
                    all.push(Directive { words, at, within: within.clone() });
                    if word == Word::Open {
                        within.push(all.len() - 1);
                    }
                }
                Word::Close => drop(within.pop()),
            }
        }
        Self { name, all }
    }
}

/// What was read of files that include each other.
struct Tree<'a> {
    files: &'a [File<'a>],
    taken: Vec<bool>,
    all: Vec<Directive>,
}

impl Tree<'_> {
    /// Takes a file in within these blocks. `open`: those that include it, none of which can be in it again.
    fn take(&mut self, file: usize, around: &[usize], open: &mut Vec<usize>) {
        self.taken[file] = true;
        open.push(file);
        let mut places = Vec::new();
        for one in &self.files[file].all {
            if self.all.len() >= MOST {
                break;
            }
            places.push(self.all.len());
            let own = one.within.iter().filter_map(|block| places.get(*block)).copied();
            let within: Vec<usize> = around.iter().copied().chain(own).collect();
            self.all.push(Directive { within: within.clone(), ..one.clone() });
            for next in self.included(one) {
                if !open.contains(&next) {
                    self.take(next, &within, open);
                }
            }
        }
        open.pop();
    }

    /// The files that a directive includes. A name without a folder is looked up beside the first file.
    fn included(&self, one: &Directive) -> Vec<usize> {
        let Some(pattern) = one.words.get(1).filter(|_| one.name() == "include") else {
            return Vec::new();
        };
        let main = self.files.first().map_or("", |file| file.name);
        let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = !pattern.starts_with('/') && main.contains('/');
        let pattern = if beside { format!("{folder}/{pattern}") } else { pattern.clone() };
        let fits = |at: &usize| names(&pattern, self.files[*at].name);
        let mut found: Vec<usize> = (0..self.files.len()).filter(fits).collect();
        found.sort_by_key(|at| self.files[*at].name);
        found
    }
}

/// True when a pattern as shells know it (`*`, `?`, `[a-z]`, `[!a-z]`) names this file.
fn names(pattern: &str, file: &str) -> bool {
    let (pattern, file): (Vec<&str>, Vec<&str>) = (parts(pattern).collect(), parts(file).collect());
    let pairs = || pattern.iter().zip(&file);
    let fits = |(pattern, name): (&&str, &&str)| {
        // A name that begins with a dot is found by whoever writes the dot.
        let hidden = name.starts_with('.') && !pattern.starts_with('.');
        !hidden && part_fits(pattern.as_bytes(), name.as_bytes())
    };
    pattern.len() == file.len() && pairs().all(fits)
}

/// Folders and name, without those that lead nowhere.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

fn part_fits(pattern: &[u8], name: &[u8]) -> bool {
    // Where the last star stands, and how much of the name it has taken.
    let (mut at, mut rest, mut star) = (0, 0, None);
    while rest < name.len() {
        match one_fits(&pattern[at..], name[rest]) {
            Some(_) if pattern[at] == b'*' => {
                star = Some((at, rest));
                at += 1;
            }
            Some(taken) => (at, rest) = (at + taken, rest + 1),
            None => {
                let Some((back, took)) = star else { return false };
                (at, rest) = (back + 1, took + 1);
                star = Some((back, took + 1));
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// How much of the pattern stands for this byte; `None` when its beginning does not.
fn one_fits(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'*' | b'?', ..] => Some(1),
        [b'[', set @ ..] => {
            let ends = set.iter().skip(1).position(|byte| *byte == b']')? + 1;
            let (not, set) = match &set[..ends] {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            let ranges = set.windows(3).any(|w| w[1] == b'-' && (w[0]..=w[2]).contains(&byte));
            ((ranges || set.contains(&byte)) != not).then_some(ends + 2)
        }
        [b'\\', own, ..] => (*own == byte).then_some(2),
        [own, ..] => (*own == byte).then_some(1),
        [] => None,
    }
}

/// A time as nginx writes it (`5s`, `1h 30m`, `500ms`, `5`); `None` when it is none.
pub(super) fn time(words: &[String]) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut units = words.iter().flat_map(|word| pieces(word));
    units.try_for_each(|(digits, unit)| {
        let number: u64 = digits.parse().ok()?;
        let ms = match unit {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "M" => 2_592_000_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        sum = sum.saturating_add(Duration::from_millis(number.saturating_mul(ms)));
        Some(())
    })?;
    Some(sum)
}

/// Numbers with their units: `1h30m` has two.
fn pieces(mut word: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    loop {
        word = word.trim_start();
        if word.is_empty() {
            return found;
        }
        let digit = |c: char| c.is_ascii_digit();
        let (digits, rest) = word.split_at(word.find(|c| !digit(c)).unwrap_or(word.len()));
        let ends = rest.find(|c: char| digit(c) || c.is_whitespace()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(ends);
        found.push((digits, unit));
        word = rest;
    }
}

/// How long a worker that ends goes on taking requests on kept connections, at most, ms.
pub(super) fn kept_ms(text: &str) -> u64 {
    let all = read(text);
    let own = all.iter().filter(|one| one.name() == "keepalive_min_timeout");
    let longest = own.filter_map(|one| time(one.arguments())).max().unwrap_or_default();
    u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{kept_ms, names, read, time};

    fn said(text: &str) -> Vec<String> {
        let all = read(text);
        all.iter()
            .map(|one| format!("{} {} {:?}", one.at, one.words.join("|"), one.within))
            .collect()
    }

    #[test]
    fn directives_are_found_with_their_places() {
        let text = "# configuration file /e/nginx.conf:\nhttp { # keepalive_min_timeout 9s;\n  a \
                    'x;y{' \"q\\\"r\"\n    b; server {\n c ${d}e; }\n}\n\n# configuration file \
                    /e/m.conf:\nkeepalive_min_timeout 5s;\n";
        let wanted = [
            "/e/nginx.conf:1 http []",
            "/e/nginx.conf:2 a|x;y{|q\"r|b [0]",
            "/e/nginx.conf:3 server [0]",
            "/e/nginx.conf:4 c|${d}e [0, 2]",
            "/e/m.conf:1 keepalive_min_timeout|5s []",
        ];
        assert_eq!(said(text), wanted);
        assert_eq!(kept_ms(text), 5_000);
        assert_eq!(kept_ms("keepalive_min_timeout 1m 500ms;"), 60_500);
        assert_eq!(kept_ms("keepalive_min_timeout x; } } {"), 0);
    }

    /// As often as it is included, in the order of names, and what a header looks like in a comment is none.
    #[test]
    fn what_is_included_stands_where_it_is_included() {
        let text = "# configuration file /e/nginx.conf:\n# configuration file of ours\nhttp { include \
                    sites/*.conf; server { include snip; } }\n# configuration file /e/sites/b.conf:\n\
                    server { include snip; }\n# configuration file /e/snip:\nb 'x\n}\n';\nc;\n\
                    # configuration file /e/sites/a.conf:\na; include a.conf;\n";
        let wanted = [
            "/e/nginx.conf:2 http []",
            "/e/nginx.conf:2 include|sites/*.conf [0]",
            "/e/sites/a.conf:1 a [0]",
            "/e/sites/a.conf:1 include|a.conf [0]",
            "/e/sites/b.conf:1 server [0]",
            "/e/sites/b.conf:1 include|snip [0, 4]",
            "/e/snip:1 b|x\n}\n [0, 4]",
            "/e/snip:4 c [0, 4]",
            "/e/nginx.conf:2 server [0]",
            "/e/nginx.conf:2 include|snip [0, 8]",
            "/e/snip:1 b|x\n}\n [0, 8]",
            "/e/snip:4 c [0, 8]",
        ];
        assert_eq!(said(text), wanted);
    }

    #[test]
    fn patterns_name_files_as_in_a_shell() {
        for (pattern, file) in [
            ("/e/*.conf", "/e/a.conf"),
            ("/e//./a?[b-d].[!x]*", "/e/aac.conf"),
            ("/e/*/*", "/e/a/b"),
            ("/e/.*", "/e/.a"),
            ("/e/*a*b", "/e/aab.ab"),
            ("/e/[]]\\*", "/e/]*"),
        ] {
            assert!(names(pattern, file), "{pattern} {file}");
        }
        for (pattern, file) in [
            ("/e/*.conf", "/e/a/b.conf"),
            ("/e/*.conf", "/e/.a.conf"),
            ("/e/*.conf", "/e/a.confs"),
            ("/e/[a", "/e/a"),
            ("/e/[!a]", "/e/a"),
            ("/e/a", "/e/b"),
            ("/e/a*b", "/e/ac"),
        ] {
            assert!(!names(pattern, file), "{pattern} {file}");
        }
    }

    #[test]
    fn times_are_those_of_nginx() {
        let ms = |text: &str| time(&[text.to_owned()]).map(|time| time.as_millis());
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("1h 30m"), Some(5_400_000));
        assert_eq!((ms("5"), ms("500ms"), ms("1d1")), (Some(5_000), Some(500), Some(86_401_000)));
        assert_eq!((ms("1M"), ms("1w")), (Some(2_592_000_000), Some(604_800_000)));
        assert_eq!((ms("x"), ms("5x"), ms("s")), (None, None, None));
    }
}
