//! A small server of DNS with one name, whose addresses change; it says for how long they are good.
//!
//! Whoever asks for another name is told that there is none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::instance::Instance;
use crate::peers::Named;

/// The name.
const NAME: &str = "instance.test";
/// How long an answer is good.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(5);

/// It runs until the program ends.
pub(crate) struct Names {
    server: SocketAddr,
    known: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl Names {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = socket.local_addr().unwrap();
        let known: Arc<Mutex<Vec<Ipv4Addr>>> = Arc::default();
        let its = Arc::clone(&known);
        std::thread::spawn(move || {
            let mut asked = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut asked) {
                let known = its.lock().unwrap().clone();
                if let Some(answer) = answer(&asked[..length], &known) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { server, known }
    }

    /// The name means these from now on.
    pub(crate) fn mean(&self, instances: &[&Instance]) {
        let addresses = instances.iter().filter_map(|one| match one.address.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        *self.known.lock().unwrap() = addresses.collect();
    }

    /// As a peer is told of it: all that it means listen on this one's port.
    pub(crate) fn named(&self, one: &Instance) -> Named {
        Named { name: NAME, port: one.address.port(), server: self.server }
    }
}

/// Two instances, each with an address of its own and both on one port.
pub(crate) fn pair(names: [&str; 2]) -> [Instance; 2] {
    let try_once = || {
        let one = TcpListener::bind("127.0.14.1:0").ok()?;
        let two = TcpListener::bind(("127.0.14.2", one.local_addr().ok()?.port())).ok()?;
        Some([one, two])
    };
    let [one, two] = (0..50).find_map(|_| try_once()).unwrap();
    let idle = Duration::from_mins(1);
    [Instance::on(one, names[0], idle), Instance::on(two, names[1], idle)]
}

/// The answer to the one question of a message; nothing else that came with it is looked at.
fn answer(asked: &[u8], known: &[Ipv4Addr]) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while *asked.get(at)? > 0 {
        let end = at + 1 + usize::from(asked[at]);
        labels.push(String::from_utf8_lossy(asked.get(at + 1..end)?).to_lowercase());
        at = end;
    }
    let is_address = asked.get(at + 1..at + 5)? == [0, 1, 0, 1];
    let mine = labels.join(".") == NAME;
    let records = if mine && is_address { known } else { &[] };
    let code = if mine { 0 } else { 3 };
    let mut message = asked.get(..2)?.to_vec();
    message.extend([0x85, 0x80 | code, 0, 1, 0, u8::try_from(records.len()).ok()?, 0, 0, 0, 0]);
    message.extend(asked.get(12..at + 5)?);
    for ip in records {
        message.extend([0xc0, 12, 0, 1, 0, 1]);
        message.extend(u32::try_from(GOOD_FOR.as_secs()).ok()?.to_be_bytes());
        message.extend([0, 4]);
        message.extend(ip.octets());
    }
    Some(message)
}
