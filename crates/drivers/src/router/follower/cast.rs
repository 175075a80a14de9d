//! Who may have given an answer: the instances of an app, and which of them are to. Pure; how often each must
//! be heard is not decided here.

use model::{InstanceId, Pool, ReleaseId, Version};

use super::asked::Who;
use super::seen::{Seen, State};

/// The instances of an app.
#[derive(Clone, Debug, Default)]
pub(super) struct Cast {
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    id: InstanceId,
    release: Option<ReleaseId>,
    version: Option<Version>,
    serves: bool,
    /// The follower may have it: it is to be seen, if it serves.
    shown: bool,
}

/// From whom an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From one that is to serve: its name, if it was told, and its release.
    Serving(Option<InstanceId>, ReleaseId),
    /// From one that is not.
    Leaving(String),
    /// Nobody can say, and why.
    Unknown(String),
}

impl Cast {
    pub(super) fn of(seen: &Seen) -> Self {
        let pools = [&seen.record.routes, &seen.record.carried].into_iter().flatten();
        let pools: Vec<&Pool> = pools.flat_map(|routes| &routes.pools).collect();
        let members = seen.there.iter().map(|there| Member {
            id: there.id.clone(),
            release: there.release(),
            version: pools
                .iter()
                .find(|pool| Some(pool.release) == there.release())
                .map(|pool| pool.version.clone()),
            serves: seen.serves(&there.id),
            shown: there.state == State::Passing,
        });
        Self { members: members.collect() }
    }

    /// From whom an answer is that says so.
    pub(super) fn origin(&self, who: &Who) -> Origin {
        let named = who.instance.as_deref();
        let one = self.members.iter().find(|one| Some(one.id.0.as_str()) == named);
        if let Some(Member { id, release, serves, .. }) = one {
            return match release {
                Some(release) if *serves => Origin::Serving(Some(id.clone()), *release),
                _ => Origin::Leaving(id.to_string()),
            };
        }
        let Some(version) = &who.version else {
            let name = named.unwrap_or_default();
            return Origin::Unknown(format!("an answer is from `{name}`, which is not registered"));
        };
        let same = |one: &&Member| one.version.as_ref().is_some_and(|v| v.as_str() == version);
        let of: Vec<&Member> = self.members.iter().filter(same).collect();
        match of.first().map(|one| (one.serves, one.release)) {
            Some((serves, _)) if of.iter().any(|one| one.serves != serves) => {
                Origin::Unknown(format!(
                    "an answer is from {version} and does not say which instance (`x-app-instance`), \
                     and some of that version stay"
                ))
            }
            Some((true, Some(release))) => Origin::Serving(None, release),
            Some(_) => Origin::Leaving(version.clone()),
            None => {
                Origin::Unknown(format!("an answer is from {version}, which is not registered"))
            }
        }
    }

    /// Releases that are to serve.
    pub(super) fn releases(&self) -> impl Iterator<Item = (ReleaseId, String)> {
        let serving = self.members.iter().filter(|one| one.serves && one.shown);
        serving.filter_map(|one| {
            let name = one.version.as_ref().map_or_else(|| one.id.to_string(), Version::to_string);
            Some((one.release?, name))
        })
    }

    /// Instances that are to serve and that the follower may have.
    pub(super) fn instances(&self) -> impl Iterator<Item = &InstanceId> {
        self.members.iter().filter(|one| one.serves && one.shown).map(|one| &one.id)
    }

    /// True when nobody is to serve: whatever does not come from an instance is as it should be.
    pub(super) fn is_empty(&self) -> bool {
        !self.members.iter().any(|one| one.serves)
    }
}

#[cfg(test)]
mod tests {
    use model::{InstanceId, ReleaseId, Version};

    use super::{Cast, Member, Origin};
    use crate::router::follower::asked::Who;

    fn member(release: u32, n: u16, serves: bool) -> Member {
        Member {
            id: InstanceId(format!("demo-{release}-{n}")),
            release: Some(ReleaseId(release)),
            version: Version::new(format!("v{release}")).ok(),
            serves,
            shown: true,
        }
    }

    fn origin(cast: &Cast, instance: Option<&str>, version: Option<&str>) -> Origin {
        let own = |text: Option<&str>| text.map(str::to_owned);
        cast.origin(&Who { instance: own(instance), version: own(version) })
    }

    #[test]
    fn an_answer_is_from_the_instance_that_it_names_else_from_one_of_its_version() {
        let members = vec![member(1, 1, false), member(1, 2, true), member(2, 1, true)];
        let cast = Cast { members };
        let second = Origin::Serving(Some(InstanceId("demo-1-2".into())), ReleaseId(1));
        assert_eq!(origin(&cast, Some("demo-1-2"), Some("v1")), second);
        let first = Origin::Leaving("demo-1-1".into());
        assert_eq!(origin(&cast, Some("demo-1-1"), None), first);
        // An app may have names of its own for its instances.
        let by_version = Origin::Serving(None, ReleaseId(2));
        assert_eq!(origin(&cast, Some("a-pod"), Some("v2")), by_version);
        for (version, words) in [("v1", "which instance"), ("v9", "not registered")] {
            let Origin::Unknown(why) = origin(&cast, None, Some(version)) else { panic!() };
            assert!(why.contains(words), "{why}");
        }
        assert!(matches!(origin(&cast, Some("a-pod"), None), Origin::Unknown(_)));
        let gone = Cast { members: vec![member(1, 1, false)] };
        assert_eq!(origin(&gone, None, Some("v1")), Origin::Leaving("v1".into()));
        assert!(gone.is_empty() && !cast.is_empty());
    }
}
