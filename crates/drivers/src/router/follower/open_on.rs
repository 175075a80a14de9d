//! What is open per release and per instance, by connections. One that the follower may still send something
//! counts a request more. What is open at the follower itself is not known.

use std::collections::BTreeMap;

use model::{InstanceId, ReleaseId};

use super::seen::Seen;
use crate::router::driver::Open;

pub(super) fn open_on(seen: &Seen) -> (BTreeMap<ReleaseId, Open>, BTreeMap<InstanceId, Open>) {
    let mut releases: BTreeMap<ReleaseId, Open> = BTreeMap::new();
    let mut instances = BTreeMap::new();
    for there in &seen.there {
        let may_be_asked = !seen.record.followed && !seen.serves(&there.id);
        let open = Open { requests: there.open + u64::from(may_be_asked), tunnels: 0 };
        if let Some(release) = there.release() {
            releases.entry(release).or_default().add(open);
        }
        instances.insert(there.id.clone(), open);
    }
    (releases, instances)
}
