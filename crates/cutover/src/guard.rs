//! The guard of an upgrade: a process of the old binary that sees whether the new one becomes healthy.
//!
//! Healthy is who answers, serves every app, and fails no users whom the old proxy serves beside it (`users`).
//! If it does not, the guard ends it and starts the kept copy of the old binary, which adopts what runs,
//! the old proxy included. It ends with its verdict. It never touches an instance.

mod users;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::{Fault, Kind};
use rustix::process::Signal;
use tokio::time::Instant;

use crate::client::Client;
use crate::interrupt::Interrupt;
use crate::server::layout::Layout;
use crate::server::living::{Living, Server, server};
use crate::server::notify;
use crate::server::orders::AppStatus;
use crate::server::upgrade::exchange;
use crate::server::upgrade::record::{Files, Outcome, Record};
use users::Users;

/// How often it looks.
const PACE: Duration = Duration::from_millis(100);
/// For so long the new binary must have been healthy, without a break.
const LASTING: Duration = Duration::from_secs(2);
/// How long the old binary may take to answer again.
const BACK_DEADLINE: Duration = Duration::from_mins(1);
/// How long a killed process may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// What came of the watch.
enum Seen {
    Healthy,
    /// The server was stopped on purpose, or has ended the upgrade itself.
    CalledOff,
    Failed(String),
}

/// Watches the upgrade on record in a state directory to its end.
pub(crate) async fn watch(state: &Path) -> Result<(), Fault> {
    let layout = Layout::at(state)?;
    let files = Files::of(layout.directory());
    let record = files.recorded().ok_or_else(|| {
        Fault::new(Kind::Usage, "no upgrade is on record").help("`cutover upgrade` starts this")
    })?;
    let mut interrupt = Interrupt::new()?;
    // Whoever supervises the server does not see it go while its end is our affair.
    notify::main_process(std::process::id());
    let client = Client::new(&layout.api_socket());
    // It started us: as long as it is our parent, the number is its own.
    let ours = |_: &Living| std::os::unix::process::parent_id() == record.up.pid;
    let Some(up) = Living::find(record.up.pid).ok().flatten().filter(ours) else {
        return back(&layout, &files, &record, "it ended at once".to_owned()).await;
    };
    let seen = tokio::select! {
        seen = verdict(&files, &record, (&client, &up), Users::of(&layout, &record)) => seen,
        () = interrupt.wait() => {
            up.signal(Signal::TERM);
            Seen::CalledOff
        }
    };
    match seen {
        Seen::CalledOff => Ok(()),
        Seen::Healthy => {
            files.settle();
            notify::main_process(record.up.pid);
            let text = format!("upgraded {} → {} (pid {})", record.from, record.to, record.up.pid);
            files.end(&record.id, Outcome::Upgraded, (&text, None));
            Ok(())
        }
        Seen::Failed(why) => {
            notify::main_process(std::process::id());
            up.signal(Signal::KILL);
            if tokio::time::timeout(KILL_DEADLINE, up.ended()).await.is_err() {
                tracing::error!("the new binary (pid {}) cannot be killed", up.pid());
            }
            back(&layout, &files, &record, why).await
        }
    }
}

/// Looks until it is known.
async fn verdict(
    files: &Files,
    record: &Record,
    (client, up): (&Client, &Living),
    mut users: Users,
) -> Seen {
    let deadline = Instant::now() + Duration::from_millis(record.within_ms);
    let mut since = None;
    let mut last = "it does not answer".to_owned();
    loop {
        let ended = tokio::time::timeout(PACE, up.ended()).await.is_ok();
        if files.recorded().is_none_or(|now| now.id != record.id) {
            return Seen::CalledOff;
        }
        if ended {
            return Seen::Failed("it ended".to_owned());
        }
        match tokio::time::timeout(LASTING, lacking(client, record)).await {
            Ok(None) => match users.failed().await {
                Some(why) if users.often() => return Seen::Failed(why),
                Some(why) => (since, last) = (None, why),
                None if since.get_or_insert_with(Instant::now).elapsed() >= LASTING => {
                    return Seen::Healthy;
                }
                None => {}
            },
            Ok(Some(why)) => (since, last) = (None, why),
            Err(_) => (since, last) = (None, "it does not answer".to_owned()),
        }
        if Instant::now() >= deadline && since.is_none() {
            let limit = crate::duration::show(Duration::from_millis(record.within_ms));
            return Seen::Failed(format!("not healthy within {limit}: {last}"));
        }
    }
}

