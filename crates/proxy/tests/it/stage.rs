//! A proxy in this process, with an admin client of its own.
//!
//! Instances are in `backend`, clients in `client`; nothing is asserted here but that orders are obeyed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::admin::{AppSeen, InstanceSeen, ProxySeen, ReleaseSeen, Reply, Request};
use model::{
    AppName, Fault, Generation, HandOver, Hold, Instance, InstanceId, Pool, PoolState, ReleaseId,
    Routes, Rule, Spread, Version, Weight,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::backend::Backend;
use crate::client::Client;

/// Waits until something is so; fails after ten seconds.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An admin client.
pub(crate) struct Admin(BufReader<UnixStream>);

impl Admin {
    pub(crate) fn to(path: &Path) -> Self {
        let mut stream = None;
        wait_until("the admin socket takes connections", || {
            stream = UnixStream::connect(path).ok();
            stream.is_some()
        });
        let stream = stream.unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        self.0.get_mut().write_all(&line).unwrap();
        self.reply()
    }

    /// Sends one line as it is.
    pub(crate) fn say(&mut self, line: &str) -> Reply {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
        self.reply()
    }

    pub(crate) fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    pub(crate) fn hand_over(&mut self, address: SocketAddr, socket: impl AsFd) -> Reply {
        self.ask_with(&Request::Listen { address }, socket)
    }

    /// Asks with a descriptor.
    pub(crate) fn ask_with(&mut self, request: &Request, socket: impl AsFd) -> Reply {
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [socket.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let parts = [IoSlice::new(&line)];
        let sent = rustix::net::sendmsg(self.0.get_ref(), &parts, &mut control, SendFlags::empty());
        assert_eq!(sent.unwrap(), line.len());
        self.reply()
    }

    /// Asks for the listeners; gives the reply and the descriptors.
    pub(crate) fn listeners(&mut self) -> (Vec<SocketAddr>, VecDeque<OwnedFd>) {
        let mut line = serde_json::to_vec(&Request::Listeners).unwrap();
        line.push(b'\n');
        self.0.get_mut().write_all(&line).unwrap();
        let mut bytes = vec![0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let parts = &mut [IoSliceMut::new(&mut bytes)];
        let got = rustix::net::recvmsg(self.0.get_ref(), parts, &mut control, flags).unwrap().bytes;
        let mut descriptors = VecDeque::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                descriptors.extend(some);
            }
        }
        let Reply::Listeners { addresses } = serde_json::from_slice(&bytes[..got]).unwrap() else {
            panic!("not listeners")
        };
        (addresses, descriptors)
    }

    pub(crate) fn done(&mut self, request: &Request) {
        assert_eq!(self.ask(request), Reply::Done, "{request:?}");
    }

    pub(crate) fn refused(&mut self, request: &Request) -> Fault {
        match self.ask(request) {
            Reply::Refused(fault) => fault,
            other => panic!("{request:?} was not refused: {other:?}"),
        }
    }

    pub(crate) fn look(&mut self) -> ProxySeen {
        match self.ask(&Request::Look) {
            Reply::Seen(seen) => seen,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn app(&mut self) -> AppSeen {
        self.look().apps.into_iter().next().unwrap()
    }

    pub(crate) fn release(&mut self, number: u32) -> ReleaseSeen {
        let releases = self.app().releases;
        releases.into_iter().find(|one| one.release == ReleaseId(number)).unwrap()
    }

    pub(crate) fn instance(&mut self, name: &str) -> Option<InstanceSeen> {
        self.app().instances.into_iter().find(|one| one.id.0 == name)
    }

    /// True at the end of the connection.
    pub(crate) fn closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}

/// A pool of release `number`, whose version is `vN`.
pub(crate) fn pool(number: u32, weight: u16, backends: &[&Backend]) -> Pool {
    let instance = |backend: &&Backend| Instance {
        id: InstanceId(backend.name.clone()),
        address: backend.address,
    };
    Pool {
        release: ReleaseId(number),
        version: Version::new(format!("v{number}")).unwrap(),
        weight: Weight::new(weight).unwrap(),
        state: PoolState::Serving,
        instances: backends.iter().map(instance).collect(),
    }
}

pub(crate) fn retiring(pool: Pool) -> Pool {
    Pool { state: PoolState::Retiring, weight: Weight::NONE, ..pool }
}

/// Routes of the app `demo` for every host and path.
pub(crate) fn routes(generation: u64, pools: Vec<Pool>) -> Routes {
    Routes {
        app: AppName::new("demo").unwrap(),
        generation: Generation(generation),
        hosts: Vec::new(),
        path_prefix: "/".into(),
        pools,
        rules: Vec::new(),
        hold: None,
        hand_over: None,
        spread: Spread::default(),
    }
}

/// A proxy that runs on threads of this process.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) admin: Admin,
    pub(crate) socket: PathBuf,
    _directory: tempfile::TempDir,
    thread: Option<JoinHandle<Result<(), Fault>>>,
    generation: u64,
}

impl Stage {
    /// A proxy that listens and carries nothing yet.
    pub(crate) fn bare() -> Self {
        Self::on(&TcpListener::bind("127.0.0.1:0").unwrap(), None)
    }

    /// The same on a socket that others may share. Routes come before the listener: whoever is
    /// accepted must find them.
    pub(crate) fn on(listener: &TcpListener, pools: Option<Vec<Pool>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("proxy.sock");
        let options =
            proxy::Options { admin_socket: socket.clone(), threads: 2, allow_faults: true };
        let thread = std::thread::spawn(move || proxy::serve(options));
        let (admin, thread) = (Admin::to(&socket), Some(thread));
        let address = listener.local_addr().unwrap();
        let mut stage =
            Self { address, admin, socket, _directory: directory, thread, generation: 0 };
        if let Some(pools) = pools {
            stage.publish(pools);
        }
        assert_eq!(stage.admin.hand_over(address, listener), Reply::Done);
        stage
    }

    /// A proxy before one release.
    pub(crate) fn before(backends: &[&Backend]) -> Self {
        let mut stage = Self::bare();
        stage.publish(vec![pool(1, 10_000, backends)]);
        stage
    }

    pub(crate) fn publish(&mut self, pools: Vec<Pool>) {
        self.publish_with(pools, Vec::new());
    }

    /// New requests wait within these bounds; what is open on `pools` finishes.
    pub(crate) fn hold(&mut self, pools: Vec<Pool>, hold: Hold) {
        let expected = Generation(self.generation);
        self.generation += 1;
        let routes = Routes { hold: Some(hold), ..routes(self.generation, pools) };
        self.admin.done(&Request::Publish { epoch: 1, expected, routes });
    }

    /// The tunnels on some instances are to move.
    pub(crate) fn hand_over(&mut self, pools: Vec<Pool>, hand_over: HandOver) {
        let expected = Generation(self.generation);
        self.generation += 1;
        let routes = Routes { hand_over: Some(hand_over), ..routes(self.generation, pools) };
        self.admin.done(&Request::Publish { epoch: 1, expected, routes });
    }

    pub(crate) fn publish_with(&mut self, pools: Vec<Pool>, rules: Vec<Rule>) {
        self.publish_spread(pools, rules, Spread::default());
    }

    pub(crate) fn publish_spread(&mut self, pools: Vec<Pool>, rules: Vec<Rule>, spread: Spread) {
        let expected = Generation(self.generation);
        self.generation += 1;
        let routes = Routes { rules, spread, ..routes(self.generation, pools) };
        self.admin.done(&Request::Publish { epoch: 1, expected, routes });
    }

    pub(crate) fn client(&self) -> Client {
        Client::to(self.address)
    }

    /// Tells it to stop and waits for its end.
    pub(crate) fn stop(&mut self, within_ms: u64) {
        if let Some(thread) = self.thread.take() {
            self.admin.done(&Request::stop(within_ms));
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop(0);
        }
    }
}
