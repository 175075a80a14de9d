//! `cutover upgrade`: another binary takes the place of the running one, and users notice nothing.
//!
//! Check a copy of the state, start the new proxy beside the old one, leave a guard behind, become the
//! new binary. What follows (is it healthy? back if not) is the guard's, a process of the old binary:
//! the one that judges must not be the one that is judged. A rollout under way is never upgraded under.

mod binary;
pub(crate) mod record;
mod successor;
pub(crate) mod trial;

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::{AppName, Fault, Kind};
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, mpsc, oneshot};
use tokio::task::JoinHandle;

use self::record::{Files, Outcome, Record, Who};
pub(super) use self::successor::Place;
use self::successor::Successor;
pub(crate) use self::successor::{ask_as_user, exchange};
use self::trial::Present;
use super::layout::Layout;
use super::living::{Living, Server, server};
use super::orders::{Desk, Order};
use crate::store::Store;

/// This binary's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What an upgrade is made of.
#[derive(Debug)]
pub(super) struct Kit {
    pub(super) layout: Layout,
    pub(super) store: Arc<Store>,
    /// The configuration file.
    pub(super) config: PathBuf,
    /// Where our own proxy is; none where somebody else carries the traffic.
    pub(super) place: Option<Place>,
    pub(super) epoch: u64,
    /// How long what is open on the old proxy may take.
    pub(super) drain: Duration,
    /// To the first thread.
    pub(super) step: mpsc::Sender<Step>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// The new binary.
    pub(super) program: PathBuf,
    /// How long it may take to become healthy.
    pub(super) within: Duration,
}

/// The upgrades of a server: one at a time, and none beside a rollout.
#[derive(Debug)]
pub(super) struct Upgrades {
    kit: Kit,
    files: Files,
    /// Who watches over the upgrade that brought this binary: held from the start, since he goes when
    /// we are healthy.
    guard: Option<Living>,
    /// One has begun here. Whoever begins a rollout holds it for reading.
    begun: RwLock<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The last step. It is for the process's first thread: were another one to take it, the first would
/// look for an instant as if it had ended.
#[derive(Debug)]
pub(super) struct Step {
    program: PathBuf,
    failed: oneshot::Sender<Fault>,
}

impl Step {
    /// Becomes the new binary; comes back only when that cannot be.
    pub(super) fn take(self) {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| "cutover".into());
        // Files are closed by it, instances stay our children, the process keeps its number.
        let error = Command::new(self.program).arg0(name).args(arguments).exec();
        let what = format!("the new binary cannot be run in place: {error}");
        // The upgrade may have been called off.
        let _gone = self.failed.send(Fault::environment(what));
    }
}

/// Why an upgrade went no further.
struct Halted(Outcome, Fault);

impl From<Fault> for Halted {
    fn from(fault: Fault) -> Self {
        Self(Outcome::Refused, fault)
    }
}

impl Upgrades {
    pub(super) fn new(kit: Kit) -> Self {
        let files = Files::of(kit.layout.directory());
        let guard = guarded(&files).and_then(|record| record.guard);
        // One that cannot be found has ended.
        let guard = guard.and_then(|who| Living::find(who.pid).ok().flatten());
        Self { kit, files, guard, begun: RwLock::new(false), task: Mutex::new(None) }
    }

