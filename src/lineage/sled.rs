//! The ledger on sled and packs: an index that follows the journals; where it is damaged, it is set
//! aside and rebuilt from them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::disk::{self, DiskError, PathEntry};
use crate::lineage::error::{DatabaseError, LedgerError};
use crate::lineage::follow::{FollowedJournals, follow, from_journals};
use crate::lineage::journal;
use crate::lineage::key_value::{KeyValue, KeyValueChange, KeyValueRange};
use crate::lineage::ledger::Ledger;
use crate::lineage::packed_pairs::{
    OpenPacks, PACKS, PackedPairs, add_pack, is_damage, open_packs, remove_unlisted,
};
use crate::lineage::tables::{META, claim, mark_of};

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

    fn range<'a>(&'a self, prefix: &[u8]) -> KeyValueRange<'a> {
        let pairs = self.db().scan_prefix(prefix);
        Box::new(pairs.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(failed)))
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

/// A database, or why it could not be opened.
type OpenedPairs = Result<Box<dyn KeyValue>, LedgerError>;

/// A database that is being made beside the run that needs it: making one takes longer than opening
/// one. It is empty until something is written.
struct FreshDatabase {
    making: Mutex<Option<JoinHandle<OpenedPairs>>>,
    made: OnceLock<Box<dyn KeyValue>>,
}

impl FreshDatabase {
    fn begin(folder: PathBuf) -> Self {
        let make = move || {
            let made = open_pairs(&folder)?;
            claim(made.as_ref())?;
            Ok(made)
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
        self.made.get().map(Box::as_ref).ok_or_else(not_made)
    }
}

impl KeyValue for FreshDatabase {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.made.get().map_or(Ok(None), |made| made.get(key))
    }

    fn range<'a>(&'a self, prefix: &[u8]) -> KeyValueRange<'a> {
        match self.made.get() {
            Some(made) => made.range(prefix),
            None => Box::new(std::iter::empty()),
        }
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

/// Opens the records of a cache folder to be written; the caller holds the workspace's lock. A database
/// that cannot be opened, or has lost records, is moved to `bad/`, and what it held is taken from the
/// journals; so are packs one of which is damaged. The lines say so, and what is wrong with the journals
/// that were read.
///
/// # Errors
/// `TooNew`; the disk or the database failed.
pub fn open(cache: &Path) -> Result<(Ledger, Vec<String>), LedgerError> {
    let folder = cache.join("ledger");
    let packs = match open_packs(&cache.join(PACKS)) {
        Err(error) if is_damage(&error) => return rebuild(cache, &error.into()),
        packs => packs?,
    };
    if !packs.is_empty() {
        // Where no pack is named, all that are there are set aside, not removed.
        remove_unlisted(&cache.join(PACKS), &packs)?;
    }
    let has_journals = !journal::list(&cache.join("runs"))?.is_empty();
    if !folder.exists() && packs.is_empty() && has_journals {
        let why = "there was no database, but there are journals of earlier runs";
        return rebuilt(cache, why.to_owned());
    }
    match open_over(cache, &folder, packs.clone()) {
        Err(error @ (LedgerError::TooNew { .. } | LedgerError::Held(_))) => Err(error),
        Err(error) if is_sound(&packs) => without_database(cache, packs, &error),
        Err(error) => rebuild(cache, &error),
        opened => opened,
    }
}

/// Returns whether there are packs, and nothing is wrong with any.
fn is_sound(packs: &OpenPacks) -> bool {
    !packs.is_empty() && packs.iter().all(|pack| pack.verify().is_ok())
}

fn open_over(
    cache: &Path,
    folder: &Path,
    packs: OpenPacks,
) -> Result<(Ledger, Vec<String>), LedgerError> {
    let packs = match is_large(folder) {
        true => pack_rest(cache, folder, packs)?,
        false => packs,
    };
    if folder.exists() {
        return follow_up(cache, open_pairs(folder)?, packs);
    }
    let top = Box::new(FreshDatabase::begin(folder.to_owned()));
    follow_up(cache, top, packs)
}

