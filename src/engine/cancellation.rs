//! Stages that end before their time, or are not begun any more: the run is cancelled, they took
//! too long, somebody asked for it, what they need failed, or so much else did.

use std::time::Duration;

use crate::base::digest::Digest;
use crate::base::outcome::{FailureClass, StageFailure, StageOutcome};
use crate::engine::drive::{Driver, StopReason};
use crate::event::StageResult;

impl Driver<'_, '_> {
    /// Ends stages that somebody asked to end, what a cancelled run does not begin any more, and
    /// stages whose time is over.
    pub(crate) fn stop_what_is_to_stop(&mut self) {
        for name in self.cancel_requests.take(self.setup.clock.now_ms()) {
            self.end_asked(&name);
        }
        if self.setup.cancel.is_cancelled() {
            self.free_coalesced(true);
            for stage in self.schedule.stop() {
                let result = self.result(stage, StageOutcome::Cancelled);
                self.finish(stage, result);
            }
            for retry in std::mem::take(&mut self.retries) {
                self.give_up(
                    retry.stage,
                    StageResult {
                        outcome: StageOutcome::Cancelled,
                        ..retry.result
                    },
                );
            }
        }
        let stages = &self.setup.planner.pipeline.stages;
        let is_timed = |stage: &usize| stages[*stage].limits.timeout.is_some();
        if self.started.keys().any(is_timed) {
            let now_ms = self.setup.clock.now_ms();
            for (stage, started) in self
                .started
                .iter_mut()
                .filter(|(_, started)| started.at_ms > 0)
            {
                let ran = Duration::from_millis(now_ms.saturating_sub(started.at_ms));
                if stages[*stage]
                    .limits
                    .timeout
                    .is_some_and(|timeout| ran > timeout)
                    && started.ended.is_none()
                {
                    started.ended = Some(StopReason::TimedOut);
                    started.cancel.cancel();
                }
            }
        }
    }

    /// Ends the stages of this name that have not ended yet; what depends on them is not begun.
    fn end_asked(&mut self, name: &str) {
        self.free_coalesced(true);
        let is_meant = |stage: &&usize| {
            let id = &self.spec(**stage).id;
            id.as_str() == name || id.stem() == name
        };
        let meant: Vec<usize> = self.plan.wanted.iter().filter(is_meant).copied().collect();
        for stage in meant {
            if let Some(started) = self.started.get_mut(&stage) {
                started.ended = Some(StopReason::Asked);
                started.cancel.cancel();
            } else if let Some(at) = self.retries.iter().position(|retry| retry.stage == stage) {
                let retry = self.retries.remove(at);
                self.give_up(
                    stage,
                    StageResult {
                        outcome: StageOutcome::Cancelled,
                        ..retry.result
                    },
                );
            } else if let Some(below) = self.schedule.withdraw(stage) {
                self.finish(stage, self.result(stage, StageOutcome::Cancelled));
                self.skip(stage, below, StageOutcome::Cancelled);
            } else {
                continue;
            }
            let id = self.spec(stage).id.clone();
            self.emitter
                .warn("stage::ended", &format!("stopping `{id}` on request"));
        }
    }

    /// Returns whether a stage with this key runs, or is to be tried again.
    pub(crate) fn is_under_way(&self, key: &Digest) -> bool {
        self.started
            .values()
            .chain(self.retries.iter().map(|retry| &retry.started))
            .any(|other| other.action.key == *key)
    }

    /// Lets stages go on that waited for another with the same key: all of them, or those of which
    /// none runs.
    pub(crate) fn free_coalesced(&mut self, all: bool) {
        let (free, held) = self
            .coalesced
            .iter()
            .partition(|(_, key)| all || !self.is_under_way(key));
        self.coalesced = held;
        let free: Vec<(usize, Digest)> = free;
        free.iter()
            .for_each(|(stage, _)| self.schedule.redo(*stage, &[]));
    }

    /// Ends a stage that did not give what it should, and all that depends on it.
    pub(crate) fn give_up(&mut self, stage: usize, result: StageResult) {
        let outcome = result.outcome;
        self.finish(stage, result);
        let below = self.schedule.fail(stage);
        self.skip(stage, below, outcome);
        if outcome == StageOutcome::Failed {
            self.failures += 1;
            if self.is_halted() {
                self.halt();
            }
        }
    }

    /// Ends what depends on a stage that ended like this.
    fn skip(&mut self, stage: usize, below: Vec<usize>, outcome: StageOutcome) {
        for skipped in below {
            let message = format!("`{}` produced no output", self.spec(stage).id);
            let error = Some(StageFailure {
                class: FailureClass::Stage,
                message,
            });
            let end = if outcome == StageOutcome::Cancelled {
                StageOutcome::Cancelled
            } else {
                StageOutcome::Skipped
            };
            let result = StageResult {
                error,
                ..self.result(skipped, end)
            };
            self.finish(skipped, result);
        }
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.setup
            .max_failures
            .is_some_and(|most| self.failures >= most)
    }

    /// Lets what runs go on and begins nothing more.
    fn halt(&mut self) {
        let message = format!(
            "not started: `--max-failures` was reached ({} failed)",
            self.failures
        );
        self.free_coalesced(true);
        for skipped in self.schedule.stop() {
            let error = Some(StageFailure {
                class: FailureClass::Stage,
                message: message.clone(),
            });
            let result = StageResult {
                error,
                ..self.result(skipped, StageOutcome::Skipped)
            };
            self.finish(skipped, result);
        }
        for started in self
            .started
            .values_mut()
            .filter(|started| started.at_ms == 0)
        {
            started.ended = Some(StopReason::Halted);
            started.cancel.cancel();
        }
        for retry in std::mem::take(&mut self.retries) {
            self.give_up(retry.stage, retry.result);
        }
    }
}
