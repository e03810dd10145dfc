//! What a run would make of refs: those it leaves where they are, those it moves for certain because the
//! decision is cached, and those about which a stage has to decide first.

use serde::Serialize;

use crate::app::workspace::{AppResult, LoadedPipeline, Workspace};
use crate::base::digest::Digest;
use crate::base::name::{RefName, StageId};
use crate::lineage::ledger::Ledger;
use crate::lineage::record::ActionRecord;
use crate::lineage::refs::{RefEvidence, RefState};
use crate::pipeline::check::InputOrigin;
use crate::plan::decide::Verdict;
use crate::plan::planner::Plan;

/// What a run would make of a ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefProspect {
    /// The stage that reads it.
    pub stage: StageId,
    /// The ref.
    pub name: RefName,
    /// What it points at.
    pub points_at: Option<Digest>,
    /// Who moved it there: a pipeline, or a person by name.
    pub moved_by: Option<String>,
    /// Whether another pipeline than this one moved it there.
    pub is_of_another_pipeline: bool,
    /// What would become of it.
    pub prospect: RefMoveProspect,
}

/// What would become of a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefMoveProspect {
    /// It stays: the decision is cached.
    Stays,
    /// It moves: the cached decision accepts another model than the ref points at now.
    Moves(Digest),
    /// The stage has to decide.
    Undecided,
}

impl Workspace {
    /// Returns what a run would make of the refs that its stages read, in the order of the stages.
    ///
    /// # Errors
    /// The ledger failed.
    pub fn ref_prospects(
        &self,
        loaded: &LoadedPipeline,
        plan: &Plan,
    ) -> AppResult<Vec<RefProspect>> {
        if !loaded.pipeline.has_ref() {
            return Ok(Vec::new());
        }
        let ledger = self.reading()?.ledger;
        let mut prospects = Vec::new();
        for stage in &plan.wanted {
            let spec = &loaded.pipeline.stages[*stage];
            for input in &spec.inputs {
                let InputOrigin::Ref(name, _) = &input.from else {
                    continue;
                };
                let state = ledger.reference(name)?;
                let moved_by = moved_by(&ledger, &state)?;
                let is_pipeline = moved_by.as_ref().is_some_and(|mover| mover.is_pipeline);
                let moved_by = moved_by.map(|mover| mover.name);
                let own = Some(&loaded.pipeline.file);
                prospects.push(RefProspect {
                    stage: spec.id.clone(),
                    name: name.clone(),
                    points_at: state.current().map(|content| content.digest),
                    is_of_another_pipeline: is_pipeline && moved_by.as_ref() != own,
                    moved_by,
                    prospect: match &plan.decisions[stage].verdict {
                        Verdict::Reuse(record) => cached(record, &input.port, &state),
                        Verdict::Run(_) | Verdict::Wait(_) => RefMoveProspect::Undecided,
                    },
                });
            }
        }
        Ok(prospects)
    }
}

/// Who moved a ref.
struct RefMover {
    name: String,
    is_pipeline: bool,
}

fn moved_by(ledger: &Ledger, state: &RefState) -> AppResult<Option<RefMover>> {
    let Some(last) = state.moves.last() else {
        return Ok(None);
    };
    Ok(match &last.evidence {
        RefEvidence::Manual(word) => Some(RefMover {
            name: word.who.clone(),
            is_pipeline: false,
        }),
        RefEvidence::Action(key) => ledger.action(key)?.map(|record| RefMover {
            name: record.pipeline,
            is_pipeline: true,
        }),
    })
}

fn cached(record: &ActionRecord, port: &str, state: &RefState) -> RefMoveProspect {
    let wish = record.moves.iter().find(|wish| wish.port == port);
    let is_overruled = state.moved_by_hand_since(record.started_ms).is_some();
    match wish {
        Some(wish) if state.current() != Some(wish.to) && !is_overruled => {
            RefMoveProspect::Moves(wish.to.digest)
        }
        _ => RefMoveProspect::Stays,
    }
}
