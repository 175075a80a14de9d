//! What the prober believes of a server's certificate, and what it shows of itself.
//!
//! It opens no connection; files are read by `trust`. One provider of cryptography, ring.

use std::path::PathBuf;
use std::sync::Arc;

use model::Fault;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

/// How servers and the prober show who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the roots to trust, instead of the system's (or those in `SSL_CERT_FILE`).
    pub ca: Option<PathBuf>,
    /// Take any certificate.
    pub insecure: bool,
    /// PEM files of the prober's own certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The two kinds of client: one that speaks HTTP/1.1, one that speaks HTTP/2.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) http1: Arc<ClientConfig>,
    pub(crate) http2: Arc<ClientConfig>,
}

impl Clients {
    /// Reads the files.
    pub(crate) fn new(tls: &Tls) -> Result<Self, Fault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if tls.insecure {
            Arc::new(Anyone(Arc::clone(&provider)))
        } else {
            let roots = Arc::new(trust::roots(tls.ca.as_deref())?);
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| Fault::environment(format!("the roots cannot be used: {error}")))?
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::internal(format!("no TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut http1 = match &tls.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let (certificates, secret) = (trust::chain(chain)?, trust::key(key)?);
                builder.with_client_auth_cert(certificates, secret).map_err(|error| {
                    let what = format!("{} and {}", chain.display(), key.display());
                    Fault::environment(format!("{what} make no client certificate: {error}"))
                })?
            }
        };
        // A session that goes on shows no certificate: one that nobody believes any more would be missed.
        http1.resumption = Resumption::disabled();
        let mut http2 = http1.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { http1: Arc::new(http1), http2: Arc::new(http2) })
    }
}

/// Takes any certificate; what was signed with it must still be signed rightly.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
