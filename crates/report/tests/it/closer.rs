//! A part of a chart's time from close by, in a real browser: dragged over with a mouse, by keys, and tapped on a
//! touch screen; what is under the pointer then, and the way back to the chart as it was.
//!
//! Without a browser it is skipped, and said so. What the page is without its script is in `page`.

use std::path::Path;

use crate::chromium;
use crate::chromium::Browser;
use crate::sample;
use report::{html, judge};
use serde_json::{Value, json};

/// What the test knows of the first chart, in units of the drawing.
const KNOWN: &str = "(() => {
    const svg = document.querySelector('svg[data-time]'), r = svg.getBoundingClientRect();
    const [left, right, from, to] = svg.dataset.time.split(' ').map(Number);
    const own = [...svg.querySelectorAll('path,rect,circle,text')].filter((one) =>
        !one.closest('clipPath') && !['hover', 'drag'].includes(one.getAttribute('class')));
    const bar = svg.parentNode.previousElementSibling;
    return {
        left, right, from, to, at: [r.left, r.top, r.width / svg.viewBox.baseVal.width, r.height],
        places: own.map((one) => one.getAttribute('d') ?? one.getAttribute('cx') ?? one.getAttribute('x')).sort(),
        ticks: [...svg.querySelectorAll('.tick')].map((one) => parseFloat(one.getAttribute('d').slice(1))),
        shown: bar.querySelector('output').textContent,
        names: [...bar.querySelectorAll('button')].map((one) => one.ariaLabel + (one.disabled ? ' off' : '')),
        said: document.querySelector('.said.on')?.textContent ?? '',
        rows: [...document.querySelector('details.numbers table').tBodies[0].rows].map((row) => row.cells[0].textContent),
    };
})()";

/// The page in a window of that width.
fn opened(file: &Path, width: u32, touch: bool) -> Option<Browser> {
    let Some(program) = chromium::program() else {
        aside::say("skipped: no Chromium (set CHROME), so nobody looks closer");
        return None;
    };
    let mut browser = Browser::start(&program);
    let window = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": touch });
    browser.ask("Emulation.setDeviceMetricsOverride", &window);
    browser.ask("Emulation.setTouchEmulationEnabled", &json!({ "enabled": touch }));
    browser.open(&format!("file://{}", file.display()));
    let to_it =
        "document.querySelector('svg[data-time]').parentNode.scrollIntoView({ block: 'center' })";
    browser.evaluate(to_it);
    Some(browser)
}

fn number(of: &Value) -> f64 {
    of.as_f64().unwrap()
}

/// Moves, presses or lets go of the mouse at a place of the drawing.
fn mouse(browser: &mut Browser, kind: &str, unit: f64) {
    let at = browser.evaluate(KNOWN)["at"].clone();
    let [left, top, scale, height] = [0, 1, 2, 3].map(|i| number(&at[i]));
    let event = json!({
        "type": kind, "x": left + unit * scale, "y": top + height / 2.0, "button": "left",
        "buttons": u8::from(kind != "mouseReleased"), "clickCount": 1,
    });
    browser.ask("Input.dispatchMouseEvent", &event);
}

fn key(browser: &mut Browser, key: &str, shift: bool) {
    let modifiers = if shift { 8 } else { 0 };
    for kind in ["keyDown", "keyUp"] {
        let event = json!({ "type": kind, "key": key, "modifiers": modifiers });
        browser.ask("Input.dispatchKeyEvent", &event);
    }
}

/// Both times of `+1.250 s to +3.000 s`, s.
fn times(known: &Value) -> [f64; 2] {
    let shown = known["shown"].as_str().unwrap();
    let (from, to) = shown.split_once(" to ").unwrap_or_else(|| panic!("{shown:?}"));
    [from, to].map(|time| time.trim_end_matches(" s").replace('−', "-").parse().unwrap())
}

fn near(a: f64, b: f64, by: f64) {
    assert!((a - b).abs() <= by, "{a} is not {b}");
}

fn page() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, html(&judge(&sample::killed_before_drain()))).unwrap();
    (folder, file)
}