/// Writes all that a database holds out as a pack, and removes it: it does not shrink by itself, and one
/// that was made before there were packs would take long to empty. One that lost what it held stays, and
/// so does one for which there is no room elsewhere.
fn pack_rest(cache: &Path, folder: &Path, packs: OpenPacks) -> Result<OpenPacks, LedgerError> {
    let top = open_pairs(folder)?;
    if packs.is_empty() && top.get(META)?.is_none() {
        return Ok(packs);
    }
    let now = match is_packed(top.as_ref(), &packs)? {
        true => packs,
        false => {
            let count = top.range(&[]).count() as u64;
            match add_pack(&cache.join(PACKS), &packs, count, top.range(&[])) {
                Err(LedgerError::Journal(_)) => return Ok(packs),
                now => now?,
            }
        }
    };
    drop(top);
    // At once: half of one would look like one that is damaged.
    let gone = cache.join("tmp").join("ledger");
    disk::remove_dir(&gone)?;
    disk::create_dirs(&cache.join("tmp"))?;
    disk::rename(folder, &gone)?;
    disk::remove_dir(&gone)?;
    Ok(now)
}

/// Brings database and packs to where the journals are.
fn follow_up(
    cache: &Path,
    top: Box<dyn KeyValue>,
    packs: OpenPacks,
) -> Result<(Ledger, Vec<String>), LedgerError> {
    let is_fresh = top.get(META).is_ok_and(|found| found.is_none()) && packs.is_empty();
    // Some damaged files are opened as if they were empty, and what makes a database one of ours is
    // flushed before its first journal is begun.
    if is_fresh && !journal::list(&cache.join("runs"))?.is_empty() {
        return Err(LedgerError::database("records are missing from it"));
    }
    empty_if_packed(top.as_ref(), &packs)?;
    let ledger = Ledger::open(Box::new(PackedPairs::writing(
        top,
        packs,
        cache.join(PACKS),
    )?))?;
    let followed = follow(&ledger, cache)?;
    if followed.commits > 0 {
        ledger.flush()?;
    }
    Ok((ledger, followed.odd))
}

/// A database of more bytes than this is written out and made anew.
const LARGE: u64 = 16 << 20;

fn is_large(folder: &Path) -> bool {
    let size = |path: &PathBuf| match disk::look(path) {
        Ok(PathEntry::File(stamp)) => stamp.size,
        _ => 0,
    };
    // Long values lie beside it.
    let files = disk::walk(folder).unwrap_or_default();
    files.iter().map(|(_, path)| size(path)).sum::<u64>() >= LARGE
}

/// Returns whether packs hold all that a database does.
fn is_packed(top: &dyn KeyValue, packs: &OpenPacks) -> Result<bool, LedgerError> {
    let Some(packed) = Ledger::over_packs(packs.clone())?.mark()? else {
        return Ok(false);
    };
    Ok(mark_of(top)?.is_none_or(|mark| packed.covers(&mark)))
}

/// Empties a database all of which is in packs: it was to be emptied when the process was killed.
fn empty_if_packed(top: &dyn KeyValue, packs: &OpenPacks) -> Result<(), LedgerError> {
    if is_packed(top, packs)? {
        let all = top.scan(&[])?.into_iter();
        top.write(all.map(|(key, _)| (key, None)).collect())?;
    }
    Ok(())
}

/// Moves a database out of the way; the packs hold most of what it held, the journals the rest.
fn without_database(
    cache: &Path,
    packs: OpenPacks,
    error: &LedgerError,
) -> Result<(Ledger, Vec<String>), LedgerError> {
    let aside = aside(cache)?;
    disk::rename(&cache.join("ledger"), &aside)?;
    let top = open_pairs(&cache.join("ledger"))?;
    let (ledger, odd) = follow_up(cache, top, packs)?;
    let message = format!(
        "{error}; the database was moved to `{}`: what it held was taken from the journals in `{RUNS}`",
        aside.display()
    );
    Ok((ledger, [vec![message], odd].concat()))
}

