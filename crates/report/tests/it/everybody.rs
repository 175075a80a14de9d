//! The page for everybody, in a real browser: on paper, without its script, by keyboard, and as a screen reader is
//! told of it.
//!
//! Nobody listens to a real screen reader here: it is the browser's own tree of what is told to one. Without a
//! browser it is skipped, and said so.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::chromium::{self, Browser};
use crate::sample;
use report::{Input, html, judge};

/// A page in a window of a desktop; nothing without a browser.
struct Opened {
    browser: Browser,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Opened {
    fn new() -> Option<Self> {
        let Some(program) = chromium::program() else {
            aside::say("skipped: no Chromium (set CHROME), so nobody tries the page");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut browser = Browser::start(&program);
        let window =
            json!({ "width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        browser.ask("Emulation.setDeviceMetricsOverride", &window);
        Some(Self { browser, file: folder.path().join("page.html"), _folder: folder })
    }

    fn show(&mut self, input: &Input) {
        std::fs::write(&self.file, html(&judge(input))).unwrap();
        self.browser.open(&format!("file://{}", self.file.display()));
    }
}

fn stories() -> [(&'static str, Input); 4] {
    [
        ("alone", sample::alone()),
        ("promoted", sample::pass()),
        ("failed", sample::killed_before_drain()),
        ("a canary", sample::canary::canary()),
    ]
}

/// Does this with each of these pages as it is shown; nothing without a browser.
fn with_each(
    stories: impl IntoIterator<Item = (&'static str, Input)>,
    mut does: impl FnMut(&mut Opened, &str, &Input),
) {
    let Some(mut opened) = Opened::new() else { return };
    for (name, input) in stories {
        opened.show(&input);
        does(&mut opened, name, &input);
    }
}

/// All that there are, on paper: also what is long for its many phases, and what has little to show.
fn more_stories() -> Vec<(&'static str, Input)> {
    let more = [
        ("stalled", sample::stalled()),
        ("never ready", sample::never_ready()),
        ("gone back", sample::candidate_died()),
        ("shares that are off", sample::canary::given([500, 3_300, 5_000, 10_000])),
        ("a canary that gave up", sample::canary::gave_up()),
        ("rolling", sample::canary::rolling()),
    ];
    stories().into_iter().chain(more).collect()
}

/// Pages of a PDF: its objects stand in it in the open.
fn sheets(pdf: &[u8]) -> usize {
    let text = String::from_utf8_lossy(pdf);
    let pages = text.split("/Type").skip(1).map(str::trim_start);
    pages.filter(|rest| rest.starts_with("/Page") && !rest.starts_with("/Pages")).count()
}

#[test]
fn it_prints_on_two_pages_at_most_and_nothing_is_cut_there() {
    with_each(more_stories(), |opened, name, _| {
        let browser = &mut opened.browser;
        let pdf = browser.pdf();
        if let Some(shots) = std::env::var_os("CUTOVER_SHOTS") {
            let printed = std::path::Path::new(&shots).join(format!("printed-{name}.pdf"));
            std::fs::write(printed.with_extension("html"), std::fs::read(&opened.file).unwrap())
                .unwrap();
            std::fs::write(printed, &pdf).unwrap();
        }
        let sheets = sheets(&pdf);
        assert!((1..=2).contains(&sheets), "{name}: {sheets} pages");
        // As wide as A4 within its margins, at 96 to the inch.
        let paper =
            json!({ "width": 725, "height": 1_050, "deviceScaleFactor": 1, "mobile": false });
        browser.ask("Emulation.setEmulatedMedia", &json!({ "media": "print" }));
        browser.ask("Emulation.setDeviceMetricsOverride", &paper);
        let cut = browser.evaluate(
            "[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility()
                && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
                .slice(0, 3).map((one) => one.outerHTML.slice(0, 100)).join(' | ')",
        );
        assert_eq!(cut, "", "{name}: beyond the paper");
        let left = browser.evaluate(
            "['.zoom', '.said', 'details'].filter((one) => document.querySelector(one)?.checkVisibility()).join()",
        );
        assert_eq!(left, "", "{name}: of no use on paper");
        browser.ask("Emulation.setEmulatedMedia", &json!({ "media": "" }));
        browser.ask("Emulation.clearDeviceMetricsOverride", &json!({}));
    });
}

/// All that the page says, but for what its script puts there.
const SAID: &str = "[...document.querySelectorAll('main > *')].map((one) => {
        const copy = one.cloneNode(true);
        copy.querySelectorAll('.zoom').forEach((bar) => bar.remove());
        return copy.textContent;
    }).join('\\n')";

#[test]
fn without_its_script_it_says_the_same() {
    with_each(stories(), |opened, name, input| {
        let with = opened.browser.evaluate(SAID);
        assert!(
            opened.browser.evaluate("document.querySelectorAll('.zoom').length").as_u64() > Some(0)
        );
        let browser = &mut opened.browser;
        browser.ask("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
        opened.show(input);
        let browser = &mut opened.browser;
        assert_eq!(
            browser.evaluate("document.querySelectorAll('.zoom, .said').length"),
            0,
            "{name}: a script ran"
        );
        assert_eq!(browser.evaluate(SAID), with, "{name}");
        let drawn = "[...document.querySelectorAll('.scroll > svg')].every((one) => one.getBoundingClientRect().height > 40)";
        assert_eq!(browser.evaluate(drawn), true, "{name}: a chart is not drawn");
        // What is folded away opens by itself.
        let place = browser.evaluate(
            "(() => { const one = document.querySelector('summary'); one.scrollIntoView({ block: 'center' });
                const r = one.getBoundingClientRect(); return [r.left + 20, r.top + r.height / 2]; })()",
        );
        for kind in ["mousePressed", "mouseReleased"] {
            let click = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            browser.ask("Input.dispatchMouseEvent", &click);
        }
        let rows = "document.querySelector('details').open && document.querySelector('details td').checkVisibility()";
        assert_eq!(browser.evaluate(rows), true, "{name}: its numbers cannot be opened");
        browser.ask("Emulation.setScriptExecutionDisabled", &json!({ "value": false }));
    });
}

/// What can be used, in its order, and whether the one that has the keyboard shows it.
const FOCUS: &str = "(() => {
    const all = [...document.querySelectorAll('a[href], button, summary, [tabindex]')]
        .filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility());
    const style = getComputedStyle(document.activeElement);
    return {
        count: all.length, at: all.indexOf(document.activeElement),
        ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
        boxes: [...document.querySelectorAll('.scroll')].filter((one) => one.checkVisibility() && one.tabIndex < 0).length,
        name: document.activeElement.outerHTML.slice(0, 120),
    };
})()";

