//! What a client over TLS believes of a server's certificate, and what it shows of itself.
//!
//! Reads files in PEM and opens no connection: who is asked, and what a refusal means there, is the
//! caller's affair. One provider of cryptography, ring.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Fault;
use model::admin::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// A larger file holds no certificates.
const LARGEST: u64 = 4 << 20;

/// Where systems keep the roots that they trust, in one file: Debian and Alpine, Fedora (old and new),
/// openSUSE, the BSDs.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A client that believes whom [`roots`] names, and shows `shown` to who asks for it. No protocol is
/// offered (ALPN).
pub fn client(ca: Option<&Path>, shown: Option<&KeyPair>) -> Result<ClientConfig, Fault> {
    let roots = roots(ca)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::internal(format!("no TLS: {error}")))?
        .with_root_certificates(roots);
    let Some(KeyPair { chain, key }) = shown else { return Ok(builder.with_no_client_auth()) };
    builder.with_client_auth_cert(self::chain(chain)?, self::key(key)?).map_err(|error| {
        let what = format!("{} and {}", chain.display(), key.display());
        Fault::environment(format!("{what} make no client certificate: {error}"))
    })
}

/// Whom to believe: those in a file, or else the system's (`SSL_CERT_FILE`, if it is set).
pub fn roots(ca: Option<&Path>) -> Result<RootCertStore, Fault> {
    const FIX: &str = "name a PEM file of those to trust as `ca`";
    let named =
        ca.map(Path::to_owned).or_else(|| std::env::var_os("SSL_CERT_FILE").map(Into::into));
    let bundle = named.or_else(|| BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()));
    let bundle = bundle.ok_or_else(|| {
        Fault::environment("this system has no file of certificates that it trusts")
            .help(format!("install ca-certificates, or {FIX}"))
    })?;
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold some that nobody can use; one that was named must hold one at least.
    roots.add_parsable_certificates(chain(&bundle)?);
    if roots.is_empty() {
        let what = format!("{} holds no certificate that can be a root", bundle.display());
        return Err(Fault::environment(what).help(FIX));
    }
    Ok(roots)
}

/// The certificates of a file, in their order; there may be none.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    CertificateDer::pem_slice_iter(&content(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Fault::environment(format!("{} is no PEM file: {error}", path.display())))
}

/// The private key of a file; nothing of it is ever told.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(&content(path)?).map_err(|_| {
        // The error could quote the file, and that is a secret.
        Fault::environment(format!("{} holds no private key in PEM", path.display()))
    })
}

fn content(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut content));
    read.map_err(|error| {
        Fault::environment(format!("{} cannot be read: {error}", path.display()))
    })?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::admin::KeyPair;

    use super::{client, roots};

    #[test]
    fn files_that_are_of_no_use_are_named_and_no_key_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let ours = write("ours.pem", &made.cert.pem());
        let key = write("ours.key", &made.signing_key.serialize_pem());
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let (stranger, empty) = (write("other.key", &other), write("empty.pem", ""));
        assert_eq!(roots(Some(&ours)).unwrap().len(), 1);
        let said = |fault: model::Fault| format!("{fault} {fault:?}");
        assert!(said(roots(Some(&empty)).unwrap_err()).contains("holds no certificate"));
        let fault = said(roots(Some(Path::new("/nowhere/ca.pem"))).unwrap_err());
        assert!(fault.contains("/nowhere/ca.pem cannot be read"), "{fault}");
        let shown = |key: &Path| {
            let pair = KeyPair { chain: ours.clone(), key: key.to_owned() };
            client(Some(&ours), Some(&pair)).map(|_| ()).map_err(said)
        };
        shown(&key).unwrap();
        let fault = shown(&ours).unwrap_err();
        assert!(fault.contains("holds no private key") && !fault.contains("BEGIN"), "{fault}");
        let fault = shown(&stranger).unwrap_err();
        assert!(fault.contains("make no client certificate"), "{fault}");
    }
}
