//! A release as tests want one: nothing of it is run or checked as it stands.

use std::collections::BTreeMap;

use model::fleet::HealthCheck;
use model::{AppName, Release, ReleaseId, Version};

/// `vN` of an app, with no command.
pub(super) fn release(app: &str, number: u32) -> Release {
    Release {
        app: AppName::new(app).unwrap(),
        id: ReleaseId(number),
        version: Version::new(format!("v{number}")).unwrap(),
        command: Vec::new(),
        directory: "/".to_owned(),
        environment: BTreeMap::new(),
        health: HealthCheck {
            path: None,
            command: Vec::new(),
            interval_ms: 1,
            timeout_ms: 1,
            rise: 1,
            fall: 1,
        },
        stop_timeout_ms: 1,
        source: None,
    }
}
