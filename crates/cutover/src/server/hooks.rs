//! Calls the hook that the machine wants called, and says how it ended.
//!
//! The intent is in the journal before anything is called, so that a controller that comes back knows what may
//! have run. It is called again then, under the same key, unless it is to be called once; what is left of a
//! program that an earlier controller called is ended first. When a hook is due is not known here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drivers::check::command::{Judged, run_into};
use drivers::platform::process::{Surroundings, program};
use model::{Call, Event, Fault, Hook, Release};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;
use tokio::task::JoinHandle;

use super::active::Active;
use super::bus::Stage;
use super::post::{self, Letter};
use super::tools::Tools;
use super::voice::Voice;
use crate::store::Entry;

/// Marks the processes of a hook.
const KEY: &str = "CUTOVER_KEY";

/// The hook that is being called.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    running: Option<Running>,
}

/// A hook on its way; whoever drops it ends it.
#[derive(Debug)]
struct Running {
    name: String,
    task: JoinHandle<(bool, String)>,
    /// How it ended, until the machine was told.
    ended: Option<(bool, String)>,
    /// That it ended is in the journal, and was said.
    noted: bool,
}

impl Running {
    fn new(name: &str, task: JoinHandle<(bool, String)>) -> Self {
        Self { name: name.to_owned(), task, ended: None, noted: false }
    }

    /// Whether it ended well, and how; `None` while it runs.
    async fn ended(&mut self) -> Option<(bool, String)> {
        if self.ended.is_none() && self.task.is_finished() {
            let ended = (&mut self.task).await;
            self.ended = Some(ended.unwrap_or_else(|e| (false, format!("it was lost: {e}"))));
        }
        self.ended.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hooks {
    /// Calls what is wanted, ends what is not any more, and tells the machine what has ended.
    pub(super) async fn gather(
        &mut self,
        (tools, voice): (&Tools, &Voice),
        active: &mut Active,
        candidate: Option<&Release>,
    ) -> Result<(), Fault> {
        let wanted = active.wants().hook;
        let gone = self.running.take_if(|one| Some(&one.name) != wanted.as_ref());
        if let Some(gone) = gone.filter(|gone| !gone.noted) {
            let words = format!("the hook {} is no longer waited for, and was ended", gone.name);
            active.note(&Entry::Done(&words))?;
            voice.hook(active.clock().now_ms(), Stage::Failed, words);
        }
        let Some(name) = wanted else { return Ok(()) };
        let Some(running) = &mut self.running else {
            return self.call((tools, voice), active, (&name, candidate));
        };
        let Some((passed, words)) = running.ended().await else { return Ok(()) };
        if !running.noted {
            let how = if passed { "" } else { "failed: " };
            let sentence = words.lines().next().unwrap_or_default();
            let text = format!("{}: {sentence}", intent(&name));
            active.note(&Entry::Done(&format!("{how}{text}")))?;
            running.noted = true;
            let stage = if passed { Stage::Done } else { Stage::Failed };
            voice.hook(active.clock().now_ms(), stage, text);
        }
        // It is called again if it is forgotten before the machine was told.
        active.tell(&Event::HookEnded { name, passed, words })?;
        self.running = None;
        Ok(())
    }

    /// The server stops: what is being called ends.
    pub(super) fn stop(&mut self) {
        self.running = None;
    }

    fn call(
        &mut self,
        (tools, voice): (&Tools, &Voice),
        active: &mut Active,
        (name, candidate): (&str, Option<&Release>),
    ) -> Result<(), Fault> {
        let run = active.run();
        let hook = run.start.settings.hooks.iter().find(|hook| hook.name == *name).cloned();
        let (Some(hook), Some(release)) = (hook, candidate.cloned()) else { return Ok(()) };
        let again = tools.store.has_intent(run.id, &intent(name))?;
        if again && hook.once {
            let words = "the controller ended while it was called, nobody knows how far it came, and \
                         it is to be called once";
            let (name, words) = (name.to_owned(), words.to_owned());
            active.tell(&Event::HookEnded { name, passed: false, words })?;
            return Ok(());
        }
        active.note(&Entry::Intent(&intent(name)))?;
        voice.hook(active.clock().now_ms(), Stage::Begins, intent(name));
        let ring = Ring {
            facts: facts(active, &hook),
            key: format!("{}/{name}", active.run().name),
            surroundings: Arc::clone(&tools.surroundings),
            log: tools.layout.hooks_log(&active.run().name),
            hook,
            release,
        };
        let task = tokio::spawn(async move {
            if again {
                end_what_is_left(ring.key.clone()).await;
            }
            ring.attempts().await
        });
        self.running = Some(Running::new(name, task));
        Ok(())
    }
}

fn intent(name: &str) -> String {
    format!("call the hook {name}")
}

/// What a hook is told, by the names of its variables.
fn facts(active: &Active, hook: &Hook) -> BTreeMap<&'static str, String> {
    let run = active.run();
    let start = &run.start;
    let from = start.stable.as_ref().map(|named| named.version.to_string());
    let facts = BTreeMap::from([
        ("app", start.app.to_string()),
        ("run", run.name.clone()),
        ("hook", hook.given_name().to_owned()),
        ("when", hook.moment.side().to_owned()),
        ("phase", hook.moment.phase().to_owned()),
        ("from", from.unwrap_or_default()),
        ("to", start.candidate.version.to_string()),
    ]);
    let shares = active.machine().steps();
    let share = |step: u16| shares.get(usize::from(step) - 1).map(ToString::to_string);
    let of_step = hook
        .step
        .filter(|step| *step > 0)
        .map(|step| [("step", step.to_string()), ("share", share(step).unwrap_or_default())]);
    facts.into_iter().chain(of_step.into_iter().flatten()).collect()
}

/// One hook and all that its calls need.
#[derive(Debug)]
struct Ring {
    hook: Hook,
    release: Release,
    facts: BTreeMap<&'static str, String>,
    key: String,
    surroundings: Arc<Surroundings>,
    log: PathBuf,
}

impl Ring {
    /// As often as it may be tried; whether it ended well, and how.
    async fn attempts(&self) -> (bool, String) {
        let mut last = String::new();
        for attempt in 0..=self.hook.retries {
            tokio::time::sleep(Duration::from_millis(Hook::pause_ms(attempt))).await;
            match self.once(attempt + 1).await {
                Ok(words) => return (true, words),
                Err(why) => last = why,
            }
        }
        if self.hook.retries > 0 {
            let (first, rest) = last.split_once('\n').unwrap_or((&last, ""));
            let rest = if rest.is_empty() { String::new() } else { format!("\n{rest}") };
            last = format!("{first} (attempt {} of as many){rest}", self.hook.retries + 1);
        }
        (false, last)
    }

