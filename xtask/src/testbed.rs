//! `cargo xtask testbed`: real servers for the tests, in several versions, under `target/testbed`.
//!
//! They come by the package tools of Debian, each with its own libraries (a suite of WebSocket tests from
//! PyPI), and nothing is installed but `patchelf`. What is there and runs is left alone. Does not know the tests; they find a program
//! by its folder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{Outcome, Workshop};

/// One program of one Debian suite.
struct Server {
    /// What the tests call it.
    name: &'static str,
    /// Folder under the test bed.
    folder: &'static str,
    suite: &'static str,
    package: &'static str,
    /// Path within the package.
    program: &'static str,
    /// What makes it say its version.
    asked: &'static str,
    /// Oldest version that counts as this one; suites move on.
    at_least: (u32, u32),
}

/// What is fetched, by its name on Debian.
const fn server(
    name: &'static str,
    folder: &'static str,
    suite: &'static str,
    at_least: (u32, u32),
) -> Server {
    let (package, program, asked) = match folder.as_bytes()[0] {
        b'h' => ("haproxy", "/usr/sbin/haproxy", "-v"),
        b'n' => ("nginx", "/usr/sbin/nginx", "-v"),
        _ if folder.as_bytes()[1] == b'o' => ("consul", "/usr/bin/consul", "version"),
        _ => ("caddy", "/usr/bin/caddy", "version"),
    };
    Server { name, folder, suite, package, program, asked, at_least }
}

/// Judges the text of metrics.
const PROMTOOL: Server = Server {
    name: "promtool",
    folder: "prometheus-bookworm",
    suite: "bookworm",
    package: "prometheus",
    program: "/usr/bin/promtool",
    asked: "--version",
    at_least: (2, 42),
};

/// Those that tests need.
const SERVERS: [Server; 6] = [
    server("HAProxy 2.6", "haproxy-bookworm", "bookworm", (2, 6)),
    server("HAProxy 3.0", "haproxy-trixie", "trixie", (3, 0)),
    server("HAProxy 3.2", "haproxy-sid", "sid", (3, 2)),
    server("nginx 1.30", "nginx-sid", "sid", (1, 30)),
    // In no newer suite.
    server("Consul 1.8", "consul-bullseye", "bullseye", (1, 8)),
    PROMTOOL,
];

/// Load tools, for `bench probe`.
const LOAD: [Server; 3] = [
    Server {
        name: "wrk",
        folder: "wrk-bookworm",
        suite: "bookworm",
        package: "wrk",
        program: "/usr/bin/wrk",
        asked: "-v",
        at_least: (4, 1),
    },
    Server {
        name: "hey",
        folder: "hey-bookworm",
        suite: "bookworm",
        package: "hey",
        program: "/usr/bin/hey",
        // It says no version, only how it is used.
        asked: "-h",
        at_least: ANY,
    },
    Server {
        name: "h2load",
        folder: "h2load-bookworm",
        suite: "bookworm",
        package: "nghttp2-client",
        program: "/usr/bin/h2load",
        asked: "--version",
        at_least: (1, 52),
    },
];

/// The compiler alone, without one for C.
const GO: Server = Server {
    name: "Go",
    folder: "golang-bookworm",
    suite: "bookworm",
    package: "golang-1.19-go",
    program: "/usr/lib/go-1.19/bin/go",
    asked: "version",
    at_least: (1, 19),
};

/// For a program that runs and does not say its version.
const ANY: (u32, u32) = (0, 0);

/// Those that only the bench and tests with `CUTOVER_FULL=1` need.
const MORE: [Server; 3] = [
    server("nginx 1.22", "nginx-bookworm", "bookworm", (1, 22)),
    server("nginx 1.26", "nginx-trixie", "trixie", (1, 26)),
    server("Caddy 2.6", "caddy-bookworm", "bookworm", (2, 6)),
];

/// Brings what the tests of this run need. What cannot be had is said and left out; with
/// `TESTBED=required` in the environment it is a failure, and with `TESTBED=none` nothing is fetched.
pub(crate) fn run(shop: &Workshop, say: fn(&str)) -> Outcome {
    if shop.full || env::var_os("CUTOVER_FULL").is_some() {
        return run_all(shop, say);
    }
    bring(shop, SERVERS.iter(), say)
}

/// Brings everything, in the same way; `say` gets each line for people.
pub(crate) fn run_all(shop: &Workshop, say: fn(&str)) -> Outcome {
    bring(shop, SERVERS.iter().chain(&MORE), say)
}

/// Brings the load tools, in the same way.
pub(crate) fn run_load(shop: &Workshop, say: fn(&str)) -> Outcome {
    bring(shop, LOAD.iter(), say)
}

/// Brings what the clients of a switch need: a router of connections, and a compiler for Go.
pub(crate) fn run_clients(shop: &Workshop, say: fn(&str)) -> Outcome {
    let routers = SERVERS.iter().filter(|server| server.folder == "haproxy-sid");
    bring(shop, routers.chain([&GO]), say)
}

