//! A certificate that all who are compared show, and clients that trust it.
//!
//! Nobody checks who signed it: those clients know it by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// For `a.test`, as files.
pub(crate) struct Identity {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one.
    pub(crate) both: PathBuf,
    der: CertificateDer<'static>,
}

impl Identity {
    /// A new one.
    pub(crate) fn of(folder: &Path) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let made = params.self_signed(&key).unwrap();
        let [chain, own, both] = ["chain.pem", "key.pem", "both.pem"].map(|name| folder.join(name));
        std::fs::write(&chain, made.pem()).unwrap();
        std::fs::write(&own, key.serialize_pem()).unwrap();
        std::fs::write(&both, made.pem() + &key.serialize_pem()).unwrap();
        Self { chain, key: own, both, der: made.der().clone() }
    }

    /// A client of its own, with its own memory of sessions.
    pub(crate) fn trusted(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}
