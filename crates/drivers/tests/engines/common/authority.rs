//! Certificates for a test: an authority of its own, and those that it signs, as files in PEM.
//!
//! Who believes them is the test's affair.

use std::path::PathBuf;

use model::admin::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, date_time_ymd};

/// Somebody whose certificates are believed by who has its file.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, rcgen::KeyPair>,
    /// Its own certificate.
    pub(crate) ca: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        let name = folder.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, issuer.as_ref().pem()).unwrap();
        Self { folder, issuer, ca }
    }

    /// A certificate for these names and addresses, good until the first day of a year; `file` is what its
    /// files are called. An older one of that name is replaced.
    pub(crate) fn certify(&self, file: &str, names: &[&str], until: i32) -> KeyPair {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{file}{end}"));
        let pair = KeyPair { chain: path(".crt"), key: path(".key") };
        std::fs::write(&pair.chain, made.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}