    /// Lets a rollout begin; none can while the answer is held and an upgrade is asked for.
    pub(super) async fn none_under_way(&self) -> Result<RwLockReadGuard<'_, bool>, Fault> {
        let begun = self.begun.read().await;
        if *begun || guarded(&self.files).is_some() { Err(under_way()) } else { Ok(begun) }
    }

    /// Begins one; answers its id. What becomes of it stands in its story.
    pub(super) async fn begin<'d>(
        self: &Arc<Self>,
        wish: Wish,
        desks: impl Iterator<Item = (&'d AppName, &'d Desk)>,
    ) -> Result<String, Fault> {
        let mut begun = self.begun.write().await;
        if *begun || guarded(&self.files).is_some() {
            return Err(under_way());
        }
        let mut serving = Vec::new();
        for (app, desk) in desks {
            // Orders are taken in turn: what began before this one is known.
            desk.ask(|reply| Order::Idle { reply }).await?;
            let status = desk.status.borrow();
            serving.extend(status.served().then(|| app.clone()));
        }
        let id = super::run_id::new_run_id();
        let folder = self.files.begin(&id)?;
        *begun = true;
        drop(begun);
        let (upgrades, own) = (Arc::clone(self), id.clone());
        let task = tokio::spawn(async move {
            let (outcome, fault) = match upgrades.carry_out((&own, &folder), wish, serving).await {
                Ok(never) => match never {},
                Err(Halted(outcome, fault)) => (outcome, fault),
            };
            *upgrades.begun.write().await = false;
            upgrades.files.end(&own, outcome, (&fault.what.clone(), Some(fault)));
        });
        *self.task.lock().await = Some(task);
        Ok(id)
    }

    /// The server stops: an upgrade goes no further, and nobody brings the old binary back.
    pub(super) async fn call_off(&self) {
        if let Some(task) = self.task.lock().await.take() {
            task.abort();
            // An error means that it was ended here, as wanted.
            drop(task.await);
        }
        self.files.settle();
    }

    /// To which version one is under way, as far as that is known.
    pub(super) fn to(&self) -> Option<String> {
        let begun = self.begun.try_read().map_or(true, |begun| *begun);
        let recorded = guarded(&self.files).map(|record| record.to);
        recorded.or_else(|| begun.then(|| "a version that is being checked".to_owned()))
    }

    /// Resolves when it is settled which binary stays.
    pub(super) async fn settled(&self) {
        let Some(guard) = &self.guard else { return };
        guard.ended().await;
        let _how = guard.reap();
    }

    /// The whole way; it returns only when it goes no further.
    async fn carry_out(
        &self,
        (id, folder): (&str, &Path),
        wish: Wish,
        serving: Vec<AppName>,
    ) -> Result<Infallible, Halted> {
        let Kit { place, layout, .. } = &self.kit;
        self.files.tell(id, &format!("checking {} on a copy of the state", wish.program.display()));
        let before = binary::keep(Path::new("/proc/self/exe"), folder, "before")?;
        let new = binary::keep(&wish.program, folder, "cutover")?;
        self.files.forget_others(id);
        let copy = folder.join("state");
        self.copy(&copy, &serving).await?;
        let to = binary::check(&new, &copy).await?.version;
        self.files.tell(id, &format!("{VERSION} → {to}: the new binary can read the state"));
        let mut successor = None;
        if let Some(place) = place {
            successor = Some(self.succeed(place, (id, &new)).await?);
        }
        let record = Record {
            id: id.to_owned(),
            up: Who::of(std::process::id()).ok_or_else(|| unseen("the server"))?,
            epoch: self.kit.epoch,
            before,
            arguments: arguments()?,
            proxy: successor.as_ref().and_then(|new| Who::of(new.process.pid())),
            exchanged: layout.other_proxy_socket(id),
            serving,
            within_ms: u64::try_from(wish.within.as_millis()).unwrap_or(u64::MAX),
            drain_ms: u64::try_from(self.kit.drain.as_millis()).unwrap_or(u64::MAX),
            from: VERSION.to_owned(),
            to,
            guard: None,
        };
        let fault = self.become_it(&new, record).await;
        self.files.settle();
        if let Some(successor) = successor {
            // Whose socket is where does not matter to who is asked; the next start must find ours.
            if self.exchanged(&successor).await {
                drop(exchange(&layout.proxy_socket(), &successor.socket));
            }
            successor.take_back(self.kit.drain).await;
        }
        Err(Halted(Outcome::Returned, fault))
    }

    /// The new proxy, with users.
    async fn succeed(&self, place: &Place, (id, new): (&str, &Path)) -> Result<Successor, Halted> {
        let returned = |fault| Halted(Outcome::Returned, fault);
        let mut successor = Successor::start(place, new, id).await.map_err(returned)?;
        let let_in = async {
            let seen = successor.equip(place, self.kit.epoch).await?;
            let asked = successor.probe(&seen).await?;
            let pid = successor.process.pid();
            let apps = if asked == 1 { "app" } else { "apps" };
            self.files.tell(id, &format!("its proxy (pid {pid}) was tried on {asked} {apps}"));
            successor.let_in(place, &seen).await
        };
        if let Err(fault) = let_in.await {
            successor.take_back(self.kit.drain).await;
            return Err(returned(fault));
        }
        self.files.tell(id, "its proxy takes new connections too");
        Ok(successor)
    }

    /// Leaves a guard behind and goes on as the new binary; answers only when that cannot be.
    async fn become_it(&self, new: &Path, mut record: Record) -> Fault {
        let ready = async {
            self.files.record(&record)?;
            record.guard = Some(start_guard(&self.kit.layout)?);
            self.files.record(&record)?;
            if record.proxy.is_some() {
                exchange(&self.kit.layout.proxy_socket(), &record.exchanged)?;
            }
            Ok(())
        };
        if let Err(fault) = ready.await {
            return fault;
        }
        self.files.tell(&record.id, "the server goes on as the new binary");
        let (failed, answer) = oneshot::channel();
        let step = Step { program: new.to_owned(), failed };
        if self.kit.step.send(step).await.is_err() {
            return Fault::environment("the server is stopping");
        }
        answer.await.unwrap_or_else(|_| Fault::environment("the server is stopping"))
    }

    /// True when the new proxy answers at the usual place.
    async fn exchanged(&self, successor: &Successor) -> bool {
        let at = server(&self.kit.layout.proxy_socket()).await;
        matches!(at, Ok(Server::Found(who)) if who.pid() == successor.process.pid())
    }

    /// The state as the new binary may look at it.
    async fn copy(&self, copy: &Path, serving: &[AppName]) -> Result<(), Fault> {
        let instances = copy.join("instances");
        let trouble = |e: std::io::Error| {
            Fault::environment(format!("the state cannot be copied to {}: {e}", copy.display()))
        };
        self.kit.store.copy_into(copy)?;
        std::fs::create_dir_all(&instances).map_err(trouble)?;
        let records = self.kit.layout.directory().join("instances");
        for entry in std::fs::read_dir(records).map_err(trouble)?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "json") {
                std::fs::copy(entry.path(), instances.join(entry.file_name())).map_err(trouble)?;
            }
        }
        let listening = match &self.kit.place {
            Some(place) => {
                let seen = place.present.seen().await?;
                let secure = |at| seen.secure.contains(at);
                seen.listening.iter().map(|at| (*at, secure(at))).collect()
            }
            None => Vec::new(),
        };
        let present = Present {
            config: self.kit.config.clone(),
            living: serving.to_vec(),
            listening,
            own_proxy: self.kit.place.is_some(),
            schema: Some(Store::schema()),
        };
        present.write(copy)
    }
}

