//! A unix socket in front of another one, which on demand answers nonsense itself.
//!
//! It knows no command of HAProxy's: it looks for words and counts lines.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The relay; it ends with the test's process.
pub(crate) struct Relay {
    nonsense: Arc<Mutex<Option<Vec<u8>>>>,
    cut: Arc<AtomicUsize>,
    refused: Arc<Mutex<Option<String>>>,
}

impl Relay {
    pub(crate) fn start(at: &Path, behind: &Path) -> Self {
        let listener = UnixListener::bind(at).unwrap();
        let nonsense: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let cut: Arc<AtomicUsize> = Arc::default();
        let refused: Arc<Mutex<Option<String>>> = Arc::default();
        let words = Arc::clone(&refused);
        let (shared, lines, behind) = (Arc::clone(&nonsense), Arc::clone(&cut), behind.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (says, behind) = (shared.lock().unwrap().clone(), behind.clone());
                let cut = lines.load(Ordering::SeqCst);
                let refused = words.lock().unwrap().clone();
                // Each by itself: a worker that ends in mid-question may leave its asker waiting.
                std::thread::spawn(move || {
                    // Whoever hangs up early gets no more: that is part of what is tested.
                    let _hung_up = carry(stream, &behind, (says, refused), cut);
                });
            }
        });
        Self { nonsense, cut, refused }
    }

    /// Leaves out so many lines at the end of every answer, as a connection that breaks does.
    pub(crate) fn cut(&self, lines: usize) {
        self.cut.store(lines, Ordering::SeqCst);
    }

    /// Answers commands with these words in them itself, with a refusal, as a HAProxy does that is out
    /// of memory.
    pub(crate) fn refuse(&self, words: Option<&str>) {
        *self.refused.lock().unwrap() = words.map(str::to_owned);
    }

    pub(crate) fn say(&self, nonsense: Option<&[u8]>) {
        *self.nonsense.lock().unwrap() = nonsense.map(<[u8]>::to_vec);
    }
}

fn carry(
    mut client: UnixStream,
    behind: &Path,
    (says, refused): (Option<Vec<u8>>, Option<String>),
    cut: usize,
) -> std::io::Result<()> {
    let (mut question, mut answer) = (Vec::new(), Vec::new());
    client.read_to_end(&mut question)?;
    if let Some(nonsense) = says {
        return client.write_all(&nonsense);
    }
    if refused.is_some_and(|words| String::from_utf8_lossy(&question).contains(&words)) {
        return client.write_all(b"Out of memory.\n\n");
    }
    let mut server = UnixStream::connect(behind)?;
    server.write_all(&question)?;
    server.shutdown(Shutdown::Write)?;
    server.read_to_end(&mut answer)?;
    let lines: Vec<&[u8]> = answer.split_inclusive(|byte| *byte == b'\n').collect();
    client.write_all(&lines[..lines.len().saturating_sub(cut)].concat())
}
