//! Are the records all there? The journals are held against each other, and against the database.
//!
//! Each journal's head says how far the one before went, so one that is cut, changed or gone is
//! missed; the last one is known by the tail file and by the database's mark. What no later word
//! vouches for was told to nobody: a commit that was being written when the process was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::name::RunId;
use crate::lineage::error::LedgerError;
use crate::lineage::journal::{self, JournalEnd, JournalText};
use crate::lineage::ledger::{Ledger, TABLES, as_written_now};
use crate::lineage::record::LedgerEntry;
use crate::lineage::tail::{JournalLink, JournalTail};

/// What was found.
#[derive(Debug, Default)]
pub struct LedgerAudit {
    /// What is wrong with journals.
    pub journals: Vec<JournalFault>,
    /// How many pairs of the database stand in no journal, or otherwise.
    pub only_in_database: usize,
    /// How many pairs that the journals tell of the database lacks, or has otherwise.
    pub only_in_journals: usize,
}

impl LedgerAudit {
    /// Returns what was found, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.journals.iter().map(|(_, line)| line.clone()).collect();
        if self.only_in_database > 0 {
            lines.push(format!(
                "{} entries of the database stand in no journal",
                self.only_in_database
            ));
        }
        if self.only_in_journals > 0 {
            lines.push(format!(
                "the database lacks {} entries that the journals hold",
                self.only_in_journals
            ));
        }
        lines
    }
}

/// Holds the journals of a cache against each other and against the database, if it is there to be
/// asked. `is_alone`: nobody writes meanwhile.
///
/// # Errors
/// The disk or the database failed; a journal is of a later format.
pub fn audit(
    cache: &Path,
    database: Option<&Ledger>,
    is_alone: bool,
) -> Result<LedgerAudit, LedgerError> {
    // Before the journals: beside a run, it must not say more than they held when they were read.
    let tail = JournalTail::load(cache);
    let (journals, misnamed) = JournalSet::read(&cache.join("runs"))?;
    let mut audit = LedgerAudit {
        journals: misnamed,
        ..LedgerAudit::default()
    };
    let mark = database.map(Ledger::mark).transpose()?.flatten();
    let is_last_word = is_alone && database.is_none() && tail == JournalTail::default();
    let vouched = journals.vouched(tail.link.into_iter().chain(mark));
    audit.journals.extend(journals.missed(&vouched));
    audit
        .journals
        .extend(journals.broken(&vouched, is_last_word));
    if let Some(database) = database {
        compare(database, &journals.ledger()?, &mut audit)?;
    }
    Ok(audit)
}

/// What is wrong with a journal: its file, and a line for people.
pub type JournalFault = (PathBuf, String);

/// All journals of a cache.
struct JournalSet {
    runs: PathBuf,
    texts: BTreeMap<RunId, JournalText>,
    /// The latest that holds all that was recorded before it: what earlier ones hold matters no
    /// more.
    base: Option<RunId>,
}

impl JournalSet {
    /// Reads the journals in the folder of runs; tells which files look like one and have not the
    /// name of a run.
    fn read(runs: &Path) -> Result<(Self, Vec<JournalFault>), LedgerError> {
        let (mut texts, mut misnamed) = (BTreeMap::new(), Vec::new());
        for (run, path) in journal::files(runs)? {
            match run {
                Some(run) => {
                    texts.insert(run, journal::read(&path)?);
                }
                None => {
                    let line = format!("`{}` has not the name of a run", path.display());
                    misnamed.push((path, line));
                }
            }
        }
        let base = texts
            .iter()
            .rev()
            .find(|(_, text)| text.head.is_base)
            .map(|(run, _)| run.clone());
        Ok((
            Self {
                runs: runs.to_owned(),
                texts,
                base,
            },
            misnamed,
        ))
    }

    fn counts(&self, run: &RunId) -> bool {
        self.base.as_ref().is_none_or(|base| run >= base)
    }

    /// Returns how far each journal goes, as the later ones and `others` vouch.
    fn vouched(&self, others: impl Iterator<Item = JournalLink>) -> BTreeMap<RunId, JournalLink> {
        let later = self
            .texts
            .iter()
            .filter(|(run, text)| self.counts(run) && !text.head.is_base);
        let links = later
            .filter_map(|(_, text)| text.head.after.clone())
            .chain(others);
        let mut vouched: BTreeMap<RunId, JournalLink> = BTreeMap::new();
        for link in links.filter(|link| self.counts(&link.run)) {
            let known = vouched
                .entry(link.run.clone())
                .or_insert_with(|| link.clone());
            if link.commits > known.commits {
                *known = link;
            }
        }
        vouched
    }

