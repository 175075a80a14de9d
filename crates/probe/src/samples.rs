//! The raw records of a run as a file: newline-delimited JSON, gzip.
//!
//! Writing happens on a thread of its own, so that a slow disk does not delay a send. The stream is
//! flushed every second: a prober that is killed leaves a readable file without its last second.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use model::Fault;
use model::attempt::{Attempt, BlindWindow, Connection, RunFooter, RunHeader, SampleLine};

/// Version of the format written here, and the newest one read.
pub const SCHEMA_VERSION: u32 = 2;

const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Longest word behind a run that is read, bytes.
const WORD_MOST: u64 = 1 << 20;

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What was asked.
    pub header: RunHeader,
    /// Every attempt, in the order in which they ended. A run with samples and a control socket leaves
    /// them to the file.
    pub attempts: Vec<Attempt>,
    /// Every connection, in the order in which they ended.
    pub connections: Vec<Connection>,
    /// When the prober saw nothing.
    pub blind: Vec<BlindWindow>,
    /// The prober's account of itself; missing when it died.
    pub footer: Option<RunFooter>,
    /// The run is whole, but its sample file is not; why.
    pub trouble: Option<Fault>,
}

impl Run {
    /// The header of a run that never began.
    pub(crate) fn no_header() -> RunHeader {
        RunHeader {
            schema_version: SCHEMA_VERSION,
            url: String::new(),
            t0_mono_ns: 0,
            t0_unix_ms: 0,
            rate: 0,
            lanes: Vec::new(),
            lanes_not_run: Vec::new(),
            clients: 0,
            late_after_us: 0,
            timeout_us: 0,
        }
    }
}

/// A sample file being written.
#[derive(Debug)]
pub struct Writer {
    ends: Mutex<Option<Ends>>,
}

#[derive(Debug)]
struct Ends {
    lines: Sender<SampleLine>,
    thread: JoinHandle<Result<(), Fault>>,
}

impl Writer {
    /// Creates the file, in place of an older one.
    pub fn create(path: &Path) -> Result<Self, Fault> {
        let file = File::create(path).map_err(|error| cannot("write", path, &error))?;
        let (lines, received) = channel();
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("probe-samples".to_owned())
            .spawn(move || {
                let gzip = GzEncoder::new(file, Compression::fast());
                write_lines(&received, gzip).map_err(|error| cannot("write", &path, &error))
            })
            .map_err(|error| Fault::environment(format!("cannot start a thread: {error}")))?;
        Ok(Self { ends: Mutex::new(Some(Ends { lines, thread })) })
    }

    /// Hands over one line; returns at once. Trouble is told by [`Writer::finish`].
    pub fn write(&self, line: SampleLine) {
        if let Some(ends) = &*self.ends.lock().unwrap_or_else(PoisonError::into_inner) {
            // An error means that the thread has met trouble; `finish` tells which.
            let _ = ends.lines.send(line);
        }
    }

    /// Writes the rest, completes the file and says whether all went well.
    pub fn finish(&self) -> Result<(), Fault> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ends { lines, thread }) = ends else { return Ok(()) };
        drop(lines);
        thread.join().unwrap_or_else(|_| Err(Fault::internal("the writer of samples died")))
    }
}

fn write_lines(lines: &Receiver<SampleLine>, mut gzip: GzEncoder<File>) -> io::Result<()> {
    let mut flush_at = Instant::now() + FLUSH_EVERY;
    let mut dirty = false;
    loop {
        match lines.recv_timeout(flush_at.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                serde_json::to_writer(&mut gzip, &line)?;
                gzip.write_all(b"\n")?;
                dirty = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() >= flush_at {
            if dirty {
                gzip.flush()?;
            }
            dirty = false;
            flush_at = Instant::now() + FLUSH_EVERY;
        }
    }
    gzip.finish()?.sync_all()
}

/// Reads a sample file. One that breaks off is read as far as it goes, and has no footer.
pub fn read(path: &Path) -> Result<Run, Fault> {
    let file = File::open(path).map_err(|error| cannot("read", path, &error))?;
    let mut input = BufReader::new(GzDecoder::new(BufReader::new(file)));
    let mut run: Option<Run> = None;
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(_) => {}
            Err(error) if breaks_off(&error) => {}
            Err(error) => return Err(cannot("read", path, &error)),
        }
        if line.pop() != Some(b'\n') {
            break;
        }
        let parsed = serde_json::from_slice(&line).map_err(|error| {
            let place = format!("line {number} of the samples in {}", path.display());
            Fault::environment(format!("{place} cannot be read: {error}"))
                .help("give a file written by `cutover probe` or `cutover deploy`")
        })?;
        add(&mut run, parsed, path)?;
    }
    run.ok_or_else(|| {
        Fault::environment(format!("{} holds no samples", path.display()))
            .help("give a file written by `cutover probe` or `cutover deploy`")
    })
}

/// Writes a word behind a whole run, as a gzip member of its own, which [`read`] passes over.
pub fn append(path: &Path, word: &str) -> Result<(), Fault> {
    let write = || {
        let file = File::options().append(true).open(path)?;
        let mut gzip = GzEncoder::new(file, Compression::fast());
        gzip.write_all(word.as_bytes())?;
        gzip.finish()?.sync_all()
    };
    write().map_err(|error| cannot("write", path, &error))
}

/// The word behind a run; `None` where there is none.
pub fn appended(path: &Path) -> Result<Option<String>, Fault> {
    let read = || {
        let mut run = GzDecoder::new(BufReader::new(File::open(path)?));
        io::copy(&mut run, &mut io::sink())?;
        let mut word = String::new();
        GzDecoder::new(run.into_inner()).take(WORD_MOST).read_to_string(&mut word)?;
        Ok(word)
    };
    match read() {
        Ok(word) => Ok(Some(word)),
        Err(error) if breaks_off(&error) => Ok(None),
        Err(error) => Err(cannot("read", path, &error)),
    }
}

fn add(run: &mut Option<Run>, line: SampleLine, path: &Path) -> Result<(), Fault> {
    match (line, run) {
        (SampleLine::Header(header), run @ None) => {
            if header.schema_version > SCHEMA_VERSION {
                let newer = format!("{} was written by a newer Cutover", path.display());
                return Err(Fault::environment(newer).help("read it with that version or later"));
            }
            let none = Run { header, ..empty() };
            *run = Some(none);
        }
        (SampleLine::Attempt(attempt), Some(run)) => run.attempts.push(attempt),
        (SampleLine::Connection(connection), Some(run)) => run.connections.push(connection),
        (SampleLine::Blind(window), Some(run)) => run.blind.push(window),
        (SampleLine::Footer(footer), Some(run)) => run.footer = Some(footer),
        (SampleLine::Header(_), Some(_)) | (_, None) => {
            let what = format!("{} is not one run: its header is misplaced", path.display());
            return Err(Fault::environment(what));
        }
    }
    Ok(())
}

fn empty() -> Run {
    Run {
        header: Run::no_header(),
        attempts: Vec::new(),
        connections: Vec::new(),
        blind: Vec::new(),
        footer: None,
        trouble: None,
    }
}

/// True for the error of a gzip stream that was cut.
fn breaks_off(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::environment(format!("cannot {verb} the samples in {}: {error}", path.display()))
        .help("check the path and its permissions")
}
