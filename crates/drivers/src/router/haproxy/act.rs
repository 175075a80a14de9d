//! Takes one step: checks that it still holds, then changes files and workers.
//!
//! What a reload would lose is written before it is done at run time. Only the present worker is told:
//! one that ends passes on what it is still asked. It decides nothing.

use model::{AppName, Change, Fault, Instance, InstanceId, Kind};

use super::commit::commit;
use super::discovered::{self, Discovery};
use super::files::{AppFiles, Checker};
use super::line::Address;
use super::live::same;
use super::look::{Found, look};
use super::record::{Record, Slot};
use super::registering::{self, Rest};
use super::seen::Condition;
use super::step::Step;
use super::worker::{WELL, Worker, present_pid, refused, well};
use crate::router::fenced::{Fenced as _, OnRecord};

/// Since this version HAProxy says itself when nothing holds a server any more.
const WAITS: (u32, u32) = (3, 0);
/// How long it is asked to wait for that; the next look sees what was not ready.
const REMOVABLE: &str = "500ms";
/// What it says of that; the deletion after it tells more.
const WAITED: [&str; 3] = ["Done.", "Failed.", "Wait delay expired"];

/// Everything an act works on.
struct Acting<'a> {
    app: &'a AppName,
    found: Found,
    files: AppFiles,
    present: Worker,
    checker: Option<&'a Checker>,
    discovery: Option<&'a Discovery>,
}

/// Takes the step of a change.
pub(super) async fn act(
    address: &Address,
    (checker, discovery): (Option<&Checker>, Option<&Discovery>),
    change: &Change,
    epoch: u64,
) -> Result<(), Fault> {
    let step = Step::read(change)?;
    let (app, _) = step.relies_on();
    let app = app.clone();
    let found = look(address, &app, discovery).await?;
    let record = &found.seen.record;
    let on_record = OnRecord { generation: record.generation, epoch: record.epoch };
    step.still_holds(&change.words, on_record, epoch)?;
    let present = found.workers.first().ok_or_else(|| address.odd(""))?.clone();
    may_change(&present).await?;
    let files = AppFiles::beside(&found.map, &app);
    let pid = found.pid;
    let acting = Acting { app: &app, found, files, present, checker, discovery };
    match acting.take(step, epoch).await {
        // An answer that is none, from a worker that was replaced while it was asked.
        Err(fault) if fault.kind == Kind::Internal && replaced(address, pid).await => {
            let what = format!("`{}` was not done: HAProxy was reloaded meanwhile", change.words);
            let conflict = Fault::new(Kind::Conflict, what).note(fault.what);
            Err(conflict.help("look and plan again"))
        }
        done => done,
    }
}

/// True when another worker than this one is the present one.
async fn replaced(address: &Address, pid: u32) -> bool {
    present_pid(address).await.is_ok_and(|now| now != pid)
}

/// Refuses before anything is touched when the socket is not of level admin.
pub(super) async fn may_change(worker: &Worker) -> Result<(), Fault> {
    let level = worker.ask(&["show cli level".to_owned()]).await?;
    if level.trim() == "admin" { Ok(()) } else { Err(worker.address.too_low("changes")) }
}

