//! A worker: takes tasks from the driver, performs them, and tells how they go.

use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// Perform it.
    Perform(PerformTask),
}

/// A stage to be performed.
pub(crate) struct PerformTask {
    /// The action.
    pub(crate) action: Action,
    /// How many were handed out before it.
    pub(crate) turn: u64,
    /// Raised when it is to stop.
    pub(crate) cancel: Cancel,
}

/// Looks an action up in the shared cache.
pub(crate) type LookUp<'a> = &'a (dyn Fn(&Action) -> SharedAnswer + Sync);

/// Performs tasks until there are no more; a panic around a stage comes back as its failure.
pub(crate) fn work(
    executor: &dyn Executor,
    look_up: LookUp<'_>,
    slots: &Slots,
    tasks: &Mutex<Receiver<WorkerTask>>,
    to_driver: &Sender<WorkerMessage>,
) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let task = match task {
            Ok(WorkerTask::Perform(task)) => task,
            Ok(WorkerTask::LookUp(action)) => {
                let stage = action.stage;
                let caught = catch_unwind(AssertUnwindSafe(|| look_up(&action)));
                let answer = caught.unwrap_or_else(|_| SharedAnswer::failed());
                if to_driver
                    .send(WorkerMessage::LookedUp { stage, answer })
                    .is_err()
                {
                    return;
                }
                continue;
            }
            Err(_) => return,
        };
        let PerformTask {
            action,
            turn,
            cancel,
        } = task;
        let stage = action.stage;
        let turn = TaskTurn {
            stage,
            to_driver,
            state: Mutex::new((slots.turn(turn, action.limits.cpus), None)),
        };
        // A driver that has gone has no use for the news.
        let observe = |news| drop(to_driver.send(WorkerMessage::News { stage, news }));
        let handle = ActionHandle {
            cancel: &cancel,
            turn: &turn,
            observe: &observe,
        };
        let caught = catch_unwind(AssertUnwindSafe(|| executor.execute(&action, &handle)));
        drop(turn);
        let performed = Box::new(caught.unwrap_or_else(|_| broken()));
        if to_driver
            .send(WorkerMessage::Finished { stage, performed })
            .is_err()
        {
            return;
        }
    }
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
