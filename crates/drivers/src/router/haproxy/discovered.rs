//! Servers that HAProxy takes from Consul by itself, under the names of the instances they stand for.
//!
//! A `server-template` has places with numbers; which instance has one is known by its address, and for
//! as long as something is open there after the instance has left. Tables are rewritten, so that whoever
//! counts need not know of places. It asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{AppName, InstanceId};

use super::app_file::ONWARD;
use super::record::{Record, Slot};
use super::seen::{Condition, Server};
use super::table::{Cells, Row, Table};
use crate::router::consul::{Consul, Entry, Health};

/// Counters of a place that go on counting when another instance gets it.
const COUNTERS: [&str; 10] = [
    "stot", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "wredis", "econ", "eresp",
    "wretr",
];

/// The bit of `srv_admin_state` of a server that was told to be in maintenance.
const FORCED: u64 = 0x01;

/// Where HAProxy takes its servers from.
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) consul: Arc<Consul>,
    pub(super) places: Places,
}

/// A place: worker, backend, name.
type Place = (u32, String, String);

/// Who had which place.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<BTreeMap<Place, Taken>>,
    /// Since when instances are parting that HAProxy has not left yet.
    parting: Mutex<BTreeMap<(AppName, Slot, InstanceId), Instant>>,
}

#[derive(Debug)]
struct Taken {
    id: InstanceId,
    address: SocketAddr,
    /// What its counters said when the instance was first seen there.
    before: Vec<u64>,
}

/// The names by which commands call servers: backend and instance to place.
pub(super) type Names = BTreeMap<(String, InstanceId), String>;

/// The slot that a backend of an app is of.
fn slot_of(app: &AppName, backend: &str) -> Option<Slot> {
    let mut slots = Slot::BOTH.into_iter();
    slots.find(|slot| backend == slot.backend(app) || backend == slot.tunnels(app))
}

fn is_place(name: &str) -> bool {
    !matches!(name, "BACKEND" | "FRONTEND" | ONWARD)
}

fn at(entries: &[Entry], slot: Slot, address: SocketAddr) -> Option<&Entry> {
    let there = |one: &&Entry| one.group == slot.letter() && one.address == address;
    // Whoever had the address before is on its way out.
    entries.iter().filter(there).min_by_key(|one| one.parted)
}

/// The table of states with instances for places; places that nobody has are left out.
pub(super) fn state(app: &AppName, table: Table, entries: &[Entry]) -> (Table, Names) {
    // Of two places with one address the one in use counts: the other was told to leave.
    let mut chosen: BTreeMap<(String, InstanceId), (bool, String)> = BTreeMap::new();
    for row in table.rows() {
        let (backend, name) = (row.get("be_name"), row.get("srv_name"));
        let slot = slot_of(app, backend).filter(|_| is_place(name));
        let one = slot.and_then(|slot| at(entries, slot, address(row)?));
        let Some(one) = one else { continue };
        let this = (row.number("srv_admin_state") & FORCED != 0, name.to_owned());
        let kept =
            chosen.entry((backend.to_owned(), one.id.clone())).or_insert_with(|| this.clone());
        if !this.0 && kept.0 {
            *kept = this;
        }
    }
    let names: Names = chosen.into_iter().map(|(at, (_, name))| (at, name)).collect();
    let table = table.changed(|row| {
        let (backend, name) = (row.get("be_name").to_owned(), row.get("srv_name").to_owned());
        if slot_of(app, &backend).is_none() || !is_place(&name) {
            return true;
        }
        let found = names.iter().find(|((of, _), place)| *of == backend && **place == name);
        let Some(((_, id), _)) = found else { return false };
        row.set("srv_name", &id.0);
        true
    });
    (table, names)
}

/// The address of a place, if it has one.
fn address(row: Row<'_>) -> Option<SocketAddr> {
    Some(SocketAddr::new(row.get("srv_addr").parse().ok()?, row.get("srv_port").parse().ok()?))
}

/// The instances that a new worker finds without DNS and in use, by the text that it reads.
pub(super) fn saved(
    app: &AppName,
    text: &str,
    entries: &[Entry],
) -> BTreeSet<(String, InstanceId)> {
    let in_use = |row: &mut Cells<'_>| row.number("srv_admin_state") & FORCED == 0;
    let table = Table::state(text).map(|table| state(app, table.changed(in_use), entries).1);
    table.unwrap_or_default().into_keys().collect()
}

/// What of a text with states a new worker of an app is to start with. Not who was told to be in
/// maintenance: it would be so for ever, whoever gets the place.
pub(super) fn to_save(app: &AppName, text: &str) -> String {
    let ours = |line: &&str| {
        let mut words = line.split(' ').skip(1);
        let own = words.next().is_some_and(|backend| slot_of(app, backend).is_some());
        // Five columns after the backend.
        let state = words.nth(4).and_then(|state| state.parse::<u64>().ok()).unwrap_or_default();
        line.starts_with('#') || *line == "1" || (own && state & FORCED == 0)
    };
    text.lines().filter(ours).flat_map(|line| [line, "\n"]).collect()
}

