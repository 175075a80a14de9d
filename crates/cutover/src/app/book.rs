//! The book of orders: which were carried out, and which more than once.
//!
//! With a file all instances share one book, as they would a database; without it each has its own. It
//! never refuses an order that it knows: finding doubled ones is what it is for.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Largest book, bytes.
const BOOK_MAX: u64 = 256 << 20;

/// Doubled orders that are named.
const NAMED: usize = 10;

/// Orders that were carried out, one id per line.
#[derive(Debug)]
pub(super) enum Book {
    /// Shared with other instances.
    File(PathBuf),
    /// Of this one alone.
    Own(Mutex<String>),
}

/// What became of a run's orders.
#[derive(Serialize)]
pub(super) struct Account {
    orders: u64,
    doubled_orders: u64,
    doubled: Vec<String>,
}

impl Book {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        file.map_or_else(|| Self::Own(Mutex::default()), Self::File)
    }

    /// Carries out an order: writes it down.
    pub(super) fn place(&self, id: &str) -> io::Result<()> {
        let line = format!("{id}\n");
        match self {
            // One write of a short line at the end is whole, whoever else writes.
            Self::File(path) => {
                OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
            }
            Self::Own(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() as u64 > BOOK_MAX {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                lines.push_str(&line);
                Ok(())
            }
        }
    }

    /// Orders of a run, whose ids begin with its name and a dash.
    pub(super) fn account(&self, run: &str) -> io::Result<Account> {
        let lines = match self {
            Self::Own(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Self::File(path) => match std::fs::File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                opened => {
                    let mut lines = String::new();
                    opened?.take(BOOK_MAX).read_to_string(&mut lines)?;
                    lines
                }
            },
        };
        let own = |line: &&str| line.strip_prefix(run).is_some_and(|rest| rest.starts_with('-'));
        let mut times: BTreeMap<&str, u64> = BTreeMap::new();
        for id in lines.lines().filter(own) {
            *times.entry(id).or_default() += 1;
        }
        let doubled = || times.iter().filter(|(_, times)| **times > 1);
        Ok(Account {
            orders: times.len() as u64,
            doubled_orders: doubled().count() as u64,
            doubled: doubled().take(NAMED).map(|(id, _)| (*id).to_owned()).collect(),
        })
    }
}