/// Moves database and packs out of the way, and builds them from the journals.
fn rebuild(cache: &Path, error: &LedgerError) -> Result<(Ledger, Vec<String>), LedgerError> {
    let aside = set_aside(cache)?;
    let cause = format!("{error}; the database was moved to `{}`", aside.display());
    rebuilt(cache, cause)
}

fn rebuilt(cache: &Path, cause: String) -> Result<(Ledger, Vec<String>), LedgerError> {
    let top = open_pairs(&cache.join("ledger"))?;
    let pairs = PackedPairs::writing(top, Vec::new(), cache.join(PACKS))?;
    let ledger = Ledger::open(Box::new(pairs))?;
    let FollowedJournals {
        commits, runs, odd, ..
    } = follow(&ledger, cache)?;
    ledger.flush()?;
    ledger.claim()?;
    let message =
        format!("{cause}: it was built from the {commits} commits of {runs} runs in `{RUNS}`");
    Ok((ledger, [vec![message], odd].concat()))
}

const RUNS: &str = "cache/runs";

/// Opens the database for a query; the caller holds the workspace's lock. One that is damaged is
/// left as it is for the next run to rebuild, and to tell; until then the journals answer. The
/// second value says whether the database does.
///
/// # Errors
/// `TooNew`; the disk failed.
pub fn read(cache: &Path) -> Result<(Ledger, bool), LedgerError> {
    let opened = || -> Result<Ledger, LedgerError> {
        let packs = open_packs(&cache.join(PACKS))?;
        let top = open_pairs(&cache.join("ledger"))?;
        Ok(follow_up(cache, top, packs)?.0)
    };
    match opened() {
        Ok(ledger) => Ok((ledger, true)),
        Err(error @ LedgerError::TooNew { .. }) => Err(error),
        Err(_) => Ok((from_journals(cache)?, false)),
    }
}

/// Opens the database, and waits a little if its own lock is held: it outlives its holder by as
/// long as a child of the holder is between its fork and its exec.
fn open_pairs(folder: &Path) -> OpenedPairs {
    let mut opened = try_open_pairs(folder);
    for _ in 0..LOCK_TRIES {
        if !matches!(opened, Err(LedgerError::Held(_))) {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
        opened = try_open_pairs(folder);
    }
    opened
}

/// Opens the database on a thread of its own: where the system has no more threads to give, sled
/// 0.34 waits for ever for one of its own.
fn try_open_pairs(folder: &Path) -> OpenedPairs {
    let (to_caller, opened) = channel();
    let folder = folder.to_owned();
    let open = move || {
        // It panics on some damaged files instead of returning an error.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let config = sled::Config::new()
                .path(folder)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None);
            let db = config.open().map_err(|error| open_error(&error))?;
            let pairs: Box<dyn KeyValue> = Box::new(SledDatabase::new(db));
            Ok(pairs)
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

/// Moves database and packs out of the way, so that the next one that opens them builds them from the
/// journals. Nobody has them open.
///
/// # Errors
/// The disk failed.
pub fn set_aside(cache: &Path) -> Result<PathBuf, DiskError> {
    let aside = aside(cache)?;
    let folder = cache.join("ledger");
    disk::create_dirs(&folder)?;
    disk::rename(&folder, &aside)?;
    let packs = cache.join(PACKS);
    if packs.exists() {
        disk::rename(&packs, &aside.join(PACKS))?;
    }
    Ok(aside)
}

/// Returns a free place for a database that is damaged.
fn aside(cache: &Path) -> Result<PathBuf, DiskError> {
    let bad = cache.join("bad");
    disk::create_dirs(&bad)?;
    let free = (1..)
        .map(|n| bad.join(format!("ledger-{n}")))
        .find(|path| !path.exists());
    Ok(free.expect("there is always a free number"))
}
