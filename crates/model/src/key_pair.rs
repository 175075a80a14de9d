//! A certificate and its key, as files. Nothing is read here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A certificate and its private key, as files in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// The certificate, and behind it those that lead to its root.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}
