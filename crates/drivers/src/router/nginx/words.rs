//! The words of one file of nginx: texts, ends and blocks, with their lines.
//!
//! It does not know what a word means, and Lua between braces is left out.

use std::iter::Peekable;
use std::str::Chars;

/// A word, or what stands between words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Without its quotes.
    Text(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// What a directive ends with whose block is no directives.
const LUA: &str = "_by_lua_block";

/// All words, each with the line that it begins in, from 1.
pub(super) fn of(text: &str) -> Vec<(u32, Word)> {
    let mut reading = Reading { letters: text.chars().peekable(), line: 1 };
    let mut words: Vec<(u32, Word)> = Vec::new();
    let mut lua = false;
    while let Some(letter) = reading.next() {
        let line = reading.line;
        let word = match letter {
            '#' => {
                reading.rest_of_line();
                continue;
            }
            '\n' => continue,
            blank if blank.is_whitespace() => continue,
            ';' => Word::End,
            '{' => Word::Open,
            '}' => Word::Close,
            quote @ ('"' | '\'') => Word::Text(reading.quoted(quote)),
            first => Word::Text(reading.plain(first)),
        };
        let (opens, text) = (word == Word::Open, matches!(word, Word::Text(_)));
        if let Word::Text(name) = &word {
            lua |= name.ends_with(LUA);
        }
        words.push((line, word));
        if opens && lua {
            reading.skip_block();
            words.push((reading.line, Word::Close));
        }
        lua &= text;
    }
    words
}

struct Reading<'a> {
    letters: Peekable<Chars<'a>>,
    /// Of the letter that comes next; of a line's end, still that line.
    line: u32,
}

impl Reading<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next()?;
        self.line = self.line.saturating_add(u32::from(letter == '\n'));
        Some(letter)
    }

    fn rest_of_line(&mut self) {
        while self.letters.next_if(|next| *next != '\n').is_some() {}
    }

    /// To the quote that ends it, over lines.
    fn quoted(&mut self, quote: char) -> String {
        let mut word = String::new();
        while let Some(letter) = self.next().filter(|next| *next != quote) {
            if letter == '\\' {
                self.escaped(&mut word);
            } else {
                word.push(letter);
            }
        }
        word
    }

    /// To a blank, an end or a block. `${name}` is part of a word.
    fn plain(&mut self, first: char) -> String {
        let mut word = String::new();
        let mut next = Some(first);
        while let Some(letter) = next {
            if letter == '\\' {
                self.escaped(&mut word);
            } else {
                word.push(letter);
            }
            let ends = |c: char| c.is_whitespace() || c == ';';
            next =
                self.letters.next_if(|next| !ends(*next) && (*next != '{' || word.ends_with('$')));
        }
        word
    }

    /// What stands behind a backslash. Where nginx leaves the backslash, so is it here.
    fn escaped(&mut self, word: &mut String) {
        match self.next() {
            Some(letter @ ('"' | '\'' | '\\')) => word.push(letter),
            Some('n') => word.push('\n'),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some(letter) => word.extend(['\\', letter]),
            None => word.push('\\'),
        }
    }

    /// Over a block up to the brace that ends it, counting braces alone.
    fn skip_block(&mut self) {
        let mut open = 1_u32;
        while let Some(letter) = self.next() {
            match letter {
                '{' => open = open.saturating_add(1),
                '}' if open == 1 => return,
                '}' => open -= 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Word, of};

    #[test]
    fn words_are_read_as_nginx_reads_them() {
        let text = "a 'x;\n{' \"q\\\"r\\.\";# b;\nc ~\\.php$ ${d}e#f}g {\n}\n";
        let texts = |words: &[(u32, Word)]| -> Vec<String> {
            let text = |word: &(u32, Word)| match &word.1 {
                Word::Text(text) => format!("{} {text}", word.0),
                other => format!("{} {other:?}", word.0),
            };
            words.iter().map(text).collect()
        };
        let wanted = [
            "1 a",
            "1 x;\n{",
            "2 q\"r\\.",
            "2 End",
            "3 c",
            "3 ~\\.php$",
            "3 ${d}e#f}g",
            "3 Open",
            "4 Close",
        ];
        assert_eq!(texts(&of(text)), wanted);
        let lua = "content_by_lua_block {\n -- don't { }\n}\nb;";
        let wanted = ["1 content_by_lua_block", "1 Open", "3 Close", "4 b", "4 End"];
        assert_eq!(texts(&of(lua)), wanted);
    }
}
