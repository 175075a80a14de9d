//! Cutover's proxy, as `cutover up` starts it: the product's binary, and all else over its admin socket.
//!
//! Its routes never change while it is measured.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use model::admin::{
    AccessLog, CohortKey, KeyPair, LogFormat, Observation, Reply, Request, Settings,
};
use model::fleet::HealthCheck;
use model::limits::Limits;
use model::{
    AppName, Cohorts, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Spread,
    Version, Watch, Weight,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::{Draft, PATIENCE, Place, free, says};
use crate::Outcome;

/// What is started.
pub(super) fn draft(place: &Place) -> Outcome<Draft> {
    let mut command = Command::new(&place.cutover);
    command.args(["proxy", "--threads", "1", "--admin"]).arg(place.path("admin"));
    let version = says(&place.cutover, "--version")?;
    Ok(Draft { version, command, plain: free()?, secure: Some(free()?) })
}

/// Gives it a certificate, routes, listeners and what it is looked at by.
pub(super) fn equip(place: &Place, plain: SocketAddr, secure: Option<SocketAddr>) -> Outcome<()> {
    let mut admin = admin(&place.path("admin"))?;
    let (chain, key) = place.pem.clone();
    tell(
        &mut admin,
        &Request::Certify { pairs: vec![KeyPair { chain, key }], forgiving: false },
        None,
    )?;
    tell(&mut admin, &Request::CohortKey { key: CohortKey([7; 32]) }, None)?;
    tell(&mut admin, &Request::Configure { settings: settings() }, None)?;
    let routes = routes(place.instance)?;
    tell(&mut admin, &Request::Publish { epoch: 1, expected: Generation(0), routes }, None)?;
    let listener = TcpListener::bind(plain)?;
    tell(&mut admin, &Request::Listen { address: plain }, Some(&listener))?;
    if let Some(address) = secure {
        let listener = TcpListener::bind(address)?;
        tell(&mut admin, &Request::ListenTls { address }, Some(&listener))?;
    }
    if place.bare {
        return Ok(());
    }
    let access_log = Some(AccessLog {
        path: place.path("cutover-access.log"),
        format: LogFormat::Json,
        query: false,
    });
    let observation = Observation { access_log, metrics: Some(free()?) };
    tell(&mut admin, &Request::Observe { observation }, None)?;
    Ok(())
}

/// The admin socket of a proxy that has just been started.
pub(crate) fn admin(path: &Path) -> Outcome<BufReader<UnixStream>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(BufReader::new(stream)),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Every timeout and every limit there is, none of which is reached.
fn settings() -> Settings {
    let limits = Limits {
        client_age_ms: 3_600_000,
        request_ms: 300_000,
        body_bytes: 64 << 20,
        client_connections: 17_000,
        client_requests: 17_000,
        client_rate: 1_000_000,
        // The clients are here.
        exempt: Vec::new(),
        ..Limits::default()
    };
    Settings { answer_silence_ms: 300_000, max_connections: 18_000, limits, ..Settings::default() }
}

/// One app in mid-canary: a tenth of the clients is on the new release, and all stay where they are.
fn routes(address: SocketAddr) -> Outcome<Routes> {
    let pool = |release: u32, weight: u16| -> Outcome<Pool> {
        let id = InstanceId(format!("shop-{release}-1"));
        Ok(Pool {
            release: ReleaseId(release),
            version: Version::new(format!("v{release}"))?,
            weight: Weight::new(weight)?,
            state: PoolState::Serving,
            instances: vec![Instance { id, address }],
        })
    };
    // Nobody speaks to this proxy while it is measured, so it checks by itself.
    let how = HealthCheck {
        path: Some("/health".to_owned()),
        command: Vec::new(),
        interval_ms: 2_000,
        timeout_ms: 1_000,
        rise: 2,
        fall: 3,
    };
    let watch = |release| Watch { release: ReleaseId(release), how: how.clone(), fail_open: 50 };
    let spread = Spread {
        cohorts: Some(Cohorts { header: None, cookie: true }),
        checks: vec![watch(1), watch(2)],
        ..Spread::default()
    };
    Ok(Routes {
        app: AppName::new("shop")?,
        generation: Generation(1),
        hosts: vec!["shop.test".to_owned()],
        path_prefix: "/".into(),
        pools: vec![pool(1, 9_000)?, pool(2, 1_000)?],
        rules: Vec::new(),
        spread,
        hold: None,
        hand_over: None,
    })
}

/// Says something to a proxy, and expects no more than that it is done.
pub(crate) fn tell(
    admin: &mut BufReader<UnixStream>,
    request: &Request,
    listener: Option<&TcpListener>,
) -> Outcome<()> {
    match ask(admin, serde_json::to_vec(request)?, listener)? {
        Reply::Done => Ok(()),
        other => Err(format!("Cutover's proxy said {other:?}").into()),
    }
}

fn ask(
    admin: &mut BufReader<UnixStream>,
    mut line: Vec<u8>,
    listener: Option<&TcpListener>,
) -> Outcome<Reply> {
    line.push(b'\n');
    match listener {
        None => admin.get_mut().write_all(&line)?,
        Some(listener) => {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = [listener.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            let parts = [IoSlice::new(&line)];
            rustix::net::sendmsg(admin.get_ref(), &parts, &mut control, SendFlags::empty())?;
        }
    }
    let mut line = String::new();
    admin.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
