//! Each family of attacks left out of training in turn: what is found of one that was never seen.
//!
//! How: the picked trial is carried out again in the same folds, each time without the rows of one
//! family among those that models are fitted to, and asked about all rows as before. Thresholds are
//! those that keep to a budget of false positives among the benign rows.

use crate::model::data::TrainingSet;
use crate::model::unseen::{FoundShares, UnseenFamily};
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::tuning::composition::Composition;
use crate::tuning::trials::{CrossValidation, ScoredTrial, TrialFit};

/// Returns what is found of each family by models that never saw it, those first of which least is.
///
/// # Errors
/// The run was stopped; what is kept cannot be read.
pub(crate) fn unseen_families(
    best: &Composition,
    picked: &ScoredTrial,
    data: &TrainingSet,
    sweep: &CrossValidation<'_>,
    first: usize,
    context: &StageContext<'_>,
) -> Result<Vec<UnseenFamily>, StageError> {
    let families = sweep.families();
    let without = |place: usize| {
        move |trial: TrialFit| TrialFit {
            left_out: Some(place as u16),
            ..trial
        }
    };
    let ways: Vec<_> = (0..families.names.len()).map(without).collect();
    let ways: Vec<&dyn Fn(TrialFit) -> TrialFit> = ways.iter().map(|way| way as _).collect();
    let outcomes = best.carried_out(&ways, sweep, first, context)?;
    let thresholds = |scored: &ScoredTrial| {
        FoundShares::thresholds(&data.labels.select(&scored.rows), &scored.scores)
    };
    let found = |scored: &ScoredTrial, thresholds: [f64; 2], place: usize| {
        let is_mine = |row: &u32| families.of[*row as usize] == Some(place as u16);
        let is_mine: Vec<bool> = scored.rows.iter().map(is_mine).collect();
        FoundShares::of(&scored.scores, thresholds, &is_mine)
    };
    let of_picked = thresholds(picked);
    let mut told = Vec::new();
    for (place, (family, outcome)) in families.names.iter().zip(outcomes).enumerate() {
        let Some(trained) = found(picked, of_picked, place) else {
            continue;
        };
        let (unseen, error) = match outcome {
            Ok(scored) => (found(&scored, thresholds(&scored), place), None),
            Err(error) => (None, Some(error.to_string())),
        };
        told.push(UnseenFamily {
            family: family.clone(),
            trained,
            unseen,
            error,
        });
    }
    UnseenFamily::sort(&mut told);
    Ok(told)
}
