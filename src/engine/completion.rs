//! A stage that comes back from its worker: recorded, sent again, or failed.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::outcome::{FailureClass, RunOutcome, StageFailure, StageOutcome};
use crate::engine::dispatch_command::{ActionEnd, StopReason};
use crate::engine::drive::{Driver, RunningAction, WishOrigin};
use crate::engine::executor::ActionResult;
use crate::event::{EventKind, StageResult};
use crate::lineage::error::LedgerError;
use crate::lineage::record::{
    ActionRecord, InputRecord, LedgerEntry, PortMove, RunRecord, RunRetention, StageRun,
};
use crate::lineage::refs::{RefEvidence, RefMove};
use crate::pipeline::check::InputOrigin;
use crate::plan::decide::{self, DecideError};
use crate::stage::error::StageError;

impl Driver<'_, '_> {
    /// Takes a stage back from its worker.
    pub(crate) fn back(
        &mut self,
        stage: usize,
        mut performed: ActionResult,
    ) -> Result<(), DecideError> {
        let running = self.running.remove(&stage);
        let running = running.expect("only what a worker has comes back");
        let now_ms = self.setup.clock.now_ms();
        let seconds = match running.began_ms {
            0 => 0.0,
            began_ms => now_ms.saturating_sub(began_ms) as f64 / 1000.0,
        };
        if performed.result.is_ok() {
            performed.result = self.record_action(stage, &running, &performed, seconds)?;
        }
        let end = match &performed.result {
            Ok(()) => {
                self.outputs.insert(stage, performed.outputs.clone());
                match performed.elsewhere {
                    Some(_) => ActionEnd::Fetched,
                    None => ActionEnd::Made,
                }
            }
            Err(error) => self.action_end(stage, error)?,
        };
        if let ActionEnd::Lost(lost) = &end {
            self.forget_lost(&performed, lost);
        } else {
            let error = performed.result.as_ref().err();
            let end = StageResult {
                key: Some(running.action.key),
                seconds,
                error: error.and_then(|error| self.failure(stage, error)),
                outputs: performed.outputs,
                notes: performed.notes,
                rejects: performed.rejects,
                shared_by: performed.elsewhere.map(|elsewhere| elsewhere.host),
                worker: performed
                    .remote
                    .map(|by| by.origin.machine(&by.host).to_owned()),
                part_workers: running.part_workers,
                // The dispatcher says how it ended.
                ..self.result(stage, StageOutcome::Failed)
            };
            self.ends.insert(stage, end);
        }
        self.dispatcher.ended(stage, end, now_ms);
        Ok(())
    }

    /// How an action that gave nothing came back.
    fn action_end(&self, stage: usize, error: &StageError) -> Result<ActionEnd, DecideError> {
        let end = match error {
            StageError::Cancelled => ActionEnd::Stopped,
            StageError::Lost(_) => match self.lost_needs(stage)? {
                Some(lost) => ActionEnd::Lost(lost),
                None => ActionEnd::Failed { may_pass: false },
            },
            StageError::Failed(_) | StageError::Storage(_) => ActionEnd::Failed { may_pass: true },
            StageError::Data(_) | StageError::Rejected(_) | StageError::Broken(_) => {
                ActionEnd::Failed { may_pass: false }
            }
        };
        Ok(end)
    }