/// What the new binary lacks to be healthy.
async fn lacking(client: &Client, record: &Record) -> Option<String> {
    let status = match client.status().await {
        Ok(status) => status,
        Err(fault) => return Some(fault.what),
    };
    if status.pid != record.up.pid || status.epoch <= record.epoch {
        return Some("the old binary still answers".to_owned());
    }
    let unserved = record.serving.iter().find(|app| {
        let now = status.apps.iter().find(|status| status.app == **app);
        !now.is_some_and(AppStatus::served)
    });
    unserved.map(|app| format!("`{app}` is not served"))
}

/// Brings the old binary back.
async fn back(layout: &Layout, files: &Files, record: &Record, why: String) -> Result<(), Fault> {
    files.tell(&record.id, &format!("the new binary failed: {why}; going back to the old one"));
    old_proxy(layout, record).await;
    let started = start(record);
    let answered = match started {
        Ok(child) => answers(layout, record, child).await,
        Err(error) => Err(format!("it cannot be started: {error}")),
    };
    files.settle();
    match answered {
        Ok(pid) => {
            let what = format!("the new binary failed ({why}), and the old one runs again");
            let help = format!("see the server's log; {} is kept", record.before.display());
            let fault = Fault::environment(what.clone()).help(help);
            tracing::warn!("upgrade: the old binary serves as pid {pid}");
            files.end(&record.id, Outcome::Returned, (&what, Some(fault)));
            Ok(())
        }
        Err(trouble) => {
            let what = format!("the new binary failed ({why}), and of the old one {trouble}");
            let help = "instances and proxy go on; start `cutover up` by hand";
            let fault = Fault::internal(what.clone()).help(help);
            files.end(&record.id, Outcome::Stuck, (&what, Some(fault.clone())));
            Err(fault)
        }
    }
}

/// Puts the old proxy in its place again, if it lives, and lets the new one finish what it has.
async fn old_proxy(layout: &Layout, record: &Record) {
    let Some(new) = record.proxy else { return };
    let usual = layout.proxy_socket();
    let pid = |found| match found {
        Ok(Server::Found(living)) => Some(Living::pid(&living)),
        _ => None,
    };
    let (here, there) = (pid(server(&usual).await), pid(server(&record.exchanged).await));
    if here == Some(new.pid) && there.is_some() {
        if let Err(fault) = exchange(&usual, &record.exchanged) {
            tracing::error!("{fault}; the new proxy stays");
            return;
        }
    } else if there != Some(new.pid) || here.is_none() {
        // It is the only one, or there is none: whoever comes takes what there is.
        return;
    }
    if let Err(fault) = Proxy::new(&record.exchanged).stop(record.drain_ms).await {
        tracing::warn!("the new proxy (pid {}) cannot be told to end: {fault}", new.pid);
    }
}

fn start(record: &Record) -> std::io::Result<Child> {
    let mut command = Command::new(&record.before);
    command.args(record.arguments.iter().skip(1)).stdin(Stdio::null()).process_group(0).spawn()
}

/// Waits until the old binary answers; answers its number. One that somebody else has started meanwhile
/// is as good.
async fn answers(layout: &Layout, record: &Record, mut child: Child) -> Result<u32, String> {
    let client = Client::new(&layout.api_socket());
    let deadline = Instant::now() + BACK_DEADLINE;
    loop {
        if let Ok(status) = client.status().await
            && status.epoch > record.epoch
            && status.pid != record.up.pid
        {
            return Ok(status.pid);
        }
        let ended = child.try_wait().ok().flatten();
        if let Some(status) = ended.filter(|_| Instant::now() >= deadline) {
            return Err(format!("it is only known that it ended ({status})"));
        }
        if Instant::now() >= deadline {
            return Err("no answer has come".to_owned());
        }
        tokio::time::sleep(PACE).await;
    }
}
