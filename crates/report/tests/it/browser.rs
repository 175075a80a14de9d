//! The page of a ten-minute run at 1,000 a second, and of a run that failed, in a real browser: how large,
//! how fast, and what one sees at desktop and phone width, in light and dark.
//!
//! Without a browser the looking is skipped, and said so; the size is tested anyway. `CUTOVER_SHOTS` names
//! a folder for pictures of the whole pages, for people.

use std::path::Path;

use crate::chromium;
use crate::chromium::Browser;
use crate::chromium::png::Picture;
use crate::sample;
use report::{html, judge};
use serde_json::json;

/// Times a page is loaded; the fastest counts, for the machine may have other work.
const LOADS: usize = 3;

/// When the page was loaded and something of it could be seen, ms from the click on.
const LOADED: &str = "Math.max(performance.getEntriesByType('navigation')[0].loadEventEnd, \
    ...performance.getEntriesByType('paint').map((paint) => paint.startTime))";

/// How far the page reaches beyond the window, and who does.
const OVERFLOW: &str = "(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return '';
    const wide = [...document.querySelectorAll('main *')]
        .filter((one) => !one.closest('.scroll') && one.getBoundingClientRect().right > width + 1);
    return document.documentElement.scrollWidth + ' of ' + width + ': '
        + wide.slice(0, 3).map((one) => one.outerHTML.slice(0, 120)).join(' | ');
})()";

/// Words of a drawing that stand on each other in one line.
const CLASHES: &str = "(() => {
    const clashes = [];
    for (const drawing of document.querySelectorAll('svg')) {
        const lines = {};
        for (const text of drawing.querySelectorAll('text')) {
            (lines[text.getAttribute('y')] ??= []).push(text);
        }
        for (const line of Object.values(lines)) {
            const all = line.map((text) => [text.getBoundingClientRect(), text.textContent]);
            all.sort(([a], [b]) => a.left - b.left);
            for (let i = 1; i < all.length; i += 1) {
                if (all[i][0].left < all[i - 1][0].right) clashes.push(all[i - 1][1] + ' ' + all[i][1]);
            }
        }
    }
    return clashes.join(', ');
})()";

/// A window.
struct View {
    name: &'static str,
    width: u32,
    height: u32,
    phone: bool,
    dark: bool,
}

const fn view(name: &'static str, phone: bool, dark: bool) -> View {
    let (width, height) = if phone { (390, 844) } else { (1280, 900) };
    View { name, width, height, phone, dark }
}

const VIEWS: [View; 4] = [
    view("desktop-light", false, false),
    view("desktop-dark", false, true),
    view("phone-light", true, false),
    view("phone-dark", true, true),
];

#[test]
fn a_page_of_ten_minutes_is_small_opens_at_once_and_can_be_seen_everywhere() {
    let report = judge(&sample::long());
    let page = html(&report);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert_eq!(report.failed, 12);
    for failure in &report.failures {
        assert!(page.contains(&format!("<td>#{}</td>", failure.id)));
    }
    looked_at("long", &page);
}

#[test]
fn a_page_of_failures_can_be_seen_everywhere() {
    looked_at("failed", &html(&judge(&sample::killed_before_drain())));
}

fn looked_at(name: &str, page: &str) {
    let Some(program) = chromium::program() else {
        aside::say("skipped: no Chromium (set CHROME), so nobody looks at the page");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    let mut browser = Browser::start(&program);
    for view in &VIEWS {
        seen(&mut browser, view, &file);
        if let Some(shots) = std::env::var_os("CUTOVER_SHOTS") {
            let shot = Path::new(&shots).join(format!("{name}-{}.png", view.name));
            std::fs::write(shot, browser.screenshot(true)).unwrap();
        }
    }
}

fn seen(browser: &mut Browser, view: &View, file: &Path) {
    let scheme = if view.dark { "dark" } else { "light" };
    let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.ask("Emulation.setEmulatedMedia", &json!({ "features": scheme }));
    let window = json!({
        "width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": view.phone,
    });
    browser.ask("Emulation.setDeviceMetricsOverride", &window);
    let fastest = (0..LOADS)
        .map(|_| {
            browser.open(&format!("file://{}", file.display()));
            browser.evaluate(LOADED).as_f64().unwrap()
        })
        .fold(f64::INFINITY, f64::min);
    println!("{}: opens in {fastest:.0} ms", view.name);
    assert!(fastest < 1_000.0, "{}: it opens in {fastest} ms", view.name);
    assert_eq!(browser.evaluate(OVERFLOW), "", "{}: wider than the window", view.name);
    assert_eq!(browser.evaluate(CLASHES), "", "{}: words on words", view.name);
    assert_eq!(browser.complaints, Vec::<String>::new(), "{}: the page complains", view.name);
    let picture = Picture::read(&browser.screenshot(false));
    assert_eq!((picture.width, picture.height), (view.width as usize, view.height as usize));
    let glance = picture.glance();
    assert!(
        glance.drawn > 0.03 && glance.colours > 30,
        "{}: nothing is to be seen: {glance:?}",
        view.name
    );
    let right = if view.dark {
        glance.ground < 50.0 && glance.brightness < 90.0
    } else {
        glance.ground > 200.0 && glance.brightness > 170.0
    };
    assert!(right, "{}: {glance:?}", view.name);
}
