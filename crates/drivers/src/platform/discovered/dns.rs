//! Instances by DNS: an SRV name with ports of its own, or the addresses of a name.
//!
//! Asked over UDP, each time from a new port and with a number nobody can guess; over TCP when the answer
//! was cut off, or may have been without a word: Consul leaves out what does not fit and says nothing. Only
//! this server is asked, never the resolver of this machine. Of SRV records those of the first priority
//! count, and weights do not: the proxy gives requests to whoever has least open.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use model::{Fault, Source, Zone};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::heard::Heard;
use super::message::{Data, Question, Read, Record, Wanted, read, write};

/// How long one attempt over UDP may take, and how many there are.
const ATTEMPT: Duration = Duration::from_millis(700);
const ATTEMPTS: usize = 3;
/// How long all of one question may take over TCP.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest message over UDP.
const UDP_MAX: usize = 4096;
/// From so many records on, an answer over UDP may lack others: Consul sends three.
const PERHAPS_CUT: usize = 3;
/// An answer is good for its own time, within these.
const AT_LEAST: Duration = Duration::from_secs(1);
const AT_MOST: Duration = Duration::from_mins(1);
/// When somebody asks again who was told that there is nobody.
const NOBODY: Duration = Duration::from_secs(2);
/// Most targets of one name whose addresses are asked for.
const TARGETS_MAX: usize = 200;
/// Most names that stand for one another in a row.
const ALIASES_MAX: usize = 8;

/// Who is at a name now.
pub(super) async fn ask(zone: &Zone) -> Result<Heard, Fault> {
    let found = match zone.port {
        Some(port) => {
            let (ips, ttl_s) = addresses(zone, &zone.name).await?;
            let all = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            (all, ttl_s, Vec::new())
        }
        None => services(zone).await?,
    };
    let (addresses, ttl_s, odd) = found;
    let ttl = ttl_s.map_or(NOBODY, |ttl_s| Duration::from_secs(ttl_s.into()));
    Ok(Heard { addresses, odd, again: ttl.clamp(AT_LEAST, AT_MOST) })
}

type Found = (BTreeSet<SocketAddr>, Option<u32>, Vec<String>);

/// What the SRV records of the name say, each target with its address.
async fn services(zone: &Zone) -> Result<Found, Fault> {
    let records = question(zone, &zone.name, Wanted::Srv).await?;
    let owner = alias(&records, &zone.name);
    let service = |record: &Record| match &record.data {
        Data::Service { priority, port, target } if record.owner == owner => {
            Some((*priority, (target.clone(), *port), record.ttl_s))
        }
        _ => None,
    };
    let all: Vec<_> = records.iter().filter_map(service).collect();
    let first = all.iter().map(|(priority, ..)| *priority).min();
    let mut found: Found = (BTreeSet::new(), None, Vec::new());
    // A target without a name says that there is no such service.
    let used = all
        .into_iter()
        .filter(|(priority, (target, _), _)| Some(*priority) == first && !target.is_empty());
    for (_, (target, port), ttl_s) in used.take(TARGETS_MAX) {
        let (ips, its_ttl_s) = match known(&records, &target, &[Wanted::A, Wanted::Aaaa]) {
            (ips, None) if ips.is_empty() => addresses(zone, &target).await?,
            added => added,
        };
        found.1 = [found.1, Some(ttl_s), its_ttl_s].into_iter().flatten().min();
        match ips.first() {
            // One of several: they are ways to the same instance.
            Some(ip) => found.0.extend([SocketAddr::new(*ip, port)]),
            None => found.2.push(format!("`{target}` has no address")),
        }
    }
    Ok(found)
}

/// The addresses of a name: those of version 4, and where there are none those of version 6.
async fn addresses(zone: &Zone, name: &str) -> Result<(Vec<IpAddr>, Option<u32>), Fault> {
    for wanted in [Wanted::A, Wanted::Aaaa] {
        let records = question(zone, name, wanted).await?;
        let (ips, ttl_s) = known(&records, name, &[wanted]);
        if !ips.is_empty() {
            return Ok((ips, ttl_s));
        }
    }
    Ok((Vec::new(), None))
}

