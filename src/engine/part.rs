//! Sub-actions of a running stage: looked up, made on the run's workers, kept and recorded one by one.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use crate::base::artifact::Artifact;
use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::outcome::Outcome;
use crate::engine::perform::{Bench, panic_text, stage_error};
use crate::engine::slots::Slots;
use crate::engine::worker::Message;
use crate::lineage::record::{ActionRecord, Entry, InputRecord};
use crate::plan::key::Ingredients;
use crate::stage::error::StageError;
use crate::stage::io::{Context, Mark, Turn};
use crate::stage::memo::{Body, Memo, Part};

/// The sub-actions of one running stage.
pub(crate) struct Parts<'a> {
    pub(crate) bench: &'a Bench<'a>,
    pub(crate) slots: &'a Slots,
    pub(crate) stage: usize,
    pub(crate) ingredients: &'a Ingredients,
    pub(crate) context: PartContext<'a>,
    pub(crate) to_driver: &'a Sender<Message>,
    /// Every part that was asked for, and what it is.
    pub(crate) made: Mutex<BTreeMap<String, Digest>>,
}

/// The bytes of a part, or why there are none.
type Made = Result<Vec<u8>, StageError>;

/// What a part gets of its stage's surroundings.
#[derive(Clone, Copy)]
pub(crate) struct PartContext<'a> {
    pub(crate) cancel: &'a Cancel,
    pub(crate) progress: &'a (dyn Fn(u64, u64, &str) + Sync),
    pub(crate) scratch: &'a std::path::Path,
    pub(crate) mark: Mark<'a>,
    pub(crate) turn: &'a dyn Turn,
}

impl Memo for Parts<'_> {
    fn memo(&self, parts: &[Part], body: Body<'_>) -> Result<Vec<Vec<u8>>, StageError> {
        let next = AtomicUsize::new(0);
        let results: Vec<Mutex<Option<Made>>> = parts.iter().map(|_| Mutex::default()).collect();
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
        let is_real = |result: &&Made| matches!(result, Err(error) if *error != StageError::Cancelled);
        match all.iter().find(is_real) {
            Some(Err(error)) => Err(error.clone()),
            _ => all.into_iter().collect(),
        }
    }
}

impl Parts<'_> {
    fn part(&self, at: usize, part: &Part, body: Body<'_>) -> Result<Vec<u8>, StageError> {
        let PartContext { cancel, progress, scratch, mark, turn } = self.context;
        let seed = self.ingredients.seed;
        let context = Context { seed: seed.unwrap_or_default(), cancel, progress, scratch, mark, memo: self, turn };
        context.check()?;
        let inputs = part.inputs.iter().filter_map(|port| {
            let content = self.ingredients.inputs.get(*port)?;
            Some(((*port).to_owned(), *content))
        });
        let kind = format!("{}/{}", self.ingredients.kind, part.name.split(['-', '=']).next().unwrap_or_default());
        let ingredients = Ingredients {
            kind,
            version: self.ingredients.version,
            seed,
            with: part.with.clone(),
            inputs: inputs.collect(),
        };
        let key = ingredients.key();
        if let Some((digest, bytes)) = self.recorded(&key)? {
            self.note(part, digest);
            return Ok(bytes);
        }
        let started_ms = self.bench.clock.now_ms();
        let caught = catch_unwind(AssertUnwindSafe(|| body(at, &context)));
        let bytes = caught.unwrap_or_else(|panic| Err(StageError::Broken(panic_text(panic.as_ref()))))?;
        let digest = self.bench.store.put(&bytes).map_err(stage_error)?;
        let seconds = self.bench.clock.now_ms().saturating_sub(started_ms) as f64 / 1000.0;
        self.record(
            part,
            &ingredients,
            key,
            Artifact { port: part.name.clone(), digest, size: bytes.len() as u64, directory: false },
            (started_ms, seconds),
        )?;
        self.note(part, digest);
        Ok(bytes)
    }

    fn note(&self, part: &Part, digest: Digest) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(part.name.clone(), digest);
    }

    /// Returns what is kept of a part, if all of it is.
    fn recorded(&self, key: &Digest) -> Result<Option<(Digest, Vec<u8>)>, StageError> {
        let record = self.bench.ledger.action(key).map_err(|error| StageError::Storage(error.to_string()))?;
        let output = record.and_then(|record| record.outputs.into_iter().next());
        let Some(output) = output else { return Ok(None) };
        match self.bench.store.get(&output.digest) {
            Ok(bytes) => Ok(Some((output.digest, bytes))),
            Err(error) if error.is_lost() => Ok(None),
            Err(error) => Err(stage_error(error)),
        }
    }

    fn record(
        &self,
        part: &Part,
        ingredients: &Ingredients,
        key: Digest,
        output: Artifact,
        (started_ms, seconds): (u64, f64),
    ) -> Result<(), StageError> {
        let spec = &self.bench.pipeline.stages[self.stage];
        let text = |port: &str| spec.inputs.iter().find(|input| input.port == port).map(|input| input.text.clone());
        let input = |port: &&'static str| InputRecord {
            port: (*port).to_owned(),
            text: text(port).unwrap_or_default(),
            digest: ingredients.digest(port),
        };
        let record = ActionRecord {
            key,
            pipeline: self.bench.pipeline.file.clone(),
            stage: spec.id.clone(),
            part: Some(part.name.clone()),
            kind: ingredients.kind.clone(),
            ingredients: ingredients.listed(),
            inputs: part.inputs.iter().map(input).collect(),
            outputs: vec![output],
            moves: Vec::new(),
            notes: Vec::new(),
            run: self.bench.run.clone(),
            started_ms,
            seconds,
            host: self.bench.host.to_owned(),
            netsec: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let entered = self.bench.ledger.enter(&[Entry::Action(Box::new(record))]);
        let commits = entered.map_err(|error| StageError::Storage(error.to_string()))?;
        let message =
            Message::Part { stage: self.stage, name: part.name.clone(), outcome: Outcome::Made, seconds, commits };
        // A driver that has gone has no use for the news.
        let _ = self.to_driver.send(message);
        Ok(())
    }
}
