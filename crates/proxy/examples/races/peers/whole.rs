//! The whole of Cutover, `cutover up` with its health checks and its defaults, for races of the controller:
//! it finds instances by their name.
//!
//! Instances are not its own: the race starts and ends them.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Named;

/// The program, which `cargo xtask races` builds beside this one.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("cutover")
}

/// One whose users arrive at `address`, with the first version deployed.
pub(super) fn start(folder: &Path, address: SocketAddr, named: &Named) -> Child {
    let Named { name, port, server } = named;
    let text = format!(
        "[proxy]
listen = [\"{address}\"]
drain_timeout = \"2s\"
[app.a]
hosts = [\"a.test\"]
instances = {{ dns = \"{name}\", server = \"{server}\", port = {port} }}
[app.a.health]
path = \"/health\"
[app.a.rollout]
bake = \"1s\"
[app.a.probe]
enabled = false
"
    );
    std::fs::write(folder.join("cutover.toml"), text).unwrap();
    let child = command(folder, &["up"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !command(folder, &["status"]).status().unwrap().success() {
        assert!(Instant::now() < deadline, "cutover up does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(command(folder, &["deploy", "a", "v1"]).status().unwrap().success(), "no deploy");
    child
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(program());
    command.args(words).current_dir(folder).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command
}
