//! Sub-actions of a running stage: looked up, made on the run's workers, kept and recorded one by
//! one.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::base::artifact::Artifact;
use crate::base::digest::Digest;
use crate::base::outcome::StageOutcome;
use crate::engine::exec_context::{ExecContext, panic_text, stage_error};
use crate::engine::executor::ActionNews;
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
}

/// So many parts are asked other machines for at a time.
const ASKED_ABREAST: usize = 16;

/// What another machine has of a part.
type SharedPart = Option<Result<Vec<BlobRef>, StageError>>;

/// What is kept of a part, or why nothing is.
type SubActionResult = Result<Vec<BlobRef>, StageError>;

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
        let next = AtomicUsize::new(0);
        let results: Vec<Mutex<Option<SubActionResult>>> =
            parts.iter().map(|_| Mutex::default()).collect();
        let take = || {
            let at = next.fetch_add(1, Ordering::SeqCst);
            if at >= parts.len() {
                self.slots.nudge();
                return false;
            }
            let result = self.part(at, &parts[at], body);
            if result.is_err() {
                next.store(parts.len(), Ordering::SeqCst);
            }
            *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            true
        };
        let is_over = || next.load(Ordering::SeqCst) >= parts.len();
        std::thread::scope(|threads| {
            // This worker's own slot, and as many more as are free.
            for _ in 1..parts.len().min(self.slots.count()) {
                threads.spawn(|| {
                    while let Some(_slot) = self.slots.borrow(&is_over)
                        && take()
                    {}
                });
            }
            while take() {}
        });
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

    fn recall(&self, part: &SubAction) -> Result<Option<Vec<BlobRef>>, StageError> {
        let kept = self.recorded(&self.ingredients(part).key())?;
        if let Some(kept) = &kept {
            self.note(part, kept);
        }
        Ok(kept)
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
        self.bench.store.get(digest).map_err(stage_error)
    }
}

impl RecordedSubActions<'_> {
    fn part(&self, at: usize, part: &SubAction, body: SubActionBody<'_>) -> SubActionResult {
        let context = StageContext {
            memo: self,
            ..self.context
        };
        context.check()?;
        let ingredients = self.ingredients(part);
        let key = ingredients.key();
        if let Some(kept) = self.recorded(&key)? {
            self.note(part, &kept);
            return Ok(kept);
        }
        let started_ms = self.bench.clock.now_ms();
        let caught = catch_unwind(AssertUnwindSafe(|| body(at, &context)));
        let blobs =
            caught.unwrap_or_else(|panic| Err(StageError::Broken(panic_text(panic.as_ref()))))?;
        let kept = blobs
            .iter()
            .map(|bytes| self.put(bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let seconds = self.bench.clock.now_ms().saturating_sub(started_ms) as f64 / 1000.0;
        let outputs = kept.iter().enumerate().map(|(at, kept)| {
            let BlobRef { digest, size } = *kept;
            Artifact {
                port: port(part, at),
                digest,
                size,
                directory: false,
            }
        });
        let record = self.record_of(part, &ingredients, key, outputs.collect());
        let record = ActionRecord {
            started_ms,
            seconds,
            ..record
        };
        let shared = self.shared().filter(|_| part.is_costly);
        let shared = shared.filter(|shared| shared.publishes());
        let shared = shared.map(|shared| SharedAction::of(&record, shared.class(), &part.inputs));
        self.record(record, shared)?;
        self.note(part, &kept);
        Ok(kept)
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
        let kept: Vec<BlobRef> = action.outputs.iter().map(BlobRef::of).collect();
        let record = self.record_of(part, &ingredients, action.key, action.outputs);
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
        self.note(part, &kept);
        Ok(Some(kept))
    }

    fn ingredients(&self, part: &SubAction) -> Ingredients {
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

    fn note(&self, part: &SubAction, kept: &[BlobRef]) {
        // The first blob stands for the part: what else it gave is told by its own record.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.extend(kept.first().map(|kept| (part.name.clone(), kept.digest)));
    }

    /// Returns what is kept of a part, if all of it is.
    fn recorded(&self, key: &Digest) -> Result<Option<Vec<BlobRef>>, StageError> {
        let record = self
            .bench
            .ledger
            .action(key)
            .map_err(|error| StageError::Storage(error.to_string()))?;
        let Some(record) = record else {
            return Ok(None);
        };
        match decide::lost(self.bench.store.as_ref(), &record.outputs).map_err(stage_error)? {
            Some(_) => Ok(None),
            None => Ok(Some(record.outputs.iter().map(BlobRef::of).collect())),
        }
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
