//! Workers, limits, order of events, the end of a run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::name::RunId;
use crate::base::outcome::{Failure, FailureClass, Outcome, RunOutcome};
use crate::engine::perform::{Bench, Performed};
use crate::engine::schedule::Schedule;
use crate::engine::voice::Voice;
use crate::engine::worker::{Message, Task, work};
use crate::event::{EventKind, StageResult};
use crate::lineage::ledger::LedgerError;
use crate::lineage::record::{ActionRecord, Entry, InputRecord, PortMove, RefMove, RunRecord, StageRun};
use crate::pipeline::check::{Origin, StageSpec};
use crate::plan::decide::{self, DecideError, Verdict, Why};
use crate::plan::key::Ingredients;
use crate::plan::whole::{Decision, KnownOutputs, Plan, Planner};
use crate::stage::error::StageError;
use crate::store::blob::Store;

/// How often a stage is tried again because a blob it needs was lost.
const REDOS: usize = 3;
/// How long the driver sleeps at most before it looks at the cancel token.
const GLANCE: Duration = Duration::from_millis(50);

/// What a run is carried out with.
pub struct Setup<'a> {
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
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// How long it took.
    pub seconds: f64,
    /// How each wanted stage ended, in the order of the file.
    pub stages: Vec<StageResult>,
}

/// A stage that was handed to a worker.
struct Started {
    ingredients: Ingredients,
    key: Digest,
    at_ms: u64,
}

/// Carries a plan out: what can be reused is, the rest runs on workers; each finished action is recorded before
/// anyone is told.
///
/// # Errors
/// Ledger or store failed in a way that ends the run. Stages that fail do not end it.
pub fn drive(setup: &Setup<'_>, plan: &Plan, voice: &mut Voice<'_>) -> Result<Summary, DecideError> {
    let (to_workers, tasks) = channel::<Task>();
    let (to_driver, messages) = channel::<Message>();
    let tasks = Arc::new(Mutex::new(tasks));
    std::thread::scope(|scope| {
        let spawn = || {
            let (tasks, to_driver) = (Arc::clone(&tasks), to_driver.clone());
            scope.spawn(move || {
                let bench = Bench {
                    pipeline: setup.planner.pipeline,
                    store: &setup.store,
                    sources: setup.planner.sources,
                    temporary: setup.temporary,
                    cancel: setup.cancel,
                };
                work(&bench, &tasks, &to_driver);
            });
        };
        let mut driver = Driver {
            setup,
            plan,
            voice,
            schedule: Schedule::new(setup.planner.graph, &plan.wanted),
            outputs: KnownOutputs::new(),
            results: BTreeMap::new(),
            started: HashMap::new(),
            redos: HashMap::new(),
            started_ms: setup.clock.now_ms(),
        };
        // The sender of tasks is dropped at the end of this block, which sends the workers home.
        let summary = driver.run(&messages, to_workers, &spawn);
        if summary.is_err() {
            // The run is lost: what still runs has nowhere to be recorded.
            setup.cancel.cancel();
        }
        summary
    })
}

struct Driver<'a, 'v> {
    setup: &'a Setup<'a>,
    plan: &'a Plan,
    voice: &'a mut Voice<'v>,
    schedule: Schedule<'a>,
    outputs: KnownOutputs,
    results: BTreeMap<usize, StageResult>,
    started: HashMap<usize, Started>,
    redos: HashMap<usize, usize>,
    started_ms: u64,
}

