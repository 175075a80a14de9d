//! What is open and what has been, per release, summed over workers. Pure.
//!
//! What is open, and what was tried, is counted by server: those of a server that was deleted are gone with it. What users
//! were answered is counted by backend. Nothing is remembered from one look to the next: what has grown
//! is for `model::counters` to say.

use std::collections::BTreeMap;

use model::admin::ReleaseSeen;
use model::{AppName, Counter, Counters, ReleaseId};

use super::record::{Record, Slot};
use super::table::{Row, Table};
use crate::router::driver::Open;

/// The row of `show stat` for a backend as a whole.
const WHOLE: &str = "BACKEND";

/// Counters summed over workers.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) open: BTreeMap<ReleaseId, Open>,
    pub(super) totals: BTreeMap<ReleaseId, ReleaseSeen>,
    /// The same by worker and server, each of which counts from 0.
    pub(super) counters: BTreeMap<String, ReleaseSeen>,
    /// Requests and tunnels open on each server.
    pub(super) by_server: BTreeMap<(Slot, String), Open>,
}

impl Counts {
    /// Adds what one worker counts.
    pub(super) fn add(&mut self, app: &AppName, worker: u32, record: &Record, stat: &Table) {
        for (_, pool) in record.pools() {
            self.open.entry(pool.release).or_default();
        }
        for slot in Slot::BOTH {
            for (backend, tunnels) in [(slot.backend(app), false), (slot.tunnels(app), true)] {
                let rows = || stat.rows().filter(|row| row.get("pxname") == backend);
                let whole = rows().find(|row| row.get("svname") == WHOLE);
                let servers = rows().filter(|row| !matches!(row.get("svname"), WHOLE | "FRONTEND"));
                let mut on_servers = 0;
                for row in servers {
                    on_servers += self.row((worker, record), slot, tunnels, row);
                }
                let all = whole.map_or(0, |row| row.number("scur"));
                self.between(record, slot, tunnels, all.saturating_sub(on_servers));
            }
        }
    }

    /// Requests that wait for their next try are on no server; they belong to what the slot holds.
    fn between(&mut self, record: &Record, slot: Slot, tunnels: bool, requests: u64) {
        let held = record.pools().find(|(at, _)| *at == slot).map(|(_, pool)| pool.release);
        let Some(release) = held.filter(|_| requests > 0) else { return };
        let open = self.open.entry(release).or_default();
        *(if tunnels { &mut open.tunnels } else { &mut open.requests }) += requests;
    }

    /// Adds one server; how many it has open.
    fn row(
        &mut self,
        (worker, record): (u32, &Record),
        slot: Slot,
        tunnels: bool,
        row: Row<'_>,
    ) -> u64 {
        let name = row.get("svname");
        // `scur` counts streams: an idle connection, to a client or to a server, is none.
        let now = row.number("scur");
        let of_server = self.by_server.entry((slot, name.to_owned())).or_default();
        *(if tunnels { &mut of_server.tunnels } else { &mut of_server.requests }) += now;
        let Some(release) = record.release_of(slot, name) else { return now };
        let open = self.open.entry(release).or_default();
        *(if tunnels { &mut open.tunnels } else { &mut open.requests }) += now;
        let source = format!("{worker}/{}/{name}", row.get("pxname"));
        let here = self.counters.entry(source).or_default();
        let total = self.totals.entry(release).or_default();
        for seen in [here, total] {
            seen.release = release;
            total_up(seen, tunnels, row);
        }
        now
    }
}

/// What users were answered by the present worker, by backend of requests: also what HAProxy answers itself, after its last
/// try. The servers' own counters would say otherwise: of a request that another one answered well they have each try that
/// failed (`eresp`), twice in some versions. Answers that broke off are not told from whole ones: `srv_abrt` has them,
/// and also each client that left an idle event stream. A worker that ends is not asked: it passes what it is still
/// asked on to the present one, where that is counted.
pub(super) fn answered(app: &AppName, worker: u32, record: &Record, stat: &Table) -> Counters {
    let one = |slot: Slot| {
        let backend = slot.backend(app);
        let own = |row: &Row<'_>| row.get("pxname") == backend && row.get("svname") == WHOLE;
        let row = stat.rows().find(own)?;
        let columns = ["hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx"];
        let requests = columns.iter().map(|column| row.number(column)).sum();
        let release = record.pools().find(|(at, _)| *at == slot).map(|(_, pool)| pool.release);
        let counter = Counter { release, requests, failed: row.number("hrsp_5xx") };
        Some((format!("{worker}/{backend}"), counter))
    };
    Slot::BOTH.into_iter().filter_map(one).collect()
}

