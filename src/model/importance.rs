//! How much a model goes by a feature or a column.

use ndarray::ArrayView1;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::frame::table::Table;
use crate::model::bundle::ModelBundle;
use crate::model::error::ModelError;
use crate::model::fitted::Model;
use crate::model::metrics::Metrics;
use crate::stats::draws::settle;

/// How much a score falls when the cells of a column are shuffled.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ScoreDrop {
    /// The column.
    pub column: String,
    /// The mean fall.
    pub mean: f64,
    /// The standard deviation of the falls.
    pub deviation: f64,
}

/// Returns how good a model is on rows with labels, and how much worse without each column, the
/// most first: its cells are shuffled so many times (Breiman, 2001, section 10). The figure is that
/// of `metric`, losses negated.
///
/// # Errors
/// The table does not fit.
pub fn permuted(
    bundle: &ModelBundle,
    table: &Table,
    metric: &str,
    repeats: usize,
    seed: u64,
) -> Result<(f64, Vec<ScoreDrop>), ModelError> {
    let prep = &bundle.preprocessor;
    let labels = prep.labels(table)?;
    let score = |other: Option<(usize, &[usize])>| -> Result<f64, ModelError> {
        let (features, _) = prep.shuffled(table, other)?;
        let scores = bundle.scores_of(features.view())?;
        let metrics = Metrics::at(&labels, &scores, bundle.validation.threshold);
        metrics
            .score(metric)
            .ok_or_else(|| ModelError::NoMetric(metric.to_owned()))
    };
    let whole = score(None)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut falls = Vec::new();
    for (at, input) in prep.inputs().iter().enumerate() {
        let mut each = Vec::new();
        for _ in 0..repeats {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            (0..labels.len()).for_each(|place| settle(&mut random, &mut order, place));
            each.push(whole - score(Some((at, &order)))?);
        }
        let mean = each.iter().sum::<f64>() / each.len().max(1) as f64;
        let squares: f64 = each.iter().map(|fall| (fall - mean) * (fall - mean)).sum();
        let deviation = (squares / (each.len().max(2) - 1) as f64).sqrt();
        falls.push(ScoreDrop {
            column: input.name.clone(),
            mean,
            deviation,
        });
    }
    falls.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    Ok((whole, falls))
}

/// Returns how much every feature counts in a model as a whole, the most first: of trees the share
/// of the gains, of logistic regression that of the sizes of the weights.
pub fn importance(bundle: &ModelBundle) -> Vec<(String, f64)> {
    let shares = match &bundle.model {
        Model::Trees(trees) => trees.importance(),
        Model::Linear(linear) => {
            let whole: f64 = linear.weights.iter().map(|weight| weight.abs()).sum();
            linear
                .weights
                .iter()
                .map(|weight| weight.abs() / whole.max(f64::MIN_POSITIVE))
                .collect()
        }
        Model::ClassTrees(trees) => trees.importance(),
        Model::SoftmaxLinear(linear) => {
            let of_feature = |weights: ArrayView1<'_, f64>| -> f64 {
                weights.iter().map(|weight| weight.abs()).sum()
            };
            let sizes = linear.weights.rows().into_iter().map(of_feature);
            let sizes: Vec<f64> = sizes.collect();
            let whole: f64 = sizes.iter().sum();
            let share = |size: &f64| size / whole.max(f64::MIN_POSITIVE);
            sizes.iter().map(share).collect()
        }
        Model::Neighbours(_)
        | Model::Svm(_)
        | Model::Bayes(_)
        | Model::OneVsRest(_)
        | Model::Novelty(_)
        | Model::Combined(_) => Vec::new(),
    };
    let mut named: Vec<(String, f64)> = bundle
        .preprocessor
        .features()
        .iter()
        .cloned()
        .zip(shares)
        .collect();
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    named
}
