//! The file of the access log, and the one thread that writes to it.
//!
//! Threads that carry requests hand it whole batches of lines through a queue that none of them ever
//! waits for: when it is full, or the disk is, lines are dropped and counted. A file that was renamed
//! is left and its path opened anew, before the next batch or when a signal says so.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Thread};

use model::Fault;
use rustix::fs::OFlags;

use crate::counters::Totals;
use crate::limits;

/// Lines that were written together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whole lines.
    pub(super) lines: Vec<u8>,
    /// How many.
    pub(super) count: u64,
    /// Where the emptied room goes back to.
    pub(super) back: SyncSender<Vec<u8>>,
}

/// The thread and the way to it.
#[derive(Debug)]
pub(super) struct Writer {
    queue: SyncSender<Batch>,
    thread: Thread,
    wishes: Arc<Wishes>,
    /// For whoever ends the process.
    over: Mutex<Receiver<()>>,
}

/// What the thread is to do beside writing.
#[derive(Debug, Default)]
struct Wishes {
    reopen: AtomicBool,
    end: AtomicBool,
}

impl Writer {
    /// Opens the file and starts its thread.
    pub(super) fn start(path: &Path, totals: Arc<Totals>) -> Result<Self, Fault> {
        let trouble = |error: io::Error| {
            Fault::environment(format!("cannot open the access log {}: {error}", path.display()))
                .help("name a file that the user who runs Cutover can write to")
        };
        let file = open(path).map_err(trouble)?;
        let (queue, batches) = sync_channel(limits::LOG_BATCHES);
        let (ended, over) = sync_channel(0);
        let wishes = Arc::new(Wishes::default());
        let known = Arc::clone(&wishes);
        let mut pages =
            Pages { path: path.to_owned(), file: Some(file), torn: false, failing: false, totals };
        let run = move || {
            // Dropped at the end, which is how it is told.
            let _ended = ended;
            pages.run(&batches, &known);
        };
        let thread =
            thread::Builder::new().name("access-log".into()).spawn(run).map_err(trouble)?;
        let over = Mutex::new(over);
        Ok(Self { queue, thread: thread.thread().clone(), wishes, over })
    }

    /// Hands over a batch, or gives it back when the thread is behind. Never waits.
    pub(super) fn hand_over(&self, batch: Batch) -> Result<(), Batch> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        match self.queue.try_send(batch) {
            Ok(()) => {
                self.thread.unpark();
                Ok(())
            }
            Err(Full(batch) | Disconnected(batch)) => Err(batch),
        }
    }

    /// Has the path opened anew.
    pub(super) fn reopen(&self) {
        self.wishes.reopen.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Waits until all that was handed over is written, or a disk that does nothing has had its time.
    pub(super) fn finish(&self) {
        self.end();
        if let Ok(over) = self.over.lock() {
            // The thread's end closes the channel; too late is as good as done.
            let _ = over.recv_timeout(limits::LOG_FINISH);
        }
    }

    fn end(&self) {
        self.wishes.end.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The file as its thread has it.
struct Pages {
    path: PathBuf,
    file: Option<File>,
    /// The last line was written in part.
    torn: bool,
    /// Nothing could be written lately, and that was said.
    failing: bool,
    totals: Arc<Totals>,
}

impl Pages {
    fn run(&mut self, batches: &Receiver<Batch>, wishes: &Wishes) {
        loop {
            // Asked before the queue is: what was handed over before the wish is written.
            let end = wishes.end.load(Ordering::Acquire);
            let reopen = wishes.reopen.swap(false, Ordering::AcqRel);
            match batches.try_recv() {
                Ok(batch) => self.take(batch, reopen),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) if end => return,
                Err(TryRecvError::Empty) => {
                    if reopen {
                        self.reopen();
                    }
                    thread::park();
                }
            }
        }
    }

    fn take(&mut self, mut batch: Batch, reopen: bool) {
        if reopen || self.file.as_ref().is_none_or(|file| self.is_elsewhere(file)) {
            self.reopen();
        }
        match self.write(&batch.lines) {
            Ok(()) => {
                self.totals.lines_written.add(batch.count);
                self.failing = false;
            }
            Err(error) => {
                self.totals.lines_dropped.add(batch.count);
                self.complain(&error);
            }
        }
        batch.lines.clear();
        // Its thread may have ended, or have enough.
        let _ = batch.back.try_send(batch.lines);
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        if self.torn {
            file.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    let (written, left) = rest.split_at(bytes);
                    self.torn = !written.ends_with(b"\n");
                    rest = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// True when the path leads to another file now, or to none.
    fn is_elsewhere(&self, file: &File) -> bool {
        let (Ok(open), found) = (file.metadata(), std::fs::metadata(&self.path)) else {
            return true;
        };
        found.map_or(true, |found| (found.dev(), found.ino()) != (open.dev(), open.ino()))
    }

    /// What cannot be opened is tried again before the next batch.
    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => (self.file, self.torn) = (Some(file), false),
            Err(error) => self.complain(&error),
        }
    }

    /// Says it once for as long as it lasts.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let path = self.path.display();
            tracing::warn!("lines of the access log {path} are dropped: {error}");
        }
    }
}

/// Opens for appending; what nobody reads (a pipe) is refused and not waited for.
fn open(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .custom_flags(nonblocking)
        .open(path)?;
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags.difference(OFlags::NONBLOCK))?;
    Ok(file)
}
