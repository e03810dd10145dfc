//! Sub-actions of a running stage: looked up, made on the run's workers, kept and recorded one by
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;

use crate::base::artifact::Artifact;
use crate::base::digest::Digest;
use crate::base::outcome::StageOutcome;
use crate::engine::asked_parts::{AskedParts, SubActionResult, units};
use crate::engine::exec_context::{ExecContext, panic_text, stage_error};
use crate::engine::executor::ActionNews;
use crate::engine::part_queue::PartQueue;
use crate::engine::read_log::ReadLog;
use crate::engine::remote_workers::RemoteWorkers;
use crate::engine::shared_results::is_sharable;
use crate::engine::slots::Slots;
use crate::far::shared_action::SharedAction;
use crate::far::shared_cache::{FoundAction, SharedCache, SharedLookup};
use crate::lineage::record::{ActionRecord, ImportOrigin, InputRecord, LedgerEntry};
use crate::plan::decide;
use crate::plan::key::Ingredients;
use crate::stage::context::{StageContext, SubActionBody, SubActions};
use crate::stage::error::StageError;
use crate::stage::sub_action::{BlobRef, SubAction};

/// The sub-actions of one running stage.
pub(crate) struct RecordedSubActions<'a> {
    pub(crate) bench: &'a ExecContext<'a>,
    pub(crate) slots: &'a Slots,
    pub(crate) stage: usize,
    pub(crate) ingredients: &'a Ingredients,
    /// What a part gets of its stage's surroundings.
    pub(crate) context: StageContext<'a>,
    pub(crate) observe: &'a (dyn Fn(ActionNews) + Sync),
    /// Every part that was asked for, and what it is.
    pub(crate) made: Mutex<BTreeMap<String, Digest>>,
    /// The same by key, with all that it gave.
    pub(crate) asked: Mutex<BTreeMap<Digest, Vec<Artifact>>>,
    /// What the stage has read.
    pub(crate) reads: &'a ReadLog,
}

/// So many parts are asked other machines for at a time.
const ASKED_ABREAST: usize = 16;

/// What another machine has of a part.
type SharedPart = Option<Result<Vec<BlobRef>, StageError>>;

/// A stage's parts have none of their own.
pub(crate) struct NoSubActions;

impl SubActions for NoSubActions {
    fn keep(&self, _: &[SubAction], _: SubActionBody<'_>) -> Result<Vec<Vec<BlobRef>>, StageError> {
        Err(indivisible())
    }

    fn recall(&self, _: &SubAction) -> Result<Option<Vec<BlobRef>>, StageError> {
        Err(indivisible())
    }

    fn has(&self, _: &Digest) -> Result<bool, StageError> {
        Err(indivisible())
    }

    fn put(&self, _: &[u8]) -> Result<BlobRef, StageError> {
        Err(indivisible())
    }

    fn fetch(&self, _: &Digest) -> Result<Vec<u8>, StageError> {
        Err(indivisible())
    }
}

fn indivisible() -> StageError {
    StageError::Broken("sub-actions cannot be nested".to_owned())
}

