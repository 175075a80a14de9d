//! Which certificate a client is shown: exact name, then wildcard, then the first.
//!
//! All certificates are read and checked together and swapped in one step; a pair that cannot be
//! used changes nothing, or nothing but itself, as whoever tells it wants. It watches no files: it
//! reads them when it is told to.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use model::admin::KeyPair;
use model::{Fault, Kind};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::validity;

/// A file that is larger holds no certificates.
const LARGEST: u64 = 1 << 20;

/// The certificates of now.
#[derive(Debug, Default)]
pub(super) struct Certificates(ArcSwap<Known>);

/// Certificates by the names they are for; wildcards without their `*`.
#[derive(Debug, Default)]
struct Known {
    /// Where each was read from.
    read: Vec<(KeyPair, Arc<CertifiedKey>)>,
    first: Option<Arc<CertifiedKey>>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// Replaces all, or none.
    pub(super) fn replace(&self, pairs: &[KeyPair]) -> Result<(), Fault> {
        let mut known = Known::default();
        for pair in pairs {
            known.add(&Arc::new(timely(pair)?), pair)?;
        }
        self.0.store(Arc::new(known));
        Ok(())
    }

    /// Replaces all by those that can be used, and says what is wrong with the others: whose time is
    /// over comes after those that are valid, and what cannot be used stays as it was read before.
    pub(super) fn replace_usable(&self, pairs: &[KeyPair]) -> Result<Vec<String>, Fault> {
        let (before, mut known) = (self.0.load(), Known::default());
        let (mut later, mut wrong) = (Vec::new(), Vec::new());
        for pair in pairs {
            let done = read(pair).and_then(|(key, untimely)| match untimely {
                None => known.add(&Arc::new(key), pair),
                Some(fault) => {
                    later.push((pair, Arc::new(key)));
                    wrong.push((fault, "it is shown all the same"));
                    Ok(())
                }
            });
            let Err(fault) = done else { continue };
            let old = before.read.iter().find(|(known, _)| known == pair);
            later.extend(old.map(|(_, key)| (pair, Arc::clone(key))));
            let what = if old.is_some() { "the one before is shown" } else { "it is left out" };
            wrong.push((fault, what));
        }
        for (pair, key) in later {
            known.add(&key, pair)?;
        }
        if known.first.is_none() {
            return wrong.into_iter().next().map_or(Ok(Vec::new()), |(fault, _)| Err(fault));
        }
        self.0.store(Arc::new(known));
        Ok(wrong.into_iter().map(|(fault, what)| format!("{}; {what}", fault.what)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.load().first.is_none()
    }
}

impl Known {
    fn add(&mut self, key: &Arc<CertifiedKey>, pair: &KeyPair) -> Result<(), Fault> {
        let broken = |_| unusable(&pair.chain, "is not an X.509 certificate for servers");
        let leaf = key.end_entity_cert().map_err(|_| unusable(&pair.chain, "is empty"))?;
        let leaf = webpki::EndEntityCert::try_from(leaf).map_err(broken)?;
        for name in leaf.valid_dns_names() {
            let name = name.to_ascii_lowercase();
            // Of two certificates for one name, the one that was named first is shown.
            match name.strip_prefix('*') {
                Some(rest) => self.wildcard.entry(rest.to_owned()).or_insert(Arc::clone(key)),
                None => self.exact.entry(name).or_insert(Arc::clone(key)),
            };
        }
        self.first.get_or_insert_with(|| Arc::clone(key));
        self.read.push((pair.clone(), Arc::clone(key)));
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let wild = || name.find('.').and_then(|dot| self.wildcard.get(&name[dot..]));
        self.exact.get(name).or_else(wild)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = self.0.load();
        let named = hello.server_name().map(str::to_ascii_lowercase);
        let found = named.and_then(|name| known.find(&name).cloned());
        found.or_else(|| known.first.clone())
    }
}

/// Reads a pair as `Request::Certify` would and forgets it.
///
/// # Errors
/// It would be refused: a file cannot be read or is none of its kind, the certificate is not valid
/// now, the key belongs to another one. The first words are the file's path.
pub fn check_pair(pair: &KeyPair) -> Result<(), Fault> {
    Known::default().add(&Arc::new(timely(pair)?), pair)
}

/// Reads a chain and its key, which must be valid now.
fn timely(pair: &KeyPair) -> Result<CertifiedKey, Fault> {
    match read(pair)? {
        (key, None) => Ok(key),
        (_, Some(fault)) => Err(fault),
    }
}

/// Reads a chain and its key, and checks what can be checked without a client. Says apart if it is
/// only the wrong time for it.
fn read(pair: &KeyPair) -> Result<(CertifiedKey, Option<Fault>), Fault> {
    let chain = CertificateDer::pem_slice_iter(&content(&pair.chain)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&pair.chain, &in_words(&error)))?;
    let leaf = chain.first().ok_or_else(|| unusable(&pair.chain, "holds no certificate"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let untimely = match validity::of(leaf) {
        None => return Err(unusable(&pair.chain, "is not an X.509 certificate")),
        Some(validity) if now >= validity.end => {
            Some(unusable(&pair.chain, "has expired").help("renew it"))
        }
        Some(validity) if now < validity.start => {
            let help = "check the clock of this machine, or wait";
            Some(unusable(&pair.chain, "is not valid yet").help(help))
        }
        Some(_) => None,
    };
    let key = PrivateKeyDer::from_pem_slice(&content(&pair.key)?)
        .map_err(|error| unreadable(&pair.key, &in_words(&error)))?;
    let key = any_supported_type(&key)
        .map_err(|_| unusable(&pair.key, "is not a private key that can be used"))?;
    let key = CertifiedKey::new(chain, key);
    key.keys_match().map_err(|_| {
        unusable(&pair.key, &format!("does not belong to the certificate {}", pair.chain.display()))
            .help("name the key that the certificate was made for")
    })?;
    Ok((key, untimely))
}

/// What is wrong with PEM, without its content: that may be a key.
const fn in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section of it has no end",
        pem::Error::IllegalSectionStart { .. } => "a section of it begins with an odd line",
        pem::Error::Base64Decode(_) => "a section of it is not base64",
        pem::Error::NoItemsFound => "no private key is in it",
        _ => "it is not PEM",
    }
}

/// What is in a file; a pipe or a device is none, reading it might not end.
fn content(file: &Path) -> Result<Vec<u8>, Fault> {
    let trouble = |error: std::io::Error| unreadable(file, &error);
    if !std::fs::metadata(file).map_err(trouble)?.is_file() {
        return Err(unreadable(file, &"not a file"));
    }
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(trouble)?;
    if bytes.len() as u64 > LARGEST {
        return Err(unreadable(file, &"larger than 1 MiB"));
    }
    Ok(bytes)
}

fn unusable(file: &Path, why: &str) -> Fault {
    Fault::new(Kind::Config, format!("{} {why}", file.display()))
}

fn unreadable(file: &Path, error: &dyn fmt::Display) -> Fault {
    unusable(file, &format!("cannot be read: {error}")).help("name a PEM file this user can read")
}
