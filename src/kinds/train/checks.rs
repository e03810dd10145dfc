//! What the learners of a search cannot do with its other parameters.

use crate::base::nearest::suggest;
use crate::model::data::TrainingSet;
use crate::model::error::ModelError;
use crate::model::learners::Learner;
use crate::stage::error::StageError;
use crate::stage::param::{ParamError, ParamStep};
use crate::tuning::composition::CombiningRule;
use crate::tuning::ensembles::EnsembleRequest;

/// Refuses learners that cannot keep to monotone features.
pub(crate) fn not_monotone(learners: &[&'static Learner]) -> Vec<ParamError> {
    let refused = learners
        .iter()
        .enumerate()
        .filter(|(_, learner)| !learner.monotone);
    let fault = |(index, learner): (usize, &&Learner)| ParamError {
        path: at_learner(index),
        message: format!("`{}` cannot keep to `monotone`", learner.name),
        help: Some("name learners made of trees, other than `adaboost`".to_owned()),
    };
    refused.map(fault).collect()
}

/// Refuses novelty detectors without a threshold of their own.
pub(crate) fn no_threshold(learners: &[&'static Learner]) -> Vec<ParamError> {
    let refused = learners
        .iter()
        .enumerate()
        .filter(|(_, learner)| learner.is_novelty);
    let fault = |(index, learner): (usize, &&Learner)| {
        ParamError {
        path: at_learner(index),
        message: format!(
            "what `{}` tells is no probability, and 0.5 no threshold for it",
            learner.name
        ),
        help: Some(
            "set `threshold_fpr`, the share of benign rows that may raise an alarm, such as 0.01; or `calibrate: isotonic`".to_owned(),
        ),
    }
    };
    refused.map(fault).collect()
}

/// Refuses learners that let every row count the same, where rows count differently.
///
/// # Errors
/// They are named.
pub(crate) fn no_weights(
    learners: &[&'static Learner],
    data: &TrainingSet,
) -> Result<(), StageError> {
    if data.weights.is_empty() {
        return Ok(());
    }
    // The directions of features are kept to where whole rows are counted, and by boosting.
    let keeps =
        |learner: &&Learner| data.directions.is_empty() || learner.name == "gradient_boosting";
    if let Some(learner) = learners.iter().find(|learner| !keeps(learner)) {
        return Err(StageError::Data(format!(
            "`{}` does not keep to `monotone` where rows count differently: leave out `monotone`, or `weight` of `transform`, \
             or take `gradient_boosting`",
            learner.name
        )));
    }
    let count = |is_attack: bool| -> f64 {
        let rows = data.weights.iter().enumerate();
        rows.filter(|(row, _)| data.labels.is_attack(*row) == is_attack)
            .map(|(_, weight)| weight)
            .sum()
    };
    for (is_attack, what) in [(true, "attacks"), (false, "benign rows")] {
        if count(is_attack) == 0.0 {
            let why = format!("all {what} have the weight 0: there is nothing to tell apart");
            return Err(StageError::Data(why));
        }
    }
    match learners.iter().find(|learner| !learner.weights) {
        Some(learner) => Err(ModelError::NoWeights(learner.name).into()),
        None => Ok(()),
    }
}

/// Refuses learners that compute with numbers, where features hold categories.
///
/// # Errors
/// They are named.
pub(crate) fn no_categories(
    learners: &[&'static Learner],
    data: &TrainingSet,
) -> Result<(), StageError> {
    let is_unable = |learner: &&&Learner| !learner.categories && !data.categories.is_empty();
    match learners.iter().find(is_unable) {
        Some(learner) => Err(ModelError::NoCategories(learner.name).into()),
        None => Ok(()),
    }
}

fn at_learner(index: usize) -> Vec<ParamStep> {
    vec![
        ParamStep::key("candidates"),
        ParamStep::Index(index),
        ParamStep::key("learner"),
    ]
}

/// Refuses ensembles that need a novelty detector, or others, that are not among the learners.
pub(crate) fn no_members(
    ensembles: &[EnsembleRequest],
    learners: &[&'static Learner],
) -> Vec<ParamError> {
    let mut names: Vec<&str> = learners
        .iter()
        .filter(|learner| !learner.is_novelty)
        .map(|learner| learner.name)
        .collect();
    names.sort_unstable();
    names.dedup();
    let has_novelty = learners.iter().any(|learner| learner.is_novelty);
    let lacks = |request: &EnsembleRequest| match request.rule {
        CombiningRule::Either(_) if !has_novelty => Some(
            "`either` needs a novelty detector among the candidates: name one, such as `mahalanobis`",
        ),
        CombiningRule::Either(_) if names.is_empty() => Some(
            "`either` needs a learner that is trained on attacks among the candidates: name one, such as `gradient_boosting`",
        ),
        CombiningRule::Voting | CombiningRule::Stacking if names.len() < 2 => Some(
            "it needs two different learners that are trained on attacks among the candidates: name another",
        ),
        _ => None,
    };
    let fault = |(index, request): (usize, &EnsembleRequest)| {
        Some(ParamError {
            path: vec![
                ParamStep::key("ensembles"),
                ParamStep::Index(index),
                ParamStep::key("rule"),
            ],
            message: lacks(request)?.to_owned(),
            help: None,
        })
    };
    ensembles.iter().enumerate().filter_map(fault).collect()
}

/// Refuses names of which none is tried.
pub(crate) fn not_tried(
    among: &[String],
    ensembles: &[EnsembleRequest],
    learners: &[&'static Learner],
) -> Vec<ParamError> {
    let learners = learners.iter().map(|learner| learner.name);
    let tried: Vec<&str> = learners
        .chain(ensembles.iter().map(|request| request.rule.name()))
        .collect();
    let fault = |(index, name): (usize, &String)| ParamError {
        path: vec![
            ParamStep::key("select"),
            ParamStep::key("among"),
            ParamStep::Index(index),
        ],
        message: format!("`{name}` is not among the candidates and ensembles"),
        help: suggest(name, tried.iter().copied()),
    };
    let unknown = among
        .iter()
        .enumerate()
        .filter(|(_, name)| !tried.contains(&name.as_str()));
    unknown.map(fault).collect()
}
