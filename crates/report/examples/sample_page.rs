//! Prints a sample page: `cargo run -p report --example sample_page -- pass > page.html`.
//!
//! Stories: pass, canary, canary-off, canary-gave-up, rolling, kill, stall,
//! never-ready, died, long; with `--text` the terminal form,
//! with `--json` the report itself.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "synthetic figures")]
#![allow(dead_code, reason = "the stories are shared with the tests")]

#[path = "../tests/it/sample/mod.rs"]
mod sample;

fn main() {
    let mut story = "pass".to_owned();
    let mut form = "--html".to_owned();
    for word in std::env::args().skip(1) {
        if word.starts_with("--") { form = word } else { story = word }
    }
    let input = match story.as_str() {
        "canary" => sample::canary::canary(),
        "canary-off" => sample::canary::given([500, 3_300, 5_000, 10_000]),
        "canary-gave-up" => sample::canary::gave_up(),
        "rolling" => sample::canary::rolling(),
        "kill" => sample::killed_before_drain(),
        "stall" => sample::stalled(),
        "never-ready" => sample::never_ready(),
        "died" => sample::candidate_died(),
        "long" => sample::long(),
        _ => sample::pass(),
    };
    let report = report::judge(&input);
    let style = report::Style { colour: true, width: 100 };
    let text = match form.as_str() {
        "--text" => report::terminal(&report, style),
        "--json" => report::json(&report),
        _ => report::html(&report),
    };
    print!("{text}");
}
