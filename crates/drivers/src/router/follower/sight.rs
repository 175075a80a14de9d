//! What was seen of a follower since the last change: who answers where users come in.
//!
//! It has taken up whoever gave an answer. It has left the others when so many answers in a row were from
//! none of them, over long enough for a reload, and when the same holds for connections that were kept since
//! before: each is asked again, or was closed. One that is closed by its answer is of a server that ends,
//! which may take a request more on each of the others: those are asked one by one, further and further
//! apart, until they are closed. A controller that comes back has none of these: it watches those of others
//! that are open at the entrance until they are closed, as far as they are seen from here, and not for ever.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::{InstanceId, ReleaseId};

use super::AppSetup;
use super::asked::{Heard, again, fresh, is_over, keep};
use super::cast::{Cast, Origin};
use super::record::Record;
use super::seen::Sighted;
use crate::check::Kept;
use crate::router::open::clients;

/// Questions on new connections, at once and with each look.
const AT_ONCE: usize = 8;
/// So many answers in a row, over such a time, mean that a follower has left somebody: of one that still
/// sends every twentieth request there, a row as long comes one time in thirteen.
const ENOUGH: u32 = 50;
const LONG: Duration = Duration::from_millis(500);
/// Connections that are kept across a change, and how often each is asked after it.
const KEPT: usize = 6;
const EACH: u32 = 4;
/// The first pause between two of them.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest that connections of others are watched since somebody left: some never end, and they do not say
/// whether a server that ends has them.
const WATCHED_MS: u64 = 10_000;

/// What was seen of a follower at all its entrances.
#[derive(Debug, Default)]
pub(super) struct Sight {
    generation: Option<u64>,
    lanes: Vec<Lane>,
}

/// What was seen at one of them.
#[derive(Debug)]
struct Lane {
    /// When it was first looked at for these routes.
    began: Instant,
    /// Who answered since the publication.
    instances: BTreeSet<InstanceId>,
    releases: BTreeSet<ReleaseId>,
    /// Answers in a row that were from those that are to serve, and since when.
    row: u32,
    since: Option<Instant>,
    /// What broke the last row, in words.
    odd: Option<String>,
    kept: Vec<Kept>,
    /// Somebody answered when they were opened.
    opened: bool,
    /// Where none was opened: those of others that were there when new ones had moved, and still are.
    /// `None` before that, and where they cannot be seen.
    others: Option<BTreeSet<SocketAddr>>,
    watches: bool,
    next: Instant,
    pause: Duration,
}

impl Sight {
    /// What was seen before says nothing of these routes.
    fn begin(&mut self, generation: u64, entrances: usize) {
        if self.generation != Some(generation) || self.lanes.len() != entrances {
            self.generation = Some(generation);
            self.lanes = (0..entrances).map(|_| Lane::new()).collect();
        }
    }

    /// Opens connections that are kept across the change that comes now.
    pub(super) async fn hold_on(
        &mut self,
        (generation, entrances): (u64, &[SocketAddr]),
        setup: &AppSetup,
    ) {
        self.begin(generation, entrances.len());
        for (lane, entrance) in self.lanes.iter_mut().zip(entrances) {
            if !lane.kept.is_empty() {
                continue;
            }
            for _ in 0..KEPT {
                let Some(kept) = keep(*entrance, setup).await else { break };
                lane.opened = true;
                lane.kept.extend(kept);
            }
        }
    }

    /// Something was changed at Consul: from here on it has to be seen anew.
    pub(super) fn changed(&mut self) {
        for lane in &mut self.lanes {
            (lane.row, lane.since, lane.odd) = (0, None, None);
            (lane.others, lane.watches) = (None, false);
            (lane.next, lane.pause) = (Instant::now(), PAUSE);
        }
    }

    /// Asks.
    pub(super) async fn look(
        &mut self,
        (generation, entrances): (u64, &[SocketAddr]),
        setup: &AppSetup,
        cast: &Cast,
    ) {
        self.begin(generation, entrances.len());
        for (lane, entrance) in self.lanes.iter_mut().zip(entrances) {
            for heard in fresh(*entrance, setup, AT_ONCE).await {
                lane.hear(heard, cast);
            }
            if lane.row_is_enough() {
                lane.ask_kept(setup, cast).await;
                lane.watch_others(*entrance);
            }
        }
    }

    /// What that comes to.
    pub(super) fn judge(&self, cast: &Cast, record: &Record) -> Sighted {
        let to_take_up = self.lanes.iter().find_map(|lane| lane.missing(cast));
        let to_leave = self.lanes.iter().find_map(|lane| lane.unsure(record));
        Sighted { to_take_up, to_leave }
    }
}