fn press(browser: &mut Browser, key: &str, code: u8, text: &str) {
    for kind in ["keyDown", "keyUp"] {
        let mut event = json!({
            "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
        });
        if kind == "keyDown" && !text.is_empty() {
            event["text"] = text.into();
        }
        browser.ask("Input.dispatchKeyEvent", &event);
    }
}

#[test]
fn every_part_that_moves_is_reached_by_the_tab_key_in_its_order_and_shows_that_it_is() {
    with_each(stories(), |opened, name, _| {
        let browser = &mut opened.browser;
        let before = browser.evaluate(FOCUS);
        let count = before["count"].as_u64().unwrap();
        assert!(count > 5 && before["boxes"] == 0, "{name}: {before}");
        for place in 0..count {
            press(browser, "Tab", 9, "");
            let now = browser.evaluate(FOCUS);
            assert_eq!(now["at"], place, "{name}: {now}");
            assert_eq!(now["ring"], true, "{name}: one does not see where one is: {now}");
        }
        press(browser, "Tab", 9, "");
        // To the browser, or where it has nothing itself, from the top again.
        let out = browser.evaluate(FOCUS)["at"].as_i64().unwrap();
        assert!(out < 1, "{name}: one does not get out, but to {out}");
        browser.evaluate("document.querySelector('summary').focus()");
        press(browser, "Enter", 13, "\r");
        assert_eq!(browser.evaluate("document.querySelector('details').open"), true, "{name}");
    });
}

/// Names and descriptions of what has this role.
fn told<'a>(tree: &'a Value, role: &str) -> Vec<(&'a str, &'a str, &'a Value)> {
    let nodes = tree["nodes"].as_array().unwrap().iter();
    let nodes = nodes.filter(|node| node["ignored"] == false && node["role"]["value"] == role);
    let words = |node: &'a Value, what: &str| node[what]["value"].as_str().unwrap_or_default();
    nodes.map(|node| (words(node, "name"), words(node, "description"), node)).collect()
}

#[test]
fn a_screen_reader_is_told_what_each_part_is_and_every_chart_has_its_numbers() {
    with_each(stories(), |opened, name, _| {
        let browser = &mut opened.browser;
        assert_eq!(browser.evaluate("document.documentElement.lang"), "en");
        browser.ask("Accessibility.enable", &json!({}));
        let tree = browser.ask("Accessibility.getFullAXTree", &json!({}));
        let charts = told(&tree, "image");
        let drawn = browser.evaluate("document.querySelectorAll('.scroll > svg').length");
        assert_eq!(charts.len() as u64, drawn.as_u64().unwrap(), "{name}: {charts:?}");
        for (title, describe, _) in charts {
            assert!(!title.is_empty() && !describe.is_empty(), "{name}: {title:?}, {describe:?}");
        }
        for (label, _, node) in told(&tree, "button") {
            assert!(!label.is_empty(), "{name}: a button without a name: {node}");
        }
        let nameless = "document.querySelectorAll('[role=group]:not([aria-label]), [role=group][aria-label=\"\"]').length";
        assert_eq!(browser.evaluate(nameless), 0, "{name}: groups without a name");
        assert_eq!(told(&tree, "main").len(), 1, "{name}");
        let level = |node: &Value| {
            let all = node["properties"].as_array().unwrap();
            all.iter().find(|one| one["name"] == "level").unwrap()["value"]["value"]
                .as_u64()
                .unwrap()
        };
        let levels: Vec<u64> =
            told(&tree, "heading").iter().map(|(_, _, node)| level(node)).collect();
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1, "{name}: {levels:?}");
        assert!(levels.windows(2).all(|two| two[1] <= two[0] + 1), "{name}: {levels:?}");
        expect_numbers(browser, name);
    });
}

/// A picture is told by a sentence; what it shows is in a table, in its own section or where its description says.
fn expect_numbers(browser: &mut Browser, name: &str) {
    let mute = browser.evaluate(
        "[...document.querySelectorAll('svg[role=img]')].filter((one) =>
            !one.closest('section').querySelector('table') && !one.querySelector('desc').textContent.includes('table of'))
            .map((one) => one.querySelector('title').textContent).join(', ')",
    );
    assert_eq!(mute, "", "{name}: charts whose numbers stand nowhere");
    let tables = browser.evaluate(
        "[...document.querySelectorAll('table')].filter((one) => !one.tHead
            || [...one.tHead.rows[0].cells].some((cell) => cell.tagName !== 'TH' || cell.scope !== 'col')).length",
    );
    assert_eq!(tables, 0, "{name}: tables without heads");
}
