//! Which trials of a search are put together.

use crate::model::data::TrainingSet;
use crate::model::error::ModelError;
use crate::tuning::composition::{CombiningRule, Composition};
use crate::tuning::novelty_comparison::best_novelty;
use crate::tuning::selection::{JudgedResult, JudgedTrial};
use crate::tuning::trials::{CrossValidation, ScoredTrial, TrialResult};

/// An ensemble as it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct EnsembleRequest {
    /// How trials are put together.
    pub rule: CombiningRule,
    /// How many of them.
    pub members: usize,
}

/// Puts trials together as asked: the best trial of each of the best learners, or the best trial
/// and the best novelty detector. Trials are in this order, the best first.
pub(crate) fn composed(
    request: EnsembleRequest,
    trials: &[Composition],
    judged: &[JudgedResult],
    order: &[usize],
    sweep: &CrossValidation<'_>,
) -> (Composition, TrialResult) {
    let members = match request.rule {
        CombiningRule::Either(_) => both(trials, judged, order, sweep.data()),
        CombiningRule::Voting | CombiningRule::Stacking => {
            best_of_learners(request.members, trials, judged, order)
        }
    };
    let composition = Composition {
        members: members
            .iter()
            .flat_map(|at| trials[*at].members.clone())
            .collect(),
        numbers: members.iter().map(|at| at + 1).collect(),
        rule: Some(request.rule),
    };
    if members.len() < 2 {
        let why = match request.rule {
            CombiningRule::Either(_) => {
                "it needs a novelty detector and another learner among the candidates that can be fitted"
            }
            _ => "it needs two learners among the candidates that can be fitted",
        };
        return (composition, Err(ModelError::NoSolution(why.to_owned())));
    }
    let scored = members_scored(&composition, judged).into_iter().cloned();
    let outcome = composition.put_together(scored.collect(), sweep);
    (composition, outcome)
}

/// Returns what the members of a composition came to in cross-validation.
pub(crate) fn members_scored<'a>(
    composition: &Composition,
    judged: &'a [JudgedResult],
) -> Vec<&'a ScoredTrial> {
    let of = |number: &usize| judged[number - 1].as_ref().ok();
    let members = composition.numbers.iter().filter_map(of);
    members.map(|judged| &judged.scored).collect()
}

/// A trial that can be a member: on all rows, in all folds.
fn whole<'a>(
    trials: &[Composition],
    judged: &'a [JudgedResult],
    at: usize,
) -> Option<&'a JudgedTrial> {
    let judged = judged[at].as_ref().ok()?;
    (trials[at].share() >= 1.0 && judged.scored.given_up.is_none()).then_some(judged)
}

fn best_of_learners(
    most: usize,
    trials: &[Composition],
    judged: &[JudgedResult],
    order: &[usize],
) -> Vec<usize> {
    let mut members: Vec<usize> = Vec::new();
    for at in order
        .iter()
        .copied()
        .filter(|at| whole(trials, judged, *at).is_some())
    {
        let is_new = members
            .iter()
            .all(|other| trials[*other].name() != trials[at].name());
        if is_new && !trials[at].is_novelty() && members.len() < most {
            members.push(at);
        }
    }
    members
}

fn both(
    trials: &[Composition],
    judged: &[JudgedResult],
    order: &[usize],
    data: &TrainingSet,
) -> Vec<usize> {
    let fits = |at: &&usize| whole(trials, judged, **at).is_some();
    let mut supervised = order
        .iter()
        .filter(fits)
        .filter(|at| !trials[**at].is_novelty());
    let supervised = supervised.next().copied();
    let whole: Vec<usize> = order.iter().filter(fits).copied().collect();
    supervised
        .into_iter()
        .chain(best_novelty(trials, judged, &whole, data))
        .collect()
}
