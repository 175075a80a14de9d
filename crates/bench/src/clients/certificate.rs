//! A certificate for this machine, as files for those who are told to trust it and for who shows it.
//!
//! No authority stands behind it, and it lives no longer than the trial's folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use crate::Outcome;

/// One of P-256 for 127.0.0.1, signed by itself.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// PEM.
    pub(crate) chain: PathBuf,
    /// PEM.
    pub(crate) key: PathBuf,
    /// Who shows it speaks HTTP/2 and nothing else.
    pub(crate) server: Arc<ServerConfig>,
}

impl Certificate {
    /// Makes one and writes it into a folder.
    pub(crate) fn make(folder: &Path) -> Outcome<Self> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate =
            rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?;
        let (chain, key_file) = (folder.join("chain.pem"), folder.join("key.pem"));
        std::fs::write(&chain, certificate.pem())?;
        std::fs::write(&key_file, key.serialize_pem())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { chain, key: key_file, server: Arc::new(server) })
    }
}
