//! A configuration as `nginx -T` prints it: directives with their places, whatever file they stand in.
//!
//! Included files come behind one another, not where they are included: what block of another file a
//! directive is in is not known. It judges nothing.

use std::time::Duration;

use crate::router::finding::At;

/// What stands above each file.
const FILE: &str = "# configuration file ";

/// A directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// Its name and arguments, without quotes.
    pub(super) words: Vec<String>,
    pub(super) at: At,
    /// The places of the blocks that it stands in within its file, from outside, as indices.
    pub(super) within: Vec<usize>,
}

impl Directive {
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Its arguments as one text.
    pub(super) fn value(&self) -> String {
        self.words.get(1..).unwrap_or_default().join(" ")
    }
}

/// All directives, blocks before what stands in them.
pub(super) fn read(text: &str) -> Vec<Directive> {
    let mut reading = Reading::default();
    for line in text.lines() {
        if let Some(file) = line.strip_prefix(FILE) {
            file.trim_end_matches(':').clone_into(&mut reading.file);
            (reading.line, reading.words, reading.within) = (0, Vec::new(), Vec::new());
            continue;
        }
        reading.line += 1;
        reading.take(line);
    }
    reading.all
}

#[derive(Default)]
struct Reading {
    file: String,
    line: u32,
    /// Of the directive that has begun.
    words: Vec<String>,
    begun: u32,
    within: Vec<usize>,
    all: Vec<Directive>,
}

impl Reading {
    fn take(&mut self, line: &str) {
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '#' => return,
                ';' => self.end(),
                '{' => {
                    self.end();
                    self.within.push(self.all.len().saturating_sub(1));
                }
                '}' => drop(self.within.pop()),
                blank if blank.is_whitespace() => {}
                first => {
                    let mut word = String::new();
                    if matches!(first, '"' | '\'') {
                        // One that goes on in the next line is cut, and nobody asks for such.
                        while let Some(letter) = letters.next().filter(|next| *next != first) {
                            let escaped = letter == '\\' && letters.peek().is_some();
                            word.push(if escaped {
                                letters.next().unwrap_or('\\')
                            } else {
                                letter
                            });
                        }
                    } else {
                        word.push(first);
                        let ends = |c: char| c.is_whitespace() || c == ';';
                        // `${name}` is part of a word.
                        while let Some(letter) = letters
                            .next_if(|next| !ends(*next) && (*next != '{' || word.ends_with('$')))
                        {
                            word.push(letter);
                        }
                    }
                    if self.words.is_empty() {
                        self.begun = self.line;
                    }
                    self.words.push(word);
                }
            }
        }
    }

    fn end(&mut self) {
        let words = std::mem::take(&mut self.words);
        let at = At { file: self.file.clone(), line: self.begun };
        self.all.push(Directive { words, at, within: self.within.clone() });
    }
}

/// A time as nginx writes it (`5s`, `1h 30m`, `500ms`, `5`); `None` when it is none.
pub(super) fn time(words: &[String]) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for word in words.iter().flat_map(|word| word.split_ascii_whitespace()) {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = word.get(..digits)?.parse().ok()?;
        let ms = match &word[digits..] {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        sum = sum.saturating_add(Duration::from_millis(number.saturating_mul(ms)));
    }
    Some(sum)
}

/// How long a worker that ends goes on taking requests on kept connections, at most, ms.
pub(super) fn kept_ms(text: &str) -> u64 {
    let all = read(text);
    let own = all.iter().filter(|one| one.name() == "keepalive_min_timeout");
    let longest = own.filter_map(|one| time(one.words.get(1..)?)).max().unwrap_or_default();
    u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{kept_ms, read};

    #[test]
    fn directives_are_found_with_their_places() {
        let text = "# configuration file /e/nginx.conf:\nhttp { # keepalive_min_timeout 9s;\n  a \
                    'x;y{' \"q\\\"r\"\n    b; server {\n c ${d}e; }\n}\n\n# configuration file \
                    /e/m.conf:\nkeepalive_min_timeout 5s;\n";
        let all = read(text);
        let said: Vec<_> = all
            .iter()
            .map(|one| format!("{} {} {:?}", one.at, one.words.join("|"), one.within))
            .collect();
        let wanted = [
            "/e/nginx.conf:1 http []",
            "/e/nginx.conf:2 a|x;y{|q\"r|b [0]",
            "/e/nginx.conf:3 server [0]",
            "/e/nginx.conf:4 c|${d}e [0, 2]",
            "/e/m.conf:1 keepalive_min_timeout|5s []",
        ];
        assert_eq!(said, wanted);
        assert_eq!(kept_ms(text), 5_000);
        assert_eq!(kept_ms("keepalive_min_timeout 1m 500ms;"), 60_500);
        assert_eq!(kept_ms("keepalive_min_timeout x; } } {"), 0);
    }
}
