//! A fake of the proxy's admin socket, written from `model::admin`, with the proxy's rules for
//! epochs and generations. It carries no traffic. On demand it answers nonsense.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use model::admin::{
    AppSeen, HoldSeen, InstanceSeen, PastSeen, ProxySeen, ReleaseSeen, Reply, Request,
};
use model::{Fault, Kind};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// How the next questions are answered.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// By the rules.
    Honest,
    /// With these bytes, then the connection is closed.
    Says(Vec<u8>),
    /// Not at all; the connection stays open.
    Silent,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) mood: Mood,
    pub(crate) seen: ProxySeen,
    pub(crate) listeners: Vec<(SocketAddr, TcpListener)>,
    /// Every request, in order.
    pub(crate) asked: Vec<Request>,
    /// Connections accepted so far.
    pub(crate) accepted: usize,
    /// Closes each connection after one answer.
    pub(crate) hang_up: bool,
}

pub(crate) struct FakeProxy {
    folder: tempfile::TempDir,
    pub(crate) state: Arc<Mutex<State>>,
}

impl FakeProxy {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("admin")).unwrap();
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Honest,
            seen: ProxySeen { pid: 7, ..ProxySeen::default() },
            listeners: Vec::new(),
            asked: Vec::new(),
            accepted: 0,
            hang_up: false,
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                shared.lock().unwrap().accepted += 1;
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { folder, state }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("admin")
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }
}

fn serve(mut stream: UnixStream, state: &Mutex<State>) {
    while let Some((line, fds)) = read_line(&stream) {
        let mood = state.lock().unwrap().mood.clone();
        match mood {
            Mood::Silent => {
                let _until_closed = stream.read(&mut [0]);
                return;
            }
            Mood::Says(bytes) => {
                let _closed = stream.write_all(&bytes);
                return;
            }
            Mood::Honest => {}
        }
        let request: Request = serde_json::from_slice(&line).unwrap();
        let (reply, out) = answer(&mut state.lock().unwrap(), request, fds);
        write_line(&stream, &reply, &out);
        if state.lock().unwrap().hang_up {
            return;
        }
    }
}

fn answer(state: &mut State, request: Request, fds: Vec<OwnedFd>) -> (Reply, Vec<OwnedFd>) {
    state.asked.push(request.clone());
    let reply = match request {
        Request::Listen { address } => {
            let listener = fds.into_iter().next().map(TcpListener::from);
            let Some(listener) = listener else { return (refused("no descriptor"), Vec::new()) };
            state.listeners.push((address, listener));
            Reply::Done
        }
        Request::Listeners => {
            let addresses = state.listeners.iter().map(|(address, _)| *address).collect();
            let copies = state.listeners.iter().map(|(_, l)| l.try_clone().unwrap().into());
            return (Reply::Listeners { addresses }, copies.collect());
        }
        Request::Publish { epoch, expected, routes } => {
            let apps = &mut state.seen.apps;
            let there = apps.iter().position(|seen| seen.routes.app == routes.app);
            let now = there.map(|at| apps[at].routes.generation).unwrap_or_default();
            if epoch < state.seen.epoch {
                refused("an older epoch")
            } else if now != expected || routes.generation <= expected {
                refused("another generation")
            } else {
                let seen = seen_of(routes);
                match there {
                    Some(at) => apps[at] = seen,
                    None => apps.push(seen),
                }
                state.seen.epoch = epoch;
                Reply::Done
            }
        }
        Request::Withdraw { epoch, .. } if epoch < state.seen.epoch => refused("an older epoch"),
        Request::Withdraw { epoch, app } => {
            state.seen.epoch = epoch;
            state.seen.apps.retain(|seen| seen.routes.app != app);
            Reply::Done
        }
        Request::Look => Reply::Seen(state.seen.clone()),
        Request::Truncate { .. } => refused("faults are not allowed"),
        Request::ListenTls { .. } if fds.len() != 1 => refused("no descriptor"),
        Request::Stop { .. }
        | Request::Serve
        | Request::Configure { .. }
        | Request::Observe { .. }
        | Request::Certify { .. }
        | Request::CohortKey { .. }
        | Request::Succeed { .. }
        | Request::Include { .. }
        | Request::ListenTls { .. } => Reply::Done,
        Request::TicketKeys | Request::AdoptTicketKeys { .. } => refused("this fake has no keys"),
        Request::Account
        | Request::Survey { .. }
        | Request::Receipts(_)
        | Request::ForgetReceipts { .. } => refused("this fake counts nothing"),
        Request::Offenders { instances, .. } => Reply::Offenders(offenders(&instances)),
    };
    (reply, Vec::new())
}

/// Every instance carries one request and two tunnels.
fn seen_of(routes: model::Routes) -> AppSeen {
    let of_pool = |pool: &model::Pool| {
        let release = pool.release;
        let seen = move |i: &model::Instance| InstanceSeen {
            id: i.id.clone(),
            release,
            requests: 1,
            tunnels: 2,
            sockets: 0,
            ejected_ms: 0,
            ejections: 0,
        };
        pool.instances.iter().map(seen).collect::<Vec<_>>()
    };
    let instances = routes.pools.iter().flat_map(of_pool).collect();
    let total = |pool: &model::Pool| ReleaseSeen {
        release: pool.release,
        requests: 10,
        ..ReleaseSeen::default()
    };
    let releases = routes.pools.iter().map(total).collect();
    AppSeen { routes, instances, releases, past: PastSeen::default(), held: HoldSeen::default() }
}

/// One request on each instance, older on the later ones.
fn offenders(instances: &[model::InstanceId]) -> model::Offenders {
    let one = |(n, id): (usize, &model::InstanceId)| model::Offender {
        instance: id.clone(),
        tunnel: false,
        method: "GET".into(),
        path: "/slow".into(),
        age_ms: n as u64,
    };
    model::Offenders { oldest: instances.iter().enumerate().map(one).rev().collect(), more: 1 }
}

fn refused(why: &str) -> Reply {
    Reply::Refused(Fault::new(Kind::Conflict, why))
}

fn read_line(stream: &UnixStream) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut fds) = (Vec::new(), Vec::new());
    loop {
        let mut bytes = [0; 512];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let got = recvmsg(stream, into, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                fds.extend(more);
            }
        }
        if got.bytes == 0 {
            return None;
        }
        line.extend_from_slice(&bytes[..got.bytes]);
        if line.ends_with(b"\n") {
            return Some((line, fds));
        }
    }
}

/// In two pieces, so that whoever reads must put them together.
fn write_line(mut stream: &UnixStream, reply: &Reply, fds: &[OwnedFd]) {
    let mut line = serde_json::to_vec(reply).unwrap();
    line.push(b'\n');
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&borrowed));
    }
    let (first, rest) = line.split_at(3);
    let sent = sendmsg(stream, &[IoSlice::new(first)], &mut control, SendFlags::NOSIGNAL);
    if sent.is_ok() {
        let _closed = stream.write_all(rest);
    }
}
