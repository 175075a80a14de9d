//! Fuzz bodies of what TLS reads: certificate files, the dates in them, tickets that come back.
//!
//! Handshakes are not tried: they are rustls' own.

use std::path::PathBuf;
use std::sync::OnceLock;

use fuzz::corpus;
use model::admin::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ProducesTickets as _;

use super::tickets::Tickets;
use super::{check_pair, validity};

/// Where the bytes of a case lie; this process has one such file.
fn file() -> &'static PathBuf {
    static FILE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let made = || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        (directory, path)
    };
    &FILE.get_or_init(made).1
}

#[test]
fn certificate_files_are_taken_or_named_in_a_fault() {
    let words =
        &["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "\n", "AAAA", "=="];
    fuzz::run(corpus!("identity").words(words), |case| {
        std::fs::write(file(), &case.bytes).unwrap();
        let pair = KeyPair { chain: file().clone(), key: file().clone() };
        if let Err(fault) = check_pair(&pair) {
            assert!(fault.what.contains("identity.pem"), "{}", fault.what);
            assert!(fault.what.len() < 1_000 && !fault.what.contains("PRIVATE"), "{}", fault.what);
        }
    });
}

/// Dates are read from DER alone, which no PEM around it protects.
#[test]
fn validity_is_a_range_or_nothing() {
    fuzz::run(corpus!("identity"), |case| {
        let mut bytes = match CertificateDer::from_pem_slice(&case.bytes) {
            Ok(certificate) => certificate.to_vec(),
            Err(_) => case.bytes.clone(),
        };
        for _ in 0..case.random.usize(..4) {
            let at = case.random.usize(..=bytes.len());
            if at < bytes.len() {
                bytes[at] = case.random.u8(..);
            }
            bytes.truncate(case.random.usize(..2_000));
        }
        let found = validity::of(&bytes);
        // Behind the year 9999 there is no date in a certificate.
        assert!(found.is_none_or(|range| range.start.max(range.end) < 253_402_300_800));
        for end in 0..bytes.len().min(200) {
            let _never_panics = validity::of(&bytes[..end]);
        }
    });
}

#[test]
fn tickets_of_nobody_are_no_tickets() {
    fuzz::run(corpus!("identity"), |case| {
        let tickets = Tickets::new().unwrap();
        let plain = &case.bytes[..case.bytes.len().min(500)];
        let mut sealed = tickets.encrypt(plain).unwrap();
        assert_eq!(tickets.decrypt(&sealed).as_deref(), Some(plain));
        let at = case.random.usize(..sealed.len());
        sealed[at] ^= 1 << case.random.u8(..8);
        assert_eq!(tickets.decrypt(&sealed), None);
        assert_eq!(tickets.decrypt(&case.bytes), None);
    });
}
