//! Parts of a stage's work that other machines make, from here.
//!
//! How: a batch of parts is sent with what it takes to do again all that the stage did before it asked
//! for them: the parts that it had been given by then, and the blobs that it had read.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use crate::base::digest::Digest;
use crate::engine::asked_parts::AskedParts;
use crate::engine::away::{given, parts_may_go_away, record_parts, task};
use crate::engine::exec_context::panic_text;
use crate::engine::part_queue::PartQueue;
use crate::engine::remote_workers::{CarriedOut, RemoteEnd, RemoteWorkers};
use crate::engine::source_checks::keep_manifests;
use crate::engine::sub_actions::RecordedSubActions;
use crate::engine::task::{KnownPart, KnownParts, WantedParts};
use crate::far::remote_runner::BlobSource;
use crate::pipeline::check::InputOrigin;
use crate::stage::error::StageError;
use crate::stage::sub_action::{BlobRef, SubAction};

/// What a stage has done before it asks for parts: done again wherever they are made.
pub(crate) struct StagePrelude {
    known: Digest,
    given: BTreeMap<Digest, BlobSource>,
}

impl RecordedSubActions<'_> {
    /// The other machines that may make some of these parts.
    pub(crate) fn workers(&self, parts: &[SubAction]) -> Option<&RemoteWorkers> {
        let spec = &self.bench.pipeline.stages[self.stage];
        let workers = self.bench.workers.filter(|workers| workers.take_actions());
        let is_asked = spec.limits.remote == Some(true);
        let is_worth = || parts.iter().any(|part| part.is_costly || is_asked);
        workers.filter(|_| parts_may_go_away(spec) && is_worth())
    }

    /// Gathers what the stage has done so far. It goes on only when it has these parts, so that this is
    /// the same however it went on other machines.
    pub(crate) fn prelude(&self) -> Result<StagePrelude, StageError> {
        keep_manifests(self.bench, self.stage)?;
        let mut known = Vec::new();
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, outputs) in &*asked {
            known.push(KnownPart {
                key: *key,
                outputs: outputs.clone(),
            });
        }
        drop(asked);
        let known = KnownParts(known).encode();
        let digest = Digest::of(&known);
        let mut given = BTreeMap::from([(digest, BlobSource::Bytes(known.into()))]);
        // Every input is listed before the stage begins.
        for content in self.ingredients.inputs.values().flatten() {
            if content.directory {
                given.insert(content.digest, BlobSource::Stored(content.digest));
            }
        }
        for digest in self.reads.all() {
            given.insert(digest, BlobSource::Stored(digest));
        }
        self.place_files(&mut given);
        Ok(StagePrelude {
            known: digest,
            given,
        })
    }

    /// Says of blobs that are files of the workspace where they are.
    fn place_files(&self, given: &mut BTreeMap<Digest, BlobSource>) {
        for input in &self.bench.pipeline.stages[self.stage].inputs {
            if let InputOrigin::File(text) = &input.from {
                for file in &self.bench.sources[text].parts {
                    let source = BlobSource::File(file.path.clone(), file.digest);
                    given.entry(file.digest).and_modify(|place| *place = source);
                }
            }
        }
    }

    /// Has other machines make parts as long as some wait to be taken.
    pub(crate) fn send_batches(
        &self,
        workers: &RemoteWorkers,
        queue: &PartQueue,
        asked: &AskedParts<'_>,
        prelude: &StagePrelude,
    ) {
        let is_over = || queue.is_empty() || self.context.cancel.is_cancelled();
        while workers.take_actions()
            && let Some(_permit) = workers.permit(&is_over)
            && let Some(batch) = queue.take_batch(workers.jobs())
        {
            let numbers: Vec<usize> = batch.iter().flatten().copied().collect();
            let make = || self.make_away(workers, asked.parts, &numbers, prelude);
            let made = catch_unwind(AssertUnwindSafe(make));
            let broken =
                |panic: Box<dyn Any + Send>| Err(StageError::Broken(panic_text(panic.as_ref())));
            match made.unwrap_or_else(broken) {
                Ok(Some(made)) => {
                    for (at, kept) in made.kept {
                        asked.set(at, Ok(kept));
                    }
                    queue.made(&batch, made.seconds);
                }
                Ok(None) => queue.give_back(batch),
                Err(error) => {
                    asked.set(numbers[0], Err(error));
                    queue.stop();
                    queue.made(&batch, 0.0);
                }
            }
            self.slots.nudge();
        }
    }

    /// Has another machine make some parts; nothing comes of those that are to be made here.
    fn make_away(
        &self,
        workers: &RemoteWorkers,
        parts: &[SubAction],
        numbers: &[usize],
        prelude: &StagePrelude,
    ) -> Result<Option<MadeAway>, StageError> {
        let spec = &self.bench.pipeline.stages[self.stage];
        // Parts may be alike, as those of equal files are.
        let mut keys: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for at in numbers {
            let key = self.ingredients(&parts[*at]).key();
            keys.entry(key).or_default().push(*at);
        }
        let wanted = WantedParts {
            chosen: keys.keys().copied().collect(),
            known: prelude.known,
        };
        let task = task(spec, self.ingredients, Some(wanted));
        let given = self.given(parts, numbers, prelude)?;
        let carried = workers.carry_out(
            &task,
            &given,
            spec.limits.timeout,
            self.bench.store.as_ref(),
            &|_| {},
            self.context.cancel,
        );
        let CarriedOut { result, origin } = match carried {
            Ok(carried) => carried,
            Err(end) => return undone(end),
        };
        match result.result {
            Ok(()) => {}
            // What is wrong with the data is wrong here, too.
            Err(
                error @ (StageError::Data(_) | StageError::Failed(_) | StageError::Rejected(_)),
            ) => {
                return Err(error);
            }
            Err(error) => return undone(workers.fail(&error.to_string())),
        }
        record_parts(self.bench, self.stage, &result, &origin, self.observe)?;
        let mut kept = BTreeMap::new();
        for made in &result.made {
            for at in keys.get(&made.key).into_iter().flatten() {
                let blobs = self.note(&parts[*at], made.key, made.outputs.clone());
                kept.insert(*at, blobs);
            }
        }
        let seconds = result.seconds;
        Ok(Some(MadeAway { kept, seconds }))
    }

    /// All that a batch of parts reads.
    fn given(
        &self,
        parts: &[SubAction],
        numbers: &[usize],
        prelude: &StagePrelude,
    ) -> Result<BTreeMap<Digest, BlobSource>, StageError> {
        let mut all = prelude.given.clone();
        let mut ports: BTreeSet<&str> = BTreeSet::new();
        for at in numbers {
            match &parts[*at].reads {
                Some(blobs) => {
                    let stored = blobs
                        .iter()
                        .map(|digest| (*digest, BlobSource::Stored(*digest)));
                    all.extend(stored);
                }
                None => ports.extend(&parts[*at].inputs),
            }
        }
        let whole = given(self.bench, self.stage, self.ingredients, &|port| {
            ports.contains(port)
        })?;
        all.extend(whole);
        self.place_files(&mut all);
        Ok(all)
    }
}

/// What becomes of parts that no other machine made.
fn undone(end: RemoteEnd) -> Result<Option<MadeAway>, StageError> {
    match end {
        RemoteEnd::Here | RemoteEnd::TimedOut => Ok(None),
        RemoteEnd::Cancelled => Err(StageError::Cancelled),
        RemoteEnd::Failed(why) => Err(StageError::Failed(why)),
    }
}

/// Parts that another machine made.
struct MadeAway {
    /// What is kept of each, by its number.
    kept: BTreeMap<usize, Vec<BlobRef>>,
    /// How long it took there.
    seconds: f64,
}
