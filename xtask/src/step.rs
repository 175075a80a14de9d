//! One step of `cargo xtask test`: what it is called, how it is run, how it ended.
//!
//! Children run in our own process group, so that Ctrl-C and `timeout` reach them too, and each is
//! waited for. Does not know which steps there are.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where and how the steps run.
#[derive(Debug)]
pub(crate) struct Workshop {
    /// Root of the workspace.
    pub(crate) root: PathBuf,
    /// The cargo that started us.
    pub(crate) cargo: OsString,
    /// Whole matrices instead of samples.
    pub(crate) full: bool,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran and found nothing.
    Passed,
    /// It found something, or could not run; in words.
    Failed(String),
    /// It was left out, with the reason.
    Skipped(String),
}

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    /// One word, as shown in headings and in the summary.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) run: fn(&Workshop) -> Outcome,
}

impl Workshop {
    /// Runs cargo in the workspace, its output going where ours goes.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Outcome {
        self.cargo_with(arguments, &[])
    }

    /// Runs cargo with additional environment.
    pub(crate) fn cargo_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let mut shown = String::new();
        for (name, value) in environment {
            let _ = write!(shown, "{name}={value:?} ");
        }
        let _ = write!(shown, "cargo {}", arguments.join(" "));
        println!("   $ {shown}");
        let mut command = self.quiet_cargo(arguments);
        command.envs(environment.iter().copied());
        match command.status() {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(status) => Outcome::Failed(format!("{status} from: {shown}")),
            Err(error) => Outcome::Failed(format!("cannot start `{shown}`: {error}")),
        }
    }

    /// Runs cargo with additional environment; what it wrote to stdout.
    pub(crate) fn cargo_says(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (Outcome, String) {
        let mut command = self.quiet_cargo(arguments);
        command.envs(environment.iter().copied()).stderr(Stdio::inherit());
        let shown = format!("cargo {}", arguments.join(" "));
        match command.output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let failed = || Outcome::Failed(format!("{} from: {shown}", output.status));
                (if output.status.success() { Outcome::Passed } else { failed() }, said)
            }
            Err(error) => {
                (Outcome::Failed(format!("cannot start `{shown}`: {error}")), String::new())
            }
        }
    }

    /// Runs cargo in the workspace and says nothing of it.
    pub(crate) fn silent_cargo(&self, arguments: &[&str]) -> Outcome {
        match self.quiet_cargo(arguments).status() {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(status) => Outcome::Failed(format!("{status}")),
            Err(error) => Outcome::Failed(format!("cannot start cargo: {error}")),
        }
    }

    /// True when cargo knows the subcommand `name`, that is, when it is installed.
    pub(crate) fn has_subcommand(&self, name: &str) -> bool {
        self.quiet_cargo(&[name, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Without what the cargo that runs us says of `xtask`: build scripts that look at it (ring's)
    /// would run again, and everything behind them be built anew, each time somebody goes from
    /// `cargo xtask` to plain `cargo` and back.
    fn quiet_cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in std::env::vars_os() {
            let said = name.to_string_lossy();
            if said.starts_with("CARGO_PKG_") || said.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        command
    }
}
