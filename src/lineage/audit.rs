//! Are the records all there? The journals are held against each other, against the packs, and what lies
//! beyond these against the database.
//!
//! Each journal's head says how far the one before went, so one that is cut, changed or gone is
//! missed; the last one is known by the tail file and by the database's mark. What no later word
//! vouches for was told to nobody: a commit that was being written when the process was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::iter::{
    IntoParallelIterator, IntoParallelRefIterator, ParallelExtend, ParallelIterator,
};

use crate::base::name::RunId;
use crate::lineage::error::LedgerError;
use crate::lineage::journal::{self, JournalEnd, JournalText};
use crate::lineage::key_value::KeyValuePair;
use crate::lineage::ledger::Ledger;
use crate::lineage::packed_pairs::{OpenPacks, PACKS, open_packs};
use crate::lineage::record::LedgerEntry;
use crate::lineage::tables::{TABLES, as_written_now};
use crate::lineage::tail::{JournalLink, JournalTail};

/// What was found.
#[derive(Debug, Default)]
pub struct LedgerAudit {
    /// What is wrong with journals.
    pub journals: Vec<JournalFault>,
    /// What is wrong with packs, a line each.
    pub packs: Vec<String>,
    /// How many pairs of the database stand in no journal, or otherwise.
    pub only_in_database: usize,
    /// How many pairs that the journals tell of the database lacks, or has otherwise.
    pub only_in_journals: usize,
}

impl LedgerAudit {
    /// Returns what was found, a line each.
    pub fn lines(&self) -> Vec<String> {
        let journals = self.journals.iter().map(|(_, line)| line);
        let mut lines: Vec<String> = journals.chain(&self.packs).cloned().collect();
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
    let mut audit = LedgerAudit::default();
    let packs = open_packs(&cache.join(PACKS)).unwrap_or_else(|error| {
        audit.packs.push(error.to_string());
        Vec::new()
    });
    let broken = packs.par_iter().filter_map(|pack| pack.verify().err());
    audit
        .packs
        .par_extend(broken.map(|error| error.to_string()));
    let packed = match Ledger::over_packs(packs.clone()).and_then(|ledger| ledger.mark()) {
        Err(error @ LedgerError::TooNew { .. }) => return Err(error),
        // It stands among what is wrong with packs.
        Err(_) => None,
        Ok(packed) => packed,
    };
    let packs = if audit.packs.is_empty() {
        packs
    } else {
        Vec::new()
    };
    let packed = packed.filter(|_| audit.packs.is_empty());
    let (journals, misnamed) = JournalSet::read(&cache.join("runs"), packed)?;
    audit.journals = misnamed;
    let mark = database.map(Ledger::mark).transpose()?.flatten();
    let is_last_word = is_alone && database.is_none() && tail == JournalTail::default();
    let vouched = journals.vouched(tail.link.into_iter().chain(mark));
    audit.journals.extend(journals.missed(&vouched));
    audit
        .journals
        .extend(journals.broken(&vouched, is_last_word));
    if let Some(database) = database.filter(|_| audit.packs.is_empty()) {
        compare(database, &journals.ledger(packs)?, &mut audit)?;
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
    /// How far the packs go: what lies before was checked when they were written, and is not read
    /// again, only whether it is what was written.
    packed: Option<JournalLink>,
}

impl JournalSet {
    /// Reads the journals in the folder of runs; tells which files look like one and have not the
    /// name of a run.
    fn read(
        runs: &Path,
        packed: Option<JournalLink>,
    ) -> Result<(Self, Vec<JournalFault>), LedgerError> {
        let (mut named, mut misnamed) = (Vec::new(), Vec::new());
        for (run, path) in journal::files(runs)? {
            match run {
                Some(run) => named.push((run, path)),
                None => {
                    let line = format!("`{}` has not the name of a run", path.display());
                    misnamed.push((path, line));
                }
            }
        }
        let read = |(run, path): (RunId, PathBuf)| {
            let known = packed_commits(packed.as_ref(), &run);
            Ok((run, journal::read_beyond(&path, known)?))
        };
        let texts = named.into_par_iter().map(read);
        let texts = texts.collect::<Result<BTreeMap<RunId, JournalText>, LedgerError>>()?;
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
                packed,
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

    /// Returns what they hold beyond packs, as a ledger above these.
    fn ledger(&self, packs: OpenPacks) -> Result<Ledger, LedgerError> {
        let ledger = Ledger::over_packs(packs)?;
        for (run, text) in self.texts.iter().filter(|(run, _)| self.counts(run)) {
            let known = packed_commits(self.packed.as_ref(), run);
            let beyond = text.commits.iter().zip(1..);
            for (entries, commits) in beyond.filter(|(_, commits)| *commits > known) {
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

/// How many commits of a run's journal are in packs.
fn packed_commits(packed: Option<&JournalLink>, run: &RunId) -> u64 {
    match packed {
        Some(packed) if *run < packed.run => u64::MAX,
        Some(packed) if *run == packed.run => packed.commits,
        _ => 0,
    }
}

/// Holds what the database has above packs against what the journals tell beyond them.
fn compare(
    database: &Ledger,
    journals: &Ledger,
    audit: &mut LedgerAudit,
) -> Result<(), LedgerError> {
    let is_table = |(key, _): &KeyValuePair| TABLES.contains(&key[0]);
    for (key, _) in database.pairs().recent()?.into_iter().filter(is_table) {
        let told = journals.pairs().get(&key)?;
        audit.only_in_database += usize::from(told.is_none());
    }
    for (key, told) in journals.pairs().recent()?.into_iter().filter(is_table) {
        let kept = database.pairs().get(&key)?;
        let is_same = |kept: Vec<u8>| kept == told || as_written_now(key[0], &kept) == told;
        audit.only_in_journals += usize::from(!kept.is_some_and(is_same));
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
