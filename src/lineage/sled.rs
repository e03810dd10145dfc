//! The ledger on sled: one batch a commit, flushed; a damaged database is set aside and rebuilt from journals.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::base::disk::{self, DiskError};
use crate::lineage::journal;
use crate::lineage::ledger::{Ledger, LedgerError};
use crate::lineage::pairs::{Change, Pair, Pairs};

/// Memory for pages: a ledger of a hundred thousand records fits.
const CACHE_BYTES: u64 = 64 << 20;

struct Sled(sled::Db);

impl Pairs for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.0.get(key).map(|value| value.map(|bytes| bytes.to_vec())).map_err(|error| error.to_string())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, String> {
        let pairs = self.0.scan_prefix(prefix);
        pairs.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(|error| error.to_string())).collect()
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), String> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.0.apply_batch(batch).map_err(|error| error.to_string())?;
        self.0.flush().map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Opens the database in a cache folder; the caller holds the workspace's lock. A database that cannot be opened
/// is moved to `bad/` and built anew from the journals of all runs; the second value says so.
///
/// # Errors
/// `TooNew`; the disk or the database failed.
pub fn open(cache: &Path) -> Result<(Ledger, Option<String>), LedgerError> {
    let folder = cache.join("ledger");
    let fresh = !folder.exists();
    match open_db(&folder) {
        Ok(ledger) if fresh => {
            replay(&ledger, cache)?;
            Ok((ledger, None))
        }
        Ok(ledger) => Ok((ledger, None)),
        Err(error @ LedgerError::TooNew { .. }) => Err(error),
        Err(error) => {
            let aside = set_aside(cache, &folder)?;
            let ledger = open_db(&folder)?;
            replay(&ledger, cache)?;
            let message = format!(
                "{error}; the database was moved to `{}` and rebuilt from the journals in `cache/runs`",
                aside.display()
            );
            Ok((ledger, Some(message)))
        }
    }
}

/// Reads the journals of all runs into memory: for readers while a run holds the database.
///
/// # Errors
/// The disk failed.
pub fn from_journals(cache: &Path) -> Result<Ledger, LedgerError> {
    let ledger = Ledger::in_memory();
    replay(&ledger, cache)?;
    Ok(ledger)
}

fn replay(ledger: &Ledger, cache: &Path) -> Result<(), LedgerError> {
    for commit in journal::read_all(&cache.join("runs"))? {
        ledger.replay(&commit)?;
    }
    Ok(())
}

fn open_db(folder: &Path) -> Result<Ledger, LedgerError> {
    // sled 0.34 panics on some damaged files instead of returning an error.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let config = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let pairs = config.open().map_err(|error| LedgerError::Database(error.to_string()))?;
        let ledger = Ledger::open(Box::new(Sled(pairs)))?;
        ledger.runs()?;
        Ok(ledger)
    }));
    opened.unwrap_or_else(|_| Err(LedgerError::Database("its files are damaged".to_owned())))
}

fn set_aside(cache: &Path, folder: &Path) -> Result<std::path::PathBuf, DiskError> {
    let bad = cache.join("bad");
    disk::create_dirs(&bad)?;
    let free = (1..).map(|n| bad.join(format!("ledger-{n}"))).find(|path| !path.exists());
    let aside = free.expect("there is always a free number");
    disk::rename(folder, &aside)?;
    Ok(aside)
}
