//! The ledger on sled: an index that follows the journals; a damaged database is set aside and
//! rebuilt from them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::disk::{self, DiskError};
use crate::base::name::RunId;
use crate::lineage::error::{DatabaseError, LedgerError};
use crate::lineage::journal::{self, JournalEnd};
use crate::lineage::key_value::{KeyValue, KeyValueChange, KeyValuePair};
use crate::lineage::ledger::Ledger;
use crate::lineage::tail::JournalLink;

/// Memory for pages: a ledger of a hundred thousand records fits.
const CACHE_BYTES: u64 = 64 << 20;

/// How often and with what pauses a held database is tried again: two seconds in all.
const LOCK_TRIES: usize = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// How long the database may take to open or to write: after some errors sled 0.34 waits for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database. What writes is done by a thread of its own: one that does not come back takes
/// nobody with it.
struct SledDatabase {
    /// There until it is dropped.
    db: Option<sled::Db>,
    writer: Mutex<Option<SledWriter>>,
}

/// The thread that writes: takes jobs, gives back how they went.
struct SledWriter {
    jobs: Sender<WriteJob>,
    answers: Receiver<Result<(), DatabaseError>>,
    thread: JoinHandle<()>,
}

/// A batch to be written, or the wish that all be flushed.
type WriteJob = Option<sled::Batch>;

impl SledDatabase {
    fn new(db: sled::Db) -> Self {
        let (jobs, to_do) = channel::<WriteJob>();
        let (to_answer, answers) = channel();
        let own = db.clone();
        let thread = std::thread::spawn(move || {
            for job in to_do {
                let done = match job {
                    Some(batch) => own.apply_batch(batch).map_err(failed),
                    None => own.flush().map(|_| ()).map_err(failed),
                };
                let failed = done.is_err();
                let _ = to_answer.send(done);
                if failed {
                    return std::mem::forget(own);
                }
            }
            // The last to hold it: to give it back flushes it, which panics where the disk is
            // broken.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(own)));
            drop(to_answer);
        });
        Self {
            db: Some(db),
            writer: Mutex::new(Some(SledWriter {
                jobs,
                answers,
                thread,
            })),
        }
    }

    fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("it is there until it is dropped")
    }

    /// Has the thread do something; a database that failed or did not answer once is not asked
    /// again.
    fn ask(&self, job: WriteJob) -> Result<(), DatabaseError> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = slot.as_ref() else {
            return Err(DatabaseError("it failed before".to_owned()));
        };
        let sent = writer
            .jobs
            .send(job)
            .map_err(|_| DatabaseError("it has gone".to_owned()));
        let late = |_| Err(DatabaseError("it does not answer".to_owned()));
        let done = sent.and_then(|()| writer.answers.recv_timeout(PATIENCE).unwrap_or_else(late));
        if done.is_err() {
            *slot = None;
        }
        done
    }
}

impl Drop for SledDatabase {
    fn drop(&mut self) {
        let writer = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match writer {
            Some(SledWriter {
                jobs,
                answers,
                thread,
            }) => {
                drop(self.db.take());
                drop(jobs);
                // One that does not come back is left alone.
                if let Err(RecvTimeoutError::Disconnected) = answers.recv_timeout(PATIENCE) {
                    let _ = thread.join();
                }
            }
            // To give it back would flush it, and that may never end: its journals have everything.
            None => std::mem::forget(self.db.take()),
        }
    }
}

fn failed(error: ::sled::Error) -> DatabaseError {
    DatabaseError(error.to_string())
}

fn not_made() -> DatabaseError {
    DatabaseError("it could not be made".to_owned())
}

impl KeyValue for SledDatabase {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.db()
            .get(key)
            .map(|value| value.map(|bytes| bytes.to_vec()))
            .map_err(failed)
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<KeyValuePair>, DatabaseError> {
        let pairs = self.db().scan_prefix(prefix);
        pairs
            .map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(failed))
            .collect()
    }

    fn write(&self, changes: Vec<KeyValueChange>) -> Result<(), DatabaseError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        // Not flushed: what a crash takes from the database, the next start takes from the
        // journals.
        self.ask(Some(batch))
    }

    fn flush(&self) -> Result<(), DatabaseError> {
        self.ask(None)
    }
}

/// A database that is being made beside the run that needs it: making one takes longer than opening
/// one. It is empty until something is written.
struct FreshDatabase {
    making: Mutex<Option<JoinHandle<Result<Ledger, LedgerError>>>>,
    made: OnceLock<Ledger>,
}