    async fn once(&self, attempt: u32) -> Result<String, String> {
        let limit = Duration::from_millis(self.hook.timeout_ms);
        match &self.hook.call {
            Call::Program(command) => self.program(command, (attempt, limit)).await,
            Call::Post(to) => {
                let mut body =
                    json!({ "schema": 1, "kind": "hook", "key": self.key, "attempt": attempt });
                for (name, value) in &self.facts {
                    body[*name] = json!(value);
                }
                if let Some(step) = self.hook.step {
                    body["step"] = json!(step);
                }
                let letter = Letter { to: to.clone(), body, key: self.key.clone() };
                post::send(&letter, limit).await
            }
        }
    }

    async fn program(
        &self,
        command: &[String],
        (attempt, limit): (u32, Duration),
    ) -> Result<String, String> {
        let found = program(&self.release, command, &self.surroundings);
        let mut program = found.map_err(|fault| fault.to_string())?;
        for (name, value) in &self.facts {
            let name: OsString = format!("CUTOVER_{}", name.to_uppercase()).into();
            program.environment.insert(name, value.into());
        }
        program.environment.insert(KEY.into(), self.key.clone().into());
        program.environment.insert("CUTOVER_ATTEMPT".into(), attempt.to_string().into());
        let Judged { passed, words, tail, .. } =
            run_into(&program, limit, self.copy(attempt)).await;
        let said = [vec![words], tail].concat().join("\n");
        if passed { Ok(said) } else { Err(said) }
    }

    /// Where all that it writes goes; none if it cannot be kept.
    fn copy(&self, attempt: u32) -> Option<File> {
        use std::io::Write as _;
        let folder = self.log.parent()?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
        let mut file =
            File::options().create(true).append(true).mode(0o600).open(&self.log).ok()?;
        let (name, when) = (self.hook.given_name(), self.hook.when());
        writeln!(file, "--- {name} ({when}), attempt {attempt}").ok()?;
        Some(file)
    }
}

/// Ends the processes of a hook that an earlier controller called: they bear its key.
async fn end_what_is_left(key: String) {
    let looked = tokio::task::spawn_blocking(move || {
        let mark = format!("{KEY}={key}");
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        for entry in processes.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            let Some(pid) = number.and_then(Pid::from_raw) else { continue };
            // Held before it is looked at: its number may be another's by the time of the signal.
            let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
                // That it is gone is what is wanted.
                let _gone = pidfd_send_signal(held, Signal::KILL);
            }
        }
    });
    // A look that came to nothing keeps nobody from calling it again.
    let _looked = looked.await;
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
