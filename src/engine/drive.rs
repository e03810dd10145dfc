//! The driver: carries out what the dispatcher decides, and tells it what happened.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::outcome::{FailureClass, RunOutcome, StageFailure, StageOutcome};
use crate::engine::away::perform_away;
use crate::engine::cancel_requests::CancelRequests;
use crate::engine::committer;
use crate::engine::dispatch::Dispatcher;
use crate::engine::dispatch_command::{DispatchCommand, FinishCause};
use crate::engine::dispatch_setup::dispatcher;
use crate::engine::emitter::EventEmitter;
use crate::engine::exec_context::ExecContext;
use crate::engine::executor::{ActionHandle, ActionNews};
use crate::engine::local_executor::LocalExecutor;
use crate::engine::message::{PublishedTotals, SharedAnswer, WorkerMessage};
use crate::engine::run_setup::{RunSetup, RunSummary};
use crate::engine::shared_results::{self, is_sharable};
use crate::engine::slots::Slots;
use crate::engine::worker::{Elsewhere, PerformTask, WorkerTask, work};
use crate::event::{EventKind, StageResult};
use crate::far::shared_action::SharedAction;
use crate::lineage::record::{ActionRecord, LedgerEntry};
use crate::pipeline::check::StageSpec;
use crate::plan::action::Action;
use crate::plan::decide::{self, DecideError, RunReason, Verdict};
use crate::plan::planner::{OutputDigests, Plan, Planner, StageDecision};
use crate::store::blob::StoreError;

/// How long the driver sleeps at most before it looks at the cancel token.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A stage that was handed to a worker.
pub(crate) struct RunningAction {
    pub(crate) why: String,
    pub(crate) action: Action,
    /// When its work proper began; zero before.
    pub(crate) began_ms: u64,
    /// Raised when it is to stop.
    pub(crate) cancel: Cancel,
    /// How many parts of its work each other machine has made.
    pub(crate) part_workers: BTreeMap<String, usize>,
}

/// What is done about a stage that is handed out.
enum TaskWay {
    /// It is looked up in the shared cache.
    LookUp,
    /// Another machine carries it out.
    Away,
    /// It is performed here.
    Here,
}

/// Which action wished that refs be moved, and when.
#[derive(Clone, Copy)]
pub(crate) struct WishOrigin {
    pub(crate) key: Digest,
    pub(crate) at_ms: u64,
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
    let (to_publisher, results) = channel::<SharedAction>();
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
            shared: setup.shared,
            workers: setup.workers,
            chosen: None,
        },
        slots,
    };
    std::thread::scope(|scope| {
        let spawn = || {
            let tasks = Arc::clone(&tasks);
            let to_driver = to_driver.clone();
            let look_up = |action: &Action| match setup.shared {
                Some(shared) => shared_results::look_up(shared, &executor.context, action),
                None => SharedAnswer::default(),
            };
            let send_away = |action: &Action, handle: &ActionHandle<'_>| {
                perform_away(setup.workers?, &executor.context, action, handle)
            };
            scope.spawn(move || {
                let elsewhere = Elsewhere {
                    look_up: &look_up,
                    send_away: &send_away,
                };
                work(executor, &elsewhere, slots, &tasks, &to_driver);
            });
        };
        let mut driver = Driver {
            setup,
            plan,
            emitter,
            dispatcher: dispatcher(setup, plan),
            cancel_requests: CancelRequests::new(setup.temporary),
            outputs: OutputDigests::new(),
            running: HashMap::new(),
            ends: HashMap::new(),
            results: BTreeMap::new(),
            started_ms: setup.clock.now_ms(),
            entered: 0,
            moved: false,
            turns: 0,
            workers: 0,
            to_workers,
            to_committer,
            to_publisher: Some(to_publisher),
            published: None,
        };
        if let Some(shared) = setup.shared {
            let (store, cancel, to_driver) = (&setup.store, setup.cancel, to_driver.clone());
            scope.spawn(move || {
                let is_over = || cancel.is_cancelled();
                shared_results::publish(shared, store.as_ref(), &is_over, &results, &to_driver);
            });
        }
        let (ledger, store, to_driver) = (setup.planner.ledger, &setup.store, to_driver.clone());
        scope.spawn(move || committer::keep(ledger, store.as_ref(), &wakes, &to_driver));
        // With the driver go the senders, and with them the workers, the committer and the publisher.
        let summary = driver.run(&messages, &spawn);
        if summary.is_err() {
            // The run is lost: what still runs has nowhere to be recorded.
            setup.cancel.cancel();
        }
        summary
    })
}

