//! One instance is taken out of the traffic and put back, each peer by its own usual means, and what each says
//! of it: whether anything is still open there. It ends no instance.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{Apps, Peer};

/// For the last answer there; none takes long.
const PATIENCE: Duration = Duration::from_secs(10);

impl Peer {
    /// Gives instance `number` of `a` nothing new (`rest` are those that are left), and waits until the peer says
    /// that nothing is open there; false when it never does.
    pub(crate) fn take_out(&mut self, number: usize, address: SocketAddr, rest: &Apps) -> bool {
        if let Some(own) = &mut self.own {
            own.publish(rest);
            return own.drained(address);
        }
        match self.kind() {
            "haproxy" => {
                self.haproxy(&format!("set server a/s{number} state drain"));
                wait(|| self.haproxy_is_free(&format!("s{number}")))
            }
            "nginx" => {
                let old = children(self.child.id());
                self.carry(rest);
                wait(|| old.is_disjoint(&children(self.child.id())))
            }
            _ => {
                self.carry(rest);
                wait(|| self.caddy_is_free(address))
            }
        }
    }

    /// Gives it requests again; `all` are all of them.
    pub(crate) fn put_back(&mut self, number: usize, all: &Apps) {
        if self.kind() == "haproxy" {
            self.haproxy(&format!("set server a/s{number} state ready"));
        } else {
            self.carry(all);
        }
    }

    /// The answer to a command of its runtime API.
    fn haproxy(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("runtime")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    }

    /// No session of it is on this server of `a`, and none waits for it.
    fn haproxy_is_free(&self, server: &str) -> bool {
        let said = self.haproxy("show stat");
        let titles: Vec<&str> = said.lines().next().unwrap_or_default().split(',').collect();
        let row = said.lines().find(|line| line.starts_with(&format!("a,{server},"))).unwrap();
        let cells = titles.iter().zip(row.split(','));
        cells.filter(|(title, _)| ["qcur", "scur"].contains(title)).all(|(_, cell)| cell == "0")
    }

    /// It counts no request there, or has forgotten it.
    fn caddy_is_free(&self, address: SocketAddr) -> bool {
        let mut stream = TcpStream::connect(self.control).unwrap();
        let head = format!(
            "GET /reverse_proxy/upstreams HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.control
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let body = said.split("\r\n\r\n").nth(1).unwrap();
        // In chunks or not: one line of JSON.
        let list = body.lines().find(|line| line.starts_with('[')).unwrap();
        let list: Vec<serde_json::Value> = serde_json::from_str(list).unwrap();
        let address = address.to_string();
        !list.iter().any(|one| one["address"] == address && one["num_requests"] != 0)
    }
}

/// Asks again and again; only a moment lies between what is true and its being known.
fn wait(done: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

/// Processes that this one has started and that live.
fn children(parent: u32) -> BTreeSet<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name before may hold anything.
        let mut rest = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        rest.next().is_some_and(|state| state != "Z")
            && rest.next() == Some(parent.to_string().as_str())
    };
    pids.filter(is_child).collect()
}
