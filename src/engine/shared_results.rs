//! Results from a cache that others share, and for it: what is looked up before a stage is carried
//! out here, and what is published after.

use std::sync::mpsc::{Receiver, Sender};

use crate::engine::exec_context::ExecContext;
use crate::engine::executor::{ActionResult, MadeElsewhere};
use crate::engine::message::{PublishedTotals, SharedAnswer, WorkerMessage};
use crate::far::shared_action::SharedAction;
use crate::far::shared_cache::{FoundAction, SharedCache, SharedLookup};
use crate::lineage::record::ImportOrigin;
use crate::pipeline::check::StageSpec;
use crate::plan::action::Action;
use crate::plan::decide::{RecordObjection, objection};
use crate::stage::error::StageError;
use crate::store::blob::Store;

/// Returns whether what comes of a stage may be shared: what was seen outside, or with a secret, is
/// each workspace's own.
pub(crate) fn is_sharable(spec: &StageSpec) -> bool {
    let uses_secret = spec.has_secret() && spec.stage.needs_secrets();
    !spec.looks_outside() && !uses_secret
}

/// Looks an action up, and keeps what came of it.
pub(crate) fn look_up(
    shared: &SharedCache,
    context: &ExecContext<'_>,
    action: &Action,
) -> SharedAnswer {
    let mut answer = SharedAnswer {
        found: None,
        warnings: Vec::new(),
    };
    let spec = &context.pipeline.stages[action.stage];
    let refused = |why: String| {
        format!(
            "`{}` runs here, and its shared record is not used: {why}",
            spec.id
        )
    };
    let is_here = context.ledger.action(&action.key).ok().flatten();
    match shared.find(&action.key) {
        SharedLookup::Nothing => {}
        SharedLookup::Unanswered(why) => {
            answer.found = Some(Box::new(ActionResult {
                result: Err(StageError::Failed(why)),
                ..ActionResult::nothing()
            }));
        }
        SharedLookup::Refused(why) => answer.warnings.push(refused(why)),
        SharedLookup::Found(found) => match refusal(spec, &found, &context.pipeline.trust) {
            // Known already: that it is not signed was told when it came.
            Some(_) if is_here.is_some() => {}
            Some(why) => answer.warnings.push(refused(why)),
            None => match shared.bring(&found.action, context.store.as_ref()) {
                Ok(()) => answer.found = Some(Box::new(taken(shared, *found, context))),
                Err(error) => answer.warnings.push(refused(error.to_string())),
            },
        },
    }
    answer.warnings.extend(shared.take_news());
    answer
}

/// Why a record does not serve a stage.
fn refusal(spec: &StageSpec, found: &FoundAction, trust: &[String]) -> Option<String> {
    let action = &found.action;
    let is_vouched = found
        .signer
        .as_ref()
        .is_some_and(|signer| trust.contains(signer));
    let found = objection(spec, &action.outputs, !action.moves.is_empty(), is_vouched)?;
    Some(match found {
        RecordObjection::LacksOutput(port) => format!("it has no output `{port}`"),
        RecordObjection::NotVouched => {
            "a ref moves only by what ran here or a key in `trust` signed".to_owned()
        }
    })
}

fn taken(shared: &SharedCache, found: FoundAction, context: &ExecContext<'_>) -> ActionResult {
    let FoundAction { action, signer } = found;
    let elsewhere = MadeElsewhere {
        started_ms: action.started_ms,
        seconds: action.seconds,
        host: action.host,
        netsec: action.netsec,
        origin: ImportOrigin {
            at_ms: context.clock.now_ms(),
            signer,
            cache: Some(shared.address().to_owned()),
        },
    };
    ActionResult {
        result: Ok(()),
        outputs: action.outputs,
        moves: action
            .moves
            .into_iter()
            .map(|wish| (wish.port, wish.to))
            .collect(),
        notes: action.notes,
        rejects: action.rejects,
        parts: action.parts,
        elsewhere: Some(elsewhere),
        remote: None,
    }
}

/// Publishes what is sent to it until nobody can send any more, and says then how much that was. A
/// run that is cancelled publishes nothing more.
pub(crate) fn publish(
    shared: &SharedCache,
    store: &dyn Store,
    is_over: &dyn Fn() -> bool,
    results: &Receiver<SharedAction>,
    to_driver: &Sender<WorkerMessage>,
) {
    let mut totals = PublishedTotals::default();
    let mut warnings = Vec::new();
    while let Ok(action) = results.recv() {
        if is_over() || !shared.publishes() {
            continue;
        }
        match shared.publish(&action, store) {
            Ok(bytes) => {
                totals.results += 1;
                totals.bytes += bytes;
            }
            Err(error) => warnings.push(format!(
                "a result of `{}` was not published in `{}`: {error}",
                action.kind,
                shared.address()
            )),
        }
    }
    warnings.extend(shared.last_news());
    // A driver that has gone has no use for it.
    let _ = to_driver.send(WorkerMessage::Published { totals, warnings });
}
