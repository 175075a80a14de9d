//! Certificates for tests, and clients that trust them. What a proxy does with them is tried in `tls`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::admin::{KeyPair, Reply, Request};
use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::Client;
use crate::stage::Stage;

/// A certificate that signed itself, and its files.
pub(crate) struct Identity {
    pub(crate) pair: KeyPair,
    pub(crate) der: CertificateDer<'static>,
}

impl Identity {
    /// For these names, valid in these years.
    pub(crate) fn valid(file: &Path, names: &[&str], (from, until): (i32, i32)) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let made = params.self_signed(&key).unwrap();
        let pair = KeyPair { chain: file.with_extension("crt"), key: file.with_extension("key") };
        std::fs::write(&pair.chain, made.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        Self { pair, der: made.der().clone() }
    }

    pub(crate) fn of(file: &Path, names: &[&str]) -> Self {
        Self::valid(file, names, (2020, 4000))
    }

    /// A client's configuration that trusts this one alone.
    pub(crate) fn trusted(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// A TLS listener for a proxy; it must have certificates already.
pub(crate) fn listen(stage: &mut Stage) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reply = stage.admin.ask_with(&Request::ListenTls { address }, &listener);
    assert_eq!(reply, Reply::Done);
    address
}

/// A client over TLS.
pub(crate) type Secure = Client<StreamOwned<ClientConnection, TcpStream>>;

/// Connects and shakes hands.
pub(crate) fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> Result<Secure, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    socket.set_nodelay(true).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket).map_err(|error| error.to_string())?;
    }
    Ok(Client::over(StreamOwned::new(session, socket)))
}
