//! What the journals hold beyond a ledger's mark, taken up by it; and records for whoever only reads,
//! while others run: no lock is taken and no database is opened.
//!
//! Each journal says how far the one before it went. Where one does not go so far, is missing or is
//! damaged, the journals alone do not tell the whole story, and the reader has to ask the database.

use std::path::{Path, PathBuf};

use crate::base::name::RunId;
use crate::lineage::error::LedgerError;
use crate::lineage::journal::{self, JournalEnd, JournalText};
use crate::lineage::ledger::Ledger;
use crate::lineage::packed_pairs::{PACKS, is_damage, open_packs};
use crate::lineage::tail::{JournalLink, JournalTail};

/// What was taken from journals.
#[derive(Debug, Default)]
pub(crate) struct FollowedJournals {
    /// How many commits were taken up.
    pub(crate) commits: u64,
    /// From how many journals.
    pub(crate) runs: u64,
    /// What is wrong with them, a line each.
    pub(crate) odd: Vec<String>,
    /// Whether each goes on from the one before.
    pub(crate) is_continuous: bool,
    /// How far the last goes, or the mark if there is none beyond it.
    pub(crate) reach: Option<JournalReach>,
}

/// How far the journals go that were read so far.
#[derive(Debug)]
pub(crate) struct JournalReach {
    link: JournalLink,
    /// The last of them; not known of those that a mark stands for.
    text: Option<JournalText>,
}

impl JournalReach {
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

/// Replays what the journals hold beyond a ledger's mark.
///
/// # Errors
/// The disk or the database failed; a journal is of a later format.
pub(crate) fn follow(ledger: &Ledger, cache: &Path) -> Result<FollowedJournals, LedgerError> {
    let mark = ledger.mark()?;
    let mut followed = FollowedJournals {
        is_continuous: true,
        reach: mark.clone().map(|link| JournalReach { link, text: None }),
        ..FollowedJournals::default()
    };
    let is_open = |run: &RunId| mark.as_ref().is_none_or(|mark| *run >= mark.run);
    let mut journals = journal::list(&cache.join("runs"))?;
    journals.retain(|(run, _)| is_open(run));
    // One that holds everything that was recorded before stands for all before it.
    let is_base = |(_, path): &(RunId, PathBuf)| journal::is_base(path);
    let begin = journals.iter().rposition(is_base).unwrap_or_default();
    for (run, path) in journals.drain(begin..) {
        let known = mark.as_ref().filter(|mark| mark.run == run);
        let skip = known.map_or(0, |mark| mark.commits);
        let text = journal::read_beyond(&path, skip)?;
        let there = text.commits.len() as u64;
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
        followed.is_continuous &= match known {
            Some(known) => text.reaches(known) && !matches!(text.end, JournalEnd::Damaged(_)),
            None => is_continued(followed.reach.as_ref(), &text),
        };
        let beyond = text
            .commits
            .iter()
            .zip(1..)
            .filter(|(_, count)| *count > skip);
        for (entries, commits) in beyond {
            let mark = JournalLink {
                run: run.clone(),
                commits,
                chain: text.chain(commits),
            };
            ledger.replay(entries, &mark)?;
            followed.commits += 1;
        }
        followed.runs += 1;
        followed.reach = JournalReach::of(&run, text).or(followed.reach);
    }
    Ok(followed)
}

/// Returns whether a journal can be read to its end, and goes on from those before it.
fn is_continued(before: Option<&JournalReach>, text: &JournalText) -> bool {
    if matches!(text.end, JournalEnd::Damaged(_)) {
        return false;
    }
    match (&text.head.after, before) {
        // What holds everything needs nothing before it; old ones do not say.
        _ if text.head.is_base => true,
        (None, _) => true,
        (Some(after), Some(before)) => before.goes_to(after),
        (Some(_), None) => false,
    }
}

/// Reads the journals of all runs into memory.
///
/// # Errors
/// The disk failed.
pub fn from_journals(cache: &Path) -> Result<Ledger, LedgerError> {
    let ledger = Ledger::in_memory();
    follow(&ledger, cache)?;
    Ok(ledger)
}

/// Reads the records: packs, and what the journals hold beyond them; `None` if these do not tell
/// everything.
///
/// # Errors
/// `TooNew`; the disk failed.
pub fn read_records(cache: &Path) -> Result<Option<Ledger>, LedgerError> {
    // First of all: no journal read after it goes less far than it says.
    let tail = JournalTail::load(cache);
    let packs = match open_packs(&cache.join(PACKS)) {
        // The next run builds them anew; until then the journals are read.
        Err(error) if is_damage(&error) => Vec::new(),
        packs => packs?,
    };
    let marked = Ledger::over_packs(packs).and_then(|ledger| Ok((ledger.mark()?, ledger)));
    let (mark, ledger) = match marked {
        Err(LedgerError::Database(_)) => (None, Ledger::in_memory()),
        marked => marked?,
    };
    if let Some(mark) = mark
        && tail.link.as_ref() == Some(&mark)
        && !tail.is_open
        && journal::list(&cache.join("runs"))?
            .iter()
            .all(|(run, _)| *run <= mark.run)
    {
        return Ok(Some(ledger));
    }
    let followed = follow(&ledger, cache)?;
    let is_whole = tail.link.is_none_or(|link| match &followed.reach {
        Some(reach) => reach.link.run > link.run || reach.goes_to(&link),
        None => false,
    });
    Ok((followed.is_continuous && is_whole).then_some(ledger))
}
