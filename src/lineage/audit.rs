//! Are the records all there? The journals are held against each other, and against the database.
//!
//! Each journal's head says how far the one before went, so one that is cut, changed or gone is missed; the last one is
//! known by the tail file and by the database's mark. What no later word vouches for was told to nobody: a commit that was
//! being written when the process was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::disk;
use crate::base::name::RunId;
use crate::lineage::error::LedgerError;
use crate::lineage::journal::{self, ENDING, JournalEnd, JournalText, Link};
use crate::lineage::ledger::{Ledger, TABLES};
use crate::lineage::record::Entry;
use crate::lineage::tail::Tail;

/// What was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// What is wrong with journals: the file, and a line for people.
    pub journals: Vec<(PathBuf, String)>,
    /// How many pairs of the database stand in no journal, or otherwise.
    pub only_in_database: usize,
    /// How many pairs that the journals tell of the database lacks, or has otherwise.
    pub only_in_journals: usize,
}

impl Audit {
    /// Returns what was found, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.journals.iter().map(|(_, line)| line.clone()).collect();
        if self.only_in_database > 0 {
            lines.push(format!("{} entries of the database stand in no journal", self.only_in_database));
        }
        if self.only_in_journals > 0 {
            lines.push(format!("the database lacks {} entries that the journals hold", self.only_in_journals));
        }
        lines
    }
}

/// Holds the journals of a cache against each other and against the database, if it is there to be asked. `is_alone`: nobody
/// writes meanwhile.
///
/// # Errors
/// The disk or the database failed; a journal is of a later format.
pub fn audit(cache: &Path, database: Option<&Ledger>, is_alone: bool) -> Result<Audit, LedgerError> {
    let runs = cache.join("runs");
    let mut audit = Audit::default();
    let tail = Tail::load(cache);
    let mut journals: BTreeMap<RunId, (PathBuf, JournalText)> = BTreeMap::new();
    for (run, path) in journal::list(&runs)? {
        let text = journal::read(&path)?;
        journals.insert(run, (path, text));
    }
    for path in disk::list(&runs)? {
        let is_named = path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| RunId::parse(stem).is_some());
        if path.extension().is_some_and(|ending| ending == ENDING) && !is_named {
            audit.journals.push((path.clone(), format!("`{}` has not the name of a run", path.display())));
        }
    }
    let mark = database.map(Ledger::mark).transpose()?.flatten();
    let base = journals.iter().rev().find(|(_, (_, text))| text.head.is_base).map(|(run, _)| run.clone());
    let counts = |run: &RunId| base.as_ref().is_none_or(|base| run >= base);
    let heads = journals.iter().filter(|(run, (_, text))| counts(run) && !text.head.is_base);
    let links = heads.filter_map(|(_, (_, text))| text.head.after.clone()).chain(tail.link).chain(mark);
    let mut vouched: BTreeMap<RunId, Link> = BTreeMap::new();
    for link in links.filter(|link| counts(&link.run)) {
        let known = vouched.entry(link.run.clone()).or_insert_with(|| link.clone());
        if link.commits > known.commits {
            *known = link;
        }
    }
    for link in vouched.values() {
        let path = journal::path(&runs, &link.run);
        let line = match journals.get(&link.run) {
            None => format!("the journal of run {} is missing: it held {} commits", link.run, link.commits),
            Some((_, text)) if !text.reaches(link) => {
                let there = text.commits.len();
                format!(
                    "the journal of run {} is damaged: {there} of its {} commits can be read",
                    link.run, link.commits
                )
            }
            Some(_) => continue,
        };
        audit.journals.push((path, line));
    }
    // What follows the commits that a later journal vouches for was told to nobody; of the last one that is not known.
    let acknowledged: BTreeSet<&RunId> =
        journals.values().filter_map(|(_, text)| text.head.after.as_ref()).map(|link| &link.run).collect();
    let is_told = |path: &Path, audit: &Audit| audit.journals.iter().any(|(told, _)| told == path);
    for (run, (path, text)) in journals.iter().filter(|(run, _)| counts(run) && !acknowledged.contains(*run)) {
        if is_told(path, &audit) {
            continue;
        }
        let why = match &text.end {
            JournalEnd::Damaged(why) => why.as_str(),
            // One that is being written, or was when its run was killed, ends like this: nobody was told of the rest. But
            // then the database, which the next run keeps, knows of it; without one nothing does.
            JournalEnd::Torn if is_alone && database.is_none() => "it ends in the middle of a commit",
            JournalEnd::Torn | JournalEnd::Whole => continue,
        };
        let line = format!("the journal of run {run} cannot be read after {} commits: {why}", text.commits.len());
        audit.journals.push((path.clone(), line));
    }
    if let Some(database) = database {
        let told = Ledger::in_memory();
        for (run, (_, text)) in &journals {
            for (entries, commits) in text.commits.iter().zip(1..) {
                told.replay(entries, &Link { run: run.clone(), commits, chain: None })?;
            }
        }
        compare(database, &told, &mut audit)?;
    }
    Ok(audit)
}

fn compare(database: &Ledger, journals: &Ledger, audit: &mut Audit) -> Result<(), LedgerError> {
    for table in TABLES {
        let pairs = |ledger: &Ledger| -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LedgerError> {
            Ok(ledger.pairs().scan(&[table]).map_err(LedgerError::Database)?.into_iter().collect())
        };
        let (kept, told) = (pairs(database)?, pairs(journals)?);
        audit.only_in_database += kept.keys().filter(|key| !told.contains_key(*key)).count();
        audit.only_in_journals += told.iter().filter(|(key, value)| kept.get(*key) != Some(*value)).count();
    }
    Ok(())
}

/// Returns everything a ledger holds as commits from which it can be built again: actions in the order they began, then
/// runs, then each move by itself.
///
/// # Errors
/// The database failed or a record cannot be read.
pub fn everything(ledger: &Ledger) -> Result<Vec<Vec<Entry>>, LedgerError> {
    let mut commits = Vec::new();
    let mut actions = ledger.actions()?;
    actions.sort_by_key(|record| (record.started_ms, record.key));
    commits.extend(actions.into_iter().map(|record| vec![Entry::Action(Box::new(record))]));
    for mut run in ledger.runs()? {
        run.stages = ledger.stages(&run.run)?;
        commits.push(vec![Entry::Run(Box::new(run))]);
    }
    for (_, state) in ledger.references()? {
        commits.extend(state.moves.into_iter().map(|step| vec![Entry::Move(step)]));
    }
    let swept = ledger.swept()?;
    if !swept.is_empty() {
        commits.push(vec![Entry::Swept(swept)]);
    }
    Ok(commits)
}
