//! Takes one step: each looks again at what it relies on, then writes, then does.
//!
//! What is written before a deed says that it was decided; what is written after says that it is done.
//! Dying between the two is seen and mended by the next look. Which step is next is not decided here:
//! `plan` does.

use model::{AppName, Change, Fault, Kind, Release, ReleaseId};
use rustix::process::Signal;

use super::diagnose::crash;
use super::inner::Inner;
use super::launch::Launch;
use super::log;
use super::look::Examined;
use super::procfs::{Identity, boot_id};
use super::record::{Entry, Record, now_ms};
use super::signal::to_group;
use super::step::{Expected, Step, Target, expect_empty, expect_number, identity_words};
use super::told::being_told;
use super::watch::own;

impl Inner {
    /// Takes one step of a plan. Blocks.
    pub(super) fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        let step = Step::read(change)?;
        let _lock = self.store.lock()?;
        self.store.admit(epoch)?;
        let done = match step {
            Step::Start { release, number, port } => self.start(change, &release, (number, port)),
            Step::Adopt { target } => self.on(change, &target, Self::adopt),
            Step::Tell { target } => self.on(change, &target, Self::tell),
            Step::Kill { target } => self.on(change, &target, Self::kill),
            Step::Note { target } => self.on(change, &target, Self::note),
            Step::Forget { app, release } => self.forget(change, &app, release),
        };
        self.news.tell();
        done
    }

    fn start(&self, change: &Change, release: &Release, at: (u32, u16)) -> Result<(), Fault> {
        let (number, port) = at;
        let known = self.store.record(&release.app, release.id)?;
        let mut record = match known {
            Some(record) if record.release != *release => return Err(not_frozen(release)),
            Some(record) => record,
            None => {
                let numbers = self.store.numbers(&release.app)?;
                let last = numbers.get(&release.id).copied().unwrap_or_default();
                Record::new(release.clone(), last, boot_id())
            }
        };
        let next = record.last_number.saturating_add(1);
        holds(change, &expect_number(next))?;
        if next != number {
            return Err(Fault::internal(format!("`{}` contradicts itself", change.words)));
        }
        // Two apps that looked at the same moment were offered the same ports.
        if self.store.ports()?.contains(&port) {
            let what = format!("port {port} was given to another instance meanwhile");
            return Err(Fault::new(Kind::Conflict, what));
        }
        own(&self.ports).given(port);
        let entry = Entry {
            number,
            port,
            host: self.host,
            begun_ms: now_ms(),
            process: None,
            ready_before: false,
            unready: false,
            told_at_ms: None,
            telling_ms: None,
            killed: false,
        };
        record.last_number = number;
        record.instances.push(entry);
        self.store.write(&record)?;
        self.prune_logs(&record);
        self.spawn(&mut record, at)
    }

    /// Starts the process of the newest entry. That it cannot be started is a crash, counted and
    /// put into words like any other: what matters is whether it runs, and a look shows that.
    fn spawn(&self, record: &mut Record, (number, port): (u32, u16)) -> Result<(), Fault> {
        let id = record.id(number);
        let launch = Launch {
            release: &record.release,
            id: &id,
            port,
            host: self.host,
            state: &self.store.state,
            surroundings: &self.surroundings,
        };
        let path = self.store.log(&id);
        let log = log::open(&path).map_err(|error| {
            Fault::environment(format!("the log `{}` cannot be written: {error}", path.display()))
        });
        let started = log.and_then(|log| launch.start(log));
        match started {
            Ok(pid) => {
                for words in self.surroundings.rotated(&record.release) {
                    self.warn_once(words);
                }
                let process = Identity::of(pid);
                if let Some(entry) = record.entry(number) {
                    entry.process = process;
                }
            }
            Err(fault) => {
                let help = fault.help.as_deref().unwrap_or_default();
                let app = &record.release.app;
                self.warn_once(format!("{app} cannot be started: {}; {help}", fault.what));
                let mut words = vec![format!("{id} could not be started: {}", fault.what)];
                words.extend(fault.help.map(|help| format!("  help: {help}")));
                record.drop_entry(number);
                record.unstarted = record.unstarted.saturating_add(1);
                count_crash(record, 0, words);
            }
        }
        self.store.write(record)
    }

    fn prune_logs(&self, record: &Record) {
        let app = &record.release.app;
        let records = self.store.records(app).unwrap_or_default();
        let known: Vec<_> = records
            .iter()
            .flat_map(|record| record.instances.iter().map(|entry| record.id(entry.number)))
            .map(|id| self.store.log(&id))
            .collect();
        log::prune(self.store.logs(), app, &known);
    }

    /// Finds the instance, sees that what the change relies on holds, and does it.
    fn on(&self, change: &Change, target: &Target, deed: Deed) -> Result<(), Fault> {
        let id = target.id();
        let gone = || no_longer(change, &format!("{id} is not on record"));
        let record = self.store.record(&target.app, target.release)?;
        let mut record = record.ok_or_else(gone)?;
        let entry = record.entry(target.number).ok_or_else(gone)?.clone();
        let examined = self.examine(&id, &entry);
        let actual = Expected {
            identity: &identity_words(examined.process.as_ref()),
            alive: examined.alive,
            told: entry.told_at_ms.is_some(),
            telling_ms: entry.telling_ms,
            killed: entry.killed,
        };
        holds(change, &actual.words())?;
        deed(self, &mut record, entry, &examined)
    }

    fn adopt(&self, record: &mut Record, mut entry: Entry, found: &Examined) -> Result<(), Fault> {
        entry.process.clone_from(&found.process);
        self.put(record, entry)
    }

    /// On record before and after; why, and what is done when we die in between, says `told`.
    fn tell(&self, record: &mut Record, mut entry: Entry, found: &Examined) -> Result<(), Fault> {
        being_told(&mut entry, now_ms(), record.release.stop_timeout_ms);
        self.put(record, entry.clone())?;
        self.signal(record, &entry, found, Signal::TERM)?;
        entry.telling_ms = None;
        self.put(record, entry)
    }

    fn kill(&self, record: &mut Record, mut entry: Entry, found: &Examined) -> Result<(), Fault> {
        self.signal(record, &entry, found, Signal::KILL)?;
        entry.killed = true;
        self.put(record, entry)
    }

    fn note(&self, record: &mut Record, entry: Entry, found: &Examined) -> Result<(), Fault> {
        let id = record.id(entry.number);
        let left = found.process.as_ref().is_some_and(|process| self.left_behind(&id, process));
        if let Some(process) = found.process.as_ref().filter(|_| entry.told_at_ms.is_none()) {
            let end = self.news.end_of(&id, process);
            let words = crash(&id, &end, entry.begun_ms, &self.store.log(&id));
            count_crash(record, end.at_ms.saturating_sub(entry.begun_ms), words);
        }
        if left {
            return self.tell(record, entry, found);
        }
        record.drop_entry(entry.number);
        self.store.write(record)?;
        own(&self.watched).remove(&id);
        self.news.forget(&id);
        Ok(())
    }

    fn forget(&self, change: &Change, app: &AppName, release: ReleaseId) -> Result<(), Fault> {
        let record = self.store.record(app, release)?;
        let record = record.filter(|record| record.instances.is_empty());
        let Some(record) = record else {
            return Err(no_longer(
                change,
                &format!("release {release} of {app} has instances or is not on record"),
            ));
        };
        holds(change, &expect_empty())?;
        self.store.forget(&record)
    }

    fn signal(
        &self,
        record: &Record,
        entry: &Entry,
        found: &Examined,
        signal: Signal,
    ) -> Result<(), Fault> {
        let mark = self.mark(&record.id(entry.number));
        found.process.as_ref().map_or(Ok(()), |process| to_group(process, &mark, signal))
    }

    fn put(&self, record: &mut Record, entry: Entry) -> Result<(), Fault> {
        if let Some(place) = record.entry(entry.number) {
            *place = entry;
        }
        self.store.write(record)
    }
}

type Deed = fn(&Inner, &mut Record, Entry, &Examined) -> Result<(), Fault>;

fn count_crash(record: &mut Record, lived_ms: u64, words: Vec<String>) {
    record.boot = boot_id();
    record.count_crash(now_ms(), lived_ms, words);
}

fn holds(change: &Change, actual: &str) -> Result<(), Fault> {
    if change.expected_before == actual {
        return Ok(());
    }
    Err(no_longer(change, &format!("expected `{}`, found `{actual}`", change.expected_before)))
}

fn no_longer(change: &Change, why: &str) -> Fault {
    let what = format!("`{}` was not done: things have changed since it was planned", change.words);
    Fault::new(Kind::Conflict, what).note(why.to_owned()).help("look and plan again")
}

fn not_frozen(release: &Release) -> Fault {
    let what = format!("release {} of {} was frozen with other settings", release.id, release.app);
    Fault::new(Kind::Conflict, what).help("deploy again: a new release takes the new settings")
}
