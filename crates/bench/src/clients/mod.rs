//! `cargo xtask clients`: what each kind of client does when the service behind its URL is switched.
//!
//! Two versions of a small app, several ways of switching between them, and every client that is here, all at
//! the same time: half with GET, half with POST; then the same with long bodies, and with what stays open. Three
//! seconds after the switch (six where bodies are long) the old version leaves: each connection to it that is still kept ends under a request,
//! and what is long is cut. Prints tables and judges nothing; with the word `--long` those of long things alone.

mod certificate;
mod instance;
mod kinds;
mod lanes;
mod leaving;
mod long;
mod routers;
mod streams;
mod table;
mod tally;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use model::Lane;

use crate::Outcome;
use certificate::Certificate;
use instance::Instance;
use kinds::{Asks, Client, Kind};
use lanes::Lanes;
use routers::{Place, Traffic};
use streams::Streams;
use tally::{Moments, Seen};

/// From the switch until the old version leaves: time enough for what was under way to end, and for the next.
const fn stays(traffic: Traffic) -> Duration {
    match traffic {
        Traffic::Slow => Duration::from_secs(6),
        Traffic::Http1 | Traffic::Http2 | Traffic::Open => Duration::from_secs(3),
    }
}

/// From there until nobody asks any more, at least.
const LEFT: Duration = Duration::from_millis(2_500);
/// Who has not been answered by the new version then is waited for, so long at most: names are cached.
const BACK: Duration = Duration::from_mins(2);
/// Every client must have had answers so long after it was started.
const PATIENCE: Duration = Duration::from_secs(30);
/// Answers that a client has had before anything is switched.
const WARM: usize = 5;
/// The same where each takes its time.
const WARM_SLOW: usize = 2;
/// Answers may be so much rarer than they are asked for, on a busy machine.
const STILL: Duration = Duration::from_millis(500);
/// Bytes of a long body that is sent.
const LONG: usize = 4 << 20;

/// What one kind of client has seen behind one router.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    get: Seen,
    /// `None` for the prober's lanes, which ask in one way, and for what stays open.
    post: Option<Seen>,
    /// True where silence means something: it would hear of the service all the time.
    hears: bool,
}

/// One router and all clients.
#[derive(Debug)]
struct Trial {
    kind: routers::Kind,
    /// What the router says of itself, or why there is none.
    router: Result<String, String>,
    rows: Vec<Row>,
}

/// Runs all of it; `words` are those after `clients`.
pub(crate) fn run(words: &[&str]) -> Outcome<()> {
    let inside = words.contains(&"--inside");
    let long = words.contains(&"--long");
    if !inside && Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success()) {
        // A name of our own, which nobody else on the machine sees.
        let own = std::env::current_exe()?;
        let status = Command::new("unshare")
            .arg("-m")
            .arg(own)
            .args(["clients", "--inside"])
            .args(words)
            .status()?;
        return if status.success() { Ok(()) } else { Err(status.to_string().into()) };
    }
    let folder = tempfile::tempdir()?;
    let place = Place {
        certificate: Certificate::make(folder.path())?,
        folder,
        cutover: std::env::current_exe()?.with_file_name("cutover"),
        testbed: std::path::absolute("target/testbed")?,
        names: inside && own_names()?,
    };
    let folder = place.folder.path();
    kinds::unpack(folder)?;
    let (mut here, mut versions, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for kind in kinds::ALL {
        match kind.version(folder, &place.testbed) {
            Ok(version) => {
                here.push(kind);
                versions.push((kind.name, version));
            }
            Err(why) => missing.push((kind.name, why.to_string())),
        }
    }
    let mut trials = Vec::new();
    let wanted =
        |kind: &routers::Kind| !long || matches!(kind.traffic(), Traffic::Slow | Traffic::Open);
    for kind in routers::Kind::ALL.into_iter().filter(wanted) {
        eprintln!("{}", kind.title());
        trials.push(trial(&place, kind, &here).unwrap_or_else(|error| Trial {
            kind,
            router: Err(error.to_string()),
            rows: Vec::new(),
        }));
    }
    print!("{}", table::markdown(&trials, &versions, &missing));
    Ok(())
}

/// A hosts file of our own in this mount namespace.
fn own_names() -> Outcome<bool> {
    let file = tempfile::NamedTempFile::new()?.keep()?.1;
    let bound = Command::new("mount").arg("--bind").arg(&file).arg("/etc/hosts").status()?;
    std::fs::remove_file(file)?;
    Ok(bound.success())
}

