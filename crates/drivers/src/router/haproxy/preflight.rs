//! What a running HAProxy and its configuration lack, in words: setting, value, needed, why.
//!
//! What makes work impossible is a fault that says how to mend it. It changes nothing.

use model::{AppName, Fault};

use super::act::may_change;
use super::finding::Finding;
use super::line::Address;
use super::worker::{numbers, workers};

/// Oldest version this was made for.
const OLDEST: (u32, u32) = (2, 6);

/// Compares what runs with what is needed.
pub(super) async fn preflight(address: &Address, apps: &[AppName]) -> Result<Vec<Finding>, Fault> {
    let workers = workers(address).await?;
    let present = workers.first().ok_or_else(|| address.odd(""))?;
    may_change(present).await?;
    let mut findings = Vec::new();
    let version = present.version().await?;
    if !new_enough(&version) {
        findings.push(finding(
            "version",
            &version,
            "2.6 or newer",
            "older ones cannot add and delete servers with checks at run time",
        ));
    }
    if present.of_master().is_none() {
        findings.push(finding(
            "socket",
            &address.to_string(),
            "the master's (`haproxy -W -S PATH`)",
            "after a reload the old worker cannot be asked: while it lives, a request and a tunnel \
             count as open",
        ));
    }
    for app in apps {
        let answers = present.answers(app).await?;
        findings.extend(answers.findings(app));
        let config = answers.map.with_file_name(super::app_file::app_file(app));
        if let Ok(text) = std::fs::read_to_string(&config) {
            findings.extend(missing(&text, &APP_NEEDS));
        } else {
            findings.push(finding(
                &config.display().to_string(),
                "cannot be read here",
                "readable and writable for Cutover",
                "instances are kept there: a reload would lose them",
            ));
        }
    }
    Ok(findings)
}

/// Compares the text of a whole configuration with what zero loss needs.
pub fn review(text: &str) -> Vec<Finding> {
    missing(text, &NEEDS)
}

/// A setting by its first words, what should follow, and what is lost otherwise.
struct Need(&'static str, &'static str, &'static str);

const NEEDS: [Need; 8] = [
    Need("stats socket", "level admin", "Cutover cannot change anything"),
    Need("stats socket", "expose-fd listeners", "connections are refused while a reload starts"),
    Need("hard-stop-after", "", "a worker with tunnels never ends after a reload, or at once"),
    Need(
        "option idle-close-on-response",
        "",
        "each idle keep-alive client loses one request at a reload",
    ),
    Need("option redispatch", "", "a request is only tried again on the instance that failed it"),
    Need("retry-on", "conn-failure", "a request that was never sent is answered with an error"),
    Need(
        "option http-server-close",
        "",
        "a POST can be lost on a kept connection that the app is just closing",
    ),
    Need("timeout tunnel", "", "tunnels end with `timeout client` or `timeout server`"),
];

const APP_NEEDS: [Need; 2] = [
    Need("http-request disable-l7-retry", "", "a POST that was not answered is sent twice"),
    Need("default-server", "check", "an instance gets requests although it is dead"),
];

fn missing(text: &str, needs: &[Need]) -> Vec<Finding> {
    let settings: Vec<String> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let lacks = |need: &&Need| {
        let of_it = |line: &&String| line.starts_with(need.0);
        !settings.iter().any(|line| of_it(&line) && line.contains(need.1))
    };
    let found = needs.iter().filter(lacks).map(|Need(setting, needed, why)| {
        let there = settings.iter().find(|line| line.starts_with(setting));
        let needed = if needed.is_empty() { setting } else { needed };
        finding(setting, there.map_or("not set", String::as_str), needed, why)
    });
    let mut found: Vec<Finding> = found.collect();
    let replays =
        |line: &&String| line.starts_with("retry-on") && line.contains("all-retryable-errors");
    let excepts = settings.iter().any(|line| line.starts_with("http-request disable-l7-retry"));
    if let Some(line) = settings.iter().find(replays).filter(|_| !excepts) {
        found.push(finding(
            "retry-on",
            line,
            "conn-failure empty-response, with `http-request disable-l7-retry` for POST",
            "it does not look at the method: a POST is done twice",
        ));
    }
    found
}

fn new_enough(version: &str) -> bool {
    numbers(version) >= OLDEST
}

fn finding(setting: &str, value: &str, needed: &str, why: &str) -> Finding {
    let owned = str::to_owned;
    Finding { setting: owned(setting), value: owned(value), needed: owned(needed), why: owned(why) }
}

#[cfg(test)]
mod tests {
    use super::{Address, new_enough, review};
    use crate::router::haproxy::config::{Setup, render};

    #[test]
    fn our_own_configuration_lacks_nothing_and_each_line_is_missed() {
        let setup = Setup {
            directory: "/d".into(),
            socket: "/d/s".into(),
            master: Address::Unix("/d/m".into()),
            entrances: vec![],
            apps: vec![],
        };
        let text = render(&setup).unwrap()[0].text.clone();
        assert_eq!(review(&text), []);
        for line in ["option redispatch", "idle-close", "stats socket", "timeout tunnel"] {
            let without: Vec<_> = text.lines().filter(|have| !have.contains(line)).collect();
            assert!(!review(&without.join("\n")).is_empty(), "{line}");
        }
        let replaying = text.replace("conn-failure empty-response", "all-retryable-errors");
        let found = review(&replaying);
        assert!(found.iter().any(|f| f.why.contains("POST is done twice")), "{found:?}");
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(new_enough("2.6.12-1+deb12u3") && new_enough("3.0.11") && new_enough("2.10"));
        assert!(!new_enough("2.4.30") && !new_enough("garbage"));
    }
}
