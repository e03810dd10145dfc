//! A task carried out on the machine that it was sent to.
//!
//! How: the stage gets a pipeline of its own, a ledger in memory and a store of what was sent along. If
//! only parts of its work are wanted it is carried out all the same: parts that are known are answered,
//! those that are wanted are made, and there it ends. What a stage does before it asks for parts it
//! does again on every machine; that it asks for the same ones, its being a function of its inputs says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::base::cancel::Cancel;
use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::name::{RunId, StageId};
use crate::base::source::Span;
use crate::engine::exec_context::{ExecContext, stage_error};
use crate::engine::executor::{ActionHandle, ActionResult, Executor, SoleTurn};
use crate::engine::local_executor::LocalExecutor;
use crate::engine::slots::Slots;
use crate::engine::task::{ActionTask, KnownPart, KnownParts, TaskInput, TaskResult, WantedParts};
use crate::lineage::error::LedgerError;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{ActionRecord, LedgerEntry};
use crate::pipeline::check::{InputOrigin, InputSpec, Pipeline, StageSpec};
use crate::pipeline::wiring::StageWiring;
use crate::plan::action::Action;
use crate::plan::key::Ingredients;
use crate::plan::planner::SourceFiles;
use crate::stage::error::StageError;
use crate::stage::io::SupervisorSource;
use crate::stage::registry::Registry;
use crate::stage::remote::RemoteSettings;
use crate::store::blob::Store;

/// What a task is carried out with.
pub struct ActTerms<'a> {
    /// The kinds there are.
    pub registry: &'a Registry,
    /// What was sent along, and where what is made is kept.
    pub store: Arc<dyn Store>,
    /// Where scratch folders are made.
    pub temporary: &'a Path,
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Raised when it is to stop.
    pub cancel: &'a Cancel,
    /// Gives the processes that start programs.
    pub supervisors: &'a dyn SupervisorSource,
    /// The class of this machine.
    pub class: String,
    /// The name of this machine.
    pub host: String,
}

/// Carries a task out. Whatever goes wrong is told by the result.
pub fn act(task: &ActionTask, terms: &ActTerms<'_>) -> TaskResult {
    let started_ms = terms.clock.now_ms();
    let (performed, made) = match perform(task, terms) {
        Ok(performed) => performed,
        Err(error) => {
            let nothing = ActionResult::nothing();
            let result = Err(error);
            (ActionResult { result, ..nothing }, Vec::new())
        }
    };
    TaskResult {
        key: task.key,
        class: terms.class.clone(),
        host: terms.host.clone(),
        netsec: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms,
        seconds: terms.clock.now_ms().saturating_sub(started_ms) as f64 / 1000.0,
        result: performed.result,
        outputs: performed.outputs,
        notes: performed.notes,
        rejects: performed.rejects,
        parts: performed.parts,
        made,
    }
}

fn perform(
    task: &ActionTask,
    terms: &ActTerms<'_>,
) -> Result<(ActionResult, Vec<ActionRecord>), StageError> {
    let action = action(task)?;
    let pipeline = pipeline(task, terms.registry, &action)?;
    let storage = |error: LedgerError| StageError::Storage(error.to_string());
    let ledger = Ledger::in_memory();
    let run = RunId::new(terms.clock.now_ms(), u64::from(std::process::id()));
    let known = known_parts(task, terms.store.as_ref())?;
    let keys: BTreeSet<Digest> = known.iter().map(|part| part.key).collect();
    let records = known.into_iter().map(|part| {
        let record = known_record(part, &task.kind, &run, &action.id);
        LedgerEntry::Action(Box::new(record))
    });
    ledger
        .commit(&records.collect::<Vec<_>>())
        .map_err(storage)?;
    let sources = SourceFiles::new();
    let slots = Slots::new(action.limits.cpus);
    let executor = LocalExecutor {
        context: ExecContext {
            pipeline: &pipeline,
            store: &terms.store,
            sources: &sources,
            temporary: terms.temporary,
            scratches: &AtomicU64::new(0),
            ledger: &ledger,
            clock: terms.clock,
            run: &run,
            host: &terms.host,
            supervisors: terms.supervisors,
            full: false,
            shared: None,
            workers: None,
            chosen: task.parts.as_ref().map(|parts| &parts.chosen),
        },
        slots: &slots,
    };
    let handle = ActionHandle {
        cancel: terms.cancel,
        turn: &SoleTurn,
        observe: &|_| {},
    };
    let mut performed = executor.execute(&action, &handle);
    let mut made = ledger.actions().map_err(storage)?;
    made.retain(|record| !keys.contains(&record.key));
    if let Some(WantedParts { chosen, .. }) = &task.parts {
        let is_made = |key: &Digest| made.iter().any(|part| part.key == *key);
        let is_enough = chosen.iter().all(is_made);
        performed = ActionResult {
            result: match performed.result {
                // Where all that is wanted is made, the stage is stopped.
                Err(StageError::Cancelled) | Ok(()) if is_enough => Ok(()),
                Ok(()) => Err(StageError::Broken(
                    "the stage asked for other parts than where it was sent from".to_owned(),
                )),
                Err(error) => Err(error),
            },
            ..ActionResult::nothing()
        };
    }
    Ok((performed, made))
}

