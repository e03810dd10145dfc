//! Workers, limits, order of events, the end of a run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::name::RunId;
use crate::base::outcome::{RunOutcome, StageOutcome};
use crate::engine::cancel_requests::CancelRequests;
use crate::engine::capacity::Capacity;
use crate::engine::committer;
use crate::engine::emitter::EventEmitter;
use crate::engine::exec_context::ExecContext;
use crate::engine::executor::ActionNews;
use crate::engine::message::WorkerMessage;
use crate::engine::perform::LocalExecutor;
use crate::engine::schedule::Schedule;
use crate::engine::slots::Slots;
use crate::engine::worker::{WorkerTask, work};
use crate::event::{EventKind, StageResult};
use crate::graph::order::weight_below;
use crate::lineage::record::{ActionRecord, LedgerEntry};
use crate::pipeline::check::StageSpec;
use crate::plan::action::Action;
use crate::plan::decide::{self, DecideError, RunReason, Verdict};
use crate::plan::whole::{OutputDigests, Plan, Planner, StageDecision};
use crate::stage::io::SupervisorSource;
use crate::store::blob::{Store, StoreError};

/// How long the driver sleeps at most before it looks at the cancel token.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What a run is carried out with.
pub struct RunSetup<'a> {
    /// Where decisions are made from.
    pub planner: &'a Planner<'a>,
    /// Where outputs are kept; the planner's store.
    pub store: Arc<dyn Store>,
    /// Where scratch folders are made.
    pub temporary: &'a Path,
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Raised when the run is to stop.
    pub cancel: &'a Cancel,
    /// The name of the run.
    pub run: RunId,
    /// The machine.
    pub host: String,
    /// How many stages may run at once.
    pub jobs: usize,
    /// After so many failures nothing more is begun.
    pub max_failures: Option<usize>,
    /// Gives the processes that start programs.
    pub supervisors: &'a dyn SupervisorSource,
    /// Whether stages that look outside build on nothing they made earlier.
    pub full: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// How long it took.
    pub seconds: f64,
    /// How each wanted stage ended, in the order of the file.
    pub stages: Vec<StageResult>,
    /// Whether a pointer was moved.
    pub moved: bool,
}

/// A stage that was handed to a worker.
pub(crate) struct RunningAction {
    pub(crate) why: String,
    pub(crate) action: Action,
    /// When it began; zero before.
    pub(crate) at_ms: u64,
    /// Raised when it is to stop.
    pub(crate) cancel: Cancel,
    /// Why it was told to stop, if it alone was.
    pub(crate) ended: Option<StopReason>,
}

/// Why one stage was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// It took too long.
    TimedOut,
    /// So many others failed that it is not begun any more.
    Halted,
    /// Somebody asked for it.
    Asked,
}

/// A stage that failed and is to be tried again.
pub(crate) struct StageRetry {
    pub(crate) stage: usize,
    pub(crate) due_ms: u64,
    pub(crate) started: RunningAction,
    /// How it ended the last time.
    pub(crate) result: StageResult,
}

/// Carries a plan out: what can be reused is, the rest runs on workers; each finished action is
/// recorded before anyone is told.
///
/// # Errors
/// Ledger or store failed in a way that ends the run. Stages that fail do not end it.
pub fn drive(
    setup: &RunSetup<'_>,
    plan: &Plan,
    emitter: &mut EventEmitter<'_>,
) -> Result<RunSummary, DecideError> {
    disk::create_dirs(setup.temporary).map_err(StoreError::from)?;
    let (to_workers, tasks) = channel::<WorkerTask>();
    let (to_driver, messages) = channel::<WorkerMessage>();
    let (to_committer, wakes) = channel::<()>();
    let tasks = Arc::new(Mutex::new(tasks));
    let scratches = &AtomicU64::new(0);
    let slots = &Slots::new(setup.jobs.max(1));
    let executor = &LocalExecutor {
        context: ExecContext {
            pipeline: setup.planner.pipeline,
            store: &setup.store,
            sources: setup.planner.sources,
            temporary: setup.temporary,
            scratches,
            ledger: setup.planner.ledger,
            clock: setup.clock,
            run: &setup.run,
            host: &setup.host,
            supervisors: setup.supervisors,
            full: setup.full,
        },
        slots,
    };
    std::thread::scope(|scope| {
        let spawn = || {
            let tasks = Arc::clone(&tasks);
            let to_driver = to_driver.clone();
            scope.spawn(move || work(executor, slots, &tasks, &to_driver));
        };
        let mut driver = Driver {
            setup,
            plan,
            emitter,
            schedule: Schedule::new(setup.planner.graph, &plan.wanted, urgency(setup, plan)),
            capacity: Capacity::new(setup.planner.pipeline.capacity.clone()),
            retries: Vec::new(),
            coalesced: Vec::new(),
            recorded: HashSet::new(),
            cancel_requests: CancelRequests::new(setup.temporary),
            failed: HashMap::new(),
            failures: 0,
            outputs: OutputDigests::new(),
            results: BTreeMap::new(),
            started: HashMap::new(),
            redos: HashMap::new(),
            started_ms: setup.clock.now_ms(),
            entered: 0,
            moved: false,
            turns: 0,
            to_committer,
        };
        let (ledger, store, to_driver) = (setup.planner.ledger, &setup.store, to_driver.clone());
        scope.spawn(move || committer::keep(ledger, store.as_ref(), &wakes, &to_driver));
        // The sender of tasks is dropped at the end of this block, which sends the workers home;
        // with the driver goes the committer.
        let summary = driver.run(&messages, to_workers, &spawn);
        if summary.is_err() {
            // The run is lost: what still runs has nowhere to be recorded.
            setup.cancel.cancel();
        }
        summary
    })
}