fn bring<'a>(shop: &Workshop, servers: impl Iterator<Item = &'a Server>, say: fn(&str)) -> Outcome {
    let wanted = env::var("TESTBED").unwrap_or_default();
    let bed = shop.root.join("target/testbed");
    let script = shop.root.join("xtask/testbed.sh");
    let mut missing = Vec::new();
    for server in servers {
        let there = if wanted == "none" {
            server.version(&bed.join(server.folder))
        } else {
            server.bring(&bed, &script, say)
        };
        match there {
            Ok(version) => say(&format!("{}: {version}", server.name)),
            Err(why) => {
                say(&format!("skipped: no {}: {why}", server.name));
                missing.push(server.name);
            }
        }
    }
    // Never required: it needs a Python that hardly any machine has any more.
    match autobahn(&bed, &shop.root.join("xtask/autobahn.sh")) {
        Ok(()) => say(&format!("{AUTOBAHN}: there")),
        Err(why) => say(&format!("skipped: no {AUTOBAHN}: {why}")),
    }
    if missing.is_empty() {
        return Outcome::Passed;
    }
    let words = format!("not on the test bed: {}", missing.join(", "));
    if wanted == "required" { Outcome::Failed(words) } else { Outcome::Skipped(words) }
}

/// The suite of WebSocket tests, which is no server: it comes from PyPI.
const AUTOBAHN: &str = "Autobahn";

/// Sees to it that `wstest` is there.
fn autobahn(bed: &Path, script: &Path) -> Result<(), String> {
    let folder = bed.join("autobahn");
    if folder.join("wstest").is_file() {
        return Ok(());
    }
    if env::var("TESTBED").is_ok_and(|wanted| wanted == "none") {
        return Err("nothing is fetched with TESTBED=none".to_owned());
    }
    fs::create_dir_all(bed).map_err(|error| format!("{}: {error}", bed.display()))?;
    println!("{AUTOBAHN}: fetching from PyPI");
    fetch(Command::new("sh").arg(script).arg(&folder))
}

/// Runs a script that fetches; its last words when it fails.
fn fetch(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("sh: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(last.unwrap_or("it ended without a word").to_owned())
}

impl Server {
    /// Sees to it that it is there and runs; what it says of its version.
    fn bring(&self, bed: &Path, script: &Path, say: fn(&str)) -> Result<String, String> {
        let folder = bed.join(self.folder);
        if let Ok(version) = self.version(&folder) {
            return Ok(version);
        }
        fs::create_dir_all(bed).map_err(|error| format!("{}: {error}", bed.display()))?;
        say(&format!("{}: fetching from Debian {}", self.name, self.suite));
        let mut command = Command::new("sh");
        command.arg(script).arg(&folder).args([self.suite, self.package, self.program]);
        fetch(&mut command)?;
        self.version(&folder)
    }

    fn version(&self, folder: &Path) -> Result<String, String> {
        let program = PathBuf::from(format!("{}{}", folder.display(), self.program));
        let ran = Command::new(&program).arg(self.asked).stdin(Stdio::null()).output();
        let output = ran.map_err(|error| format!("{}: {error}", program.display()))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let line = said.lines().next().unwrap_or_default().to_owned();
        if self.at_least == ANY && !line.is_empty() {
            return Ok(self.name.to_owned());
        }
        match numbers(&line) {
            Some(version) if version >= self.at_least => Ok(line),
            _ => Err(format!("{} says `{line}`", program.display())),
        }
    }
}

/// Major and minor number of the first word that looks like a version.
fn numbers(line: &str) -> Option<(u32, u32)> {
    line.split_ascii_whitespace().find_map(|word| {
        let number = word.rsplit('/').next()?.trim_start_matches("go").trim_start_matches('v');
        let mut parts = number.split(['.', '-']).map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        assert_eq!(numbers("HAProxy version 2.6.12-1+deb12u3 2025/10/03 -"), Some((2, 6)));
        assert_eq!(numbers("HAProxy version 3.10-dev 2027/01/01"), Some((3, 10)));
        assert_eq!(numbers("nginx version: nginx/1.30.6 (Debian)"), Some((1, 30)));
        assert_eq!(numbers("v2.6.2 h1:abc/3.4"), Some((2, 6)));
        assert_eq!(numbers("go version go1.19.8 linux/amd64"), Some((1, 19)));
        assert_eq!(numbers("sh: not found"), None);
    }

    #[test]
    fn what_cannot_be_fetched_is_said_with_the_last_words_of_the_tools() {
        let bed = env::temp_dir().join(format!("cutover-testbed-{}", std::process::id()));
        fs::create_dir_all(&bed).unwrap();
        let script = bed.join("script");
        fs::write(&script, "echo first >&2; echo no mirror >&2; exit 3\n").unwrap();
        let outcome = SERVERS[0].bring(&bed, &script, |_| {});
        fs::write(
            &script,
            "mkdir -p \"$1/usr/sbin\"; cd \"$1/usr/sbin\"; printf '#!/bin/sh\\necho \
                            HAProxy version 2.4.1\\n' >haproxy; chmod +x haproxy\n",
        )
        .unwrap();
        let old = SERVERS[0].bring(&bed, &script, |_| {});
        fs::remove_dir_all(&bed).unwrap();
        assert_eq!(outcome, Err("no mirror".to_owned()));
        assert!(old.is_err_and(|why| why.contains("2.4.1")), "an older version counts");
    }
}
