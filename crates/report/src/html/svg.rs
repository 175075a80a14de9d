//! The few shapes the charts need, written as SVG text.
//!
//! It knows nothing of requests; sizes are in units of the drawing.

pub(crate) use crate::escape::markup as esc;

/// Width of every drawing.
pub(crate) const WIDTH: f64 = 1040.0;

/// A coordinate with one decimal at most.
pub(crate) fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// A drawing that grows.
pub(crate) struct Drawing {
    body: String,
    height: f64,
    title: String,
    describe: String,
    /// Left, right, top and bottom of a plot whose steps are the rows of a table.
    steps: Option<[f64; 4]>,
    /// Left, right, and the times there.
    time: Option<([f64; 2], [i64; 2])>,
}

impl Drawing {
    /// An empty drawing with what a screen reader says of it.
    pub(crate) fn new(height: f64, title: &str, describe: &str) -> Self {
        Self {
            body: String::new(),
            height,
            title: esc(title),
            describe: esc(describe),
            steps: None,
            time: None,
        }
    }

    /// Says where the plot is whose steps, side by side, are the rows of the run's table.
    pub(crate) fn steps(&mut self, plot: [f64; 4]) {
        self.steps = Some(plot);
    }

    /// Says where time runs, between which ms as its ticks count them: a part can be looked at from close by.
    pub(crate) fn time(&mut self, sides: [f64; 2], ms: [i64; 2]) {
        self.time = Some((sides, ms));
    }

    /// Raw SVG that the caller has escaped.
    pub(crate) fn raw(&mut self, svg: &str) {
        self.body.push_str(svg);
        self.body.push('\n');
    }

    /// A box with a class, `[x, y, width, height]`.
    pub(crate) fn rect(&mut self, class: &str, at: [f64; 4]) {
        let [x, y, w, h] = at.map(n);
        self.raw(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"
        ));
    }

    /// A straight line `[x1, y1, x2, y2]`.
    pub(crate) fn line(&mut self, class: &str, at: [f64; 4]) {
        let [x1, y1, x2, y2] = at.map(n);
        self.raw(&format!("<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>"));
    }

    /// Many shapes of one look in one element; nothing when there are none.
    pub(crate) fn path(&mut self, class: &str, d: &str) {
        if !d.is_empty() {
            self.raw(&format!("<path class=\"{class}\" d=\"{d}\"/>"));
        }
    }

    /// Foreign text at a point; the class says how it is anchored.
    pub(crate) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.raw(&format!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>",
            n(x),
            n(y),
            esc(text)
        ));
    }

    /// The whole `<svg>`, in a box that scrolls sideways on narrow screens.
    pub(crate) fn finish(self) -> String {
        let Self { body, height, title, describe, steps, time } = self;
        let time = time.map_or_else(String::new, |(sides, [from, to])| {
            let [left, right] = sides.map(n);
            format!(" data-time=\"{left} {right} {from} {to}\"")
        });
        let steps = steps.map_or_else(String::new, |plot| {
            let [left, right, top, bottom] = plot.map(n);
            format!(
                " data-left=\"{left}\" data-right=\"{right}\" data-top=\"{top}\" data-bottom=\"{bottom}\""
            )
        });
        format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{title}\">\
             <svg viewBox=\"0 0 {} {}\" role=\"img\"{time}{steps}>\n\
             <title>{title}</title><desc>{describe}</desc>\n{body}</svg></div>\n",
            n(WIDTH),
            n(height)
        )
    }
}

/// Width of small text, roughly: enough to keep labels apart.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.6
}
