//! An action that another machine carries out, from here: its task, what it reads, and what comes of it.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::outcome::StageOutcome;
use crate::engine::exec_context::{ExecContext, stage_error};
use crate::engine::executor::{ActionHandle, ActionNews, ActionResult, RemotePerformance};
use crate::engine::remote_workers::{CarriedOut, RemoteEnd, RemoteWorkers};
use crate::engine::shared_results::is_sharable;
use crate::engine::source_checks::{keep_manifests, unchanged};
use crate::engine::task::{ActionTask, TaskInput, TaskLimits, TaskResult, WantedParts};
use crate::far::remote_runner::{BlobSource, RemoteState};
use crate::far::shared_action::SharedAction;
use crate::lineage::record::{ActionRecord, LedgerEntry, RemoteOrigin};
use crate::pipeline::check::{InputOrigin, StageSpec};
use crate::plan::action::Action;
use crate::plan::key::Ingredients;
use crate::stage::error::StageError;
use crate::stage::remote::RemoteWork;
use crate::store::manifest::Manifest;

/// Stages that are known to take less than this are not worth the way, in milliseconds.
const WORTH_MS: u64 = 1000;

/// Returns whether another machine may carry a whole stage out, given how long it took when it ran last.
pub(crate) fn may_go_away(spec: &StageSpec, estimate_ms: Option<u64>) -> bool {
    let is_meant = match (spec.kind.remote, spec.limits.remote) {
        (RemoteWork::Whole, None) => estimate_ms.is_none_or(|estimate| estimate >= WORTH_MS),
        (RemoteWork::Whole | RemoteWork::Asked, Some(true)) => true,
        _ => false,
    };
    is_meant && is_sendable(spec)
}

/// Returns whether another machine may carry out parts of a stage's work.
pub(crate) fn parts_may_go_away(spec: &StageSpec) -> bool {
    let is_meant = spec.kind.remote == RemoteWork::Parts && spec.limits.remote != Some(false);
    is_meant && is_sendable(spec)
}

/// Nothing that looks outside, and no secret, is sent.
fn is_sendable(spec: &StageSpec) -> bool {
    is_sharable(spec) && !spec.has_secret()
}

/// Makes the task of an action, or of parts of one.
pub(crate) fn task(
    spec: &StageSpec,
    ingredients: &Ingredients,
    parts: Option<WantedParts>,
) -> ActionTask {
    let inputs = spec.inputs.iter();
    ActionTask {
        key: ingredients.key(),
        kind: ingredients.kind.clone(),
        version: ingredients.version,
        seed: ingredients.seed,
        with: ingredients.with.clone(),
        inputs: inputs
            .map(|input| TaskInput {
                port: input.port.clone(),
                label: input.text.clone(),
                content: ingredients.content(&input.port),
            })
            .collect(),
        outputs: spec.outputs.clone(),
        limits: TaskLimits::of(&spec.limits),
        parts,
    }
}