/// The addresses of a name that stand in an answer, those of version 4 first, and how long they hold.
fn known(records: &[Record], name: &str, of: &[Wanted]) -> (Vec<IpAddr>, Option<u32>) {
    let owner = alias(records, name);
    let fits = |ip: &IpAddr| of.contains(if ip.is_ipv4() { &Wanted::A } else { &Wanted::Aaaa });
    let address = |record: &Record| match record.data {
        Data::Address(ip) if record.owner == owner && fits(&ip) => Some((ip, record.ttl_s)),
        _ => None,
    };
    let mut all: Vec<_> = records.iter().filter_map(address).collect();
    all.sort_unstable();
    let ttl_s = all.iter().map(|(_, ttl_s)| *ttl_s).min();
    (all.into_iter().map(|(ip, _)| ip).collect(), ttl_s)
}

/// The name that has what is asked for, as far as an answer says that another one has.
fn alias<'a>(records: &'a [Record], name: &'a str) -> &'a str {
    let mut owner = name;
    for _ in 0..ALIASES_MAX {
        let next = records.iter().find_map(|record| match &record.data {
            Data::Alias(to) if record.owner == owner => Some(to.as_str()),
            _ => None,
        });
        let Some(next) = next else { break };
        owner = next;
    }
    owner
}

/// Asks one question; no such name is an answer like any other.
async fn question(zone: &Zone, name: &str, wanted: Wanted) -> Result<Vec<Record>, Fault> {
    let name = name.to_ascii_lowercase();
    // Its keys come from the kernel's randomness.
    let id = RandomState::new().build_hasher().finish().to_le_bytes();
    let question = Question { id: u16::from_le_bytes([id[0], id[1]]), name, wanted };
    let Some(message) = write(&question) else {
        return Err(away(zone, &format!("`{}` is no name in DNS", question.name)));
    };
    let over_udp = udp(zone, &question, &message).await?;
    let over_udp = match over_udp {
        Read::Cut => None,
        Read::Answer { records, .. } if records.len() < PERHAPS_CUT => return Ok(records),
        Read::Answer { records, .. } => Some(records),
        Read::Foreign | Read::Odd => {
            return Err(away(zone, "its answer is no message of DNS"));
        }
    };
    match (tcp(zone, &question, &message).await, over_udp) {
        // Without TCP nobody says that the other answer is not whole.
        (Ok(records), _) | (Err(_), Some(records)) => Ok(records),
        (Err(fault), None) => Err(fault),
    }
}

/// What came back over UDP on this question; what answers another is passed over.
async fn udp(zone: &Zone, question: &Question, message: &[u8]) -> Result<Read, Fault> {
    for _ in 0..ATTEMPTS {
        match timeout(ATTEMPT, one_over_udp(zone.server, question, message)).await {
            Ok(Ok(Read::Answer { code, records })) => return judge(zone, code, records),
            Ok(Ok(read)) => return Ok(read),
            Ok(Err(error)) => return Err(away(zone, &error.to_string())),
            // Either message may have been lost.
            Err(_late) => {}
        }
    }
    Err(away(zone, "no answer"))
}

async fn one_over_udp(server: SocketAddr, question: &Question, message: &[u8]) -> io::Result<Read> {
    let here: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(here).await?;
    // From now on the kernel takes messages of this server alone.
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; UDP_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match read(&buffer[..length], question) {
            Read::Foreign => {}
            other => return Ok(other),
        }
    }
}

async fn tcp(zone: &Zone, question: &Question, message: &[u8]) -> Result<Vec<Record>, Fault> {
    let exchange = async {
        let mut stream = TcpStream::connect(zone.server).await?;
        let length = u16::try_from(message.len()).unwrap_or_default();
        stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = match timeout(LIMIT, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(away(zone, &format!("over TCP: {error}"))),
        Err(_late) => return Err(away(zone, "no answer over TCP")),
    };
    match read(&answer, question) {
        Read::Answer { code, records } => match judge(zone, code, records)? {
            Read::Answer { records, .. } => Ok(records),
            _ => Ok(Vec::new()),
        },
        _ => Err(away(zone, "its answer over TCP is none")),
    }
}

/// What its word for an answer means.
fn judge(zone: &Zone, code: u8, records: Vec<Record>) -> Result<Read, Fault> {
    match code {
        0 => Ok(Read::Answer { code, records }),
        // No such name: nobody is there.
        3 => Ok(Read::Answer { code, records: Vec::new() }),
        2 => Err(away(zone, "it says that it failed (SERVFAIL)")),
        5 => Err(away(zone, "it refuses to answer (REFUSED)")),
        _ => Err(away(zone, &format!("it answers with code {code}"))),
    }
}

fn away(zone: &Zone, why: &str) -> Fault {
    Fault::environment(format!("{} cannot be asked: {why}", Source::Dns(zone.clone()))).help(
        "is a server of DNS there, and does it answer for this name (`server` in `instances`)?",
    )
}
