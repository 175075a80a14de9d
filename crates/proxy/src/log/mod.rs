//! The access log: a line for each request that has ended.
//!
//! Each thread writes its lines into a buffer of its own and hands it over when it is nearly full, or
//! when a second has passed; no request waits for the disk or for another thread. What a line says
//! stands in `line`, who writes the file in `writer`.

mod escape;
mod line;
mod moment;
mod words;
mod writer;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::Fault;
use model::admin::AccessLog;

use crate::counters::Totals;
use crate::limits;
use moment::Moments;
use writer::{Batch, Writer};

pub(crate) use line::Said;
pub(crate) use words::Words;

/// One access log; shared by all threads.
#[derive(Debug)]
pub(crate) struct Log {
    /// What was asked for.
    pub(crate) told: AccessLog,
    writer: Writer,
    totals: Arc<Totals>,
}

impl Log {
    /// Opens the file.
    pub(crate) fn open(told: &AccessLog, totals: &Arc<Totals>) -> Result<Self, Fault> {
        let writer = Writer::start(&told.path, Arc::clone(totals))?;
        Ok(Self { told: told.clone(), writer, totals: Arc::clone(totals) })
    }

    /// Opens the path anew: its file was moved away.
    pub(crate) fn reopen(&self) {
        self.writer.reopen();
    }

    /// Waits until what was handed over is written, for a moment at most.
    pub(crate) fn finish(&self) {
        self.writer.finish();
    }
}

/// The lines of one thread.
#[derive(Debug)]
pub(crate) struct Pen {
    log: Option<Arc<Log>>,
    lines: Vec<u8>,
    count: u64,
    moments: Moments,
    emptied: Receiver<Vec<u8>>,
    back: SyncSender<Vec<u8>>,
}

impl Default for Pen {
    fn default() -> Self {
        let (back, emptied) = sync_channel(limits::LOG_SPARE);
        let (log, lines, moments) = (None, Vec::new(), Moments::default());
        Self { log, lines, count: 0, moments, emptied, back }
    }
}

impl Pen {
    /// Writes one line for that log.
    pub(crate) fn write(&mut self, log: &Arc<Log>, said: &Said<'_>) {
        if !self.log.as_ref().is_some_and(|present| Arc::ptr_eq(present, log)) {
            self.flush();
            self.log = Some(Arc::clone(log));
        }
        said.write(log.told.format, &mut self.moments, &mut self.lines);
        self.count += 1;
        if self.lines.len() >= limits::LOG_BATCH {
            self.flush();
        }
    }

    /// Hands over what there is. What the file does not keep up with is dropped, and counted.
    pub(crate) fn flush(&mut self) {
        let Some(log) = self.log.take() else { return };
        let lines = std::mem::replace(&mut self.lines, self.emptied.try_recv().unwrap_or_default());
        let count = std::mem::take(&mut self.count);
        let batch = Batch { lines, count, back: self.back.clone() };
        if let Err(Batch { mut lines, count, .. }) = log.writer.hand_over(batch) {
            log.totals.lines_dropped.add(count);
            lines.clear();
            self.lines = lines;
        }
    }
}
