//! What a test has to say although it passes: that it was left out, or that a verdict was excused.
//!
//! What a passing test prints is shown by nobody. So it is also written to the file that `cargo xtask test`
//! names, which shows it in its summary. Whether something may be left out is not decided here.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::{env, fmt, thread};

/// Environment variable with the file that collects what is said, a line each.
pub const FILE: &str = "CUTOVER_ASIDES";

/// Says it: on standard output, and in the file if there is one.
///
/// # Panics
/// When the file cannot be written: a test that is left out and nobody knows of is worse than one that fails.
pub fn say(words: impl fmt::Display) {
    println!("{words}");
    let Some(path) = env::var_os(FILE) else { return };
    let line = line(&words.to_string(), thread::current().name());
    let file = OpenOptions::new().create(true).append(true).open(&path);
    // One write: tests of several processes say something at once.
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    assert!(written.is_ok(), "{}: {written:?}", path.display());
}

/// The words and the test that says them: libtest names the thread after it.
fn line(words: &str, test: Option<&str>) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    format!("{}\t{}\n", words.join(" "), test.unwrap_or("a helper thread"))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn what_is_said_is_one_line_with_the_tests_name() {
        let written = line("skipped:\tno nginx\n1.26", Some("reload::first"));
        assert_eq!(written, "skipped: no nginx 1.26\treload::first\n");
        assert_eq!(line("skipped: it", None), "skipped: it\ta helper thread\n");
    }
}
