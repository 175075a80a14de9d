//! Receipts of a prober's requests: fetched from the proxy while the run goes on, kept in a file of the run.
//!
//! The proxy is told what was taken only when it stands in the file, so a controller that dies loses
//! none; its successor goes on behind the last line. What the proxy itself took with it when it was
//! killed is not there, and for which times that may be is known. Nothing is compared here.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drivers::router::Router;
use model::receipt::{Book, Question, Receipts, Told};
use model::{Fault, ReleaseId};
use report::{Account, Receipted};
use tokio::time::Instant;

use super::probe_key;

/// How often the proxy is asked.
const EVERY: Duration = Duration::from_millis(500);
/// Questions in a row, should it have more to tell than fits into one answer.
const IN_A_ROW: usize = 32;
/// What ended this shortly before an account broke off may lack its receipt, us: whoever carries a
/// request may notice later than its client that it is over.
const MARGIN_US: u64 = 1_000_000;

/// Where the receipts of a run stand.
pub(super) fn file(run_directory: &Path) -> PathBuf {
    run_directory.join("receipts.jsonl")
}

/// Takes the receipts of one run.
#[derive(Debug, Default)]
pub(super) struct Taking {
    next: Option<Instant>,
    log: Option<Log>,
    /// The router writes none.
    none: bool,
}

/// The file, and how far it goes.
#[derive(Debug)]
struct Log {
    question: Question,
    file: File,
}

impl Taking {
    /// Asks when it is time to; the first time before the prober is started.
    pub(super) async fn gather(&mut self, router: &dyn Router, run_directory: &Path) {
        let now = Instant::now();
        if self.none || self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + EVERY);
        if let Err(fault) = self.fetch(router, run_directory).await {
            // What was not told now is told later, or its absence shows in the report.
            tracing::debug!(%fault, "no receipts of the prober's requests");
        }
    }

    /// True when all there will ever be is in the file; the prober must have ended.
    pub(super) async fn settled(&mut self, router: &dyn Router, run_directory: &Path) -> bool {
        self.none || self.fetch(router, run_directory).await.is_ok_and(|open| open == 0)
    }

    /// Takes what there is; answers how many requests have not ended.
    async fn fetch(&mut self, router: &dyn Router, run_directory: &Path) -> Result<u64, Fault> {
        if self.log.is_none() {
            self.log = Some(Log::open(run_directory)?);
        }
        let Some(log) = &mut self.log else { return Ok(0) };
        for _ in 0..IN_A_ROW {
            let Some(receipts) = router.receipts(&log.question).await? else {
                self.none = true;
                return Ok(0);
            };
            log.add(&receipts)?;
            if receipts.threads.iter().all(|told| told.left == 0) {
                return Ok(receipts.threads.iter().map(|told| told.open).sum());
            }
        }
        Err(Fault::internal("the proxy has ever more receipts to tell"))
    }
}

impl Log {
    fn open(run_directory: &Path) -> Result<Self, Fault> {
        let key = probe_key::read_or_make(run_directory)?;
        let path = file(run_directory);
        let trouble = |e: std::io::Error| {
            Fault::environment(format!("{} cannot be written: {e}", path.display()))
        };
        let last = read(&path).pop();
        let (book, taken) = last.map_or((None, Vec::new()), |last| {
            (Some(last.book), last.threads.iter().map(Told::taken).collect())
        });
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(trouble)?;
        if book.is_some() {
            // A line that broke off must not spoil the next one.
            file.write_all(b"\n").map_err(trouble)?;
        }
        Ok(Self { question: Question { key, book, taken }, file })
    }

