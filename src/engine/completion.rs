//! A stage that comes back from its worker: recorded, sent again, or failed.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::outcome::{FailureClass, RunOutcome, StageFailure, StageOutcome};
use crate::engine::drive::{Driver, RunningAction, StageRetry, StopReason};
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

/// How often a stage is tried again because a blob it needs was lost.
const REDOS: usize = 3;

impl Driver<'_, '_> {
    /// Takes a stage back from its worker.
    pub(crate) fn back(
        &mut self,
        stage: usize,
        mut performed: ActionResult,
    ) -> Result<(), DecideError> {
        let mut started = self
            .started
            .remove(&stage)
            .expect("what comes back was started");
        let limits = self.spec(stage).limits.clone();
        self.capacity.give(&limits.takes);
        let began_ms = if started.at_ms == 0 {
            self.setup.clock.now_ms()
        } else {
            started.at_ms
        };
        let seconds = self.setup.clock.now_ms().saturating_sub(began_ms) as f64 / 1000.0;
        if performed.result.is_ok() {
            performed.result = self.record_action(stage, &started, &performed, seconds)?;
        }
        if let (Err(StageError::Cancelled), Some(StopReason::TimedOut)) =
            (&performed.result, started.ended)
        {
            let after = limits.timeout.unwrap_or_default().as_secs_f64();
            let message = format!("timed out after {after} s (`limits.timeout_seconds`)");
            performed.result = Err(StageError::Failed(message));
        }
        let outcome = match &performed.result {
            Ok(()) => StageOutcome::Made,
            Err(StageError::Lost(message)) if self.redo(stage, message)? => return Ok(()),
            Err(StageError::Cancelled) if started.ended == Some(StopReason::Halted) => {
                StageOutcome::Skipped
            }
            Err(StageError::Cancelled) => StageOutcome::Cancelled,
            Err(_) => StageOutcome::Failed,
        };
        let may_pass = matches!(
            performed.result,
            Err(StageError::Failed(_) | StageError::Storage(_))
        ) && started.ended != Some(StopReason::Asked);
        let result = StageResult {
            key: Some(started.action.key),
            seconds,
            outputs: performed.outputs,
            notes: performed.notes,
            error: performed
                .result
                .err()
                .filter(|error| *error != StageError::Cancelled)
                .map(|error| failure(&error)),
            ..self.result(stage, outcome)
        };
        if outcome == StageOutcome::Made {
            self.recorded.insert(started.action.key);
            self.outputs.insert(stage, result.outputs.clone());
            self.schedule.succeed(stage);
            self.finish(stage, result);
            return Ok(());
        }
        let failed = self.failed.entry(stage).or_default();
        *failed += 1;
        let failed = *failed;
        if may_pass
            && failed <= limits.retries
            && !self.is_halted()
            && !self.setup.cancel.is_cancelled()
        {
            let wait = limits.wait(failed);
            let message = result
                .error
                .as_ref()
                .map_or("", |error| error.message.as_str());
            let again = format!(
                "attempt {} of {} in {} s",
                failed + 1,
                limits.retries + 1,
                wait.as_secs_f64()
            );
            self.emitter.warn(
                "stage::retry",
                &format!("`{}` failed, {again}: {message}", self.spec(stage).id),
            );
            (started.at_ms, started.ended, started.cancel) = (0, None, self.setup.cancel.part());
            let due_ms =
                self.setup.clock.now_ms() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            self.retries.push(StageRetry {
                stage,
                due_ms,
                started,
                result,
            });
            return Ok(());
        }
        self.give_up(stage, result);
        Ok(())
    }

    /// Records a finished action with its moves in one commit.
    fn record_action(
        &mut self,
        stage: usize,
        started: &RunningAction,
        performed: &ActionResult,
        seconds: f64,
    ) -> Result<Result<(), StageError>, DecideError> {
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
            digest: started.action.ingredients.digest(port),
        };
        let parts = performed.parts.iter().map(|(name, digest)| InputRecord {
            port: name.clone(),
            text: format!("{}.{name}", spec.id),
            digest: Some(*digest),
        });
        let record = ActionRecord {
            key: started.action.key,
            pipeline: self.setup.planner.pipeline.file.clone(),
            stage: spec.id.clone(),
            kind: spec.kind.name.to_owned(),
            ingredients: started.action.ingredients.listed(),
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
            run: self.setup.run.clone(),
            started_ms: started.at_ms,
            seconds,
            host: self.setup.host.clone(),
            netsec: env!("CARGO_PKG_VERSION").to_owned(),
            imported: None,
        };
        for wish in &wishes {
            if !self.setup.store.has(&wish.to.digest)? {
                return Ok(Err(StageError::Failed(
                    "only what a stage made can be pointed at, and this came from a file: let a stage make it"
                        .to_owned(),
                )));
            }
        }
        let compared = |port: &str| started.action.ingredients.digest(port);
        let mut entries = vec![LedgerEntry::Action(Box::new(record))];
        entries.extend(
            self.moves(stage, &wishes, started.action.key, &compared)?
                .into_iter()
                .map(LedgerEntry::Move),
        );
        match self.enter(&entries) {
            Ok(()) => Ok(Ok(())),
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
    /// already. A move is right only if the ref still points at what the stage compared with.
    pub(crate) fn moves(
        &self,
        stage: usize,
        wishes: &[PortMove],
        evidence: Digest,
        compared: &dyn Fn(&str) -> Option<Digest>,
    ) -> Result<Vec<RefMove>, LedgerError> {
        let inputs = &self.spec(stage).inputs;
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
            moves.push(RefMove {
                name: name.clone(),
                from: compared(&wish.port).map(|digest| state.content(digest)),
                to: wish.to,
                evidence: RefEvidence::Action(evidence),
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
            if let LedgerEntry::Move(step) = entry {
                self.moved = true;
                let kind = EventKind::RefMoved {
                    name: step.name.to_string(),
                    to: step.to.digest,
                };
                self.emitter.tell_after(self.entered, kind);
            }
        }
        Ok(())
    }

    /// Sends a stage back because an input's blob was lost; false if that cannot help.
    fn redo(&mut self, stage: usize, message: &str) -> Result<bool, DecideError> {
        if self.is_halted() || self.setup.cancel.is_cancelled() {
            return Ok(false);
        }
        let tries = self.redos.entry(stage).or_default();
        *tries += 1;
        if *tries > REDOS {
            return Ok(false);
        }
        let (mut lost, mut again) = (Vec::new(), false);
        for need in self.setup.planner.graph.needs(stage) {
            match self.outputs.get(&need) {
                // Another stage found it lost before, and it is on its way.
                None => again = true,
                Some(outputs) if self.plan.wanted.contains(&need) => {
                    if decide::lost(self.setup.store.as_ref(), outputs)?.is_some() {
                        lost.push(need);
                    } else {
                        // It was made again since this stage began, by itself or by another stage.
                        again = true;
                    }
                }
                Some(_) => {}
            }
        }
        if lost.is_empty() && !again {
            return Ok(false);
        }
        self.emitter.warn("store::lost", message);
        for need in &lost {
            self.outputs.remove(need);
            self.redos.entry(*need).or_default();
        }
        self.schedule.redo(stage, &lost);
        Ok(true)
    }
}

fn failure(error: &StageError) -> StageFailure {
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
