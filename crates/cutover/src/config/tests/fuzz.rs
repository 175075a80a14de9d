//! Fuzz body of `cutover.toml`: any text is a configuration or a list of mistakes, each of which can be
//! shown with its place.
//!
//! Which text a mistake gets is not asked here: that is in `mistakes`.

use fuzz::corpus;

use super::{drawn, parse};

const WORDS: &[&str] = &[
    "[app.web]\n",
    "[[app]]\n",
    "[proxy]\n",
    "[router]\nkind = \"haproxy\"\n",
    "[router]\nkind = \"nginx\"\n",
    "command = [\"./server\"]\n",
    "hosts = [\"a.test\"]\n",
    "{ from = \"TOKEN\" }",
    "{version}",
    "{port}",
    "{",
    "\"\"\"",
    "= ",
    "1h30m",
    "99999999999999999h",
    "é",
    "\u{feff}",
    "\u{202e}",
    "2026-11-21",
    "nan",
];

#[test]
fn any_text_is_a_configuration_or_a_list_of_mistakes() {
    fuzz::run(corpus!("config").words(WORDS), |case| match parse(&case.text(), "cutover.toml") {
        Ok(config) => assert!(config.apps.keys().all(|app| app.as_str().len() <= 40)),
        Err(found) => {
            assert!(!found.is_empty());
            let shown = drawn(&found);
            assert!(shown.len() < 64 * 1024, "{} bytes of mistakes", shown.len());
            let odd = |c: char| c.is_control() && c != '\n';
            assert!(!shown.contains(odd), "{}", shown.escape_debug());
        }
    });
}
