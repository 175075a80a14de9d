//! What stands between clients and the two versions, and how it is switched: a router of requests, one of
//! connections, and a name whose address changes.
//!
//! When it is switched, and when the old version leaves, is not known here: `mod` says so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use model::admin::{KeyPair, Request};
use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Version, Weight,
};

use super::certificate::Certificate;
use crate::Outcome;
use crate::peers::cutover::{admin, tell};
use crate::peers::{free, says};
use crate::process::Process;

/// A router must answer this long after it was started.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Requests,
    Connections,
    /// The same, and the old version says `Connection: close` from the switch on.
    Announced,
    Name,
    /// The first three with HTTP/2 over TLS.
    Http2Requests,
    Http2Connections,
    Http2Announced,
}

/// Where things are.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) certificate: Certificate,
    pub(crate) cutover: PathBuf,
    pub(crate) testbed: PathBuf,
    /// True where `/etc/hosts` is ours alone.
    pub(crate) names: bool,
}

/// A router that carries to the old version until it is switched.
pub(crate) struct Router {
    /// What it is and says of itself.
    pub(crate) version: String,
    /// What clients ask.
    pub(crate) url: String,
    /// Moves everything to the new version.
    pub(crate) switch: Box<dyn FnMut() -> Outcome<()>>,
    _process: Option<Process>,
}

impl Kind {
    /// In the order in which they are shown.
    pub(crate) const ALL: [Self; 7] = [
        Self::Requests,
        Self::Connections,
        Self::Announced,
        Self::Name,
        Self::Http2Requests,
        Self::Http2Connections,
        Self::Http2Announced,
    ];

    /// In headings.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Requests => "A router that switches requests",
            Self::Connections => "A router that switches connections",
            Self::Announced => "The same, and the old version announces the end of its connections",
            Self::Name => "A name whose address changes",
            Self::Http2Requests => "HTTP/2: a router that switches requests",
            Self::Http2Connections => "HTTP/2: a router that switches connections",
            Self::Http2Announced => "HTTP/2: the same, and the old version says goodbye (GOAWAY)",
        }
    }

    /// True where clients speak HTTP/2 over TLS.
    pub(crate) const fn http2(self) -> bool {
        matches!(self, Self::Http2Requests | Self::Http2Connections | Self::Http2Announced)
    }

    /// True where the old version says from the switch on that its connections end.
    pub(crate) const fn announced(self) -> bool {
        matches!(self, Self::Announced | Self::Http2Announced)
    }

    /// Starts one in front of the two versions.
    pub(crate) fn start(self, place: &Place, ends: [SocketAddr; 2]) -> Outcome<Router> {
        match self {
            Self::Requests | Self::Http2Requests => proxy(place, ends, self.http2()),
            Self::Name => name(place, ends),
            _ => haproxy(place, ends, self.http2()),
        }
    }
}

fn proxy(place: &Place, ends: [SocketAddr; 2], secure: bool) -> Outcome<Router> {
    let socket = place.folder.path().join("admin");
    let mut command = Command::new(&place.cutover);
    command.args(["proxy", "--threads", "1", "--admin"]).arg(&socket);
    let process = Process::unpinned(&mut command, &place.folder.path().join("proxy.out"))?;
    let mut admin = admin(&socket)?;
    let publish = move |generation: u64, to: u32| -> Outcome<Request> {
        let routes = routes(ends, generation, to)?;
        Ok(Request::Publish { epoch: 1, expected: Generation(generation - 1), routes })
    };
    tell(&mut admin, &publish(1, 1)?, None)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    if secure {
        let Certificate { chain, key, .. } = &place.certificate;
        let pairs = vec![KeyPair { chain: chain.clone(), key: key.clone() }];
        tell(&mut admin, &Request::Certify { pairs, forgiving: false }, None)?;
        tell(&mut admin, &Request::ListenTls { address }, Some(&listener))?;
    } else {
        tell(&mut admin, &Request::Listen { address }, Some(&listener))?;
    }
    Ok(Router {
        version: says(&place.cutover, "--version")?,
        url: url(address, secure),
        switch: Box::new(move || tell(&mut admin, &publish(2, 2)?, None)),
        _process: Some(process),
    })
}

fn url(address: SocketAddr, secure: bool) -> String {
    format!("{}://{address}/", if secure { "https" } else { "http" })
}

/// Everything to one of the two.
fn routes(ends: [SocketAddr; 2], generation: u64, to: u32) -> Outcome<Routes> {
    let pool = |release: u32, address: SocketAddr| -> Outcome<Pool> {
        Ok(Pool {
            release: ReleaseId(release),
            version: Version::new(format!("v{release}"))?,
            weight: if release == to { Weight::ALL } else { Weight::NONE },
            state: PoolState::Serving,
            instances: vec![Instance { id: InstanceId(format!("app-{release}-1")), address }],
        })
    };
    Ok(Routes {
        app: AppName::new("app")?,
        generation: Generation(generation),
        hosts: Vec::new(),
        path_prefix: "/".into(),
        pools: vec![pool(1, ends[0])?, pool(2, ends[1])?],
        rules: Vec::new(),
        spread: model::Spread::default(),
        hold: None,
        hand_over: None,
    })
}

fn haproxy(place: &Place, [old, new]: [SocketAddr; 2], secure: bool) -> Outcome<Router> {
    let suites = ["sid", "trixie", "bookworm"].into_iter();
    let mut programs =
        suites.map(|suite| place.testbed.join(format!("haproxy-{suite}/usr/sbin/haproxy")));
    let program = programs.find(|program| program.is_file()).ok_or("no HAProxy on the test bed")?;
    let (listen, socket) = (free()?, place.folder.path().join("haproxy.sock"));
    let text = format!(
        "global\n  nbthread 1\n  stats socket {} mode 600 level admin\ndefaults\n  mode tcp\n  \
         timeout connect 2s\n  timeout client 75s\n  timeout server 75s\nfrontend app\n  \
         bind {listen}\n  default_backend app\nbackend app\n  server old {old}\n  \
         server new {new} disabled\n",
        socket.display()
    );
    let file = place.folder.path().join("haproxy.cfg");
    std::fs::write(&file, text)?;
    let mut command = Command::new(&program);
    command.arg("-db").arg("-f").arg(file);
    let process = Process::unpinned(&mut command, &place.folder.path().join("haproxy.out"))?;
    let until = Instant::now() + PATIENCE;
    while let Err(error) = runtime(&socket, "show info") {
        if Instant::now() > until {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(Router {
        version: format!("{}, mode tcp", says(&program, "-v")?),
        url: url(listen, secure),
        switch: Box::new(move || {
            runtime(&socket, "set server app/new state ready; set server app/old state maint")
        }),
        _process: Some(process),
    })
}

fn runtime(socket: &Path, words: &str) -> Outcome<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(format!("{words}\n").as_bytes())?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(())
}

fn name(place: &Place, [old, new]: [SocketAddr; 2]) -> Outcome<Router> {
    if !place.names {
        return Err("no mount namespace can be had here, so no name of our own".into());
    }
    point_to(old)?;
    Ok(Router {
        version: "`/etc/hosts`".to_owned(),
        url: format!("http://switch.test:{}/", old.port()),
        switch: Box::new(move || point_to(new)),
        _process: None,
    })
}

/// Whatever looks the name up from now on gets this address.
fn point_to(address: SocketAddr) -> Outcome<()> {
    Ok(std::fs::write(
        "/etc/hosts",
        format!("127.0.0.1 localhost\n{} switch.test\n", address.ip()),
    )?)
}