/// Places that were told to be in maintenance and have nobody any more, as commands name them: whoever
/// gets them next would be in maintenance, too.
pub(super) fn vacated(app: &AppName, text: &str) -> Vec<String> {
    let Some(table) = Table::state(text) else { return Vec::new() };
    let left = |row: &Row<'_>| {
        let ours = slot_of(app, row.get("be_name")).is_some() && is_place(row.get("srv_name"));
        ours && row.number("srv_admin_state") & FORCED != 0 && address(*row).is_none()
    };
    let name = |row: Row<'_>| format!("{}/{}", row.get("be_name"), row.get("srv_name"));
    table.rows().filter(left).map(name).collect()
}

impl Places {
    /// The table of counters of a worker with instances for places.
    pub(super) fn stat(
        &self,
        app: &AppName,
        worker: u32,
        table: Table,
        entries: &[Entry],
    ) -> Table {
        let mut places = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        table.changed(|row| {
            let (backend, name) = (row.get("pxname").to_owned(), row.get("svname").to_owned());
            let Some(slot) = slot_of(app, &backend).filter(|_| is_place(&name)) else {
                return true;
            };
            let place = (worker, backend, name);
            let address = row.get("addr").parse::<SocketAddr>().ok();
            if let Some(one) = address.and_then(|address| at(entries, slot, address)) {
                let known = places.get(&place).is_some_and(|taken| taken.id == one.id);
                if !known {
                    let before = COUNTERS.map(|column| row.number(column)).to_vec();
                    let (id, address) = (one.id.clone(), one.address);
                    places.insert(place.clone(), Taken { id, address, before });
                }
            }
            let Some(taken) = places.get(&place) else { return false };
            // One that left keeps what is open; the place of somebody who is not registered is nobody's.
            if address.is_some_and(|address| address != taken.address)
                || (address.is_none() && row.number("scur") == 0)
            {
                return false;
            }
            row.set("svname", &taken.id.0);
            for (column, before) in COUNTERS.iter().zip(&taken.before) {
                let now = row.number(column).saturating_sub(*before);
                row.set(column, &now.to_string());
            }
            true
        })
    }

    /// Says of each that is parting whether HAProxy has not followed `within` this time.
    pub(super) fn hurry(&self, app: &AppName, servers: &mut [Server], within: Duration) {
        let mut parting = self.parting.lock().unwrap_or_else(PoisonError::into_inner);
        let is = |one: &Server| one.condition == Condition::Parting;
        parting.retain(|(of, slot, id), _| {
            of != app || servers.iter().any(|one| is(one) && one.slot == *slot && one.id == *id)
        });
        for one in servers.iter_mut().filter(|one| is(one)) {
            let key = (app.clone(), one.slot, one.id.clone());
            if parting.entry(key).or_insert_with(Instant::now).elapsed() > within {
                one.condition = Condition::Overdue;
            }
        }
    }

    /// Forgets workers that have ended.
    pub(super) fn forget(&self, alive: &BTreeSet<u32>) {
        let mut places = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|(worker, _, _), _| alive.contains(worker));
    }
}

/// Puts what Consul has of an app beside what HAProxy made of it: `servers` as the tables had them,
/// those that are `saved` for a reload, and what is open by slot and name.
pub(super) fn judge(
    servers: &[Server],
    entries: &[Entry],
    (record, saved): (&Record, impl Fn(Slot, &InstanceId) -> bool),
    open: impl Fn(Slot, &InstanceId) -> u64,
) -> Vec<Server> {
    let mut judged = Vec::new();
    for slot in Slot::BOTH {
        for entry in entries.iter().filter(|one| one.group == slot.letter()) {
            let found = servers.iter().find(|one| one.slot == slot && one.id == entry.id);
            let carried = record.release_of(slot, &entry.id.0).is_some();
            let mut condition = condition(entry, found.map(|one| &one.condition), carried);
            if condition == Condition::Ready && !saved(slot, &entry.id) {
                // It may get requests; it is not where a reload would find it.
                condition = Condition::Passing;
            }
            judged.push(Server {
                slot,
                id: entry.id.clone(),
                address: Some(entry.address),
                condition,
                open: open(slot, &entry.id),
            });
        }
    }
    judged
}

fn condition(entry: &Entry, found: Option<&Condition>, carried: bool) -> Condition {
    match (entry.parted, found, &entry.health) {
        (true, None | Some(Condition::Maint), _) => Condition::Maint,
        (true, Some(_), _) => Condition::Parting,
        // It passed Consul's check, and HAProxy took it up before it has asked by itself: after a reload.
        (false, Some(Condition::Unchecked), _) if carried => Condition::Ready,
        (false, Some(Condition::Half) | None, Health::Passing) => Condition::Unfollowed,
        (false, Some(Condition::Half) | None, Health::Unasked) => Condition::Unchecked,
        (false, Some(Condition::Half) | None, Health::Failing(why)) => {
            Condition::Failing(why.clone())
        }
        (false, Some(found), _) => found.clone(),
    }
}

