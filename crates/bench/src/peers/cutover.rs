//! Cutover's proxy, as `cutover up` starts it: the product's binary, and all else over its admin socket.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use model::admin::{AccessLog, KeyPair, LogFormat, Observation, Reply, Request};
use model::{
    AppName, Generation, Instance, InstanceId, Mark, Pool, PoolState, ReleaseId, Routes, Rule,
    Selector, Version, Weight,
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
    tell(&mut admin, &Request::Certify { pairs: vec![KeyPair { chain, key }] }, None)?;
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

/// One app with two releases, and a rule for the users of the new one.
fn routes(address: SocketAddr) -> Outcome<Routes> {
    let pool = |release: u32, weight| -> Outcome<Pool> {
        let id = InstanceId(format!("shop-{release}-1"));
        Ok(Pool {
            release: ReleaseId(release),
            version: Version::new(format!("v{release}"))?,
            weight,
            state: PoolState::Serving,
            instances: vec![Instance { id, address }],
        })
    };
    let mark = Mark::new(Selector::Cookie("cohort".to_owned()), "new")?;
    Ok(Routes {
        app: AppName::new("shop")?,
        generation: Generation(1),
        hosts: vec!["shop.test".to_owned()],
        path_prefix: "/".into(),
        pools: vec![pool(1, Weight::ALL)?, pool(2, Weight::NONE)?],
        rules: vec![Rule { mark, release: ReleaseId(2) }],
        spread: model::Spread::default(),
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