/// Makes the action again.
fn action(task: &ActionTask) -> Result<Action, StageError> {
    let inputs = task.inputs.iter();
    let ingredients = Ingredients {
        kind: task.kind.clone(),
        version: task.version,
        seed: task.seed,
        with: task.with.clone(),
        inputs: inputs
            .map(|input| (input.port.clone(), input.content))
            .collect(),
        seen: None,
    };
    let key = ingredients.key();
    if key != task.key {
        return Err(StageError::Broken(
            "a task does not hold all that determines its result".to_owned(),
        ));
    }
    Ok(Action {
        stage: 0,
        id: StageId::new("stage").map_err(StageError::Broken)?,
        ingredients,
        key,
        limits: task.limits.limits(),
    })
}

/// Makes a pipeline of this one stage.
fn pipeline(
    task: &ActionTask,
    registry: &Registry,
    action: &Action,
) -> Result<Pipeline, StageError> {
    let kind = registry.find(&task.kind);
    let kind = kind.filter(|kind| kind.version == task.version);
    let kind = kind.ok_or_else(|| {
        StageError::Broken(format!(
            "there is no `{}` of version {} here",
            task.kind, task.version
        ))
    })?;
    let values = task.values();
    let stage = (kind.make)(&values);
    let stage = stage.map_err(|_| {
        StageError::Broken(format!(
            "a `{}` is not made of its own parameters",
            task.kind
        ))
    })?;
    if stage.outside().is_some() {
        // Such as a program that was to be confined, where the system cannot.
        return Err(StageError::Storage(format!(
            "this machine cannot carry a `{}` out as it was to be",
            task.kind
        )));
    }
    let inputs = task.inputs.iter();
    let input = |input: &TaskInput| InputSpec {
        port: input.port.clone(),
        text: input.label.clone(),
        span: Span::default(),
        from: InputOrigin::Stage(0, String::new()),
    };
    let spec = StageSpec {
        id: action.id.clone(),
        span: Span::default(),
        kind: *kind,
        values,
        stage: Arc::from(stage),
        inputs: inputs.map(input).collect(),
        outputs: task.outputs.clone(),
        limits: action.limits.clone(),
    };
    Ok(Pipeline {
        name: String::new(),
        file: String::new(),
        digest: Digest::of(b""),
        seed: task.seed.unwrap_or_default(),
        stages: vec![spec],
        capacity: BTreeMap::new(),
        remote: RemoteSettings::default(),
        trust: Vec::new(),
        wiring: StageWiring::default(),
    })
}

/// The parts that the stage had asked for where it was sent from.
fn known_parts(task: &ActionTask, store: &dyn Store) -> Result<Vec<KnownPart>, StageError> {
    let Some(parts) = &task.parts else {
        return Ok(Vec::new());
    };
    let bytes = store.get(&parts.known).map_err(stage_error)?;
    let known = KnownParts::decode(&bytes).map_err(StageError::Broken)?;
    Ok(known.0)
}

/// The record of a part that is known: only what it made is asked for.
fn known_record(part: KnownPart, kind: &str, run: &RunId, stage: &StageId) -> ActionRecord {
    ActionRecord {
        key: part.key,
        pipeline: String::new(),
        stage: stage.clone(),
        part: Some(String::new()),
        kind: kind.to_owned(),
        ingredients: Vec::new(),
        inputs: Vec::new(),
        outputs: part.outputs,
        moves: Vec::new(),
        notes: Vec::new(),
        rejects: false,
        run: run.clone(),
        started_ms: 0,
        seconds: 0.0,
        host: String::new(),
        netsec: String::new(),
        imported: None,
        remote: None,
    }
}