impl Lane {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            instances: BTreeSet::new(),
            releases: BTreeSet::new(),
            row: 0,
            since: None,
            odd: None,
            kept: Vec::new(),
            opened: false,
            others: None,
            watches: false,
            next: Instant::now(),
            pause: PAUSE,
        }
    }

    /// Takes down an answer; true when it is as it should be.
    fn hear(&mut self, heard: Heard, cast: &Cast) -> bool {
        let odd = match heard.map(|who| cast.origin(&who)) {
            Ok(Origin::Serving(id, release)) => {
                self.instances.extend(id);
                self.releases.insert(release);
                None
            }
            Ok(Origin::Leaving(who)) => Some(format!("{who} still answers")),
            Ok(Origin::Unknown(why)) | Err(why) => Some(why).filter(|_| !cast.is_empty()),
        };
        if let Some(odd) = odd {
            (self.row, self.since, self.odd) = (0, None, Some(odd));
            return false;
        }
        self.row = self.row.saturating_add(1);
        self.since.get_or_insert_with(Instant::now);
        true
    }

    fn row_is_enough(&self) -> bool {
        self.row >= ENOUGH && self.since.is_some_and(|since| since.elapsed() >= LONG)
    }

    /// Asks those that are kept, as far as it is time.
    async fn ask_kept(&mut self, setup: &AppSetup, cast: &Cast) {
        let mut open = Vec::new();
        for mut one in std::mem::take(&mut self.kept) {
            if !is_over(&mut one).await {
                open.push(one);
            }
        }
        self.kept = open;
        while Instant::now() >= self.next {
            let Some(one) = self.kept.pop() else { return };
            if self.stays(one, setup, cast).await {
                continue;
            }
            self.next = Instant::now() + self.pause;
            self.pause *= 2;
        }
    }

    /// Takes down who of those is still there who came before new connections had moved.
    fn watch_others(&mut self, entrance: SocketAddr) {
        if self.opened {
            return;
        }
        let now = clients(entrance);
        self.others = match (self.watches, self.others.take(), now) {
            (false, _, now) => now,
            (true, Some(before), Some(now)) => Some(&before & &now),
            (true, ..) => None,
        };
        self.watches = true;
    }

    /// Asks one a few times; false when a server that ends, or one that has not followed, is behind it.
    async fn stays(&mut self, kept: Kept, setup: &AppSetup, cast: &Cast) -> bool {
        let mut kept = kept;
        for _ in 0..EACH {
            let (heard, rest) = again(kept, setup).await;
            // One that was closed meanwhile says nothing.
            if heard.is_err() && rest.is_none() {
                return true;
            }
            let good = self.hear(heard, cast);
            match rest {
                Some(rest) if good => kept = rest,
                Some(rest) => {
                    self.kept.insert(0, rest);
                    return false;
                }
                None => return false,
            }
        }
        true
    }

    /// Who did not answer yet, in words.
    fn missing(&self, cast: &Cast) -> Option<String> {
        let mut releases = cast.releases();
        if let Some((_, name)) = releases.find(|(release, _)| !self.releases.contains(release)) {
            return Some(match &self.odd {
                Some(odd) => format!("{name} ({odd})"),
                None => name,
            });
        }
        let tells = !self.instances.is_empty();
        let mut instances = cast.instances().filter(|_| tells);
        instances.find(|id| !self.instances.contains(*id)).map(ToString::to_string)
    }

    /// Why it is not sure that nobody else answers, in words.
    fn unsure(&self, record: &Record) -> Option<String> {
        if !self.row_is_enough() {
            let odd = self.odd.clone();
            return Some(odd.unwrap_or_else(|| format!("{} answers so far", self.row)));
        }
        if !self.kept.is_empty() {
            return Some(format!("{} connections are kept since before", self.kept.len()));
        }
        // Of another start or machine, nobody knows when it was: as long as it is looked at from here.
        let here = || u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ago = record.left.as_ref()?.ago_ms().unwrap_or_else(here);
        let left = WATCHED_MS.checked_sub(ago).filter(|left| *left > 0 && !self.opened)?;
        let who = match &self.others {
            Some(others) if others.is_empty() => return None,
            Some(others) => format!("{} connections of others are older", others.len()),
            None => "whether older connections have moved cannot be seen".to_owned(),
        };
        Some(format!("{who} (waited for {} s more at most)", left.div_ceil(1_000)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use super::{ENOUGH, LONG, Lane, WATCHED_MS};
    use crate::router::follower::record::Record;
    use crate::router::moment::Moment;

    /// Older connections of others are watched for ten seconds since somebody left; where another start of a
    /// machine has that on record, for ten seconds of ours.
    #[test]
    fn older_connections_are_watched_for_so_long_by_no_wall_clock() {
        let others = Some(BTreeSet::from(["127.0.0.1:5001".parse().unwrap()]));
        let since = Instant::now().checked_sub(LONG);
        let mut lane = Lane { row: ENOUGH, since, others, watches: true, ..Lane::new() };
        let left = |left| Record { left: Some(left), ..Record::default() };
        assert_eq!(lane.unsure(&Record::default()), None, "nobody left");
        let says = |lane: &Lane, record| lane.unsure(&record).unwrap_or_default();
        let words = "1 connections of others are older (waited for 10 s more at most)";
        assert_eq!(says(&lane, left(Moment::now())), words);
        let half = says(&lane, left(Moment::earlier(WATCHED_MS / 2)));
        assert!(half.contains("for 5 s more"), "{half}");
        assert_eq!(says(&lane, left(Moment::earlier(WATCHED_MS))), "");
        assert_eq!(says(&lane, left(Moment::default())), words);
        let earlier = Instant::now().checked_sub(Duration::from_millis(WATCHED_MS));
        lane.began = earlier.expect("the machine runs for so long");
        assert_eq!(says(&lane, left(Moment::default())), "");
        assert_eq!(says(&lane, left(Moment::now())), words);
    }
}