    /// Records a finished action with its moves in one commit.
    fn record_action(
        &mut self,
        stage: usize,
        running: &RunningAction,
        performed: &ActionResult,
        seconds: f64,
    ) -> Result<Result<(), StageError>, DecideError> {
        let RunningAction {
            action, began_ms, ..
        } = running;
        let (key, ingredients) = (action.key, &action.ingredients);
        let wishes: Vec<PortMove> = performed
            .moves
            .iter()
            .map(|(port, to)| PortMove {
                port: port.clone(),
                to: *to,
            })
            .collect();
        let spec = self.spec(stage);
        let input = |port: &str, text: &str| InputRecord {
            port: port.to_owned(),
            text: text.to_owned(),
            digest: ingredients.digest(port),
        };
        let parts = performed.parts.iter().map(|(name, digest)| InputRecord {
            port: name.clone(),
            text: format!("{}.{name}", spec.id),
            digest: Some(*digest),
        });
        let mut record = ActionRecord {
            key,
            pipeline: self.setup.planner.pipeline.file.clone(),
            stage: spec.id.clone(),
            kind: spec.kind.name.to_owned(),
            ingredients: ingredients.listed(),
            part: None,
            inputs: spec
                .inputs
                .iter()
                .map(|spec| input(&spec.port, &spec.text))
                .chain(parts)
                .collect(),
            outputs: performed.outputs.clone(),
            moves: wishes.clone(),
            notes: performed.notes.clone(),
            rejects: performed.rejects,
            run: self.setup.run.clone(),
            started_ms: *began_ms,
            seconds,
            host: self.setup.host.clone(),
            netsec: env!("CARGO_PKG_VERSION").to_owned(),
            imported: None,
            remote: None,
        };
        if let Some(remote) = performed.remote.clone() {
            record.host = remote.host;
            record.seconds = remote.seconds;
            record.remote = Some(remote.origin);
        }
        if let Some(elsewhere) = performed.elsewhere.clone() {
            record.started_ms = elsewhere.started_ms;
            record.seconds = elsewhere.seconds;
            record.host = elsewhere.host;
            record.netsec = elsewhere.netsec;
            record.imported = Some(elsewhere.origin);
        }
        let is_shared = self.setup.shared.is_some() && record.imported.is_none();
        let shared = is_shared.then(|| record.clone());
        for wish in &wishes {
            if !self.setup.store.has(&wish.to.digest)? {
                return Ok(Err(StageError::Failed(
                    "only what a stage made can be pointed at, and this came from a file: let a stage make it"
                        .to_owned(),
                )));
            }
        }
        let compared = |port: &str| ingredients.digest(port);
        let wished = WishOrigin {
            key,
            at_ms: match &performed.elsewhere {
                Some(elsewhere) => elsewhere.started_ms,
                None => self.setup.clock.now_ms(),
            },
        };
        let mut entries = vec![LedgerEntry::Action(Box::new(record))];
        entries.extend(
            self.moves(stage, &wishes, wished, &compared)?
                .into_iter()
                .map(LedgerEntry::Move),
        );
        match self.enter(&entries) {
            Ok(()) => {
                if let Some(record) = shared {
                    self.share(stage, &record);
                }
                Ok(Ok(()))
            }
            Err(error @ LedgerError::Moved { .. }) => {
                Ok(Err(StageError::Failed(error.to_string())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is kept of the run.
    pub(crate) fn record(&self, outcome: Option<RunOutcome>) -> RunRecord {
        let stage = |result: &StageResult| StageRun {
            id: result.id.clone(),
            outcome: result.outcome,
            key: result.key,
            seconds: result.seconds,
            error: result.error.clone(),
        };
        RunRecord {
            retention: RunRetention::Kept,
            imported: None,
            run: self.setup.run.clone(),
            pipeline: self.setup.planner.pipeline.file.clone(),
            digest: self.setup.planner.pipeline.digest,
            started_ms: self.started_ms,
            seconds: self.setup.clock.now_ms().saturating_sub(self.started_ms) as f64 / 1000.0,
            outcome,
            host: self.setup.host.clone(),
            netsec: env!("CARGO_PKG_VERSION").to_owned(),
            counts: self.counts(),
            unchanged_since: None,
            stages: self.results.values().map(stage).collect(),
        }
    }

    /// How many stages ended each way.
    pub(crate) fn counts(&self) -> BTreeMap<StageOutcome, usize> {
        let mut counts = BTreeMap::new();
        self.results
            .values()
            .for_each(|result| *counts.entry(result.outcome).or_default() += 1);
        counts
    }

    /// Turns wishes about ports into moves of the refs behind them; none for a ref that is there
    /// already. A move is right only if the ref still points at what the stage compared with. What
    /// was wished before a person moved the ref is not granted any more.
    pub(crate) fn moves(
        &mut self,
        stage: usize,
        wishes: &[PortMove],
        wished: WishOrigin,
        compared: &dyn Fn(&str) -> Option<Digest>,
    ) -> Result<Vec<RefMove>, LedgerError> {
        let inputs = &self.setup.planner.pipeline.stages[stage].inputs;
        let mut moves = Vec::new();
        for wish in wishes {
            let input = inputs.iter().find(|input| input.port == wish.port);
            let Some(InputOrigin::Ref(name, _)) = input.map(|input| &input.from) else {
                continue;
            };
            let state = self.setup.planner.ledger.reference(name)?;
            if state.current() == Some(wish.to) {
                continue;
            }
            let ledger = self.setup.planner.ledger;
            if let Some(tombstone) = ledger.tombstone_of(&wish.to.digest)? {
                let message = format!("`{name}` stays where it is: the model {}", tombstone.tell());
                self.emitter.warn("ref::forgotten", &message);
                continue;
            }
            if let Some(word) = state.moved_by_hand_since(wished.at_ms) {
                let message = format!(
                    "`{name}` stays where {} put it ({}): `netsec run --only {} --force` lets the stage decide again",
                    word.who, word.why, self.setup.planner.pipeline.stages[stage].id
                );
                self.emitter.warn("ref::kept", &message);
                continue;
            }
            moves.push(RefMove {
                name: name.clone(),
                from: compared(&wish.port).map(|digest| state.content(digest)),
                to: Some(wish.to),
                evidence: RefEvidence::Action(wished.key),
                at_ms: self.setup.clock.now_ms(),
            });
        }
        Ok(moves)
    }

    /// Enters a commit and wakes the committer; what is told of it waits until it is kept.
    pub(crate) fn enter(&mut self, entries: &[LedgerEntry]) -> Result<(), LedgerError> {
        self.entered = self.setup.planner.ledger.enter(entries)?;
        // A committer that has gone has said why.
        let _ = self.to_committer.send(());
        for entry in entries {
            if let LedgerEntry::Move(step) = entry
                && let Some(to) = step.to
            {
                self.moved = true;
                let kind = EventKind::RefMoved {
                    name: step.name.to_string(),
                    to: to.digest,
                };
                self.emitter.tell_after(self.entered, kind);
            }
        }
        Ok(())
    }

    /// Returns which outputs that a stage needs are lost, none if they are being made again
    /// already; `None` if making them again cannot help.
    fn lost_needs(&self, stage: usize) -> Result<Option<Vec<usize>>, DecideError> {
        if !self.dispatcher.may_redo(stage) {
            return Ok(None);
        }
        let mut lost = Vec::new();
        let mut is_made_again = false;
        for need in self.setup.planner.graph.needs(stage) {
            match self.outputs.get(&need) {
                // Another stage found it lost before, and it is on its way.
                None => is_made_again = true,
                Some(outputs) if self.plan.wanted.contains(&need) => {
                    if decide::lost(self.setup.store.as_ref(), outputs)?.is_some() {
                        lost.push(need);
                    } else {
                        // It was made again since this stage began, by itself or by another stage.
                        is_made_again = true;
                    }
                }
                Some(_) => {}
            }
        }
        Ok((is_made_again || !lost.is_empty()).then_some(lost))
    }

    /// Says that outputs are lost, and builds on them no more.
    fn forget_lost(&mut self, performed: &ActionResult, lost: &[usize]) {
        if let Err(error) = &performed.result {
            self.emitter.warn("store::lost", &error.to_string());
        }
        for need in lost {
            self.outputs.remove(need);
        }
    }

    /// What is told of an error; nothing of a stage that was stopped, unless its time was over.
    fn failure(&self, stage: usize, error: &StageError) -> Option<StageFailure> {
        if *error != StageError::Cancelled {
            return Some(failure(error));
        }
        if self.dispatcher.stop_reason(stage) != Some(StopReason::TimedOut) {
            return None;
        }
        let timeout = self.spec(stage).limits.timeout.unwrap_or_default();
        let message = format!(
            "timed out after {} s (`limits.timeout_seconds`)",
            timeout.as_secs_f64()
        );
        Some(failure(&StageError::Failed(message)))
    }
}

/// Returns what is told of an error.
pub fn failure(error: &StageError) -> StageFailure {
    let class = match error {
        StageError::Data(_) => FailureClass::Data,
        StageError::Rejected(_) => FailureClass::Rejected,
        StageError::Storage(_) | StageError::Lost(_) => FailureClass::Storage,
        StageError::Broken(_) => FailureClass::Fault,
        StageError::Failed(_) | StageError::Cancelled => FailureClass::Stage,
    };
    StageFailure {
        class,
        message: error.to_string(),
    }
}