    /// Tells which journals do not go as far as is vouched for.
    fn missed(&self, vouched: &BTreeMap<RunId, JournalLink>) -> Vec<JournalFault> {
        let missed = |link: &JournalLink| match self.texts.get(&link.run) {
            None => Some(format!(
                "the journal of run {} is missing: it held {} commits",
                link.run, link.commits
            )),
            Some(text) if text.reaches(link) => None,
            Some(text) => Some(format!(
                "the journal of run {} is damaged: {} of its {} commits can be read",
                link.run,
                text.commits.len(),
                link.commits
            )),
        };
        vouched
            .values()
            .filter_map(|link| Some((journal::path(&self.runs, &link.run), missed(link)?)))
            .collect()
    }

    /// Tells which journals, other than those that are missed, cannot be read to their end. What
    /// follows the commits that a later journal vouches for was told to nobody; of the last one
    /// that is not known.
    fn broken(
        &self,
        vouched: &BTreeMap<RunId, JournalLink>,
        is_last_word: bool,
    ) -> Vec<JournalFault> {
        let heads = self
            .texts
            .values()
            .filter_map(|text| text.head.after.as_ref());
        let followed: BTreeSet<&RunId> = heads.map(|link| &link.run).collect();
        let last = self.texts.keys().next_back();
        let mut broken = Vec::new();
        for (run, text) in self.texts.iter().filter(|(run, _)| self.counts(run)) {
            let is_missed = vouched.get(run).is_some_and(|link| !text.reaches(link));
            let why = match &text.end {
                JournalEnd::Damaged(why) => why.as_str(),
                // One that is being written, or was when its run was killed, ends like this: nobody
                // was told of the rest. The tail file or the database know of it; without them
                // nothing does.
                JournalEnd::Torn if is_last_word && last == Some(run) => {
                    "it ends in the middle of a commit"
                }
                JournalEnd::Torn | JournalEnd::Whole => continue,
            };
            if is_missed || followed.contains(run) {
                continue;
            }
            let line = format!(
                "the journal of run {run} cannot be read after {} commits: {why}",
                text.commits.len()
            );
            broken.push((journal::path(&self.runs, run), line));
        }
        broken
    }

    /// Returns what they hold, as a ledger.
    fn ledger(&self) -> Result<Ledger, LedgerError> {
        let ledger = Ledger::in_memory();
        for (run, text) in &self.texts {
            for (entries, commits) in text.commits.iter().zip(1..) {
                ledger.replay(
                    entries,
                    &JournalLink {
                        run: run.clone(),
                        commits,
                        chain: None,
                    },
                )?;
            }
        }
        Ok(ledger)
    }
}

fn compare(
    database: &Ledger,
    journals: &Ledger,
    audit: &mut LedgerAudit,
) -> Result<(), LedgerError> {
    for table in TABLES {
        let pairs = |ledger: &Ledger| -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LedgerError> {
            Ok(ledger
                .pairs()
                .scan(&[table])
                .map_err(LedgerError::Database)?
                .into_iter()
                .collect())
        };
        let (kept, told) = (pairs(database)?, pairs(journals)?);
        audit.only_in_database += kept.keys().filter(|key| !told.contains_key(*key)).count();
        audit.only_in_journals += told
            .iter()
            .filter(|(key, value)| {
                let is_same =
                    |kept: &Vec<u8>| kept == *value || as_written_now(table, kept) == **value;
                !kept.get(*key).is_some_and(is_same)
            })
            .count();
    }
    Ok(())
}

/// Returns everything a ledger holds as commits from which it can be built again: actions in the
/// order they began, then runs, then each move by itself.
///
/// # Errors
/// The database failed or a record cannot be read.
pub fn everything(ledger: &Ledger) -> Result<Vec<Vec<LedgerEntry>>, LedgerError> {
    let mut commits = Vec::new();
    let mut actions = ledger.actions()?;
    actions.sort_by_key(|record| (record.started_ms, record.key));
    commits.extend(
        actions
            .into_iter()
            .map(|record| vec![LedgerEntry::Action(Box::new(record))]),
    );
    for mut run in ledger.runs()? {
        run.stages = ledger.stages(&run.run)?;
        commits.push(vec![LedgerEntry::Run(Box::new(run))]);
    }
    for (_, state) in ledger.references()? {
        commits.extend(
            state
                .moves
                .into_iter()
                .map(|step| vec![LedgerEntry::Move(step)]),
        );
    }
    let swept = ledger.swept()?;
    if !swept.is_empty() {
        commits.push(vec![LedgerEntry::Swept(swept)]);
    }
    let tombstones = ledger.tombstones()?.into_iter();
    commits.extend(tombstones.map(|tombstone| vec![LedgerEntry::Forgotten(tombstone)]));
    Ok(commits)
}