/// Carries out what the dispatcher decides, and tells it what happened.
pub(crate) struct Driver<'a, 'v> {
    pub(crate) setup: &'a RunSetup<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) emitter: &'a mut EventEmitter<'v>,
    pub(crate) dispatcher: Dispatcher<'a>,
    cancel_requests: CancelRequests,
    pub(crate) outputs: OutputDigests,
    /// What workers have.
    pub(crate) running: HashMap<usize, RunningAction>,
    /// How stages ended that are not finished yet.
    pub(crate) ends: HashMap<usize, StageResult>,
    pub(crate) results: BTreeMap<usize, StageResult>,
    pub(crate) started_ms: u64,
    /// How many commits were entered.
    pub(crate) entered: u64,
    /// Whether a pointer was moved.
    pub(crate) moved: bool,
    /// How many tasks were handed out.
    turns: u64,
    /// How many workers there are.
    workers: usize,
    to_workers: Sender<WorkerTask>,
    pub(crate) to_committer: Sender<()>,
    /// Nothing once all is sent.
    pub(crate) to_publisher: Option<Sender<SharedAction>>,
    /// What was published, once that is over.
    pub(crate) published: Option<PublishedTotals>,
}

impl Driver<'_, '_> {
    fn run(
        &mut self,
        messages: &Receiver<WorkerMessage>,
        spawn: &dyn Fn(),
    ) -> Result<RunSummary, DecideError> {
        self.begin()?;
        while !self.dispatcher.is_over() {
            self.look_around();
            self.obey(spawn);
            while let Some(stage) = self.dispatcher.next_ready() {
                self.take_up(stage)?;
                self.obey(spawn);
            }
            if self.dispatcher.is_waiting() {
                match messages.recv_timeout(POLL_INTERVAL) {
                    Ok(message) => self.hear(message)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            self.obey(spawn);
        }
        self.end(messages)
    }

    /// Tells the dispatcher of requests, of a cancelled run and of the time.
    fn look_around(&mut self) {
        let now_ms = self.setup.clock.now_ms();
        for name in self.cancel_requests.take(now_ms) {
            let is_meant = |stage: &&usize| {
                let id = &self.spec(**stage).id;
                id.as_str() == name || id.stem() == name
            };
            let meant: Vec<usize> = self.plan.wanted.iter().filter(is_meant).copied().collect();
            self.dispatcher.stop_stages(&meant);
        }
        if self.setup.cancel.is_cancelled() {
            self.dispatcher.cancel();
        }
        self.dispatcher.tick(now_ms);
    }

    /// Carries out what the dispatcher wants done.
    fn obey(&mut self, spawn: &dyn Fn()) {
        while let Some(command) = self.dispatcher.command() {
            match command {
                DispatchCommand::Perform(stage) => self.hand_out(stage, TaskWay::Here, spawn),
                DispatchCommand::LookUp(stage) => self.hand_out(stage, TaskWay::LookUp, spawn),
                DispatchCommand::SendAway(stage) => self.hand_out(stage, TaskWay::Away, spawn),
                DispatchCommand::Stop(stage) => self.running[&stage].cancel.cancel(),
                DispatchCommand::SayStopping(stage) => {
                    let message = format!("stopping `{}` on request", self.spec(stage).id);
                    self.emitter.warn("stage::ended", &message);
                }
                DispatchCommand::SayRetry {
                    stage,
                    attempt,
                    wait,
                } => self.say_retry(stage, attempt, wait),
                DispatchCommand::Finish {
                    stage,
                    outcome,
                    cause,
                } => self.finish(stage, outcome, cause),
            }
        }
    }

    fn hand_out(&mut self, stage: usize, way: TaskWay, spawn: &dyn Fn()) {
        // More workers than can run: while some run, others prepare and keep.
        if self.workers < self.dispatcher.active() {
            self.workers += 1;
            spawn();
        }
        let running = &self.running[&stage];
        let task = PerformTask {
            action: running.action.clone(),
            cancel: running.cancel.clone(),
        };
        let task = match way {
            TaskWay::LookUp => WorkerTask::LookUp(task.action),
            TaskWay::Away => WorkerTask::SendAway(task),
            TaskWay::Here => {
                self.turns += 1;
                WorkerTask::Perform(task, self.turns - 1)
            }
        };
        self.to_workers
            .send(task)
            .expect("a worker lives as long as the driver");
    }

    fn say_retry(&mut self, stage: usize, attempt: u32, wait: Duration) {
        let spec = self.spec(stage);
        let error = self.ends.get(&stage).and_then(|end| end.error.as_ref());
        let message = format!(
            "`{}` failed, attempt {attempt} of {} in {} s: {}",
            spec.id,
            spec.limits.retries + 1,
            wait.as_secs_f64(),
            error.map_or("", |error| error.message.as_str()),
        );
        self.emitter.warn("stage::retry", &message);
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

    /// Decides about a stage whose needs are done.
    fn take_up(&mut self, stage: usize) -> Result<(), DecideError> {
        let planned = self.plan.decisions.get(&stage);
        // Once a lost blob was made again, or where a pointer may have moved since, the plan is out
        // of date.
        let is_current = !self.dispatcher.has_redone() && !self.spec(stage).has_ref();
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
            self.dispatcher.impossible(stage);
            return Ok(());
        };
        // What another stage of this run has made since serves this one too.
        let verdict = match verdict {
            Verdict::Run(_) if self.dispatcher.has_made(&action.key) => {
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
            Verdict::Reuse(record) => self.reuse(stage, &record)?,
            Verdict::Run(why) => self.run_stage(stage, action, &why),
            Verdict::Wait(_) => unreachable!("what waits has no key"),
        }
        Ok(())
    }

    fn run_stage(&mut self, stage: usize, action: Action, why: &RunReason) {
        let is_looked_up = self.setup.shared.is_some()
            && *why != RunReason::Forced
            && is_sharable(self.spec(stage));
        let is_begun = match is_looked_up {
            true => self.dispatcher.look_up(stage, action.key),
            false => self.dispatcher.run(stage, action.key),
        };
        if !is_begun {
            return;
        }
        if let RunReason::Lost { message } = why {
            let message = format!("stage `{}` runs again: {message}", self.spec(stage).id);
            self.emitter.warn("store::lost", &message);
        }
        let running = RunningAction {
            why: why.short(),
            action,
            began_ms: 0,
            cancel: self.setup.cancel.part(),
            part_workers: BTreeMap::new(),
        };
        self.running.insert(stage, running);
    }

    fn reuse(&mut self, stage: usize, record: &ActionRecord) -> Result<(), DecideError> {
        let compared = |port: &str| record.input(port).and_then(|input| input.digest);
        let wished = WishOrigin {
            key: record.key,
            at_ms: record.started_ms,
        };
        let moves = self.moves(stage, &record.moves, wished, &compared)?;
        let entries: Vec<LedgerEntry> = moves.into_iter().map(LedgerEntry::Move).collect();
        if !entries.is_empty() {
            self.enter(&entries)?;
        }
        self.outputs.insert(stage, record.outputs.clone());
        let end = StageResult {
            key: Some(record.key),
            outputs: record.outputs.clone(),
            notes: record.notes.clone(),
            rejects: record.rejects,
            ..self.result(stage, StageOutcome::Reused)
        };
        self.ends.insert(stage, end);
        self.dispatcher.reused(stage);
        Ok(())
    }

    pub(crate) fn hear(&mut self, message: WorkerMessage) -> Result<(), DecideError> {
        match message {
            WorkerMessage::News { stage, news } => {
                self.tell_news(stage, news);
                Ok(())
            }
            WorkerMessage::Started { stage } => {
                self.tell_started(stage);
                Ok(())
            }
            WorkerMessage::Finished { stage, performed } => self.back(stage, *performed),
            WorkerMessage::LookedUp { stage, answer } => self.looked_up(stage, answer),
            WorkerMessage::Returned { stage } => {
                self.returned(stage);
                Ok(())
            }
            WorkerMessage::Published { totals, warnings } => {
                warnings
                    .iter()
                    .for_each(|line| self.emitter.warn("cache::shared", line));
                self.published = Some(totals);
                Ok(())
            }
            WorkerMessage::Kept(commits) => {
                self.emitter.kept(commits);
                Ok(())
            }
            WorkerMessage::NotKept(error) => Err(error),
        }
    }

    fn tell_started(&mut self, stage: usize) {
        let now_ms = self.setup.clock.now_ms();
        self.dispatcher.began(stage, now_ms);
        let running = self.running.get_mut(&stage).expect("it was handed out");
        running.began_ms = now_ms;
        let why = running.why.clone();
        let stages = &self.setup.planner.pipeline.stages;
        let needs = self.setup.planner.graph.needs(stage);
        let needs = needs.iter().map(|need| stages[*need].id.clone()).collect();
        self.emitter.tell(EventKind::StageStarted {
            stage: stages[stage].id.clone(),
            kind: stages[stage].kind.name.to_owned(),
            why,
            needs,
        });
    }

    fn tell_news(&mut self, number: usize, news: ActionNews) {
        let stage = self.spec(number).id.clone();
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
                worker,
                shared,
            } => {
                if let (Some(worker), Some(running)) = (&worker, self.running.get_mut(&number)) {
                    *running.part_workers.entry(worker.clone()).or_default() += 1;
                }
                if let Some(shared) = shared {
                    self.publish(*shared);
                }
                // A committer that has gone has said why.
                let _ = self.to_committer.send(());
                let kind = EventKind::PartFinished {
                    stage,
                    part: name,
                    outcome,
                    seconds,
                    worker,
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
        self.wait_for_publisher(messages)?;
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
            rejects: false,
            shared_by: None,
            worker: None,
            part_workers: BTreeMap::new(),
        }
    }

    /// A stage is over.
    fn finish(&mut self, stage: usize, outcome: StageOutcome, cause: FinishCause) {
        // What was stopped before a worker had it comes back from none.
        self.running.remove(&stage);
        let end = self.ends.remove(&stage);
        let mut result = end.unwrap_or_else(|| self.result(stage, outcome));
        result.outcome = outcome;
        if let Some(message) = self.explain(cause) {
            let class = FailureClass::Stage;
            result.error = Some(StageFailure { class, message });
        }
        let commits = if outcome.is_success() {
            self.entered
        } else {
            0
        };
        let kind = EventKind::StageFinished(result.clone());
        self.emitter.tell_after(commits, kind);
        self.results.insert(stage, result);
    }

    /// Says why a stage is over that did not end by itself.
    fn explain(&self, cause: FinishCause) -> Option<String> {
        match cause {
            FinishCause::Own => None,
            FinishCause::NoOutput(stage) => {
                Some(format!("`{}` produced no output", self.spec(stage).id))
            }
            FinishCause::TooManyFailures(failed) => Some(format!(
                "not started: `--max-failures` was reached ({failed} failed)"
            )),
        }
    }
}
