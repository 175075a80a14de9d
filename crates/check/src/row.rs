//! From single checks to a judgement: passes and failures in a row.
//!
//! Pure apart from making one check. Who makes how many, and what becomes of an instance that is found
//! well or not, is the caller's affair.

use std::net::SocketAddr;
use std::time::Duration;

use model::fleet::HealthCheck;

use crate::{Answer, ask, connect};

impl Answer {
    /// True when a check that asked for it passes.
    pub const fn passes(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// Makes one check over HTTP, or by connecting; a program that judges is not started.
pub async fn passes(address: SocketAddr, how: &HealthCheck) -> bool {
    let limit = Duration::from_millis(how.timeout_ms);
    match &how.path {
        Some(path) => ask(address, &address.to_string(), path, limit)
            .await
            .is_ok_and(|answer| answer.passes()),
        None => connect(address, limit).await.is_ok(),
    }
}

/// Results of one instance in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    ups: u32,
    downs: u32,
}

impl Row {
    /// With one more.
    #[must_use]
    pub const fn add(self, passed: bool) -> Self {
        if passed {
            Self { ups: self.ups.saturating_add(1), downs: 0 }
        } else {
            Self { ups: 0, downs: self.downs.saturating_add(1) }
        }
    }

    /// True when it passed often enough in a row.
    pub const fn risen(self, how: &HealthCheck) -> bool {
        self.ups > 0 && self.ups >= how.rise
    }

    /// True when it failed often enough in a row.
    pub const fn fallen(self, how: &HealthCheck) -> bool {
        self.downs > 0 && self.downs >= how.fall
    }
}
