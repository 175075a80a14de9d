//! What /proc says of processes: who is alive, whose they are, where they listen.
//!
//! A pid alone says nothing: it is used again. Here a process is a pid together with the time it
//! was started and the boot it was started in. This file reads; it signals nobody.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    pub(super) started: u64,
    /// The kernel's random id of this boot.
    pub(super) boot: String,
}

/// The fields of `/proc/PID/stat` that matter here (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) group: u32,
    pub(super) threads: u32,
    pub(super) started: u64,
}

impl Stat {
    /// One whose first thread has ended while others still run is not: nobody can reap it yet, and it may
    /// serve.
    fn dead(self) -> bool {
        match self.state {
            'Z' => self.threads <= 1,
            state => matches!(state, 'X' | 'x'),
        }
    }
}

impl Identity {
    /// The process that has this pid now.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: stat(pid)?.started, boot: boot_id() })
    }

    /// The process's state if it still is this very process, be it a zombie.
    pub(super) fn stat(&self) -> Option<Stat> {
        stat(self.pid).filter(|s| s.started == self.started && self.boot == boot_id())
    }

    /// True when it is this very process and still runs.
    pub(super) fn alive(&self) -> bool {
        self.stat().is_some_and(|s| !s.dead())
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pid {} started at tick {} of boot {}", self.pid, self.started, self.boot)
    }
}

/// The kernel's random id of this boot; empty when it cannot be read.
pub(super) fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// What stands in `/proc/PID/stat`; `None` when there is no such process.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&String::from_utf8_lossy(&bytes))
}

/// The name of the program may hold anything, also `)` and spaces: fields are counted after the
/// last `)`.
pub(super) fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let threads = fields.nth(14)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Stat { state, group, threads, started })
}

/// What marks a process as belonging to an instance: two variables of its environment, inherited by
/// whatever it starts.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    instance: Vec<u8>,
    state: Vec<u8>,
}

impl Mark {
    pub(super) fn new(instance: &str, state: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let mut directory = b"CUTOVER_STATE=".to_vec();
        directory.extend_from_slice(state.as_os_str().as_bytes());
        Self { instance: format!("CUTOVER_INSTANCE={instance}").into_bytes(), state: directory }
    }

    fn is_on(&self, pid: u32) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
            return false;
        };
        let has = |wanted: &[u8]| environment.split(|b| *b == 0).any(|entry| entry == wanted);
        has(&self.instance) && has(&self.state)
    }
}

/// The leader of an instance whose pid was never recorded: the oldest marked process that leads its
/// own group.
pub(super) fn find_leader(mark: &Mark) -> Option<Identity> {
    let leads = |pid: &u32| stat(*pid).is_some_and(|s| s.group == *pid && !s.dead());
    let found = pids().filter(leads).filter(|pid| mark.is_on(*pid)).filter_map(Identity::of);
    found.min_by_key(|identity| identity.started)
}

/// The living processes of a group that carry the mark. That at least one does proves that the
/// group's number is still the instance's.
pub(super) fn marked_in_group(group: u32, mark: &Mark) -> Vec<u32> {
    let member = |pid: &u32| stat(*pid).is_some_and(|s| s.group == group && !s.dead());
    pids().filter(member).filter(|pid| mark.is_on(*pid)).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The TCP addresses on which these processes listen.
pub(super) fn listening(pids: &[u32]) -> Vec<SocketAddr> {
    let Some(first) = pids.first() else {
        return Vec::new();
    };
    let inodes: Vec<String> = pids.iter().flat_map(|pid| socket_inodes(*pid)).collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{first}/net/{table}")).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|line| parse_listener(line, &inodes)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn socket_inodes(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let text = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some(text.to_owned())
    };
    links.filter_map(inode).collect()
}

pub(super) fn parse_listener(line: &str, inodes: &[String]) -> Option<SocketAddr> {
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != "0A" || !inodes.iter().any(|known| known == inode) {
        return None;
    }
    parse_address(local)
}

/// Addresses stand there as hexadecimal 32-bit words in the machine's byte order.
pub(super) fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::{Identity, Mark, listening, parse_address, parse_stat, stat};

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let line = "7 (a) S (b) Z 1 9 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.state, stat.group, stat.started), ('Z', 9, 4242));
        assert!(stat.dead());
        // Its first thread has ended, and two others have not: that is what a process looks like for a
        // moment in which nobody can reap it.
        let ending = "7 (a) Z 1 9 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 3 0 4242 99 1";
        assert!(!parse_stat(ending).unwrap().dead());
        for broken in ["", "7 (a", "7 (a)", "7 (a) S x y"] {
            assert!(parse_stat(broken).is_none());
        }
    }

    #[test]
    fn we_are_ourselves_and_nobody_else() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.alive());
        assert!(!Identity { started: own.started + 1, ..own.clone() }.alive());
        assert!(!Identity { boot: "another".into(), ..own }.alive());
        assert!(stat(std::process::id()).is_some());
    }

    #[test]
    fn own_listeners_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listening(&[std::process::id()]);
        assert!(found.contains(&listener.local_addr().unwrap()), "{found:?}");
    }

    #[test]
    fn odd_addresses_are_nothing() {
        for odd in ["", "0100007F", "0100007:1F90", "zz:zz", "é100007F:1F90"] {
            assert!(parse_address(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn we_carry_no_mark() {
        let mark = Mark::new("demo-1-1", std::path::Path::new("/nowhere"));
        assert!(super::find_leader(&mark).is_none());
    }
}
