//! Faults as people read them. Which fault there is in which trouble is tried where it arises, not here.

use model::fault::Place;
use model::{Fault, Kind};

use super::super::fault::render_fault;

fn drawn(fault: &Fault) -> String {
    anstream::adapter::strip_str(&render_fault(fault)).to_string()
}

fn at(file: &str, line: u32, column: u32) -> Fault {
    Fault::new(Kind::Config, "this is wrong").at(Place { file: file.into(), line, column })
}

#[test]
fn a_fault_without_a_place_has_notes_and_help() {
    let fault = Fault::environment("shop-2-1 did not become ready within 60s")
        .note("GET /healthz: 500, after 3 ms\nGET /healthz: 500, after 2 ms")
        .note("\tlog: \u{1b}[31mboom\u{7}")
        .help("look at its log:\ncutover logs shop");
    let expected = "\
error: shop-2-1 did not become ready within 60s
  GET /healthz: 500, after 3 ms
  GET /healthz: 500, after 2 ms
      log: \\u{1b}[31mboom\\u{7}
help: look at its log:
      cutover logs shop
";
    assert_eq!(drawn(&fault), expected);
}

#[test]
fn a_fault_in_a_file_shows_the_line_and_the_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cutover.toml");
    std::fs::write(&path, "# ü\r\nlisten = [\"127.0.0.1:80\", \"x\"] # ä\r\n").unwrap();
    let file = path.to_str().unwrap();
    let text = drawn(&at(file, 2, 11).help("do this"));
    let expected = format!(
        "error: this is wrong\n --> {file}:2:11\n  |\n2 | listen = [\"127.0.0.1:80\", \"x\"] # ä\n  \
         |           ^^^^^^^^^^^^^^\nhelp: do this\n"
    );
    assert_eq!(text, expected);
    assert!(drawn(&at(file, 2, 1)).contains("| ^^^^^^\n"));
}

#[test]
fn a_place_that_cannot_be_shown_is_still_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cutover.toml");
    std::fs::write(&path, "one line\n").unwrap();
    let file = path.to_str().unwrap();
    for (file, line, column) in [
        ("gone/cutover.toml", 3, 7),
        (file, 9, 1),
        (file, 1, 99),
        (file, 0, 0),
        ("/dev/zero", 1, 1),
    ] {
        let text = drawn(&at(file, line, column));
        assert!(text.contains(&format!("--> {file}:{line}:{column}")), "{text}");
        assert!(!text.contains('|'), "{text}");
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let fault = Fault::environment("x").help("y");
    assert!(render_fault(&fault).contains('\u{1b}'));
    let mut plain = anstream::StripStream::new(Vec::new());
    std::io::Write::write_all(&mut plain, render_fault(&fault).as_bytes()).unwrap();
    assert_eq!(plain.into_inner(), b"error: x\nhelp: y\n");
}