impl FreshDatabase {
    fn begin(folder: PathBuf) -> Self {
        let make = move || {
            let ledger = open_db(&folder)?;
            ledger.claim()?;
            Ok(ledger)
        };
        Self {
            making: Mutex::new(Some(std::thread::spawn(make))),
            made: OnceLock::new(),
        }
    }

    fn made(&self) -> Result<&dyn KeyValue, DatabaseError> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = making.take() {
            let made = thread.join().map_err(|_| not_made())?;
            let _ = self
                .made
                .set(made.map_err(|error| DatabaseError(error.to_string()))?);
        }
        self.made.get().map(Ledger::pairs).ok_or_else(not_made)
    }
}

impl KeyValue for FreshDatabase {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.made
            .get()
            .map_or(Ok(None), |made| made.pairs().get(key))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<KeyValuePair>, DatabaseError> {
        self.made
            .get()
            .map_or(Ok(Vec::new()), |made| made.pairs().scan(prefix))
    }

    fn write(&self, changes: Vec<KeyValueChange>) -> Result<(), DatabaseError> {
        self.made()?.write(changes)
    }

    fn flush(&self) -> Result<(), DatabaseError> {
        self.made()?.flush()
    }
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        // A database half made would look like one that lost all it held.
        let _ = self.made();
    }
}

/// Opens the database in a cache folder; the caller holds the workspace's lock. A database that
/// cannot be opened, or has lost records, is moved to `bad/` and built anew from the journals of
/// all runs; the lines say so, and what is wrong with the journals that were read.
///
/// # Errors
/// `TooNew`; the disk or the database failed.
pub fn open(cache: &Path) -> Result<(Ledger, Vec<String>), LedgerError> {
    let folder = cache.join("ledger");
    let fresh = !folder.exists();
    if fresh && journal::list(&cache.join("runs"))?.is_empty() {
        return Ok((
            Ledger::open(Box::new(FreshDatabase::begin(folder)))?,
            Vec::new(),
        ));
    }
    let error = match open_db(&folder).and_then(|ledger| Ok((catch_up(&ledger, cache)?, ledger))) {
        Ok((Some(followed), ledger)) => {
            ledger.claim()?;
            return Ok((ledger, followed.odd));
        }
        Ok((None, _)) => LedgerError::database("records are missing from it"),
        Err(error @ (LedgerError::TooNew { .. } | LedgerError::Held(_))) => return Err(error),
        Err(error) => error,
    };
    let cause = if fresh {
        disk::remove_dir(&folder)?;
        "there was no database, but there are journals of earlier runs".to_owned()
    } else {
        let aside = set_aside(cache)?;
        format!("{error}; the database was moved to `{}`", aside.display())
    };
    let ledger = open_db(&folder)?;
    let FollowedJournals { commits, runs, odd } = follow(&ledger, cache)?;
    ledger.claim()?;
    let message =
        format!("{cause}: it was built from the {commits} commits of {runs} runs in `{RUNS}`");
    Ok((ledger, [vec![message], odd].concat()))
}

const RUNS: &str = "cache/runs";

/// Brings the database to where the journals are. Returns nothing if it is empty although there are
/// some: sled 0.34 opens some damaged files as if they were empty, and what makes a database one of
/// ours is flushed before its first journal is begun.
fn catch_up(ledger: &Ledger, cache: &Path) -> Result<Option<FollowedJournals>, LedgerError> {
    if ledger.is_new() && !journal::list(&cache.join("runs"))?.is_empty() {
        return Ok(None);
    }
    follow(ledger, cache).map(Some)
}

/// What was taken from journals.
#[derive(Debug, Default)]
struct FollowedJournals {
    commits: u64,
    runs: u64,
    /// What is wrong with them, a line each.
    odd: Vec<String>,
}