impl Acting<'_> {
    async fn take(mut self, step: Step, epoch: u64) -> Result<(), Fault> {
        if let Step::Refuse { why, help, .. } = step {
            return Err(Fault::new(Kind::Config, format!("HAProxy cannot carry {why}")).help(help));
        }
        if let Some(discovery) = self.discovery {
            discovery.consul.hold(self.app).await?;
        }
        if let Step::Publish { mut record, ready, .. } = step {
            record.epoch = epoch;
            return self.publish(record, &ready).await;
        }
        self.note_epoch(epoch).await?;
        if let Some(discovery) = self.discovery {
            match self.register(discovery, &step).await? {
                Rest::All => {}
                Rest::Nothing | Rest::State(_) => return Ok(()),
            }
        }
        match step {
            Step::Add { slot, instance, .. } => self.add(slot, &instance).await,
            Step::Recheck { slot, id, .. } => self.recheck(slot, &id.0).await,
            Step::Reweigh { slot, id, .. } => self.reweigh(slot, &id.0).await,
            Step::Leave { slot, id, .. } => self.leave(slot, &id.0).await,
            Step::Remove { slot, id, .. } => self.remove(slot, &id.0).await,
            Step::Publish { .. } | Step::Refuse { .. } => Ok(()),
        }
    }

    /// Takes the step where instances are registered, and tells HAProxy what it cannot find there.
    async fn register(&self, discovery: &Discovery, step: &Step) -> Result<Rest, Fault> {
        let mut overdue = false;
        let about = match step {
            Step::Leave { slot, id, .. } | Step::Recheck { slot, id, .. } => Some((*slot, id)),
            _ => None,
        };
        let server = about.and_then(|(slot, id)| self.found.seen.server(slot, id));
        if let (Step::Leave { slot, .. }, Some(server)) = (step, server) {
            overdue = server.condition == Condition::Overdue;
            if let Some(address) = server.address {
                self.files.unsave(*slot, address)?;
            }
        }
        let rest = registering::take(&discovery.consul, self.app, (step, overdue)).await?;
        if let (Rest::State(state), Some((slot, id))) = (rest, about) {
            for server in self.found_servers(slot, id) {
                well(&self.present, &[format!("set server {server} state {state}")]).await?;
            }
        }
        Ok(rest)
    }

    /// The servers of an instance that HAProxy has found, as commands name them.
    fn found_servers(&self, slot: Slot, id: &InstanceId) -> Vec<String> {
        let name = |backend: String| {
            let place = self.found.names.get(&(backend.clone(), id.clone()))?;
            Some(format!("{backend}/{place}"))
        };
        let backends = slot.backends(self.app, self.found.apart).into_iter();
        backends.filter_map(name).collect()
    }

    /// The servers of an instance, as commands name them.
    fn servers(&self, slot: Slot, id: &str) -> Vec<String> {
        if self.discovery.is_some() {
            return self.found_servers(slot, &InstanceId(id.to_owned()));
        }
        let backends = slot.backends(self.app, self.found.apart);
        backends.iter().map(|backend| format!("{backend}/{id}")).collect()
    }

    async fn each(&self, slot: Slot, id: &str, commands: &[&str]) -> Result<(), Fault> {
        for server in self.servers(slot, id) {
            let commands = commands.iter().map(|command| command.replace("SERVER", &server));
            well(&self.present, &commands.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    async fn add(&self, slot: Slot, instance: &Instance) -> Result<(), Fault> {
        let words = self.files.server_words()?;
        let id = &instance.id.0;
        if self.found.seen.server(slot, &instance.id).is_some() {
            self.delete(slot, id).await?;
        }
        let add = format!("add server SERVER {} {words}", instance.address);
        // Checks first, out of use: a server that is enabled at once gets requests before its first
        // check.
        let commands = [add.as_str(), "enable health SERVER", "set server SERVER state drain"];
        self.each(slot, id, &commands).await
    }

    async fn recheck(&self, slot: Slot, id: &str) -> Result<(), Fault> {
        self.each(slot, id, &["enable health SERVER", "set server SERVER state drain"]).await
    }

    async fn reweigh(&self, slot: Slot, id: &str) -> Result<(), Fault> {
        self.each(slot, id, &["set server SERVER weight 100%"]).await
    }

    async fn leave(&self, slot: Slot, id: &str) -> Result<(), Fault> {
        self.each(slot, id, &["set server SERVER state maint"]).await
    }

    async fn remove(&self, slot: Slot, id: &str) -> Result<(), Fault> {
        self.delete(slot, id).await
    }

    /// Deletes what there is of an instance. One that still has connections stays: the next look
    /// sees it.
    async fn delete(&self, slot: Slot, id: &str) -> Result<(), Fault> {
        let waits = self.present.at_least(WAITS).await?;
        for server in self.servers(slot, id) {
            let mut commands = vec![format!("set server {server} state maint")];
            if waits {
                commands.push(format!("wait {REMOVABLE} srv-removable {server}"));
            }
            commands.push(format!("del server {server}"));
            let said = self.present.ask(&commands).await?;
            let expected = |line: &str| {
                WELL.contains(&line)
                    || WAITED.iter().any(|waited| line.starts_with(waited))
                    || line.starts_with("No such server")
                    || line.starts_with("Server still has connections")
            };
            if let Some(odd) = said.lines().map(str::trim).find(|line| !expected(line)) {
                return Err(refused(&self.present, &format!("del server {server}"), odd));
            }
        }
        Ok(())
    }

    /// Fences off older controllers from here on.
    async fn note_epoch(&mut self, epoch: u64) -> Result<(), Fault> {
        if self.found.seen.record.epoch == epoch {
            return Ok(());
        }
        self.found.seen.record.epoch = epoch;
        self.files.write_map(&self.found.seen.record)?;
        let entries = self.found.seen.record.entries(self.app);
        commit(&self.present, &self.found.map, &entries).await
    }

    async fn publish(&self, mut record: Record, ready: &[(Slot, InstanceId)]) -> Result<(), Fault> {
        record.worker = self.found.pid;
        let in_use = in_use(&record, ready);
        for (slot, id) in ready {
            let server = self.found.seen.server(*slot, id);
            if !server.is_some_and(|server| server.condition.may_serve()) {
                let what = format!("the routes were not changed: {id} no longer passes its check");
                return Err(Fault::new(Kind::Conflict, what).help("look and plan again"));
            }
        }
        if self.discovery.is_some() {
            let state = self.present.servers_state().await?;
            for place in discovered::vacated(self.app, &state) {
                well(&self.present, &[format!("set server {place} state ready")]).await?;
            }
            self.files.write_found(&record, &state)?;
        } else {
            self.files.write(&record, &in_use, self.checker).await?;
        }
        for (slot, id) in ready {
            self.each(*slot, &id.0, &["set server SERVER state ready"]).await?;
        }
        let entries = record.entries(self.app);
        commit(&self.present, &self.found.map, &entries).await?;
        if same(&self.present.entries(&self.found.map).await?, &entries) {
            return Ok(());
        }
        let what = "the routes were written and HAProxy carries others: it was reloaded meanwhile, \
                    or somebody changed its map";
        Err(Fault::new(Kind::Conflict, what).help("look and plan again"))
    }
}

/// The instances of a record that are put to work.
fn in_use(record: &Record, ready: &[(Slot, InstanceId)]) -> Vec<(Slot, Instance)> {
    let all = record.pools().flat_map(|(slot, pool)| pool.instances.iter().map(move |i| (slot, i)));
    let chosen = all.filter(|(slot, one)| ready.iter().any(|(at, id)| at == slot && *id == one.id));
    chosen.map(|(slot, one)| (slot, one.clone())).collect()
}
