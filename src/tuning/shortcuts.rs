//! How good a model is without the columns that may hold for its testbed only.

use crate::model::data::{HeldOutRows, TrainingSet};
use crate::model::metrics::Metrics;
use crate::prep::preprocessor::Preprocessor;
use crate::profile::giveaway::GiveawayGrade;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::tuning::composition::Composition;
use crate::tuning::trials::{CrossValidation, TrialFit};

/// Carries a model out again with the features of shortcut columns all the same in every row, which
/// tells a model nothing. Returns the columns and the figures at the threshold .5; `None` if there
/// is no such column.
///
/// # Errors
/// The run was stopped; what is kept cannot be read.
pub(crate) fn without_shortcuts(
    best: &Composition,
    data: &TrainingSet,
    preprocessor: &Preprocessor,
    sweep: &CrossValidation<'_>,
    context: &StageContext<'_>,
) -> Result<Option<(Vec<String>, Metrics)>, StageError> {
    let found = preprocessor
        .giveaways
        .iter()
        .filter(|giveaway| giveaway.grade == GiveawayGrade::Shortcut);
    let columns: Vec<String> = found.map(|giveaway| giveaway.column.clone()).collect();
    let origins = preprocessor.origins();
    let features: Vec<usize> = (0..origins.len())
        .filter(|feature| columns.contains(&origins[*feature]))
        .collect();
    if features.is_empty() {
        return Ok(None);
    }
    let mut x = data.x.clone();
    features
        .iter()
        .for_each(|feature| x.column_mut(*feature).fill(0.0));
    let mut blind = TrainingSet::new(x, data.labels.clone(), preprocessor.features())?;
    blind.directions.clone_from(&data.directions);
    blind.categories.clone_from(&data.categories);
    blind.weights.clone_from(&data.weights);
    blind.origins.clone_from(&data.origins);
    blind.hold_out_last.clone_from(&data.hold_out_last);
    blind.validation = data.validation.as_ref().map(|validation| {
        let mut x = validation.x.clone();
        features
            .iter()
            .for_each(|feature| x.column_mut(*feature).fill(0.0));
        HeldOutRows {
            x,
            labels: validation.labels.clone(),
            weights: validation.weights.clone(),
        }
    });
    let sweep = sweep.with_features(&blind, &columns);
    let as_it_is = |trial: TrialFit| trial;
    let outcomes = best.carried_out(&[&as_it_is], &sweep, 0, context)?;
    let outcome = outcomes.into_iter().next();
    Ok(outcome
        .and_then(Result::ok)
        .map(|scored| (columns, scored.metrics)))
}
