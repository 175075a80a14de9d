//! Those who are measured: each started on ports of its own, configured as it would be in production,
//! and asked until it answers.
//!
//! As in production means: access log to a file, metrics, an active health check where there is one,
//! every timeout, limits of connections and for each client (none of which is reached), fields that say
//! who asked, a request id, and one rule that keeps clients in their cohort. That of Cutover is its own:
//! a canary of 10 % whose clients send the signed cookie that they were given; that of the others is a
//! cookie that says which. Caddy has no limits for each client.

mod caddy;
pub(crate) mod cutover;
mod haproxy;
mod nginx;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};

use crate::Outcome;
use crate::cores::Cores;
use crate::load::Target;
use crate::load::connection::given;
use crate::load::held::hold;
use crate::options::Options;
use crate::process::Process;

/// One must answer this long after it was started.
const PATIENCE: Duration = Duration::from_secs(20);

/// What clients send as cookies where they are given none.
const COOKIES: &str = "session=0123456789abcdef; cohort=old";

/// Where peers are started.
#[derive(Debug)]
pub(crate) struct Place {
    /// For configurations and logs.
    folder: tempfile::TempDir,
    cores: Cores,
    /// Whom they carry to.
    instance: SocketAddr,
    /// Certificate, then key.
    pem: (PathBuf, PathBuf),
    client: Arc<ClientConfig>,
    bare: bool,
    newcomers: bool,
    cutover: PathBuf,
    testbed: PathBuf,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What it is and says of itself.
    pub(crate) version: String,
    /// Where it listens.
    pub(crate) target: Target,
    /// Its process.
    pub(crate) process: Process,
}

/// What is known before a process runs.
struct Draft {
    version: String,
    command: Command,
    plain: SocketAddr,
    secure: Option<SocketAddr>,
}

impl Place {
    /// A folder with a certificate of P-256.
    pub(crate) fn new(options: &Options, cores: Cores, instance: SocketAddr) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate =
            rcgen::CertificateParams::new(vec!["shop.test".to_owned()])?.self_signed(&key)?;
        let pem = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        std::fs::write(&pem.0, certificate.pem())?;
        std::fs::write(&pem.1, key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        Ok(Self {
            folder,
            cores,
            instance,
            pem,
            client: Arc::new(client),
            bare: options.bare,
            newcomers: options.newcomers,
            cutover: options.cutover.canonicalize().unwrap_or_else(|_| options.cutover.clone()),
            testbed: options.testbed.canonicalize().unwrap_or_else(|_| options.testbed.clone()),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lines of a configuration that a bare run leaves out.
    fn unless_bare(&self, lines: String) -> String {
        if self.bare { String::new() } else { lines }
    }

    /// Starts one by its name and waits until it answers.
    pub(crate) async fn start(&self, name: &str) -> Outcome<Peer> {
        let mut draft = match name.split_once('-') {
            None if name == "cutover" => cutover::draft(self)?,
            None if name == "caddy" => caddy::draft(self)?,
            None if name == "pump" => pump(self)?,
            Some(("haproxy", version)) => haproxy::draft(self, version)?,
            Some(("nginx", version)) => nginx::draft(self, version)?,
            _ => return Err(format!("nobody is called `{name}`").into()),
        };
        let output = self.path(&format!("{name}.out"));
        let mut process = Process::start(&mut draft.command, self.cores, &output)?;
        if name == "cutover" {
            cutover::equip(self, draft.plain, draft.secure)?;
        }
        let target = Target {
            plain: draft.plain,
            secure: draft.secure,
            tls: Arc::clone(&self.client),
            cookie: COOKIES.into(),
        };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = hold(&target, crate::cases::Case::Idle, 1).await {
            if !process.runs() || Instant::now() > deadline {
                let said = std::fs::read_to_string(&output).unwrap_or_default();
                return Err(format!("{name} does not answer ({error}): {said}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let target = self.known(target).await?;
        Ok(Peer { version: draft.version, target, process })
    }

    /// The target as clients ask it that have been there before, unless newcomers are wanted.
    async fn known(&self, target: Target) -> Outcome<Target> {
        let Some(cookie) = given(&target).await? else { return Ok(target) };
        if self.newcomers {
            return Ok(target);
        }
        let target = Target { cookie: format!("{COOKIES}; {cookie}").into(), ..target };
        match given(&target).await? {
            None => Ok(target),
            Some(_) => Err("a client that sends the cookie it was given is given another".into()),
        }
    }
}

fn pump(place: &Place) -> Outcome<Draft> {
    let plain = free()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("pump").arg(plain.to_string()).arg(place.instance.to_string());
    Ok(Draft { version: "TCP pump".to_owned(), command, plain, secure: None })
}

/// An address that nobody listens on now.
pub(crate) fn free() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What a program says of its version: the first line that names one.
pub(crate) fn says(program: &Path, argument: &str) -> Outcome<String> {
    let ran = Command::new(program).arg(argument).output();
    let output = ran.map_err(|error| format!("{}: {error}", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()));
    Ok(line.ok_or_else(|| format!("{} says no version", program.display()))?.trim().to_owned())
}