/// Replays what the journals hold beyond the database's mark.
fn follow(ledger: &Ledger, cache: &Path) -> Result<FollowedJournals, LedgerError> {
    let mark = ledger.mark()?;
    let mut followed = FollowedJournals::default();
    let is_open = |run: &RunId| mark.as_ref().is_none_or(|mark| *run >= mark.run);
    let mut journals = journal::list(&cache.join("runs"))?;
    journals.retain(|(run, _)| is_open(run));
    // One that holds everything that was recorded before stands for all before it.
    let is_base = |(_, path): &(RunId, PathBuf)| journal::is_base(path);
    let begin = journals.iter().rposition(is_base).unwrap_or_default();
    for (run, path) in journals.drain(begin..) {
        let text = journal::read(&path)?;
        let there = text.commits.len() as u64;
        let known = mark.as_ref().filter(|mark| mark.run == run);
        match (&text.end, known) {
            (_, Some(known)) if !text.reaches(known) => followed.odd.push(format!(
                "the journal of run {run} holds {there} of its {} commits; the database has them all, and `netsec cache \
                 verify --repair` writes them anew",
                known.commits
            )),
            (JournalEnd::Damaged(why), _) => {
                followed.odd.push(format!("the journal of run {run} cannot be read after {there} commits: {why}"));
            }
            (JournalEnd::Torn, None) if mark.is_none() => followed.odd.push(format!(
                "the journal of run {run} ends in the middle of a commit, after {there}: it was killed there, or the file \
                 was cut"
            )),
            _ => {}
        }
        let skip = known.map_or(0, |mark| mark.commits);
        for (entries, commits) in text
            .commits
            .iter()
            .zip(1..)
            .filter(|(_, count)| *count > skip)
        {
            ledger.replay(
                entries,
                &JournalLink {
                    run: run.clone(),
                    commits,
                    chain: text.chain(commits),
                },
            )?;
            followed.commits += 1;
        }
        followed.runs += 1;
    }
    if followed.commits > 0 {
        ledger.flush()?;
    }
    Ok(followed)
}

/// Opens the database for a query; the caller holds the workspace's lock. One that is damaged is
/// left as it is for the next run to rebuild, and to tell; until then the journals answer. The
/// second value says whether the database does.
///
/// # Errors
/// `TooNew`; the disk failed.
pub fn read(cache: &Path) -> Result<(Ledger, bool), LedgerError> {
    match open_db(&cache.join("ledger")).and_then(|ledger| Ok((catch_up(&ledger, cache)?, ledger)))
    {
        Ok((Some(_), ledger)) => Ok((ledger, true)),
        Err(error @ LedgerError::TooNew { .. }) => Err(error),
        Ok((None, _)) | Err(_) => Ok((from_journals(cache)?, false)),
    }
}

/// Reads the journals of all runs into memory: for readers while a run holds the database.
///
/// # Errors
/// The disk failed.
pub fn from_journals(cache: &Path) -> Result<Ledger, LedgerError> {
    let ledger = Ledger::in_memory();
    follow(&ledger, cache)?;
    Ok(ledger)
}

/// Opens the database, and waits a little if its own lock is held: it outlives its holder by as
/// long as a child of the holder is between its fork and its exec.
fn open_db(folder: &Path) -> Result<Ledger, LedgerError> {
    let mut opened = try_open_db(folder);
    for _ in 0..LOCK_TRIES {
        if !matches!(opened, Err(LedgerError::Held(_))) {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
        opened = try_open_db(folder);
    }
    opened
}

/// Opens the database on a thread of its own: where the system has no more threads to give, sled
/// 0.34 waits for ever for one of its own.
fn try_open_db(folder: &Path) -> Result<Ledger, LedgerError> {
    let (to_caller, opened) = channel();
    let folder = folder.to_owned();
    let open = move || {
        // It panics on some damaged files instead of returning an error.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let config = sled::Config::new()
                .path(folder)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None);
            let pairs = config.open().map_err(|error| open_error(&error))?;
            Ledger::open(Box::new(SledDatabase::new(pairs)))
        }));
        let damaged = || Err(LedgerError::database("its files are damaged"));
        // Whoever has stopped waiting does without.
        let _ = to_caller.send(opened.unwrap_or_else(|_| damaged()));
    };
    let started = std::thread::Builder::new().spawn(open);
    started.map_err(|error| LedgerError::database(format!("it cannot be opened: {error}")))?;
    let late = |_| Err(LedgerError::database("it does not answer"));
    opened.recv_timeout(PATIENCE).unwrap_or_else(late)
}

fn open_error(error: &sled::Error) -> LedgerError {
    let text = error.to_string();
    if text.contains("could not acquire lock") {
        LedgerError::Held(text)
    } else {
        LedgerError::database(text)
    }
}

/// Moves the database out of the way, so that the next one that opens it builds it from the
/// journals. Nobody has it open.
///
/// # Errors
/// The disk failed.
pub fn set_aside(cache: &Path) -> Result<PathBuf, DiskError> {
    let bad = cache.join("bad");
    disk::create_dirs(&bad)?;
    let free = (1..)
        .map(|n| bad.join(format!("ledger-{n}")))
        .find(|path| !path.exists());
    let aside = free.expect("there is always a free number");
    disk::rename(&cache.join("ledger"), &aside)?;
    Ok(aside)
}