/// The upgrade that a living guard watches.
fn guarded(files: &Files) -> Option<Record> {
    files.recorded().filter(|record| record.guard.is_some_and(Who::lives))
}

/// Starts the guard from this binary. It writes where we write and is in nobody's process group.
fn start_guard(layout: &Layout) -> Result<Who, Fault> {
    let refused = |e| Fault::environment(format!("the upgrade's guard cannot be started: {e}"));
    let mut command = Command::new("/proc/self/exe");
    command.arg0("cutover").arg("upgrade-guard").arg(layout.directory()).stdin(Stdio::null());
    let child = command.process_group(0).spawn().map_err(refused)?;
    Who::of(child.id()).ok_or_else(|| unseen("the upgrade's guard"))
}

/// What we were started with.
fn arguments() -> Result<Vec<String>, Fault> {
    let text = |argument: std::ffi::OsString| {
        argument.into_string().map_err(|odd| {
            let what = format!("the argument {} is no text", odd.display());
            Fault::new(Kind::Usage, what).help("start the server with paths in UTF-8")
        })
    };
    std::env::args_os().map(text).collect()
}

fn unseen(what: &str) -> Fault {
    Fault::environment(format!("{what} cannot be seen in /proc"))
}

fn under_way() -> Fault {
    Fault::new(Kind::Conflict, "an upgrade is under way")
        .help("wait until it is over (`cutover status` says so), then try again")
}

/// Answers an order that asks whether a rollout is under way.
pub(super) fn answer_idle(
    app: &AppName,
    rollout: Option<(&str, String)>,
    reply: oneshot::Sender<Result<(), Fault>>,
) {
    let answer = rollout.map_or(Ok(()), |(run, version)| {
        let what = format!("a rollout of `{app}` to {version} is under way (run {run})");
        let help = "wait for its end or take it back with `cutover abort`, then upgrade";
        Err(Fault::new(Kind::Conflict, what).help(help))
    });
    // Whoever asked may have gone away.
    let _gone = reply.send(answer);
}