impl SubActions for RecordedSubActions<'_> {
    fn keep(
        &self,
        parts: &[SubAction],
        body: SubActionBody<'_>,
    ) -> Result<Vec<Vec<BlobRef>>, StageError> {
        match self.bench.chosen {
            Some(chosen) => self.keep_chosen(chosen, parts, body),
            None => self.keep_all(parts, body),
        }
    }

    fn recall(&self, part: &SubAction) -> Result<Option<Vec<BlobRef>>, StageError> {
        let key = self.ingredients(part).key();
        let Some(outputs) = self.recorded(&key)? else {
            return Ok(None);
        };
        Ok(Some(self.note(part, key, outputs)))
    }

    fn recall_all(&self, parts: &[SubAction]) -> Result<Vec<Option<Vec<BlobRef>>>, StageError> {
        let mut recalled = Vec::with_capacity(parts.len());
        for part in parts {
            recalled.push(self.recall(part)?);
        }
        let is_asked = |at: &usize| recalled[*at].is_none() && parts[*at].is_costly;
        let asked: Vec<usize> = (0..parts.len()).filter(is_asked).collect();
        let (Some(shared), false) = (self.shared(), asked.is_empty()) else {
            return Ok(recalled);
        };
        let next = AtomicUsize::new(0);
        let answers: Vec<Mutex<SharedPart>> = asked.iter().map(|_| Mutex::default()).collect();
        std::thread::scope(|threads| {
            for _ in 0..asked.len().min(ASKED_ABREAST) {
                threads.spawn(|| {
                    while let Some(at) = asked.get(next.fetch_add(1, Ordering::SeqCst)) {
                        let part = &parts[*at];
                        let answer = self.shared_part(shared, part).transpose();
                        let place = asked.binary_search(at).expect("it is asked for");
                        *answers[place]
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner) = answer;
                    }
                });
            }
        });
        for (at, answer) in asked.iter().zip(answers) {
            let answer = answer.into_inner().unwrap_or_else(PoisonError::into_inner);
            recalled[*at] = answer.transpose()?;
        }
        Ok(recalled)
    }

    fn has(&self, digest: &Digest) -> Result<bool, StageError> {
        self.bench.store.has(digest).map_err(stage_error)
    }

    fn put(&self, bytes: &[u8]) -> Result<BlobRef, StageError> {
        let digest = self.bench.store.put(bytes).map_err(stage_error)?;
        Ok(BlobRef {
            digest,
            size: bytes.len() as u64,
        })
    }

    fn fetch(&self, digest: &Digest) -> Result<Vec<u8>, StageError> {
        self.reads.note(*digest);
        self.bench.store.get(digest).map_err(stage_error)
    }
}

