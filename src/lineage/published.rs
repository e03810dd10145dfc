//! Runs and refs as the journals tell of them, for whoever reads while others run: no lock is taken
//! and no database is opened.
//!
//! How: the records of all journals but the last are gathered in one file, `cache/published`, by
//! whoever finds that reading without it takes many journals; what came after is replayed from the
//! journals themselves. The last journal is left out, for what was just appended to it may be lost
//! when the power fails.
//!
//! The invariant: the file and the journals after it tell what all journals tell. It can be deleted
//! or damaged at any time, which costs the next reader a look at all of them.

use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::base::name::{RefName, RunId};
use crate::lineage::error::LedgerError;
use crate::lineage::journal;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{LedgerEntry, RunRecord};
use crate::lineage::refs::RefState;
use crate::lineage::tail::JournalLink;

/// What the file begins with: its format.
const MAGIC: &[u8] = b"netsec-published-1\n";

/// From so many journals on that lie beyond the file, it is written anew.
const MANY: usize = 64;

/// The runs and refs of a workspace.
pub struct PublishedRecords {
    ledger: Ledger,
}

impl PublishedRecords {
    /// Reads what the journals of a cache folder hold.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read(cache: &Path) -> Result<Self, LedgerError> {
        let ledger = Ledger::in_memory();
        let through = load(cache, &ledger)?;
        let mut journals = journal::list(&cache.join("runs"))?;
        if let Some(through) = &through {
            journals.retain(|(run, _)| run > through);
        }
        let last = journals.pop();
        for (run, path) in &journals {
            replay(&ledger, run, path)?;
        }
        if let Some((through, _)) = journals.last()
            && journals.len() >= MANY
        {
            // Where nothing can be written, the next reader takes as long as this one did.
            let _ = save(cache, through, &ledger);
        }
        if let Some((run, path)) = last {
            replay(&ledger, &run, &path)?;
        }
        Ok(Self { ledger })
    }

    /// Returns all runs, the latest last, without their stages.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn runs(&self) -> Result<Vec<RunRecord>, LedgerError> {
        self.ledger.runs()
    }

    /// Returns a ref; one that was never set has no moves.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn reference(&self, name: &RefName) -> Result<RefState, LedgerError> {
        self.ledger.reference(name)
    }

    /// Returns every ref with its name.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn references(&self) -> Result<Vec<(String, RefState)>, LedgerError> {
        self.ledger.references()
    }
}

/// Adds what a journal holds of runs and refs; what cannot be read of it is told by `cache verify`
/// and by the next run.
fn replay(ledger: &Ledger, run: &RunId, path: &Path) -> Result<(), LedgerError> {
    let text = journal::read(path)?;
    for (entries, commits) in text.commits.iter().zip(1..) {
        let mark = JournalLink {
            run: run.clone(),
            commits,
            chain: text.chain(commits),
        };
        let entries: Vec<LedgerEntry> = entries.iter().filter_map(published).collect();
        ledger.replay(&entries, &mark)?;
    }
    Ok(())
}

/// What is published of an entry.
fn published(entry: &LedgerEntry) -> Option<LedgerEntry> {
    match entry {
        LedgerEntry::Run(run) => {
            let mut run = run.clone();
            run.stages.clear();
            Some(LedgerEntry::Run(run))
        }
        LedgerEntry::Move(_) => Some(entry.clone()),
        LedgerEntry::Action(_) | LedgerEntry::Swept(_) => None,
    }
}

fn path(cache: &Path) -> PathBuf {
    cache.join("published")
}

/// Adds what the file holds; returns the run up to whose journal it goes. One that is missing,
/// damaged or of another format says nothing.
fn load(cache: &Path, ledger: &Ledger) -> Result<Option<RunId>, LedgerError> {
    let bytes = match disk::read(&path(cache)) {
        Ok(bytes) => bytes,
        Err(_) => return Ok(None),
    };
    let Some((run, entries)) = parse(&bytes) else {
        return Ok(None);
    };
    let mark = JournalLink {
        run: run.clone(),
        commits: 0,
        chain: None,
    };
    ledger.replay(&entries, &mark)?;
    Ok(Some(run))
}

fn parse(bytes: &[u8]) -> Option<(RunId, Vec<LedgerEntry>)> {
    let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Digest::of(body).as_bytes().as_slice() != check {
        return None;
    }
    let body = body.strip_prefix(MAGIC)?;
    let end = body.iter().position(|byte| *byte == b'\n')?;
    let run = RunId::parse(std::str::from_utf8(&body[..end]).ok()?)?;
    let entries = journal::decode(&body[end + 1..]).ok()?;
    Some((run, entries))
}

fn save(cache: &Path, through: &RunId, ledger: &Ledger) -> Result<(), LedgerError> {
    let runs = ledger.runs()?.into_iter().map(Box::new);
    let mut entries: Vec<LedgerEntry> = runs.map(LedgerEntry::Run).collect();
    for (_, state) in ledger.references()? {
        entries.extend(state.moves.into_iter().map(LedgerEntry::Move));
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(format!("{through}\n").as_bytes());
    bytes.extend_from_slice(&journal::encode(&entries));
    let check = Digest::of(&bytes);
    bytes.extend_from_slice(check.as_bytes());
    disk::write_atomic(&path(cache), &bytes).map_err(|error: DiskError| error.into())
}
