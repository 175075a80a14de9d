//! The whole page in a real browser, at desktop and phone width, in light and dark, every table opened: nothing is
//! cut, no words stand on words, and all can be told from what they stand on.
//!
//! It compares no pixels with others. What the first window shows, and how fast, is in `browser`. Without a browser
//! it is skipped, and said so.

use std::path::Path;

use serde_json::json;

use crate::chromium::png::Picture;
use crate::chromium::{self, Browser};
use crate::hostile::{HOSTILE, hostile};
use crate::sample;
use report::{Input, html, judge};

/// Every piece of text that can be seen: where it stands, what it is, and on what.
const PIECES: &str = "const pieces = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = walk.nextNode());) {
        const own = node.parentElement, text = node.textContent.trim();
        if (!text || ['STYLE', 'SCRIPT', 'title', 'desc'].includes(own.tagName)) continue;
        if (!own.checkVisibility({ visibilityProperty: true }) || own.closest('.unseen')) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const drawn = own.closest('svg') ? [own.getBoundingClientRect()] : [...range.getClientRects()];
        for (const r of drawn) pieces.push({ own, text: text.slice(0, 60), r });
    }";

/// Words on words, anywhere.
const CLASHES: &str = "const found = [];
    pieces.sort((a, b) => a.r.top - b.r.top);
    for (let i = 0; i < pieces.length; i += 1) {
        const a = pieces[i];
        for (let j = i + 1; j < pieces.length && pieces[j].r.top < a.r.bottom - 3; j += 1) {
            const b = pieces[j];
            const high = Math.min(a.r.bottom, b.r.bottom) - b.r.top;
            const wide = Math.min(a.r.right, b.r.right) - Math.max(a.r.left, b.r.left);
            if (high > 3 && wide > 1.5) found.push(`${a.text} | ${b.text}`);
        }
    }
    return found.slice(0, 5).join('\\n');";

/// Words that are cut: by the edge of their drawing, by a box that hides what has no room, or by the page. What stands
/// in a box that scrolls can be reached.
const CUT: &str = "const found = [], page = document.documentElement.scrollWidth;
    for (const { own, text, r } of pieces) {
        const svg = own.closest('svg')?.getBoundingClientRect();
        const out = (box) => r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1;
        if (svg && out(svg)) found.push(`drawing: ${text}`);
        for (let up = own; up && up !== document.body; up = up.parentElement) {
            if (up instanceof SVGElement) continue;
            const style = getComputedStyle(up), box = up.getBoundingClientRect();
            if (['hidden', 'clip'].includes(style.overflowX) && out(box)) found.push(`hidden: ${text}`);
            if (['auto', 'scroll'].includes(style.overflowX)) break;
            if (up === document.querySelector('main') && (r.right > page + 1 || r.left < -1)) found.push(`page: ${text}`);
        }
    }
    return [...new Set(found)].slice(0, 5).join('\\n');";

