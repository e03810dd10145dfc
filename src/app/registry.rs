//! Refs moved by hand: promotions and rollbacks, each with who decided it and why.

use crate::app::artifacts::FoundTarget;
use crate::app::workspace::{AppError, AppResult, RunOptions, Workspace};
use crate::base::artifact::ContentRef;
use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::base::name::RefName;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::LedgerEntry;
use crate::lineage::refs::{ManualEvidence, RefEvidence, RefMove, RefState};
use crate::plan::up_to_date;
use crate::store::blob::Store;

/// Chooses what a ref is to point at, by the records and where it points.
type ChooseContent<'a> = &'a dyn Fn(&Ledger, &RefState) -> AppResult<Option<ContentRef>>;

impl Workspace {
    /// Points a ref at an artifact that was found, whatever the gate said of it; the signed statement of
    /// it, if there is one, is kept with the history.
    ///
    /// # Errors
    /// No reason is given; no stage made it, or it is gone; the ref points there already; `Busy`,
    /// `Stopped`; ledger or disk failed.
    pub fn promote(
        &self,
        name: &RefName,
        found: &FoundTarget,
        word: ManualEvidence,
        attestation: Option<&[u8]>,
        terms: &RunOptions<'_>,
    ) -> AppResult<RefMove> {
        let choose: ChooseContent<'_> = &|ledger, _| content(ledger, found).map(Some);
        self.move_ref(name, (word, attestation), terms, choose)
    }

    /// Points a ref at what it pointed at before its last move.
    ///
    /// # Errors
    /// No reason is given; there is nothing before; what it pointed at is gone; `Busy`, `Stopped`;
    /// ledger or disk failed.
    pub fn roll_back(
        &self,
        name: &RefName,
        word: ManualEvidence,
        terms: &RunOptions<'_>,
    ) -> AppResult<RefMove> {
        self.move_ref(name, (word, None), terms, &|_, state| {
            let before = state.moves.last().and_then(|last| last.from);
            match before {
                Some(before) => Ok(Some(before)),
                None => Err(AppError::Usage(format!(
                    "there is nothing to roll `{name}` back to: it never pointed at anything else"
                ))),
            }
        })
    }

    /// Makes a ref point at nothing: it is out of use, and keeps its history. The next model that is
    /// judged is the first one again.
    ///
    /// # Errors
    /// No reason is given; it points at nothing already; `Busy`, `Stopped`; ledger or disk failed.
    pub fn archive(
        &self,
        name: &RefName,
        word: ManualEvidence,
        terms: &RunOptions<'_>,
    ) -> AppResult<RefMove> {
        self.move_ref(name, (word, None), terms, &|_, _| Ok(None))
    }

    fn move_ref(
        &self,
        name: &RefName,
        (mut word, attestation): (ManualEvidence, Option<&[u8]>),
        terms: &RunOptions<'_>,
        choose: ChooseContent<'_>,
    ) -> AppResult<RefMove> {
        check_word(&word)?;
        // What the person decides about is what stands there now, not what a run in progress makes
        // of it.
        let seen = self.reading()?.ledger.reference(name)?;
        let _lock = self.lock(terms)?;
        let ledger = self.writing()?;
        let state = ledger.reference(name)?;
        let to_nothing = state.moves.is_empty() && choose(&ledger, &state)?.is_none();
        if to_nothing {
            return Err(AppError::Usage(format!(
                "there is no ref `{name}`: see `netsec model list`"
            )));
        }
        if state.current() != seen.current() {
            return Err(AppError::Usage(format!(
                "`{name}` was moved by the run that was waited for: see `netsec model history {name}`, and say it again"
            )));
        }
        let to = choose(&ledger, &state)?;
        if state.current() == to {
            let there = to.map_or("nothing".to_owned(), |to| to.digest.short());
            return Err(AppError::Usage(format!(
                "`{name}` points at {there} already"
            )));
        }
        if let Some(to) = to {
            self.refuse_lost(&ledger, &to.digest)?;
        }
        if let Some(bytes) = attestation {
            let store = self.store();
            word.attestation = Some(store.put(bytes)?);
            store.flush()?;
        }
        let step = RefMove {
            name: name.clone(),
            from: state.current(),
            to,
            evidence: RefEvidence::Manual(word),
            at_ms: clock::SystemClock.now_ms(),
        };
        up_to_date::forget(&self.cache)?;
        ledger.commit(&[LedgerEntry::Move(step.clone())])?;
        self.settle(&ledger)?;
        Ok(step)
    }

    /// Refuses what no ref may point at: what is not there, or was trained on rows that were forgotten.
    fn refuse_lost(&self, ledger: &Ledger, model: &Digest) -> AppResult<()> {
        let short = model.short();
        if let Some(tombstone) = ledger.tombstone_of(model)? {
            return Err(AppError::Usage(format!("{short} {}", tombstone.tell())));
        }
        match self.store().has(model)? {
            true => Ok(()),
            false => Err(AppError::Usage(format!(
                "{short} is not in the cache any more: run the pipeline that made it again"
            ))),
        }
    }
}

/// A person's word says who and why.
pub(crate) fn check_word(word: &ManualEvidence) -> AppResult<()> {
    match word.is_whole() {
        true => Ok(()),
        false => Err(AppError::Usage(
            "say who decides it (`--by NAME`) and why (`--why TEXT`): both stand in the history for good"
                .to_owned(),
        )),
    }
}

/// What was found, as the action that made it gave it.
fn content(ledger: &Ledger, found: &FoundTarget) -> AppResult<ContentRef> {
    for key in ledger.makers(&found.digest)? {
        let Some(record) = ledger.action(&key)? else {
            continue;
        };
        let made = record
            .outputs
            .iter()
            .find(|made| made.digest == found.digest);
        if let Some(made) = made {
            return Ok(ContentRef {
                digest: made.digest,
                directory: made.directory,
            });
        }
    }
    Err(AppError::Usage(format!(
        "`{}` was made by no stage: only what has a lineage can be promoted",
        found.name
    )))
}