#[test]
fn a_part_that_is_dragged_over_fills_the_chart_and_the_way_back_is_exact() {
    let (_folder, file) = page();
    let Some(mut browser) = opened(&file, 1280, false) else { return };
    let whole = browser.evaluate(KNOWN);
    assert_eq!(whole["names"], json!(["zoom out off", "zoom in", "reset zoom off"]));
    let (left, right) = (number(&whole["left"]), number(&whole["right"]));
    mouse(&mut browser, "mousePressed", 300.0);
    mouse(&mut browser, "mouseMoved", 420.0);
    mouse(&mut browser, "mouseMoved", 500.0);
    mouse(&mut browser, "mouseReleased", 500.0);
    let close = browser.evaluate(KNOWN);
    assert_eq!(close["names"], json!(["zoom out", "zoom in", "reset zoom"]));
    let zoomed = |x: f64| left + (x - 300.0) * (right - left) / 200.0;
    let ticks =
        |known: &Value| known["ticks"].as_array().unwrap().iter().map(number).collect::<Vec<_>>();
    assert!(ticks(&whole).len() > 3);
    for (before, after) in ticks(&whole).into_iter().zip(ticks(&close)) {
        near(after, zoomed(before), 8.0);
    }
    let time = |x: f64| {
        let (from, to) = (number(&whole["from"]), number(&whole["to"]));
        (from + (x - left) * (to - from) / (right - left)) / 1e3
    };
    near(times(&close)[0], time(300.0), 0.1);
    near(times(&close)[1], time(500.0), 0.1);
    // What is under the pointer is the row of that time, not of the place.
    mouse(&mut browser, "mouseMoved", left + (right - left) / 2.0);
    let said = browser.evaluate(KNOWN);
    let rows = whole["rows"].as_array().unwrap();
    let row = (400.0 - left) / (right - left) * rows.len() as f64;
    let told = said["said"].as_str().unwrap().split(" · ").next().unwrap();
    let at =
        rows.iter().position(|row| row == told).unwrap_or_else(|| panic!("{told:?}: {rows:?}"));
    near(at as f64 + 0.5, row, 1.0);
    key(&mut browser, "0", false);
    let back = browser.evaluate(KNOWN);
    assert_eq!(back["places"], whole["places"]);
    assert_eq!((&back["shown"], &back["names"]), (&json!(""), &whole["names"]));
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn keys_look_closer_and_to_the_side_and_every_chart_of_time_can_do_it() {
    let (_folder, file) = page();
    let Some(mut browser) = opened(&file, 1280, false) else { return };
    let charts = "[...document.querySelectorAll('.zoom')].map((one) => one.ariaLabel)";
    let charts = browser.evaluate(charts);
    let charts: Vec<&str> =
        charts.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    for title in ["per second by version", "to last byte", "Each request around", "WebSockets"] {
        let there = charts.iter().filter(|one| one.starts_with("zoom: ") && one.contains(title));
        assert_eq!(there.count(), 1, "{title}: {charts:?}");
    }
    browser.evaluate("document.querySelector('svg[data-time]').parentNode.focus()");
    let whole = browser.evaluate(KNOWN);
    let length = (number(&whole["to"]) - number(&whole["from"])) / 1e3;
    key(&mut browser, "+", false);
    key(&mut browser, "+", false);
    let [from, to] = times(&browser.evaluate(KNOWN));
    near(to - from, length / 4.0, 0.1);
    near(f64::midpoint(from, to), length / 2.0, 0.1);
    key(&mut browser, "ArrowRight", true);
    near(times(&browser.evaluate(KNOWN))[0], from + length / 16.0, 0.1);
    // A step beyond the edge takes the part along.
    for _ in 0..3 {
        key(&mut browser, "ArrowLeft", true);
    }
    let [from, _] = times(&browser.evaluate(KNOWN));
    key(&mut browser, "ArrowRight", false);
    key(&mut browser, "ArrowLeft", false);
    key(&mut browser, "ArrowLeft", false);
    assert!(times(&browser.evaluate(KNOWN))[0] < from);
    for _ in 0..9 {
        key(&mut browser, "+", false);
    }
    let [from, to] = times(&browser.evaluate(KNOWN));
    near(to - from, length / 100.0, 0.05);
    for _ in 0..9 {
        key(&mut browser, "-", false);
    }
    assert_eq!(browser.evaluate(KNOWN)["places"], whole["places"]);
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn a_finger_looks_closer_by_the_buttons() {
    let (_folder, file) = page();
    let Some(mut browser) = opened(&file, 390, true) else { return };
    let whole = browser.evaluate(KNOWN);
    let mut tap = |name: &str| {
        let of = format!(
            "(() => {{ const r = document.querySelector('.zoom [aria-label=\"{name}\"]').getBoundingClientRect();
             return [r.left + r.width / 2, r.top + r.height / 2, Math.min(r.width, r.height)]; }})()"
        );
        let at = browser.evaluate(&of);
        assert!(number(&at[2]) >= 24.0, "{name} is too small for a finger: {at}");
        let finger = json!([{ "x": at[0], "y": at[1] }]);
        for (kind, points) in [("touchStart", finger), ("touchEnd", json!([]))] {
            browser
                .ask("Input.dispatchTouchEvent", &json!({ "type": kind, "touchPoints": points }));
        }
        browser.evaluate(KNOWN)
    };
    let [from, to] = times(&tap("zoom in"));
    near((to - from) * 2e3, number(&whole["to"]) - number(&whole["from"]), 100.0);
    assert_eq!(tap("reset zoom")["places"], whole["places"]);
}