pub(crate) struct Driver<'a, 'v> {
    pub(crate) setup: &'a RunSetup<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) emitter: &'a mut EventEmitter<'v>,
    pub(crate) schedule: Schedule<'a>,
    pub(crate) capacity: Capacity,
    pub(crate) retries: Vec<StageRetry>,
    /// Stages that were handed out and wait, because another that runs has the same key.
    pub(crate) coalesced: Vec<(usize, Digest)>,
    /// The keys of the actions this run has recorded.
    pub(crate) recorded: HashSet<Digest>,
    pub(crate) cancel_requests: CancelRequests,
    /// How often a stage has failed.
    pub(crate) failed: HashMap<usize, u32>,
    /// How many stages have failed for good.
    pub(crate) failures: usize,
    pub(crate) outputs: OutputDigests,
    pub(crate) results: BTreeMap<usize, StageResult>,
    pub(crate) started: HashMap<usize, RunningAction>,
    pub(crate) redos: HashMap<usize, usize>,
    pub(crate) started_ms: u64,
    /// How many commits were entered.
    pub(crate) entered: u64,
    /// Whether a pointer was moved.
    pub(crate) moved: bool,
    /// How many tasks were handed out.
    turns: u64,
    pub(crate) to_committer: Sender<()>,
}

impl Driver<'_, '_> {
    fn run(
        &mut self,
        messages: &Receiver<WorkerMessage>,
        to_workers: Sender<WorkerTask>,
        spawn: &dyn Fn(),
    ) -> Result<RunSummary, DecideError> {
        self.begin()?;
        let mut workers = 0;
        while !self.schedule.is_over() {
            self.free_coalesced(false);
            self.stop_what_is_to_stop();
            while let Some(task) = self.next_task()? {
                // More workers than can run: while some run, others prepare and keep.
                if workers < self.running() {
                    workers += 1;
                    spawn();
                }
                to_workers
                    .send(task)
                    .expect("a worker lives as long as the driver");
            }
            if self.schedule.running() > 0 {
                match messages.recv_timeout(POLL_INTERVAL) {
                    Ok(message) => self.hear(message)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        }
        self.end(messages)
    }

    /// Returns the next stage to be handed to a worker, if there is one that may be begun.
    fn next_task(&mut self) -> Result<Option<WorkerTask>, DecideError> {
        if let Some(task) = self.next_retry() {
            return Ok(Some(task));
        }
        loop {
            // Twice as many as can run. But what depends on a pointer is decided as late as can be.
            let running = self.running();
            let jobs = self.setup.jobs.max(1);
            let stages = &self.setup.planner.pipeline.stages;
            let capacity = &mut self.capacity;
            let may_begin = |stage: &usize| {
                let most = if stages[*stage].has_ref() {
                    jobs
                } else {
                    2 * jobs
                };
                running < most && capacity.take(&stages[*stage].limits.takes)
            };
            let Some(stage) = self.schedule.ready().find(may_begin) else {
                return Ok(None);
            };
            self.schedule.take(stage);
            match self.take_up(stage)? {
                Some(task) => return Ok(Some(task)),
                None => self.capacity.give(&stages[stage].limits.takes),
            }
        }
    }

    /// How many stages workers have.
    fn running(&self) -> usize {
        self.schedule.running() - self.retries.len() - self.coalesced.len()
    }

    fn next_retry(&mut self) -> Option<WorkerTask> {
        if self.retries.is_empty() {
            return None;
        }
        let now_ms = self.setup.clock.now_ms();
        let stages = &self.setup.planner.pipeline.stages;
        let capacity = &mut self.capacity;
        let is_due = |retry: &StageRetry| {
            retry.due_ms <= now_ms && capacity.take(&stages[retry.stage].limits.takes)
        };
        let at = self.retries.iter().position(is_due)?;
        let StageRetry { stage, started, .. } = self.retries.remove(at);
        Some(self.task(stage, started))
    }

    /// Makes the task of a stage and notes that it was handed out.
    fn task(&mut self, stage: usize, started: RunningAction) -> WorkerTask {
        let turn = self.turns;
        self.turns += 1;
        let action = started.action.clone();
        let cancel = started.cancel.clone();
        self.started.insert(stage, started);
        WorkerTask {
            action,
            turn,
            cancel,
        }
    }

    fn begin(&mut self) -> Result<(), DecideError> {
        let pipeline = self.setup.planner.pipeline;
        for (&stage, decision) in &self.plan.decisions {
            if let (false, Verdict::Reuse(record)) =
                (self.plan.wanted.contains(&stage), &decision.verdict)
            {
                self.outputs.insert(stage, record.outputs.clone());
            }
        }
        self.setup
            .planner
            .ledger
            .commit(&[LedgerEntry::Run(Box::new(self.record(None)))])?;
        self.emitter.tell(EventKind::RunStarted {
            run: self.setup.run.clone(),
            pipeline: pipeline.file.clone(),
            digest: pipeline.digest,
            stages: self
                .plan
                .wanted
                .iter()
                .map(|stage| pipeline.stages[*stage].id.clone())
                .collect(),
            jobs: self.setup.jobs,
        });
        Ok(())
    }

    /// Decides about a stage whose needs are done; gives back a task if it has to run.
    fn take_up(&mut self, stage: usize) -> Result<Option<WorkerTask>, DecideError> {
        let planned = self.plan.decisions.get(&stage);
        // Once a lost blob was made again, or where a pointer may have moved since, the plan is out
        // of date.
        let is_current = self.redos.is_empty() && !self.spec(stage).has_ref();
        let planned = planned.filter(|decision| decision.action.is_some() && is_current);
        let decision = match planned {
            Some(decision) => decision.clone(),
            None => self.setup.planner.decide(stage, &self.outputs)?,
        };
        let StageDecision {
            action: Some(action),
            verdict,
            ..
        } = decision
        else {
            // What it needs was made, was lost, and could not be made again.
            self.give_up(stage, self.result(stage, StageOutcome::Skipped));
            return Ok(None);
        };
        // What another stage of this run has made since serves this one too.
        let verdict = match verdict {
            Verdict::Run(_) if self.recorded.contains(&action.key) => {
                let Planner {
                    pipeline,
                    ledger,
                    store,
                    ..
                } = self.setup.planner;
                decide::decide(
                    ledger,
                    *store,
                    (&pipeline.file, &self.spec(stage).id),
                    &action.ingredients,
                    &action.key,
                )?
            }
            verdict => verdict,
        };
        match verdict {
            Verdict::Run(_) if self.is_under_way(&action.key) => {
                self.coalesced.push((stage, action.key));
                Ok(None)
            }
            Verdict::Reuse(record) => {
                self.reuse(stage, &record)?;
                Ok(None)
            }
            Verdict::Run(why) => {
                if let RunReason::Lost { message } = &why {
                    self.emitter.warn(
                        "store::lost",
                        &format!("stage `{}` runs again: {message}", self.spec(stage).id),
                    );
                }
                let cancel = self.setup.cancel.part();
                let started = RunningAction {
                    why: why.short(),
                    action,
                    at_ms: 0,
                    cancel,
                    ended: None,
                };
                Ok(Some(self.task(stage, started)))
            }
            Verdict::Wait(_) => unreachable!("what waits has no key"),
        }
    }

    fn reuse(&mut self, stage: usize, record: &ActionRecord) -> Result<(), DecideError> {
        let compared = |port: &str| {
            let input = record.inputs.iter().find(|input| input.port == port);
            input.and_then(|input| input.digest)
        };
        let moves = self.moves(stage, &record.moves, record.key, &compared)?;
        let entries: Vec<LedgerEntry> = moves.into_iter().map(LedgerEntry::Move).collect();
        if !entries.is_empty() {
            self.enter(&entries)?;
        }
        self.outputs.insert(stage, record.outputs.clone());
        self.schedule.succeed(stage);
        let result = StageResult {
            key: Some(record.key),
            outputs: record.outputs.clone(),
            notes: record.notes.clone(),
            ..self.result(stage, StageOutcome::Reused)
        };
        self.finish(stage, result);
        Ok(())
    }

    fn hear(&mut self, message: WorkerMessage) -> Result<(), DecideError> {
        match message {
            WorkerMessage::News { stage, news } => {
                self.tell_news(stage, news);
                Ok(())
            }
            WorkerMessage::Started { stage } => {
                let (id, kind) = (
                    self.spec(stage).id.clone(),
                    self.spec(stage).kind.name.to_owned(),
                );
                let started = self.started.get_mut(&stage).expect("it was handed out");
                started.at_ms = self.setup.clock.now_ms();
                let stages = &self.setup.planner.pipeline.stages;
                let needs = self
                    .setup
                    .planner
                    .graph
                    .needs(stage)
                    .iter()
                    .map(|need| stages[*need].id.clone())
                    .collect();
                self.emitter.tell(EventKind::StageStarted {
                    stage: id,
                    kind,
                    why: started.why.clone(),
                    needs,
                });
                Ok(())
            }
            WorkerMessage::Finished { stage, performed } => self.back(stage, *performed),
            WorkerMessage::Kept(commits) => {
                self.emitter.kept(commits);
                Ok(())
            }
            WorkerMessage::NotKept(error) => Err(error),
        }
    }

    fn tell_news(&mut self, stage: usize, news: ActionNews) {
        let stage = self.spec(stage).id.clone();
        match news {
            ActionNews::Progress { done, total, note } => {
                self.emitter.tell(EventKind::StageProgress {
                    stage,
                    done,
                    total,
                    note,
                });
            }
            ActionNews::SubAction {
                name,
                outcome,
                seconds,
                commits,
            } => {
                // A committer that has gone has said why.
                let _ = self.to_committer.send(());
                let kind = EventKind::PartFinished {
                    stage,
                    part: name,
                    outcome,
                    seconds,
                };
                self.emitter.tell_after(commits, kind);
            }
        }
    }

    fn end(&mut self, messages: &Receiver<WorkerMessage>) -> Result<RunSummary, DecideError> {
        assert_eq!(
            self.results.len(),
            self.plan.wanted.len(),
            "a run ends when every wanted stage has"
        );
        let outcome = if self
            .results
            .values()
            .any(|result| result.outcome == StageOutcome::Cancelled)
        {
            RunOutcome::Cancelled
        } else if self
            .results
            .values()
            .all(|result| result.outcome.is_success())
        {
            RunOutcome::Succeeded
        } else {
            RunOutcome::Failed
        };
        let record = self.record(Some(outcome));
        let seconds = record.seconds;
        let (counts, run) = (record.counts.clone(), record.run.clone());
        self.enter(&[LedgerEntry::Run(Box::new(record))])?;
        self.emitter.tell_after(
            self.entered,
            EventKind::RunFinished {
                run: run.clone(),
                outcome,
                seconds,
                counts,
            },
        );
        self.wait_for_keeper(messages)?;
        Ok(RunSummary {
            run,
            outcome,
            seconds,
            stages: std::mem::take(&mut self.results).into_values().collect(),
            moved: self.moved,
        })
    }

    /// Waits until everything entered is kept.
    fn wait_for_keeper(&mut self, messages: &Receiver<WorkerMessage>) -> Result<(), DecideError> {
        while self.emitter.kept_so_far() < self.entered {
            let message = messages
                .recv()
                .expect("the committer says why when it goes");
            self.hear(message)?;
        }
        Ok(())
    }

    pub(crate) fn spec(&self, stage: usize) -> &StageSpec {
        &self.setup.planner.pipeline.stages[stage]
    }

    pub(crate) fn result(&self, stage: usize, outcome: StageOutcome) -> StageResult {
        let spec = self.spec(stage);
        StageResult {
            id: spec.id.clone(),
            kind: spec.kind.name.to_owned(),
            outcome,
            key: None,
            seconds: 0.0,
            outputs: Vec::new(),
            error: None,
            notes: Vec::new(),
        }
    }

    pub(crate) fn finish(&mut self, stage: usize, result: StageResult) {
        let commits = if result.outcome.is_success() {
            self.entered
        } else {
            0
        };
        self.emitter
            .tell_after(commits, EventKind::StageFinished(result.clone()));
        self.results.insert(stage, result);
    }
}

/// The urgency of each stage: how long, as far as is known, what has to run of it and below it will
/// take.
fn urgency(setup: &RunSetup<'_>, plan: &Plan) -> Vec<u64> {
    let weight = |stage: usize| match plan.decisions.get(&stage) {
        Some(StageDecision {
            verdict: Verdict::Reuse(_),
            ..
        })
        | None => 0,
        Some(decision) => decision.estimate_ms.unwrap_or(UNKNOWN_MS).max(1),
    };
    weight_below(setup.planner.graph, weight)
}

/// How long a stage is taken to run that never ran.
const UNKNOWN_MS: u64 = 1000;