impl Driver<'_, '_> {
    fn run(
        &mut self,
        messages: &Receiver<Message>,
        to_workers: Sender<Task>,
        spawn: &dyn Fn(),
    ) -> Result<Summary, DecideError> {
        self.begin()?;
        let mut workers = 0;
        while !self.schedule.is_over() {
            if self.setup.cancel.is_cancelled() {
                for stage in self.schedule.stop() {
                    let result = self.result(stage, Outcome::Cancelled);
                    self.finish(stage, result);
                }
            }
            while self.schedule.running() < self.setup.jobs.max(1) {
                let Some(stage) = self.schedule.take() else { break };
                if let Some(task) = self.take_up(stage)? {
                    if workers < self.schedule.running() {
                        workers += 1;
                        spawn();
                    }
                    to_workers.send(task).expect("a worker lives as long as the driver");
                }
            }
            if self.schedule.running() > 0 {
                match messages.recv_timeout(GLANCE) {
                    Ok(message) => self.hear(message)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        }
        self.end()
    }

    fn begin(&mut self) -> Result<(), DecideError> {
        let pipeline = self.setup.planner.pipeline;
        for (&stage, decision) in &self.plan.decisions {
            if let (false, Verdict::Reuse(record)) = (self.plan.wanted.contains(&stage), &decision.verdict) {
                self.outputs.insert(stage, record.outputs.clone());
            }
        }
        self.setup.planner.ledger.commit(&[Entry::Run(Box::new(self.record(None)))])?;
        self.voice.tell(EventKind::RunStarted {
            run: self.setup.run.clone(),
            pipeline: pipeline.file.clone(),
            digest: pipeline.digest,
            stages: self.plan.wanted.iter().map(|stage| pipeline.stages[*stage].id.clone()).collect(),
            jobs: self.setup.jobs,
        });
        Ok(())
    }

    /// Decides about a stage whose needs are done; gives back a task if it has to run.
    fn take_up(&mut self, stage: usize) -> Result<Option<Task>, DecideError> {
        let planned = self.plan.decisions.get(&stage);
        // Once a lost blob was made again, or where a pointer may have moved since, the plan is out of date.
        let has_ref = self.spec(stage).inputs.iter().any(|input| matches!(input.from, Origin::Ref(..)));
        let planned = planned.filter(|decision| decision.action.is_some() && self.redos.is_empty() && !has_ref);
        let decision = match planned {
            Some(decision) => decision.clone(),
            None => self.setup.planner.decide(stage, &self.outputs)?,
        };
        let Decision { action: Some((ingredients, key)), verdict } = decision else {
            unreachable!("a stage is handed out after all it needs");
        };
        match verdict {
            Verdict::Reuse(record) => {
                self.reuse(stage, &record)?;
                Ok(None)
            }
            Verdict::Run(why) => {
                if let Why::Lost { message } = &why {
                    self.voice.warn("store::lost", &format!("stage `{}` runs again: {message}", self.spec(stage).id));
                }
                let (id, kind) = (self.spec(stage).id.clone(), self.spec(stage).kind.name.to_owned());
                self.voice.tell(EventKind::StageStarted { stage: id, kind, why: why.short() });
                let at_ms = self.setup.clock.now_ms();
                self.started.insert(stage, Started { ingredients: ingredients.clone(), key, at_ms });
                Ok(Some(Task { stage, ingredients }))
            }
            Verdict::Wait(_) => unreachable!("a stage is handed out after all it needs"),
        }
    }

    fn reuse(&mut self, stage: usize, record: &ActionRecord) -> Result<(), DecideError> {
        let rival = |port: &str| record.inputs.iter().find(|input| input.port == port).and_then(|input| input.digest);
        let moves = self.moves(stage, &record.moves, record.key, &rival)?;
        let entries: Vec<Entry> = moves.into_iter().map(Entry::Move).collect();
        if !entries.is_empty() {
            self.setup.planner.ledger.commit(&entries)?;
            self.tell_moves(&entries);
        }
        self.outputs.insert(stage, record.outputs.clone());
        self.schedule.succeed(stage);
        let result = StageResult {
            key: Some(record.key),
            outputs: record.outputs.clone(),
            notes: record.notes.clone(),
            ..self.result(stage, Outcome::Reused)
        };
        self.finish(stage, result);
        Ok(())
    }

    fn hear(&mut self, message: Message) -> Result<(), DecideError> {
        match message {
            Message::Progress { stage, done, total, note } => {
                let stage = self.spec(stage).id.clone();
                self.voice.tell(EventKind::StageProgress { stage, done, total, note });
                Ok(())
            }
            Message::Finished { stage, performed } => self.back(stage, *performed),
        }
    }

    /// Takes a stage back from its worker.
    fn back(&mut self, stage: usize, mut performed: Performed) -> Result<(), DecideError> {
        let started = self.started.remove(&stage).expect("what comes back was started");
        let seconds = self.setup.clock.now_ms().saturating_sub(started.at_ms) as f64 / 1000.0;
        if performed.result.is_ok() {
            performed.result = self.record_action(stage, &started, &performed, seconds)?;
        }
        let outcome = match &performed.result {
            Ok(()) => {
                self.outputs.insert(stage, performed.outputs.clone());
                self.schedule.succeed(stage);
                Outcome::Made
            }
            Err(StageError::Lost(message)) if self.redo(stage, message)? => return Ok(()),
            Err(StageError::Cancelled) => Outcome::Cancelled,
            Err(_) => Outcome::Failed,
        };
        let result = StageResult {
            key: Some(started.key),
            seconds,
            outputs: performed.outputs,
            notes: performed.notes,
            error: performed.result.err().filter(|error| *error != StageError::Cancelled).map(|error| failure(&error)),
            ..self.result(stage, outcome)
        };
        self.finish(stage, result);
        if !outcome.is_success() {
            for skipped in self.schedule.fail(stage) {
                let message = format!("`{}` did not give what it needs", self.spec(stage).id);
                let error = Some(Failure { class: FailureClass::Stage, message });
                let end = if outcome == Outcome::Cancelled { Outcome::Cancelled } else { Outcome::Skipped };
                let result = StageResult { error, ..self.result(skipped, end) };
                self.finish(skipped, result);
            }
        }
        Ok(())
    }

    /// Records a finished action with its moves in one commit.
    fn record_action(
        &mut self,
        stage: usize,
        started: &Started,
        performed: &Performed,
        seconds: f64,
    ) -> Result<Result<(), StageError>, DecideError> {
        let wishes: Vec<PortMove> =
            performed.moves.iter().map(|(port, to)| PortMove { port: port.clone(), to: *to }).collect();
        let spec = self.spec(stage);
        let input = |port: &str, text: &str| InputRecord {
            port: port.to_owned(),
            text: text.to_owned(),
            digest: started.ingredients.digest(port),
        };
        let record = ActionRecord {
            key: started.key,
            pipeline: self.setup.planner.pipeline.file.clone(),
            stage: spec.id.clone(),
            kind: spec.kind.name.to_owned(),
            ingredients: started.ingredients.listed(),
            inputs: spec.inputs.iter().map(|spec| input(&spec.port, &spec.text)).collect(),
            outputs: performed.outputs.clone(),
            moves: wishes.clone(),
            notes: performed.notes.clone(),
            run: self.setup.run.clone(),
            started_ms: started.at_ms,
            seconds,
            host: self.setup.host.clone(),
            netsec: env!("CARGO_PKG_VERSION").to_owned(),
        };
        for wish in &wishes {
            if !self.setup.store.has(&wish.to)? {
                return Ok(Err(StageError::Failed(
                    "only what a stage made can be pointed at, and this came from a file: let a stage make it"
                        .to_owned(),
                )));
            }
        }
        let rival = |port: &str| started.ingredients.digest(port);
        let mut entries = vec![Entry::Action(Box::new(record))];
        entries.extend(self.moves(stage, &wishes, started.key, &rival)?.into_iter().map(Entry::Move));
        match self.setup.planner.ledger.commit(&entries) {
            Ok(()) => {
                self.tell_moves(&entries);
                Ok(Ok(()))
            }
            Err(error @ LedgerError::Moved { .. }) => Ok(Err(StageError::Failed(error.to_string()))),
            Err(error) => Err(error.into()),
        }
    }

    /// Turns wishes about ports into moves of the pointers behind them; none for a pointer that is there already. A
    /// move is right only if the pointer still points at the rival that the stage compared with.
    fn moves(
        &self,
        stage: usize,
        wishes: &[PortMove],
        evidence: Digest,
        rival: &dyn Fn(&str) -> Option<Digest>,
    ) -> Result<Vec<RefMove>, LedgerError> {
        let mut moves = Vec::new();
        for wish in wishes {
            let input = self.spec(stage).inputs.iter().find(|input| input.port == wish.port);
            if let Some(Origin::Ref(name, _)) = input.map(|input| &input.from) {
                let from = rival(&wish.port);
                let at_ms = self.setup.clock.now_ms();
                if self.setup.planner.ledger.reference(name)?.current() != Some(wish.to) {
                    moves.push(RefMove { name: name.clone(), from, to: wish.to, evidence, at_ms });
                }
            }
        }
        Ok(moves)
    }

    fn tell_moves(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Entry::Move(step) = entry {
                self.voice.tell(EventKind::RefMoved { name: step.name.to_string(), to: step.to });
            }
        }
    }

    /// Sends a stage back because an input's blob was lost; false if that cannot help.
    fn redo(&mut self, stage: usize, message: &str) -> Result<bool, DecideError> {
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
                        // It may have been made again since this stage began.
                        again |= self.redos.contains_key(&need);
                    }
                }
                Some(_) => {}
            }
        }
        if lost.is_empty() && !again {
            return Ok(false);
        }
        self.voice.warn("store::lost", message);
        for need in &lost {
            self.outputs.remove(need);
            self.redos.entry(*need).or_default();
        }
        self.schedule.redo(stage, &lost);
        Ok(true)
    }

    fn end(&mut self) -> Result<Summary, DecideError> {
        assert_eq!(self.results.len(), self.plan.wanted.len(), "a run ends when every wanted stage has");
        let outcome = if self.results.values().any(|result| result.outcome == Outcome::Cancelled) {
            RunOutcome::Cancelled
        } else if self.results.values().all(|result| result.outcome.is_success()) {
            RunOutcome::Succeeded
        } else {
            RunOutcome::Failed
        };
        let record = self.record(Some(outcome));
        let seconds = record.seconds;
        self.setup.planner.ledger.commit(&[Entry::Run(Box::new(record))])?;
        let mut counts = BTreeMap::new();
        for result in self.results.values() {
            *counts.entry(result.outcome).or_insert(0) += 1;
        }
        let run = self.setup.run.clone();
        self.voice.tell(EventKind::RunFinished { run: run.clone(), outcome, seconds, counts });
        Ok(Summary { run, outcome, seconds, stages: std::mem::take(&mut self.results).into_values().collect() })
    }

    fn record(&self, outcome: Option<RunOutcome>) -> RunRecord {
        let stage = |result: &StageResult| StageRun {
            id: result.id.clone(),
            outcome: result.outcome,
            key: result.key,
            seconds: result.seconds,
            error: result.error.clone(),
        };
        RunRecord {
            run: self.setup.run.clone(),
            pipeline: self.setup.planner.pipeline.file.clone(),
            digest: self.setup.planner.pipeline.digest,
            started_ms: self.started_ms,
            seconds: self.setup.clock.now_ms().saturating_sub(self.started_ms) as f64 / 1000.0,
            outcome,
            host: self.setup.host.clone(),
            netsec: env!("CARGO_PKG_VERSION").to_owned(),
            stages: self.results.values().map(stage).collect(),
        }
    }

    fn spec(&self, stage: usize) -> &StageSpec {
        &self.setup.planner.pipeline.stages[stage]
    }

    fn result(&self, stage: usize, outcome: Outcome) -> StageResult {
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

    fn finish(&mut self, stage: usize, result: StageResult) {
        self.voice.tell(EventKind::StageFinished(result.clone()));
        self.results.insert(stage, result);
    }
}

fn failure(error: &StageError) -> Failure {
    let class = match error {
        StageError::Data(_) => FailureClass::Data,
        StageError::Rejected(_) => FailureClass::Rejected,
        StageError::Storage(_) | StageError::Lost(_) => FailureClass::Storage,
        StageError::Broken(_) => FailureClass::Fault,
        StageError::Failed(_) | StageError::Cancelled => FailureClass::Stage,
    };
    Failure { class, message: error.to_string() }
}

/// Returns the numbers of the wanted stages that a plan leaves to run or wait.
pub fn unready(plan: &Plan) -> BTreeSet<usize> {
    let is_open = |stage: &usize| !matches!(plan.decisions[stage].verdict, Verdict::Reuse(_));
    plan.order.iter().copied().filter(|stage| !plan.wanted.contains(stage) && is_open(stage)).collect()
}