    fn add(&mut self, receipts: &Receipts) -> Result<(), Fault> {
        let trouble = |e: std::io::Error| {
            Fault::environment(format!("the receipts of a run cannot be written: {e}"))
        };
        let mut line = serde_json::to_vec(receipts).map_err(|e| trouble(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(trouble)?;
        self.question.book = Some(receipts.book);
        self.question.taken = receipts.threads.iter().map(Told::taken).collect();
        Ok(())
    }
}

/// What a file holds; of one that breaks off what is whole.
pub(super) fn read(path: &Path) -> Vec<Receipts> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What is in the report now need not be kept, neither here nor in the proxy.
pub(super) async fn forget(router: &dyn Router, run_directory: &Path) {
    let path = file(run_directory);
    if !path.exists() {
        return;
    }
    let forgotten = async {
        router.forget_receipts(&probe_key::read_or_make(run_directory)?).await?;
        fs::remove_file(&path).map_err(|e| Fault::environment(format!("{}: {e}", path.display())))
    };
    if let Err(fault) = forgotten.await {
        // A few books are kept at most, and the file goes with its run.
        tracing::debug!(%fault, "receipts are kept that nobody needs");
    }
}

/// The account of a run, for its report.
pub(super) fn account(
    who: &str,
    told: &[Receipts],
    version_of: impl Fn(ReleaseId) -> Option<String>,
    on_axis: impl Fn(u64) -> i64,
) -> Account {
    let mut account = Account { who: who.to_owned(), ..Account::default() };
    let mut known: BTreeMap<(Book, usize), u64> = BTreeMap::new();
    let mut missing = 0;
    for receipts in told {
        for (number, told) in receipts.threads.iter().enumerate() {
            let known = known.entry((receipts.book, number)).or_default();
            missing += told.first.saturating_sub(*known);
            let behind = usize::try_from(known.saturating_sub(told.first)).unwrap_or(usize::MAX);
            let new = told.receipts.iter().skip(behind);
            account.receipts.extend(new.map(|one| receipted(told, one, &version_of, &on_axis)));
            *known = told.taken().max(*known);
        }
    }
    account.lost = missing;
    let windows = windows(told);
    account.troubles = troubles(told, (missing, windows.len()));
    account.covered = windows.into_iter().map(|(from, to)| (on_axis(from), on_axis(to))).collect();
    account
}

fn receipted(
    told: &Told,
    one: &model::receipt::Receipt,
    version_of: &impl Fn(ReleaseId) -> Option<String>,
    on_axis: &impl Fn(u64) -> i64,
) -> Receipted {
    let name = one.instance.and_then(|place| told.names.get(usize::from(place)));
    Receipted {
        item: one.item,
        received_us: on_axis(one.received_us),
        instance: name.map(|(instance, _)| instance.0.clone()),
        version: name.and_then(|(_, release)| version_of(*release)),
        status: one.status,
        sends: one.sends,
        unread: one.unread,
        end: one.end,
    }
}

/// The times for which the books are complete, us of CLOCK_MONOTONIC.
fn windows(told: &[Receipts]) -> Vec<(u64, u64)> {
    let mut windows: BTreeMap<Book, (u64, u64)> = BTreeMap::new();
    for receipts in told {
        let complete = receipts.threads.iter().all(|told| told.left == 0);
        let until_us = receipts.threads.iter().map(|told| told.until_us).min().unwrap_or_default();
        let window = windows.entry(receipts.book).or_insert((receipts.since_us, 0));
        if complete {
            let over = receipts.threads.iter().all(|told| told.open == 0);
            window.1 = if over { until_us } else { until_us.saturating_sub(MARGIN_US) };
        }
    }
    // One that another followed may have taken receipts with it.
    let last = told.last().map(|receipts| receipts.book);
    let ended = windows.into_iter().map(|(book, (from, to))| {
        (from, if Some(book) == last { to } else { to.saturating_sub(MARGIN_US) })
    });
    ended.collect()
}

fn troubles(told: &[Receipts], (missing, books): (u64, usize)) -> Vec<String> {
    let mut troubles = Vec::new();
    if told.is_empty() {
        troubles.push("it could not be asked what it had received".to_owned());
    }
    if books > 1 {
        troubles.push("it was replaced in the run, and what it had not told is unknown".to_owned());
    }
    if missing > 0 {
        troubles.push(format!("{missing} of its records were lost for want of room"));
    }
    let open: u64 = told.last().map_or(0, |last| last.threads.iter().map(|told| told.open).sum());
    if open > 0 {
        troubles.push(format!("{open} requests had not ended there when the run was over"));
    }
    troubles
}

#[cfg(test)]
mod tests {
    use model::receipt::{Book, End, Item, Question, Receipt, Receipts, Told};
    use model::{InstanceId, ReleaseId};

    use super::{Log, account, file, read};

    fn receipt(id: u32) -> Receipt {
        let item = Item::Attempt(id);
        let (received_us, took_us, instance) = (u64::from(id) * 1_000_000, 10, Some(0));
        Receipt {
            item,
            received_us,
            took_us,
            instance,
            status: 200,
            sends: 1,
            unread: 0,
            end: End::Whole,
        }
    }

    fn told(pid: u32, first: u64, ids: std::ops::Range<u32>, (left, open): (u64, u64)) -> Receipts {
        let until_us = u64::from(ids.end) * 1_000_000;
        let names = vec![(InstanceId("demo-2-1".into()), ReleaseId(2))];
        let receipts = ids.map(receipt).collect();
        let thread = Told { first, receipts, names, left, open, until_us, ..Told::default() };
        Receipts { book: Book { pid, serial: 1 }, since_us: 100, threads: vec![thread] }
    }

    /// Items, windows, how many are missing, troubles.
    type Read = (Vec<Item>, Vec<(i64, i64)>, u64, Vec<String>);

    fn told_of(told: &[Receipts]) -> Read {
        let version = |release| (release == ReleaseId(2)).then(|| "v2".to_owned());
        let account = account("the proxy", told, version, u64::cast_signed);
        assert!(account.receipts.iter().all(|one| one.version.as_deref() == Some("v2")));
        let items = account.receipts.iter().map(|one| one.item).collect();
        (items, account.covered, account.lost, account.troubles)
    }

    fn items(ids: std::ops::Range<u32>) -> Vec<Item> {
        ids.map(Item::Attempt).collect()
    }

    #[test]
    fn what_was_told_twice_counts_once_and_what_is_missing_is_said() {
        let whole = [told(7, 0, 0..3, (2, 1)), told(7, 1, 1..5, (0, 0))];
        assert_eq!(told_of(&whole), (items(0..5), vec![(100, 5_000_000)], 0, vec![]));
        let (read, _, lost, troubles) =
            told_of(&[told(7, 0, 0..3, (0, 0)), told(7, 5, 5..8, (0, 0))]);
        assert_eq!((read.len(), lost), (6, 2));
        assert_eq!(troubles, ["2 of its records were lost for want of room"]);
        let (_, covered, _, troubles) = told_of(&[told(7, 0, 0..3, (0, 4))]);
        assert_eq!(covered, [(100, 2_000_000)]);
        assert_eq!(troubles, ["4 requests had not ended there when the run was over"]);
        assert_eq!(told_of(&[]).3, ["it could not be asked what it had received"]);
    }

    #[test]
    fn a_proxy_that_was_killed_covers_nothing_but_its_own_time() {
        let (read, covered, lost, troubles) =
            told_of(&[told(7, 0, 0..3, (0, 0)), told(8, 0, 6..9, (0, 0))]);
        assert_eq!((read.len(), lost), (6, 0));
        assert_eq!(covered, [(100, 2_000_000), (100, 9_000_000)]);
        assert_eq!(troubles, ["it was replaced in the run, and what it had not told is unknown"]);
    }

    #[test]
    fn a_controller_that_comes_back_goes_on_behind_the_last_line() {
        let run = tempfile::tempdir().unwrap();
        let mut log = Log::open(run.path()).unwrap();
        assert_eq!((log.question.book, log.question.taken.len()), (None, 0));
        log.add(&told(7, 0, 0..2, (2, 0))).unwrap();
        log.add(&told(7, 2, 2..4, (0, 0))).unwrap();
        let key = log.question.key;
        // The last line broke off with its controller: the proxy was never told that it was taken.
        let path = file(run.path());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 20]).unwrap();
        let mut log = Log::open(run.path()).unwrap();
        let book = Some(Book { pid: 7, serial: 1 });
        assert_eq!(log.question, Question { key, book, taken: vec![2] });
        log.add(&told(7, 2, 2..6, (0, 0))).unwrap();
        assert_eq!(told_of(&read(&path)).0, items(0..6));
    }
}
