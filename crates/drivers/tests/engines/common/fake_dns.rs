//! A fake server of DNS, for what a real one cannot be brought to do: lie about who it is, cut answers off,
//! leave records out without a word, fail.
//!
//! What is to be made of it is said in `discovered`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Type and data of a record.
type Data = (u16, Vec<u8>);

/// How it answers.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// Records by name and type, all of 0 s.
    pub(crate) records: BTreeMap<(String, u16), Vec<Data>>,
    /// Its word for an answer; 0 is that all is well, or 3 for a name that it does not know.
    pub(crate) code: u8,
    /// Over UDP it says that the answer was cut off, and gives nothing of it.
    pub(crate) cuts: bool,
    /// Over UDP it gives three records at most and says nothing.
    pub(crate) trims: bool,
    /// Over UDP the true answer comes after two of others: of another number, of another question.
    pub(crate) lies: bool,
}

/// It runs until the test ends.
pub(crate) struct FakeDns {
    pub(crate) address: SocketAddr,
    pub(crate) script: Arc<Mutex<Script>>,
    pub(crate) over_udp: Arc<AtomicU64>,
    pub(crate) over_tcp: Arc<AtomicU64>,
}

impl FakeDns {
    pub(crate) fn start() -> Self {
        // One port for both; somebody else may have the other half of the first.
        let both = || {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
            Some((udp, tcp))
        };
        let (udp, tcp) = (0..50).find_map(|_| both()).expect("a port that is free twice");
        let address = udp.local_addr().unwrap();
        let script: Arc<Mutex<Script>> = Arc::default();
        let (over_udp, over_tcp): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let (its, count) = (Arc::clone(&script), Arc::clone(&over_udp));
        std::thread::spawn(move || {
            let mut asked = [0; 600];
            while let Ok((length, from)) = udp.recv_from(&mut asked) {
                count.fetch_add(1, Ordering::SeqCst);
                let script = its.lock().unwrap().clone();
                let true_one = answer(&asked[..length], &script, true);
                if script.lies {
                    // The last byte is a part of an address or name.
                    let last = true_one.len() - 1;
                    for place in [0, 14] {
                        let mut other = true_one.clone();
                        other[place] ^= 1;
                        other[last] ^= 1;
                        udp.send_to(&other, from).unwrap();
                    }
                    udp.send_to(b"garbage", from).unwrap();
                }
                udp.send_to(&true_one, from).unwrap();
            }
        });
        let (its, count) = (Arc::clone(&script), Arc::clone(&over_tcp));
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let (mut stream, mut length) = (stream.unwrap(), [0; 2]);
                count.fetch_add(1, Ordering::SeqCst);
                stream.read_exact(&mut length).unwrap();
                let mut asked = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut asked).unwrap();
                let script = its.lock().unwrap().clone();
                let answer = answer(&asked, &script, false);
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length[..], &answer].concat()).unwrap();
            }
        });
        Self { address, script, over_udp, over_tcp }
    }

    /// Changes how it answers.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }
}

impl Script {
    /// The addresses of a name.
    pub(crate) fn at(&mut self, name: &str, ips: &[IpAddr]) {
        for kind in [1, 28] {
            let of = ips.iter().filter(|ip| ip.is_ipv4() == (kind == 1));
            let data = of.map(|ip| match ip {
                IpAddr::V4(ip) => (1, ip.octets().to_vec()),
                IpAddr::V6(ip) => (28, ip.octets().to_vec()),
            });
            self.records.insert((name.to_owned(), kind), data.collect());
        }
    }

    /// The services of a name: priority, port and target.
    pub(crate) fn services(&mut self, name: &str, all: &[(u16, u16, &str)]) {
        let data = all.iter().map(|(priority, port, target)| {
            let mut data = [priority.to_be_bytes(), [0, 1], port.to_be_bytes()].concat();
            data.extend(name_of(target));
            (33, data)
        });
        self.records.insert((name.to_owned(), 33), data.collect());
    }
}

fn name_of(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    let mut all: Vec<u8> = name.split('.').flat_map(label).collect();
    all.push(0);
    all
}

/// An answer to the one question of a message.
fn answer(asked: &[u8], script: &Script, udp: bool) -> Vec<u8> {
    let (mut at, mut labels) = (12, Vec::new());
    while asked[at] > 0 {
        let end = at + 1 + usize::from(asked[at]);
        labels.push(String::from_utf8_lossy(&asked[at + 1..end]).into_owned());
        at = end;
    }
    let kind = u16::from_be_bytes([asked[at + 1], asked[at + 2]]);
    let known = script.records.get(&(labels.join("."), kind));
    let mut records = known.cloned().unwrap_or_default();
    let code = if script.code == 0 && known.is_none() { 3 } else { script.code };
    let cut = udp && script.cuts;
    if cut || code != 0 {
        records.clear();
    }
    if udp && script.trims {
        records.truncate(3);
    }
    let mut message = asked[..at + 5].to_vec();
    message[2] = if cut { 0x83 } else { 0x81 };
    message[3] = 0x80 | code;
    message[7] = u8::try_from(records.len()).unwrap();
    for (kind, data) in records {
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 0]);
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(data);
    }
    message
}
