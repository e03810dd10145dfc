//! A worker: takes tasks from the driver, performs them, and tells how they go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use crate::base::cancel::Cancel;
use crate::engine::executor::{ActionHandle, ActionResult, Executor};
use crate::engine::message::{SharedAnswer, WorkerMessage};
use crate::engine::slots::{self, SlotPermit, Slots};
use crate::plan::action::Action;
use crate::stage::context::StageTurn;
use crate::stage::error::StageError;

/// What is to be done about a stage.
pub(crate) enum WorkerTask {
    /// Look it up in the shared cache; that takes no slot and no turn.
    LookUp(Action),
    /// Have another machine carry it out; that takes no slot and no turn either.
    SendAway(PerformTask),
    /// Perform it; so many were handed out before it.
    Perform(PerformTask, u64),
}

/// A stage to be performed.
pub(crate) struct PerformTask {
    /// The action.
    pub(crate) action: Action,
    /// Raised when it is to stop.
    pub(crate) cancel: Cancel,
}

/// What is done about stages elsewhere.
pub(crate) struct Elsewhere<'a> {
    /// Looks an action up in the shared cache.
    pub(crate) look_up: &'a (dyn Fn(&Action) -> SharedAnswer + Sync),
    /// Has another machine carry an action out; nothing comes of one that is to be performed here.
    pub(crate) send_away: &'a (dyn Fn(&Action, &ActionHandle<'_>) -> Option<ActionResult> + Sync),
}

/// Performs tasks until there are no more; a panic around a stage comes back as its failure.
pub(crate) fn work(
    executor: &dyn Executor,
    elsewhere: &Elsewhere<'_>,
    slots: &Slots,
    tasks: &Mutex<Receiver<WorkerTask>>,
    to_driver: &Sender<WorkerMessage>,
) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else {
            return;
        };
        let message = match task {
            WorkerTask::LookUp(action) => {
                let caught = catch_unwind(AssertUnwindSafe(|| (elsewhere.look_up)(&action)));
                WorkerMessage::LookedUp {
                    stage: action.stage,
                    answer: caught.unwrap_or_else(|_| SharedAnswer::failed()),
                }
            }
            WorkerTask::SendAway(PerformTask { action, cancel }) => {
                let turn = AwayTurn {
                    stage: action.stage,
                    to_driver,
                    has_begun: AtomicBool::new(false),
                };
                let send = |handle: &ActionHandle<'_>| (elsewhere.send_away)(&action, handle);
                match watched(&action, &cancel, &turn, to_driver, send) {
                    Some(performed) => finished(&action, performed),
                    None => WorkerMessage::Returned {
                        stage: action.stage,
                    },
                }
            }
            WorkerTask::Perform(PerformTask { action, cancel }, turn) => {
                let turn = TaskTurn {
                    stage: action.stage,
                    to_driver,
                    state: Mutex::new((slots.turn(turn, action.limits.cpus), None)),
                };
                let perform = |handle: &ActionHandle<'_>| Some(executor.execute(&action, handle));
                let performed = watched(&action, &cancel, &turn, to_driver, perform);
                drop(turn);
                finished(&action, performed.unwrap_or_else(broken))
            }
        };
        if to_driver.send(message).is_err() {
            return;
        }
    }
}

fn finished(action: &Action, performed: ActionResult) -> WorkerMessage {
    WorkerMessage::Finished {
        stage: action.stage,
        performed: Box::new(performed),
    }
}

/// Has an action carried out and its news told; a panic around it is its failure.
fn watched(
    action: &Action,
    cancel: &Cancel,
    turn: &dyn StageTurn,
    to_driver: &Sender<WorkerMessage>,
    carry_out: impl FnOnce(&ActionHandle<'_>) -> Option<ActionResult>,
) -> Option<ActionResult> {
    let stage = action.stage;
    // A driver that has gone has no use for the news.
    let observe = |news| drop(to_driver.send(WorkerMessage::News { stage, news }));
    let handle = ActionHandle {
        cancel,
        turn,
        observe: &observe,
    };
    let caught = catch_unwind(AssertUnwindSafe(|| carry_out(&handle)));
    caught.unwrap_or_else(|_| Some(broken()))
}

/// The turn of a task that another machine carries out: the driver is told when it begins.
struct AwayTurn<'a> {
    stage: usize,
    to_driver: &'a Sender<WorkerMessage>,
    has_begun: AtomicBool,
}

impl StageTurn for AwayTurn<'_> {
    fn begin(&self) {
        if !self.has_begun.swap(true, Ordering::Relaxed) {
            // A driver that has gone has no use for the news.
            let _ = self
                .to_driver
                .send(WorkerMessage::Started { stage: self.stage });
        }
    }

    fn end(&self) {}
}

/// The turn of a task, and the slot while it is held. The driver is told when it begins.
struct TaskTurn<'a> {
    stage: usize,
    to_driver: &'a Sender<WorkerMessage>,
    state: Mutex<(slots::SlotTicket<'a>, Option<SlotPermit<'a>>)>,
}

impl StageTurn for TaskTurn<'_> {
    fn begin(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.0.is_taken() {
            state.1 = Some(state.0.take());
            // A driver that has gone has no use for the news.
            let _ = self
                .to_driver
                .send(WorkerMessage::Started { stage: self.stage });
        }
    }

    fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = None;
    }
}

/// What comes back when the engine itself panicked around a stage.
fn broken() -> ActionResult {
    let result = Err(StageError::Broken(
        "the engine panicked around this stage".to_owned(),
    ));
    ActionResult {
        result,
        ..ActionResult::nothing()
    }
}