impl RecordedSubActions<'_> {
    fn keep_all(
        &self,
        parts: &[SubAction],
        body: SubActionBody<'_>,
    ) -> Result<Vec<Vec<BlobRef>>, StageError> {
        let results: Vec<Mutex<Option<SubActionResult>>> =
            parts.iter().map(|_| Mutex::default()).collect();
        let asked = AskedParts {
            parts,
            results: &results,
        };
        match self.workers(parts) {
            Some(workers) => self.keep_with_workers(workers, &asked, body)?,
            None => {
                let queue = PartQueue::new((0..parts.len()).map(|at| vec![at]));
                std::thread::scope(|threads| self.make_here(threads, &queue, &asked, body));
            }
        }
        let mut all = Vec::with_capacity(parts.len());
        for result in results {
            // Those after a failure were not begun; the failure itself stands somewhere among them.
            match result.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(result) => all.push(result),
                None => all.push(Err(StageError::Cancelled)),
            }
        }
        let is_real = |result: &&SubActionResult| matches!(result, Err(error) if *error != StageError::Cancelled);
        match all.iter().find(is_real) {
            Some(Err(error)) => Err(error.clone()),
            _ => all.into_iter().collect(),
        }
    }

    /// Makes what is in a queue on this worker's own slot and as many more as are free, until nothing is
    /// left that might come back from other machines.
    fn make_here<'s>(
        &'s self,
        threads: &'s Scope<'s, '_>,
        queue: &'s PartQueue,
        asked: &'s AskedParts<'_>,
        body: SubActionBody<'s>,
    ) {
        for _ in 1..queue.len().min(self.slots.count()) {
            threads.spawn(|| {
                while let Some(_slot) = self.slots.borrow(&|| queue.is_empty_here())
                    && let Some(unit) = queue.take()
                {
                    self.make_unit(&unit, queue, asked, body);
                }
            });
        }
        while let Some(unit) = queue.take_last() {
            self.make_unit(&unit, queue, asked, body);
        }
        self.slots.nudge();
    }

    /// Makes what of the parts is not recorded, here and on other machines.
    fn keep_with_workers(
        &self,
        workers: &RemoteWorkers,
        asked: &AskedParts<'_>,
        body: SubActionBody<'_>,
    ) -> Result<(), StageError> {
        let mut missing = Vec::new();
        for at in 0..asked.parts.len() {
            match self.recall(&asked.parts[at])? {
                Some(kept) => asked.set(at, Ok(kept)),
                None => missing.push(at),
            }
        }
        let prelude = self.prelude()?;
        let queue = PartQueue::new(units(asked.parts, missing));
        let machines = workers.jobs().min(queue.len());
        let queue = queue.with_machines(machines, workers.are_alone());
        std::thread::scope(|threads| {
            for _ in 0..machines {
                threads.spawn(|| {
                    self.send_batches(workers, &queue, asked, &prelude);
                    queue.machine_gone();
                });
            }
            self.make_here(threads, &queue, asked, body);
        });
        Ok(())
    }

    fn make_unit(
        &self,
        unit: &[usize],
        queue: &PartQueue,
        asked: &AskedParts<'_>,
        body: SubActionBody<'_>,
    ) {
        for &at in unit {
            let result = self.part(at, &asked.parts[at], body);
            let is_failed = result.is_err();
            asked.set(at, result);
            if is_failed {
                queue.stop();
                return;
            }
        }
    }

    /// Makes those of the parts that are wanted, and ends there; where all are known the stage goes on.
    fn keep_chosen(
        &self,
        chosen: &BTreeSet<Digest>,
        parts: &[SubAction],
        body: SubActionBody<'_>,
    ) -> Result<Vec<Vec<BlobRef>>, StageError> {
        let mut wanted = Vec::new();
        let mut is_known = true;
        for (at, part) in parts.iter().enumerate() {
            let key = self.ingredients(part).key();
            if chosen.contains(&key) {
                wanted.push(at);
            }
            is_known &= self.recorded(&key)?.is_some();
        }
        if is_known {
            return self.keep_all(parts, body);
        }
        let made: Vec<SubAction> = wanted.iter().map(|at| parts[*at].clone()).collect();
        self.keep_all(&made, &|at, context| body(wanted[at], context))?;
        Err(StageError::Cancelled)
    }

    fn part(&self, at: usize, part: &SubAction, body: SubActionBody<'_>) -> SubActionResult {
        let context = StageContext {
            memo: self,
            ..self.context
        };
        context.check()?;
        let ingredients = self.ingredients(part);
        let key = ingredients.key();
        if let Some(outputs) = self.recorded(&key)? {
            return Ok(self.note(part, key, outputs));
        }
        let started_ms = self.bench.clock.now_ms();
        let caught = catch_unwind(AssertUnwindSafe(|| body(at, &context)));
        let blobs =
            caught.unwrap_or_else(|panic| Err(StageError::Broken(panic_text(panic.as_ref()))))?;
        let mut outputs = Vec::with_capacity(blobs.len());
        for (at, bytes) in blobs.iter().enumerate() {
            let BlobRef { digest, size } = self.put(bytes)?;
            outputs.push(Artifact {
                port: port(part, at),
                digest,
                size,
                directory: false,
            });
        }
        let seconds = self.bench.clock.now_ms().saturating_sub(started_ms) as f64 / 1000.0;
        let record = self.record_of(part, &ingredients, key, outputs.clone());
        let record = ActionRecord {
            started_ms,
            seconds,
            ..record
        };
        let shared = self.shared().filter(|_| part.is_costly);
        let shared = shared.filter(|shared| shared.publishes());
        let shared = shared.map(|shared| SharedAction::of(&record, shared.class(), &part.inputs));
        self.record(record, shared)?;
        Ok(self.note(part, key, outputs))
    }

    /// The shared cache, if what the stage makes may be shared.
    fn shared(&self) -> Option<&SharedCache> {
        let spec = &self.bench.pipeline.stages[self.stage];
        self.bench.shared.filter(|_| is_sharable(spec))
    }

    /// Takes a part over that another machine made, and records it as that.
    fn shared_part(
        &self,
        shared: &SharedCache,
        part: &SubAction,
    ) -> Result<Option<Vec<BlobRef>>, StageError> {
        let ingredients = self.ingredients(part);
        let SharedLookup::Found(found) = shared.find(&ingredients.key()) else {
            return Ok(None);
        };
        let FoundAction { action, signer } = *found;
        let is_whole = action.outputs.iter().all(|made| !made.directory);
        // Whatever is amiss, the part is made here.
        if !is_whole || shared.bring(&action, self.bench.store.as_ref()).is_err() {
            return Ok(None);
        }
        let record = self.record_of(part, &ingredients, action.key, action.outputs.clone());
        let record = ActionRecord {
            started_ms: action.started_ms,
            seconds: action.seconds,
            host: action.host,
            netsec: action.netsec,
            imported: Some(ImportOrigin {
                at_ms: self.bench.clock.now_ms(),
                signer,
                cache: Some(shared.address().to_owned()),
            }),
            ..record
        };
        self.record(record, None)?;
        Ok(Some(self.note(part, action.key, action.outputs)))
    }

    pub(crate) fn ingredients(&self, part: &SubAction) -> Ingredients {
        let inputs = part.inputs.iter().filter_map(|port| {
            let content = self.ingredients.inputs.get(*port)?;
            Some(((*port).to_owned(), *content))
        });
        let kind = format!("{}/{}", self.ingredients.kind, part.kind);
        Ingredients {
            kind,
            version: self.ingredients.version,
            seed: self.ingredients.seed,
            with: part.with.clone(),
            inputs: inputs.collect(),
            seen: None,
        }
    }

    /// Takes note of a part that the stage is given; returns what it is given.
    pub(crate) fn note(
        &self,
        part: &SubAction,
        key: Digest,
        outputs: Vec<Artifact>,
    ) -> Vec<BlobRef> {
        let kept: Vec<BlobRef> = outputs.iter().map(BlobRef::of).collect();
        // The first blob stands for the part: what else it gave is told by its own record.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.extend(kept.first().map(|kept| (part.name.clone(), kept.digest)));
        drop(made);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(key, outputs);
        kept
    }

    /// Returns what is recorded of a part, if all of it is kept.
    fn recorded(&self, key: &Digest) -> Result<Option<Vec<Artifact>>, StageError> {
        let record = self.bench.ledger.action(key);
        let record = record.map_err(|error| StageError::Storage(error.to_string()))?;
        let Some(record) = record else {
            return Ok(None);
        };
        if self.bench.chosen.is_some() {
            // What was sent along of it is what is read.
            return Ok(Some(record.outputs));
        }
        let lost = decide::lost(self.bench.store.as_ref(), &record.outputs);
        Ok(lost
            .map_err(stage_error)?
            .is_none()
            .then_some(record.outputs))
    }

    fn record_of(
        &self,
        part: &SubAction,
        ingredients: &Ingredients,
        key: Digest,
        outputs: Vec<Artifact>,
    ) -> ActionRecord {
        let spec = &self.bench.pipeline.stages[self.stage];
        let text = |port: &str| {
            spec.inputs
                .iter()
                .find(|input| input.port == port)
                .map(|input| input.text.clone())
        };
        let input = |port: &&'static str| InputRecord {
            port: (*port).to_owned(),
            text: text(port).unwrap_or_default(),
            digest: ingredients.digest(port),
        };
        ActionRecord {
            key,
            pipeline: self.bench.pipeline.file.clone(),
            stage: spec.id.clone(),
            part: Some(part.name.clone()),
            kind: ingredients.kind.clone(),
            ingredients: ingredients.listed(),
            inputs: part.inputs.iter().map(input).collect(),
            outputs,
            moves: Vec::new(),
            notes: Vec::new(),
            rejects: false,
            run: self.bench.run.clone(),
            started_ms: 0,
            seconds: 0.0,
            host: self.bench.host.to_owned(),
            netsec: env!("CARGO_PKG_VERSION").to_owned(),
            imported: None,
            remote: None,
        }
    }

    fn record(&self, record: ActionRecord, shared: Option<SharedAction>) -> Result<(), StageError> {
        let name = record.part.clone().unwrap_or_default();
        let outcome = match record.imported {
            Some(_) => StageOutcome::Reused,
            None => StageOutcome::Made,
        };
        let seconds = match outcome {
            StageOutcome::Made => record.seconds,
            _ => 0.0,
        };
        let entered = self
            .bench
            .ledger
            .enter(&[LedgerEntry::Action(Box::new(record))]);
        let commits = entered.map_err(|error| StageError::Storage(error.to_string()))?;
        (self.observe)(ActionNews::SubAction {
            name,
            outcome,
            seconds,
            commits,
            worker: None,
            shared: shared.map(Box::new),
        });
        Ok(())
    }
}

/// The name of a part's blob: that of the part, with a number from the second one on.
fn port(part: &SubAction, at: usize) -> String {
    match at {
        0 => part.name.clone(),
        at => format!("{}.{at}", part.name),
    }
}