impl Cells<'_> {
    fn number(&self, column: &str) -> u64 {
        self.get(column).parse().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Places, judge, saved, state, to_save, vacated};
    use crate::router::consul::{Entry, Health};
    use crate::router::haproxy::record::{Record, Slot};
    use crate::router::haproxy::seen::Condition;
    use crate::router::haproxy::table::Table;
    use model::{AppName, InstanceId};

    fn entry(id: &str, port: u16) -> Entry {
        Entry {
            group: "a".into(),
            id: InstanceId(id.into()),
            address: ([127, 0, 0, 1], port).into(),
            parted: false,
            health: Health::Passing,
        }
    }

    fn stat(places: &Places, rows: &str, entries: &[Entry]) -> Vec<(String, u64, u64)> {
        let app = AppName::new("demo").unwrap();
        let text = format!("# pxname,svname,scur,stot,addr\n{rows}");
        let table = places.stat(&app, 7, Table::stat(&text).unwrap(), entries);
        let row = |row: crate::router::haproxy::table::Row<'_>| {
            (row.get("svname").to_owned(), row.number("scur"), row.number("stot"))
        };
        table.rows().map(row).collect()
    }

    #[test]
    fn what_is_open_stays_with_the_instance_and_counters_begin_anew_with_the_next() {
        let (places, one, two) = (Places::default(), entry("demo-1-1", 1), entry("demo-2-1", 2));
        let name = str::to_owned;
        let said = stat(&places, "cutover_demo_a,s1,2,9,127.0.0.1:1\n", std::slice::from_ref(&one));
        assert_eq!(said, [(name("demo-1-1"), 2, 0)]);
        let said =
            stat(&places, "cutover_demo_a,s1,2,12,127.0.0.1:1\n", std::slice::from_ref(&one));
        assert_eq!(said, [(name("demo-1-1"), 2, 3)]);
        // It has left Consul and HAProxy's resolution, and a request is still open there.
        assert_eq!(stat(&places, "cutover_demo_a,s1,1,12,\n", &[]), [(name("demo-1-1"), 1, 3)]);
        assert_eq!(stat(&places, "cutover_demo_a,s1,0,12,\n", &[]), []);
        let said = stat(&places, "cutover_demo_a,s1,1,13,127.0.0.1:2\n", &[two]);
        assert_eq!(said, [(name("demo-2-1"), 1, 0)]);
        // Somebody that nobody registered, and other apps.
        let rows = "cutover_demo_a,s1,1,13,127.0.0.1:3\nother,s1,1,1,127.0.0.1:3\n";
        assert_eq!(stat(&places, rows, &[]), [(name("s1"), 1, 1)]);
    }

    #[test]
    fn who_is_in_maintenance_is_not_saved_and_an_empty_place_is_given_free() {
        let app = AppName::new("demo").unwrap();
        let head =
            "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_port\n";
        let used = "8 cutover_demo_a 2 place1 127.0.0.1 2 64 1\n";
        let forced = "8 cutover_demo_a 3 place2 127.0.0.1 0 65 2\n";
        let empty = "8 cutover_demo_a 4 place3 - 0 33 0\n";
        let theirs = "9 cutover_demo-1_a 2 place1 - 0 33 0\n";
        let text = format!("{head}{used}{forced}{empty}{theirs}\n");
        assert_eq!(to_save(&app, &text), format!("{head}{used}"));
        assert_eq!(vacated(&app, &text), ["cutover_demo_a/place3"]);
        let entries = [entry("demo-1-1", 1), entry("demo-1-2", 2)];
        let there: Vec<_> = saved(&app, &text, &entries).into_iter().map(|(_, id)| id.0).collect();
        assert_eq!(there, ["demo-1-1"]);
    }

    #[test]
    fn an_instance_is_what_consul_and_haproxy_make_of_it_together() {
        let app = AppName::new("demo").unwrap();
        let text = "1\n# be_name srv_name srv_addr srv_port\ncutover_demo_a s1 127.0.0.1 1\n\
                    cutover_demo_a s2 - 0\ncutover_demo_a cutover_entrance 127.0.0.1 9\n";
        let (table, names) = state(&app, Table::state(text).unwrap(), &[entry("demo-1-1", 1)]);
        let there: Vec<_> = table.rows().map(|row| row.get("srv_name").to_owned()).collect();
        assert_eq!(there, ["demo-1-1", "cutover_entrance"]);
        assert_eq!(names.into_values().collect::<Vec<_>>(), ["s1"]);
        let judged = |entry: Entry| {
            let servers = judge(
                &[],
                &[entry],
                (&Record::default(), |_: Slot, _: &InstanceId| true),
                |_, _| 3,
            );
            assert_eq!((servers.len(), servers[0].slot, servers[0].open), (1, Slot::A, 3));
            servers[0].condition.clone()
        };
        let one = || entry("demo-1-1", 1);
        assert_eq!(judged(one()), Condition::Unfollowed);
        assert_eq!(judged(Entry { parted: true, ..one() }), Condition::Maint);
        assert_eq!(judged(Entry { health: Health::Unasked, ..one() }), Condition::Unchecked);
        let failing = Entry { health: Health::Failing("no".into()), ..one() };
        assert_eq!(judged(failing), Condition::Failing("no".into()));
    }
}
