//! One line of a terminal: pieces with styles, cut to a width in columns.
//!
//! Width is a close guess (wide East Asian characters and emoji are two columns, joining marks
//! none); where it is wrong a line is a little short or long, never unsafe.

use anstyle::Style;

use super::clean::clean;

/// Pieces of text with their styles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pieces: Vec<(Style, String)>,
}

impl Line {
    /// Adds text as it is.
    pub(crate) fn plain(self, text: impl AsRef<str>) -> Self {
        self.styled(Style::new(), text)
    }

    /// Adds text in a style.
    pub(crate) fn styled(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.pieces.push((style, clean(text.as_ref()).into_owned()));
        self
    }

    /// Adds another one behind it.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// Pads with blanks up to a column; one blank when the line is longer already.
    pub(crate) fn to(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.columns()).max(1);
        self.plain(" ".repeat(missing))
    }

    /// Cuts to `width` columns, with `…` where something is missing.
    #[must_use]
    pub(crate) fn cut(mut self, width: usize) -> Self {
        if self.columns() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        for at in 0..self.pieces.len() {
            let text = &mut self.pieces[at].1;
            let wide = columns(text);
            if wide <= left {
                left -= wide;
                continue;
            }
            *text = fitting(text, left) + if width > 0 { "…" } else { "" };
            self.pieces.truncate(at + 1);
            break;
        }
        self
    }

    /// Its width.
    pub(crate) fn columns(&self) -> usize {
        self.pieces.iter().map(|(_, text)| columns(text)).sum()
    }

    /// As text, with or without its styles.
    pub(crate) fn text(&self, colour: bool) -> String {
        let piece = |(style, text): &(Style, String)| {
            if colour { format!("{style}{text}{style:#}") } else { text.clone() }
        };
        self.pieces.iter().map(piece).collect()
    }
}

fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn fitting(text: &str, mut left: usize) -> String {
    let fits = |c: &char| {
        let fits = width(*c) <= left;
        left = left.saturating_sub(width(*c));
        fits
    };
    text.chars().take_while(fits).collect()
}

/// Blocks of wide characters.
const WIDE: [std::ops::RangeInclusive<u32>; 8] = [
    0x1100..=0x115f,
    0x2e80..=0xa4cf,
    0xac00..=0xd7a3,
    0xf900..=0xfaff,
    0xfe30..=0xfe6f,
    0xff00..=0xff60,
    0x1_f300..=0x1_faff,
    0x2_0000..=0x3_fffd,
];

fn width(c: char) -> usize {
    match c as u32 {
        0x300..=0x36f | 0xfe00..=0xfe0f => 0,
        code => 1 + usize::from(WIDE.iter().any(|block| block.contains(&code))),
    }
}