/// The same port on two addresses, so that a name alone tells them apart.
fn doors() -> Outcome<[TcpListener; 2]> {
    for _ in 0..100 {
        let old = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = old.local_addr()?.port();
        if let Ok(new) = TcpListener::bind(SocketAddr::from(([127, 0, 0, 2], port))) {
            return Ok([old, new]);
        }
    }
    Err("no port is free on two addresses".into())
}

/// A version of the app, over what the router hands on.
enum Version {
    Requests(Instance),
    Streams(Streams),
}

impl Version {
    fn start(
        place: &Place,
        kind: routers::Kind,
        version: &'static str,
        door: TcpListener,
    ) -> Outcome<Self> {
        // A router of requests ends HTTP/2 itself.
        if kind.traffic() == Traffic::Http2 && !kind.of_requests() {
            let server = place.certificate.server.clone();
            return Streams::start(version, door, server).map(Self::Streams);
        }
        Instance::start(version, door).map(Self::Requests)
    }

    const fn address(&self) -> SocketAddr {
        match self {
            Self::Requests(instance) => instance.address,
            Self::Streams(instance) => instance.address,
        }
    }

    fn announce(&self) {
        match self {
            Self::Requests(instance) => instance.announce(),
            Self::Streams(instance) => instance.announce(),
        }
    }

    fn leave(&self) {
        match self {
            Self::Requests(instance) => instance.leave(),
            Self::Streams(instance) => instance.leave(),
        }
    }
}

fn trial(place: &Place, kind: routers::Kind, here: &[Kind]) -> Outcome<Trial> {
    let [old, new] = doors()?;
    let start = |version, door| Version::start(place, kind, version, door);
    let (old, new) = (start("v1", old)?, start("v2", new)?);
    let mut router = kind.start(place, [old.address(), new.address()])?;
    let traffic = kind.traffic();
    let here: Vec<&Kind> = here.iter().filter(|client| client.takes_part(traffic)).collect();
    let lanes = Lanes::start(&router.url, traffic)?;
    let clients = started(place, traffic, &here, &router.url)?;
    let until = Instant::now() + PATIENCE;
    let enough = if traffic == Traffic::Slow { WARM_SLOW } else { WARM };
    let warm = |client: &Client| client.said().len() >= enough;
    while !clients.iter().flatten().all(warm) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    (router.switch)()?;
    let switched = Instant::now();
    if kind.announced() {
        old.announce();
    }
    std::thread::sleep(stays(traffic));
    // A slow one may be taken slowly besides.
    let still = STILL + if traffic == Traffic::Slow { long::TAKES * 2 } else { Duration::ZERO };
    let moments = Moments { switched, left: Instant::now(), still };
    old.leave();
    std::thread::sleep(LEFT);
    let until = Instant::now() + BACK;
    let back = |client: &Client| tally::is_back(&client.said(), moments.left);
    while !clients.iter().flatten().all(back) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut rows = Vec::new();
    for (lane, said) in lanes.end()? {
        let name = format!("`cutover probe`, lane {}", lane.name());
        let hears = lane == Lane::Websocket;
        rows.push(Row { name, get: tally::seen(&said, moments), post: None, hears });
    }
    for (kind, clients) in here.iter().zip(&clients) {
        let mut seen = clients.iter().map(|client| tally::seen(&client.said(), moments));
        let (Some(get), post) = (seen.next(), seen.next()) else { continue };
        let name = kind.name.to_owned();
        rows.push(Row { name, get, post, hears: traffic == Traffic::Open });
    }
    Ok(Trial { kind, router: Ok(router.version), rows })
}

/// Each client as often as it has ways to ask.
fn started(
    place: &Place,
    traffic: Traffic,
    here: &[&Kind],
    url: &str,
) -> Outcome<Vec<Vec<Client>>> {
    let folder = place.folder.path();
    let (path, body) = match traffic {
        Traffic::Slow => ("slow", vec![b'x'; LONG]),
        Traffic::Http1 | Traffic::Http2 | Traffic::Open => ("", b"{}".to_vec()),
    };
    std::fs::write(folder.join("body"), &body)?;
    let methods: &[&str] = if traffic == Traffic::Open { &["GET"] } else { &["GET", "POST"] };
    let start = |kind: &&Kind| -> Outcome<Vec<Client>> {
        let asks = methods.iter().map(|method| Asks { method, url, path, body: body.len() });
        asks.map(|asks| kind.start(folder, &asks)).collect()
    };
    here.iter().map(start).collect()
}
