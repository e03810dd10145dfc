//! Runs and refs as the journals tell of them, for whoever reads while others run: no lock is taken
//! and no database is opened.
//!
//! How: the records of all journals but the last are gathered in one file, `cache/published`, by
//! whoever finds that reading without it takes many journals; what came after is replayed from the
//! journals themselves. The last journal is left out, for what was just appended to it may be lost
//! when the power fails. Each journal says how far the one before it went: where one does not go so
//! far, is missing, is damaged or was written anew by a repair, the journals alone do not tell the
//! whole story, and the reader has to ask the database.
//!
//! The invariant: the file and the journals after it tell what all journals tell. It can be deleted
//! or damaged at any time, which costs the next reader a look at all of them.

use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::base::name::{RefName, RunId};
use crate::lineage::error::LedgerError;
use crate::lineage::journal::{self, JournalEnd, JournalText};
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{LedgerEntry, RunRecord};
use crate::lineage::refs::RefState;
use crate::lineage::tail::{JournalLink, JournalTail};

/// What the file begins with: its format.
const MAGIC: &[u8] = b"netsec-published-1\n";

/// From so many journals on that lie beyond the file, it is written anew.
const MANY: usize = 64;

/// The runs and refs of a workspace.
pub struct PublishedRecords {
    ledger: Ledger,
}

impl PublishedRecords {
    /// Reads what the journals of a cache folder hold; `None` if they do not tell everything.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read(cache: &Path) -> Result<Option<Self>, LedgerError> {
        // First of all: no journal read after it goes less far than it says.
        let tail = JournalTail::load(cache);
        let ledger = Ledger::in_memory();
        let mut reach = load(cache, &ledger)?.map(JournalReach::told);
        let mut journals = journal::list(&cache.join("runs"))?;
        if let Some(reach) = &reach {
            journals.retain(|(run, _)| *run > reach.link.run);
        }
        let beyond = journals.len().saturating_sub(1);
        for (at, (run, path)) in journals.iter().enumerate() {
            if let Some(reach) = &reach
                && at == beyond
                && beyond >= MANY
            {
                // Where nothing can be written, the next reader takes as long as this one did.
                let _ = save(cache, &reach.link, &ledger);
            }
            let text = journal::read(path)?;
            if !is_continued(reach.as_ref(), &text) {
                return Ok(None);
            }
            replay(&ledger, run, &text)?;
            reach = JournalReach::of(run, text).or(reach);
        }
        let is_whole = tail.link.is_none_or(|link| match &reach {
            Some(reach) => reach.link.run > link.run || reach.goes_to(&link),
            None => false,
        });
        Ok(is_whole.then_some(Self { ledger }))
    }

    /// Takes runs and refs from a ledger.
    ///
    /// # Errors
    /// The database failed or a record cannot be read.
    pub fn of(ledger: &Ledger) -> Result<Self, LedgerError> {
        let records = Self {
            ledger: Ledger::in_memory(),
        };
        records.ledger.commit(&entries(ledger)?)?;
        Ok(records)
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

/// How far the journals go that were read so far.
struct JournalReach {
    link: JournalLink,
    /// The last of them; not known of those that the file stands for.
    text: Option<JournalText>,
}

impl JournalReach {
    fn told(link: JournalLink) -> Self {
        Self { link, text: None }
    }

    /// Of a journal; `None` of one that was begun and holds nothing.
    fn of(run: &RunId, text: JournalText) -> Option<Self> {
        let link = text.link(run);
        link.chain?;
        Some(Self {
            link,
            text: Some(text),
        })
    }

    fn goes_to(&self, link: &JournalLink) -> bool {
        self.link.run == link.run
            && match &self.text {
                Some(text) => text.reaches(link),
                None => self.link == *link,
            }
    }
}

/// Returns whether a journal can be read to its end, and goes on from those before it.
fn is_continued(before: Option<&JournalReach>, text: &JournalText) -> bool {
    if matches!(text.end, JournalEnd::Damaged(_)) || text.head.is_base {
        return false;
    }
    match (&text.head.after, before) {
        // Old ones do not say.
        (None, _) => true,
        (Some(after), Some(before)) => before.goes_to(after),
        (Some(_), None) => false,
    }
}

/// Adds what a journal holds of runs and refs.
fn replay(ledger: &Ledger, run: &RunId, text: &JournalText) -> Result<(), LedgerError> {
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
        LedgerEntry::Action(_) | LedgerEntry::Swept(_) | LedgerEntry::Forgotten(_) => None,
    }
}

fn path(cache: &Path) -> PathBuf {
    cache.join("published")
}

/// Adds what the file holds; returns how far it goes. One that is missing, damaged or of another
/// format says nothing.
fn load(cache: &Path, ledger: &Ledger) -> Result<Option<JournalLink>, LedgerError> {
    let Ok(bytes) = disk::read(&path(cache)) else {
        return Ok(None);
    };
    let Some((link, entries)) = parse(&bytes) else {
        return Ok(None);
    };
    ledger.replay(&entries, &link)?;
    Ok(Some(link))
}

fn parse(bytes: &[u8]) -> Option<(JournalLink, Vec<LedgerEntry>)> {
    let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Digest::of(body).as_bytes().as_slice() != check {
        return None;
    }
    let body = body.strip_prefix(MAGIC)?;
    let end = body.iter().position(|byte| *byte == b'\n')?;
    let link = JournalLink::parse(std::str::from_utf8(&body[..end]).ok()?)?;
    let entries = journal::decode(&body[end + 1..]).ok()?;
    Some((link, entries))
}

/// The runs and the moves of refs of a ledger.
fn entries(ledger: &Ledger) -> Result<Vec<LedgerEntry>, LedgerError> {
    let runs = ledger.runs()?.into_iter().map(Box::new);
    let mut entries: Vec<LedgerEntry> = runs.map(LedgerEntry::Run).collect();
    for (_, state) in ledger.references()? {
        entries.extend(state.moves.into_iter().map(LedgerEntry::Move));
    }
    Ok(entries)
}

fn save(cache: &Path, through: &JournalLink, ledger: &Ledger) -> Result<(), LedgerError> {
    let Some(line) = through.line() else {
        return Ok(());
    };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(format!("{line}\n").as_bytes());
    bytes.extend_from_slice(&journal::encode(&entries(ledger)?));
    let check = Digest::of(&bytes);
    bytes.extend_from_slice(check.as_bytes());
    disk::write_atomic(&path(cache), &bytes).map_err(|error: DiskError| error.into())
}
