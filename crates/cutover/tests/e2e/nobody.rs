//! The binary run by somebody who owns nothing of what it needs.
//!
//! Root becomes `nobody` with setpriv (util-linux); who is not root stays who they are, and what they may not do is left
//! to the caller to take away.

use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::world::CUTOVER;

const NOBODY: u32 = 65_534;

/// A copy of the binary in a folder: where the tests are built others may not be let in.
pub(crate) struct Nobody {
    program: PathBuf,
}

impl Nobody {
    /// One who may read `folder` and, of what is named, do anything; names that are not there are passed by.
    pub(crate) fn owning(folder: &Path, names: &[&str]) -> Self {
        for name in names {
            chown(folder.join(name), Some(NOBODY), Some(NOBODY)).unwrap_or_default();
        }
        let program = folder.join("cutover-of-nobody");
        std::fs::copy(CUTOVER, &program).unwrap();
        Self { program }
    }

    /// What the binary says to `nobody`; `None` (and said so) where root cannot become somebody else.
    pub(crate) fn says(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        let folder = self.program.parent().unwrap();
        let ran = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output();
        if let Err(error) = &ran {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
            aside::say("skipped: no setpriv (util-linux) to ask as somebody else");
        }
        ran.ok()
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        // The whole folder goes with its world.
        let _removed = std::fs::remove_file(&self.program);
    }
}