fn total_up(seen: &mut ReleaseSeen, tunnels: bool, row: Row<'_>) {
    *(if tunnels { &mut seen.tunnels } else { &mut seen.requests }) += row.number("stot");
    let columns = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx"];
    for (answers, column) in seen.answers.iter_mut().zip(columns) {
        *answers += row.number(column);
    }
    seen.replayed += row.number("wredis");
    seen.failed += row.number("econ") + row.number("eresp");
}

#[cfg(test)]
mod tests {
    use super::{Counts, answered};
    use crate::router::driver::Open;
    use crate::router::haproxy::record::{Record, Slot};
    use crate::router::haproxy::table::Table;
    use model::{AppName, Generation, Pool, PoolState, ReleaseId, Routes, Version, Weight};

    /// v1 in slot a, and nobody in b.
    fn record(app: &AppName) -> Record {
        let pool = Pool {
            release: ReleaseId(1),
            version: Version::new("v1").unwrap(),
            weight: Weight::ALL,
            state: PoolState::Serving,
            instances: vec![],
        };
        let generation = Generation(1);
        let (hosts, path_prefix, pools) = (vec![], "/".to_owned(), vec![pool]);
        let routes = Some(Routes {
            app: app.clone(),
            generation,
            hosts,
            path_prefix,
            pools,
            rules: vec![],
            hold: None,
            hand_over: None,
            spread: model::Spread::default(),
        });
        Record { routes, slots: vec![Slot::A], ..Record::default() }
    }

    #[test]
    fn a_request_between_two_tries_is_open_and_workers_add_up() {
        let app = AppName::new("demo").unwrap();
        let record = record(&app);
        let stat = "# pxname,svname,scur,stot\ncutover_demo_a,x,1,9\ncutover_demo_a,BACKEND,3,9\n\
                    cutover_demo_a_ws,BACKEND,1,1\ncutover_demo_b,BACKEND,5,9\n\
                    cutover_demo-1_a,BACKEND,7,9\n";
        let mut counts = Counts::default();
        for worker in 1..=2 {
            counts.add(&app, worker, &record, &Table::stat(stat).unwrap());
        }
        assert_eq!(counts.open[&ReleaseId(1)], Open { requests: 4, tunnels: 2 });
        let of_x = counts.by_server[&(Slot::A, "x".to_owned())];
        assert_eq!(of_x, Open { requests: 2, tunnels: 0 });
    }

    /// Its servers count tries: five that failed of two requests, one of which was answered well in the end.
    #[test]
    fn what_users_were_answered_is_what_the_backend_says_also_of_nobody() {
        let app = AppName::new("demo").unwrap();
        let stat = "# pxname,svname,stot,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,eresp,srv_abrt\n\
                    cutover_demo_a,x,9,0,5,1,2,0,5,0\ncutover_demo_a,BACKEND,9,0,5,1,2,1,5,2\n\
                    cutover_demo_a_ws,BACKEND,9,9,0,0,0,0,3,3\ncutover_demo_b,BACKEND,4,0,4,0,0,0,0,0\n";
        let all = answered(&app, 7, &record(&app), &Table::stat(stat).unwrap()).into_iter();
        let all: Vec<_> =
            all.map(|(by, one)| (by, one.release, one.requests, one.failed)).collect();
        let [a, b] = ["a", "b"].map(|slot| format!("7/cutover_demo_{slot}"));
        assert_eq!(all, [(a, Some(ReleaseId(1)), 9, 1), (b, None, 4, 0)]);
    }
}
