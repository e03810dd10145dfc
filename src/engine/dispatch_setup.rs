//! What the dispatcher of a plan knows beforehand: limits, turns and urgency.

use std::collections::BTreeMap;

use crate::base::name::RefName;
use crate::engine::away::may_go_away;
use crate::engine::dispatch::{DispatchLimits, DispatchTerms, Dispatcher};
use crate::engine::remote_workers::RemoteWorkers;
use crate::engine::run_setup::RunSetup;
use crate::graph::order::weight_below;
use crate::pipeline::check::InputOrigin;
use crate::plan::decide::Verdict;
use crate::plan::planner::{Plan, StageDecision};

/// So many stages are looked up in a shared cache at once.
const LOOKUPS: usize = 32;

/// Makes the dispatcher of a plan.
pub(crate) fn dispatcher<'a>(setup: &RunSetup<'a>, plan: &Plan) -> Dispatcher<'a> {
    let pipeline = setup.planner.pipeline;
    let estimate = |stage: usize| {
        plan.decisions
            .get(&stage)
            .and_then(|decision| decision.estimate_ms)
    };
    let stages = pipeline.stages.iter().enumerate();
    let terms = stages.map(|(stage, spec)| DispatchTerms {
        limits: &spec.limits,
        reads_ref: spec.has_ref(),
        may_go_away: may_go_away(spec, estimate(stage)),
    });
    let limits = DispatchLimits {
        jobs: setup.jobs,
        lookups: setup.shared.map_or(0, |_| LOOKUPS),
        away: setup.workers.map_or(0, RemoteWorkers::jobs),
        max_failures: setup.max_failures,
        capacity: pipeline.capacity.clone(),
        turns: turns(setup, plan),
    };
    let urgency = urgency(setup, plan);
    let graph = setup.planner.graph;
    Dispatcher::new(graph, &plan.wanted, urgency, terms.collect(), limits)
}

/// The wanted stages that read each ref, in the order of the plan.
fn turns(setup: &RunSetup<'_>, plan: &Plan) -> Vec<Vec<usize>> {
    let mut readers: BTreeMap<&RefName, Vec<usize>> = BTreeMap::new();
    for &stage in plan
        .order
        .iter()
        .filter(|stage| plan.wanted.contains(stage))
    {
        for input in &setup.planner.pipeline.stages[stage].inputs {
            if let InputOrigin::Ref(name, _) = &input.from {
                readers.entry(name).or_default().push(stage);
            }
        }
    }
    readers
        .into_values()
        .filter(|stages| stages.len() > 1)
        .collect()
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
