//! Instances that are to be carried, and whether they can serve.
//!
//! One that failed is asked again with each look, until it is not asked for any more; one that passed is
//! believed for a moment. Kept in memory: a new controller asks anew.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{AppName, Instance, InstanceId};

use super::seen::Checked;
use crate::check::{ask, connect};

/// Longest a check may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(2);
/// How long one that failed is asked again.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two questions to one that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// What instances said.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<BTreeMap<(AppName, InstanceId), Said>>);

#[derive(Clone, Debug)]
struct Said {
    checked: Checked,
    path: Option<String>,
    at: Instant,
    /// When somebody last wanted it carried.
    wanted: Instant,
}

impl Checks {
    /// Asks instances that are to be carried.
    pub(super) async fn ask(&self, app: &AppName, path: Option<&str>, instances: &[Instance]) {
        let wanted = Instant::now();
        for instance in instances {
            self.take_down(app, (path, instance), wanted).await;
        }
    }

    async fn take_down(
        &self,
        app: &AppName,
        (path, instance): (Option<&str>, &Instance),
        wanted: Instant,
    ) {
        let failing = check(instance.address, path).await;
        let checked = Checked { instance: instance.clone(), failing };
        let said = Said { checked, path: path.map(str::to_owned), at: Instant::now(), wanted };
        self.locked().insert((app.clone(), instance.id.clone()), said);
    }

    /// What they said of late; those that failed are asked again.
    pub(super) async fn of(&self, app: &AppName) -> Vec<Checked> {
        let now = Instant::now();
        let failed: Vec<Said> = {
            let mut all = self.locked();
            all.retain(|_, said| {
                let (since, limit) = match said.checked.failing {
                    None => (said.at, FRESH),
                    Some(_) => (said.wanted, PATIENCE),
                };
                now.duration_since(since) < limit
            });
            let own = all.iter().filter(|((of, _), _)| of == app).map(|(_, said)| said);
            own.filter(|said| said.checked.failing.is_some())
                .filter(|said| now.duration_since(said.at) >= PAUSE)
                .cloned()
                .collect()
        };
        for said in failed {
            let one = (said.path.as_deref(), &said.checked.instance);
            self.take_down(app, one, said.wanted).await;
        }
        let all = self.locked();
        let own = all.iter().filter(|((of, _), _)| of == app);
        own.map(|(_, said)| said.checked.clone()).collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<(AppName, InstanceId), Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an instance cannot serve, in words; `None` when it can.
async fn check(address: SocketAddr, path: Option<&str>) -> Option<String> {
    let Some(path) = path else {
        return connect(address, LIMIT).await.err().map(|none| none.words);
    };
    match ask(address, &address.to_string(), path, LIMIT).await {
        Ok(answer) if (200..300).contains(&answer.status) => None,
        Ok(answer) => Some(format!("{path} answers {}", answer.status)),
        Err(none) => Some(none.words),
    }
}