/// Words that can hardly be told from what they stand on: WCAG 2.2, 1.4.3. What cannot be used at the moment is
/// excepted there.
const PALE: &str = "const found = [];
    const light = (rgb) => {
        const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const parts = (text) => {
        const all = text.match(/[\\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
        return all.length > 3 && all[3] === 0 ? null : all.slice(0, 3);
    };
    const ground = (from) => {
        for (let up = from; up; up = up.parentElement) {
            const own = parts(getComputedStyle(up).backgroundColor);
            if (own) return own;
        }
        return [255, 255, 255];
    };
    for (const { own, text } of pieces) {
        if (own.closest(':disabled')) continue;
        const style = getComputedStyle(own), drawn = own.closest('svg');
        const ink = parts(drawn ? style.fill : style.color);
        // A halo keeps bars and lines away from the letters.
        const on = (drawn && style.stroke !== 'none' && parts(style.stroke)) || ground(own);
        const [a, b] = [light(ink), light(on)].sort((x, y) => y - x);
        const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
        const wanted = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < wanted) found.push(`${ratio.toFixed(2)}: ${own.tagName}.${own.getAttribute('class')}: ${text}`);
    }
    return [...new Set(found)].slice(0, 5).join('\\n');";

/// How the page goes on below the first window.
const HEIGHT: &str = "document.documentElement.scrollHeight";

/// A page of each kind, and what may be a server's own words.
fn pages() -> Vec<(String, Input)> {
    let mut pages: Vec<(String, Input)> = [
        ("alone", between_two_seconds(sample::alone())),
        ("promoted", sample::pass()),
        ("failed", sample::killed_before_drain()),
        ("gone back", sample::candidate_died()),
        ("a canary", sample::canary::canary()),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into();
    let all = HOSTILE.iter().enumerate();
    pages.extend(all.map(|(i, text)| (format!("hostile {i}"), hostile(text))));
    pages
}

/// Times of day have their milliseconds then, wherever they stand.
fn between_two_seconds(mut input: Input) -> Input {
    input.header.t0_unix_ms += 412;
    input
}

#[test]
fn a_whole_page_can_be_read_from_its_top_to_its_end() {
    let Some(program) = chromium::program() else {
        aside::say("skipped: no Chromium (set CHROME), so nobody looks at whole pages");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let mut browser = Browser::start(&program);
    let mut odd = Vec::new();
    for (name, input) in pages() {
        std::fs::write(&file, html(&judge(&input))).unwrap();
        for (width, height) in [(1280, 900), (390, 844)] {
            for dark in [false, true] {
                window(&mut browser, (width, height), dark);
                browser.open(&format!("file://{}", file.display()));
                let view = format!("{name}, {width} wide, {}", if dark { "dark" } else { "light" });
                odd.extend(readable(&mut browser, &view));
                if ["alone", "failed"].contains(&name.as_str()) {
                    wholly_drawn(&mut browser, &view, (width, height), dark);
                }
            }
        }
        shot(&mut browser, &name);
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

fn window(browser: &mut Browser, (width, height): (usize, usize), dark: bool) {
    let scheme = if dark { "dark" } else { "light" };
    let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.ask("Emulation.setEmulatedMedia", &json!({ "features": scheme }));
    let window = json!({
        "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
    });
    browser.ask("Emulation.setDeviceMetricsOverride", &window);
}

/// What is wrong as it is opened, and with every table unfolded.
fn readable(browser: &mut Browser, view: &str) -> Vec<String> {
    let mut odd = Vec::new();
    for folded in [true, false] {
        let unfold = format!(
            "for (const one of document.querySelectorAll('details')) one.open = !{folded}; \
             document.querySelectorAll('details').length"
        );
        assert!(browser.evaluate(&unfold).as_u64().unwrap() > 0, "{view}: nothing is folded");
        for (what, look) in [("words on words", CLASHES), ("cut", CUT), ("pale", PALE)] {
            let found = browser.evaluate(&format!("(() => {{ {PIECES} {look} }})()"));
            if found != "" {
                odd.push(format!("{view}, folded {folded}: {what}: {found}"));
            }
        }
        let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        if browser.evaluate(wide) != 0 {
            odd.push(format!("{view}, folded {folded}: wider than the window"));
        }
    }
    assert_eq!(browser.complaints, Vec::<String>::new(), "{view}: the page complains");
    odd
}

/// No window's height of it is empty or in the other scheme.
fn wholly_drawn(browser: &mut Browser, view: &str, (width, height): (usize, usize), dark: bool) {
    browser.evaluate("for (const one of document.querySelectorAll('details')) one.open = false");
    let long = usize::try_from(browser.evaluate(HEIGHT).as_u64().unwrap()).unwrap();
    let picture = Picture::read(&browser.screenshot(true));
    assert_eq!((picture.width, picture.height), (width, long), "{view}");
    for from in (0..long).step_by(height) {
        let glance = picture.part(from..long.min(from + height)).glance();
        // The last one may hold little more than the end of the page.
        assert!(glance.drawn > 0.002, "{view}: nothing from {from} on: {glance:?}");
        let right = if dark { glance.ground < 60.0 } else { glance.ground > 190.0 };
        assert!(right, "{view}: the other scheme from {from} on: {glance:?}");
    }
}

/// `CUTOVER_SHOTS` names a folder for pictures, for people.
fn shot(browser: &mut Browser, name: &str) {
    if let Some(shots) = std::env::var_os("CUTOVER_SHOTS") {
        let shot = Path::new(&shots).join(format!("whole-{}.png", name.replace(' ', "-")));
        std::fs::write(shot, browser.screenshot(true)).unwrap();
    }
}