/// Returns all that flows into some ports of a stage, file by file, and the lists of files.
pub(crate) fn given(
    context: &ExecContext<'_>,
    stage: usize,
    ingredients: &Ingredients,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<Digest, BlobSource>, StageError> {
    let mut given = BTreeMap::new();
    for input in &context.pipeline.stages[stage].inputs {
        let Some(content) = ingredients
            .content(&input.port)
            .filter(|_| is_wanted(&input.port))
        else {
            continue;
        };
        given.insert(content.digest, BlobSource::Stored(content.digest));
        if let InputOrigin::File(text) = &input.from {
            for part in &context.sources[text].parts {
                given.insert(
                    part.digest,
                    BlobSource::File(part.path.clone(), part.digest),
                );
            }
            continue;
        }
        if content.directory {
            let bytes = context.store.get(&content.digest).map_err(stage_error)?;
            let manifest = Manifest::decode(&bytes).map_err(StageError::Storage)?;
            for file in manifest.files {
                given.insert(file.digest, BlobSource::Stored(file.digest));
            }
        }
    }
    Ok(given)
}

/// Has an action carried out by another machine.
///
/// # Errors
/// None: `None` is an action that is to be carried out here.
pub(crate) fn perform_away(
    workers: &RemoteWorkers,
    context: &ExecContext<'_>,
    action: &Action,
    handle: &ActionHandle<'_>,
) -> Option<ActionResult> {
    let failed = |error| {
        let nothing = ActionResult::nothing();
        Some(ActionResult {
            result: Err(error),
            ..nothing
        })
    };
    let stage = action.stage;
    let spec = &context.pipeline.stages[stage];
    let prepared = keep_manifests(context, stage)
        .and_then(|()| given(context, stage, &action.ingredients, &|_| true));
    let given = match prepared {
        Ok(given) => given,
        Err(error) => return failed(error),
    };
    let task = task(spec, &action.ingredients, None);
    let is_stopped = || handle.cancel.is_cancelled();
    let Some(_permit) = workers.permit(&is_stopped) else {
        return failed(StageError::Cancelled);
    };
    let told = |state: RemoteState| tell(workers, handle, state);
    let carried = workers.carry_out(
        &task,
        &given,
        spec.limits.timeout,
        context.store.as_ref(),
        &told,
        handle.cancel,
    );
    let CarriedOut { result, origin } = match carried {
        Ok(carried) => carried,
        Err(RemoteEnd::Here) => return None,
        Err(RemoteEnd::Failed(why)) => return failed(StageError::Failed(why)),
        Err(RemoteEnd::Cancelled) => return failed(StageError::Cancelled),
        Err(RemoteEnd::TimedOut) => return failed(StageError::Failed(timed_out(spec))),
    };
    if let Err(StageError::Storage(why) | StageError::Lost(why) | StageError::Broken(why)) =
        &result.result
    {
        // That is the machine's concern, and not the stage's.
        return match workers.fail(why) {
            RemoteEnd::Failed(why) => failed(StageError::Failed(why)),
            _ => None,
        };
    }
    let recorded = record_parts(context, stage, &result, &origin, handle.observe);
    let is_right = result
        .result
        .and(recorded)
        .and_then(|()| unchanged(context, stage));
    Some(ActionResult {
        result: is_right,
        outputs: result.outputs,
        moves: BTreeMap::new(),
        notes: result.notes,
        rejects: result.rejects,
        parts: result.parts,
        elsewhere: None,
        remote: Some(RemotePerformance {
            host: result.host,
            seconds: result.seconds,
            origin,
        }),
    })
}

fn timed_out(spec: &StageSpec) -> String {
    match spec.limits.timeout {
        Some(timeout) => format!(
            "timed out after {} s (`limits.timeout_seconds`)",
            timeout.as_secs_f64()
        ),
        None => {
            "it took longer than other machines give an action that has no limit of its own: set \
                 `limits.timeout_seconds`"
                .to_owned()
        }
    }
}

/// Tells how an action goes that another machine carries out.
fn tell(workers: &RemoteWorkers, handle: &ActionHandle<'_>, state: RemoteState) {
    let (done, note) = match state {
        RemoteState::Sending => (0, "sending to"),
        RemoteState::Queued => (1, "waiting for a machine of"),
        RemoteState::Running => (2, "running at"),
        RemoteState::Bringing => (3, "bringing from"),
    };
    if matches!(state, RemoteState::Running | RemoteState::Bringing) {
        handle.turn.begin();
    }
    (handle.observe)(ActionNews::Progress {
        done,
        total: 4,
        note: format!("{note} {}", workers.address()),
    });
}

/// Records parts that another machine made as this run's.
pub(crate) fn record_parts(
    context: &ExecContext<'_>,
    stage: usize,
    result: &TaskResult,
    origin: &RemoteOrigin,
    observe: &(dyn Fn(ActionNews) + Sync),
) -> Result<(), StageError> {
    let spec = &context.pipeline.stages[stage];
    let ports: Vec<&str> = spec
        .inputs
        .iter()
        .map(|input| input.port.as_str())
        .collect();
    let shared = context.shared.filter(|shared| shared.publishes());
    for part in &result.made {
        let name = part.part.clone().unwrap_or_default();
        let record = ActionRecord {
            pipeline: context.pipeline.file.clone(),
            stage: spec.id.clone(),
            // Whatever it says, it is none of a whole stage.
            part: Some(name.clone()),
            run: context.run.clone(),
            host: result.host.clone(),
            remote: Some(origin.clone()),
            imported: None,
            moves: Vec::new(),
            ..part.clone()
        };
        let seconds = record.seconds;
        // Whoever carried out parts by themselves found them worth the way.
        let shared = shared.filter(|_| result.outputs.is_empty());
        let shared = shared.map(|shared| SharedAction::of(&record, shared.class(), &ports));
        let entry = LedgerEntry::Action(Box::new(record));
        let entered = context.ledger.enter(&[entry]);
        let commits = entered.map_err(|error| StageError::Storage(error.to_string()))?;
        observe(ActionNews::SubAction {
            name,
            outcome: StageOutcome::Made,
            seconds,
            commits,
            worker: Some(origin.machine(&result.host).to_owned()),
            shared: shared.map(Box::new),
        });
    }
    Ok(())
}
