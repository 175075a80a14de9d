//! What a running HAProxy lacks, by what it says itself: setting, value, needed, why.
//!
//! What makes work impossible is a fault that says how to mend it. It changes nothing, and reads no
//! configuration: `review` does.

use model::{AppName, Fault};

use super::act::may_change;
use super::line::Address;
use super::worker::{numbers, workers};
use crate::router::finding::Finding;

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
        findings.push(Finding::running(
            "version",
            &version,
            "2.6 or newer",
            "older ones cannot add and delete servers with checks at run time",
        ));
    }
    if present.of_master().is_none() {
        findings.push(Finding::running(
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
        if std::fs::read_to_string(&config).is_err() {
            findings.push(Finding::running(
                &config.display().to_string(),
                "cannot be read here",
                "readable and writable for Cutover",
                "instances are kept there: a reload would lose them",
            ));
        }
    }
    Ok(findings)
}

fn new_enough(version: &str) -> bool {
    numbers(version) >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::new_enough;

    #[test]
    fn versions_compare_by_number() {
        assert!(new_enough("2.6.12-1+deb12u3") && new_enough("3.0.11") && new_enough("2.10"));
        assert!(!new_enough("2.4.30") && !new_enough("garbage"));
    }
}
