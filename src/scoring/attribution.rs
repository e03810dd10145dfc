//! Which columns a prediction comes from: exactly for trees, linear models and novelty detectors,
//! by sampled Shapley values for all others.

use ndarray::{Array2, ArrayView1, Axis};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::frame::labels::Classes;
use crate::frame::table::Table;
use crate::model::bundle::ModelBundle;
use crate::model::error::ModelError;
use crate::model::fitted::Model;
use crate::prep::error::PrepError;
use crate::stats::draws::{below, settle};

/// The column of the number of a row that is explained.
const ROW: &str = "netsec_row";
/// The column of the class whose score is explained, where there are more than two.
const CLASS: &str = "netsec_class";
/// The column of what is expected of any row.
const BASE: &str = "netsec_base";
/// Rows that others are compared with.
const BACKGROUND: usize = 200;

/// How rows are explained.
#[derive(Clone, Copy, Debug)]
pub struct RowExplainer {
    /// Whether the parts that a column was made into, such as those of `onehot`, are told one by
    /// one.
    pub by_feature: bool,
    /// How often columns are put in another order where values are sampled.
    pub samples: usize,
    /// What sampling begins with.
    pub seed: u64,
}

/// What explains the rows of a table.
#[derive(Debug)]
pub struct RowExplanations {
    /// `netsec_row` (from 1), of trees and linear models of more than two classes `netsec_class`,
    /// the class whose score is explained, `netsec_base`, and what every column adds; of sampled
    /// values each with its standard error in a column `NAME ±`.
    pub table: Table,
    /// What the values add up to.
    pub unit: &'static str,
}

/// Values of one row: the base, what each feature or column adds, and the standard errors of
/// sampled ones.
struct RowValues {
    /// The class whose score they are of, where there are more than two.
    class: Option<u16>,
    base: f64,
    values: Vec<f64>,
    errors: Option<Vec<f64>>,
}

/// Explains rows. Of trees the values are TreeSHAP's, of linear models the terms, and of novelty
/// detectors what each feature adds to the distance, all exact; of models of more than two classes
/// they are those of the class that a row is told to be. Of other learners they are sampled Shapley
/// values of the probability: what a column adds on average when it becomes known after some of the
/// others, in a random order, the rest being those of a random row of `background` (Štrumbelj and
/// Kononenko, 2014).
///
/// # Errors
/// The rows do not fit; there are too few to compare with.
pub fn explained(
    bundle: &ModelBundle,
    table: &Table,
    background: &Table,
    explaining: &RowExplainer,
) -> Result<RowExplanations, ModelError> {
    let prep = &bundle.preprocessor;
    let features = prep.apply(table)?;
    let groups = FeatureGroups::new(bundle, explaining.by_feature);
    let (rows, unit) = match exact_values(bundle, &groups, &features)? {
        Some(exact) => exact,
        None => {
            let background = prep.apply(background)?;
            let rows = sampled(bundle, &features, &background, &groups, explaining)?;
            (rows, "probability")
        }
    };
    Ok(RowExplanations {
        table: groups.table(&rows)?,
        unit,
    })
}

/// What a column adds to the prediction of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnContribution {
    /// The column.
    pub column: String,
    /// What it adds.
    pub adds: f64,
}

/// The columns that a prediction comes from, those that add or take most first.
#[derive(Clone, Debug, PartialEq)]
pub struct TopContributions {
    /// What is expected of any row.
    pub base: f64,
    /// The columns.
    pub columns: Vec<ColumnContribution>,
}

/// Returns of every row of features the columns that its prediction comes from, at most `most`, and
/// the unit of what they add.
///
/// # Errors
/// The learner's contributions can only be sampled; the rows do not fit.
pub(crate) fn top_contributions(
    bundle: &ModelBundle,
    features: &Array2<f64>,
    most: usize,
) -> Result<(Vec<TopContributions>, &'static str), ModelError> {
    let groups = FeatureGroups::new(bundle, false);
    let Some((rows, unit)) = exact_values(bundle, &groups, features)? else {
        return Err(ModelError::NoBackground);
    };
    let top = |row: &RowValues| {
        let named = groups.names.iter().zip(&row.values);
        let mut columns: Vec<ColumnContribution> = named
            .filter(|(_, adds)| **adds != 0.0)
            .map(|(column, adds)| ColumnContribution {
                column: column.clone(),
                adds: *adds,
            })
            .collect();
        columns.sort_by(|a, b| b.adds.abs().total_cmp(&a.adds.abs()));
        columns.truncate(most);
        TopContributions {
            base: row.base,
            columns,
        }
    };
    Ok((rows.iter().map(top).collect(), unit))
}

/// Returns whether what a model's columns add can be told exactly.
pub fn is_exact(bundle: &ModelBundle) -> bool {
    use Model::{ClassTrees, Linear, Novelty, SoftmaxLinear, Trees};
    matches!(
        bundle.model,
        Trees(_) | Linear(_) | ClassTrees(_) | SoftmaxLinear(_) | Novelty(_)
    )
}

/// What is told of rows exactly, and its unit.
type ExactValues = (Vec<RowValues>, &'static str);

/// TreeSHAP's values of trees, the terms of linear models, and their unit; none of other learners.
fn exact_values(
    bundle: &ModelBundle,
    groups: &FeatureGroups,
    features: &Array2<f64>,
) -> Result<Option<ExactValues>, ModelError> {
    let told_classes = || -> Result<Vec<u16>, ModelError> {
        let scores = bundle.scores_of(features.view())?;
        Ok(scores.told_classes(bundle.validation.threshold))
    };
    Ok(Some(match &bundle.model {
        Model::Trees(trees) => {
            let rows = trees.shap(features.view());
            let rows = rows.iter();
            let rows = rows.map(|shap| groups.added(shap.base, &shap.values, None));
            (rows.collect(), trees.unit())
        }
        Model::ClassTrees(trees) => {
            let classes = told_classes()?;
            let rows = trees.shap(features.view(), &classes);
            let rows = rows.iter().zip(classes);
            let rows = rows.map(|(shap, class)| groups.added(shap.base, &shap.values, Some(class)));
            (rows.collect(), trees.unit())
        }
        Model::Linear(linear) => {
            let weights = ArrayView1::from(&linear.weights);
            let rows = features.axis_iter(Axis(0));
            let rows = rows.map(|row| {
                let terms = (&row * &weights).to_vec();
                groups.added(linear.intercept, &terms, None)
            });
            (rows.collect(), "log-odds")
        }
        Model::SoftmaxLinear(linear) => {
            let rows = features.axis_iter(Axis(0)).zip(told_classes()?);
            let rows = rows.map(|(row, class)| {
                // A class that is told had training rows.
                let at = linear.told.iter().position(|known| *known == class);
                let at = at.unwrap_or_default();
                let terms = (&row * &linear.weights.column(at)).to_vec();
                groups.added(linear.intercepts[at], &terms, Some(class))
            });
            (rows.collect(), "raw score")
        }
        Model::Novelty(novelty) => {
            let (base, parts) = novelty.detector.parts(features.view());
            let rows = parts.rows().into_iter();
            let rows = rows.map(|parts| groups.added(base, &parts.to_vec(), None));
            (rows.collect(), novelty.detector.unit())
        }
        Model::Neighbours(_)
        | Model::Svm(_)
        | Model::Bayes(_)
        | Model::OneVsRest(_)
        | Model::Combined(_) => {
            return Ok(None);
        }
    }))
}

/// Features that are told together, under one name.
struct FeatureGroups {
    classes: Classes,
    names: Vec<String>,
    /// Of each feature its group.
    of: Vec<usize>,
}

impl FeatureGroups {
    fn new(bundle: &ModelBundle, by_feature: bool) -> Self {
        let prep = &bundle.preprocessor;
        let origins = if by_feature {
            prep.features().to_vec()
        } else {
            prep.origins()
        };
        let mut names: Vec<String> = Vec::new();
        let of = origins.into_iter().map(|origin| {
            names
                .iter()
                .position(|name| *name == origin)
                .unwrap_or_else(|| {
                    names.push(origin);
                    names.len() - 1
                })
        });
        let of = of.collect();
        let classes = bundle.classes().clone();
        Self { classes, names, of }
    }

    fn added(&self, base: f64, by_feature: &[f64], class: Option<u16>) -> RowValues {
        let mut values = vec![0.0; self.names.len()];
        for (group, value) in self.of.iter().zip(by_feature) {
            values[*group] += value;
        }
        RowValues {
            class,
            base,
            values,
            errors: None,
        }
    }

    fn table(&self, rows: &[RowValues]) -> Result<Table, ModelError> {
        let mut columns = vec![(
            BASE.to_owned(),
            rows.iter().map(|row| row.base).collect::<Vec<f64>>(),
        )];
        for (at, name) in self.names.iter().enumerate() {
            columns.push((
                name.clone(),
                rows.iter().map(|row| row.values[at]).collect(),
            ));
            if rows.iter().all(|row| row.errors.is_some()) {
                let errors = rows
                    .iter()
                    .filter_map(|row| row.errors.as_ref())
                    .map(|errors| errors[at])
                    .collect();
                columns.push((format!("{name} ±"), errors));
            }
        }
        let mut numbers = Table::of_ints(ROW, (1..=rows.len() as i64).collect());
        let classes: Option<Vec<u16>> = rows.iter().map(|row| row.class).collect();
        if let Some(classes) = classes {
            let name = |class: u16| Some(self.classes.names()[usize::from(class)].clone());
            let named = Table::of_texts(CLASS, classes.into_iter().map(name).collect());
            numbers = numbers.and_then(|numbers| numbers.beside(&named?));
        }
        let told = Table::of_numbers(columns);
        let table = numbers.and_then(|numbers| numbers.beside(&told?));
        Ok(table.map_err(PrepError::from)?)
    }
}

fn sampled(
    bundle: &ModelBundle,
    features: &Array2<f64>,
    background: &Array2<f64>,
    groups: &FeatureGroups,
    explaining: &RowExplainer,
) -> Result<Vec<RowValues>, ModelError> {
    if background.nrows() < 2 {
        return Err(ModelError::NoBackground);
    }
    let step = background.nrows().div_ceil(BACKGROUND);
    let background = background.select(
        Axis(0),
        &(0..background.nrows()).step_by(step).collect::<Vec<_>>(),
    );
    let base = mean(bundle.scores_of(background.view())?.attack());
    let one = |(number, row): (usize, ArrayView1<'_, f64>)| {
        let mut random = ChaCha8Rng::seed_from_u64(explaining.seed);
        random.set_stream(number as u64 + 1);
        let count = groups.names.len();
        let mut order: Vec<usize> = (0..count).collect();
        let mut asked = Array2::zeros((explaining.samples * (count + 1), row.len()));
        let mut orders = Vec::new();
        for sample in 0..explaining.samples {
            (0..count).for_each(|place| settle(&mut random, &mut order, place));
            let other = background.row(below(&mut random, background.nrows()));
            let mut known = vec![false; count];
            for at in 0..=count {
                if at > 0 {
                    known[order[at - 1]] = true;
                }
                let mut mixed = asked.row_mut(sample * (count + 1) + at);
                for (feature, cell) in mixed.iter_mut().enumerate() {
                    *cell = if known[groups.of[feature]] {
                        row[feature]
                    } else {
                        other[feature]
                    };
                }
            }
            orders.push(order.clone());
        }
        let scores = bundle.scores_of(asked.view())?;
        let p = scores.attack();
        let mut added = vec![Vec::with_capacity(explaining.samples); count];
        for (sample, order) in orders.iter().enumerate() {
            let p = &p[sample * (count + 1)..];
            order
                .iter()
                .enumerate()
                .for_each(|(at, group)| added[*group].push(p[at + 1] - p[at]));
        }
        let values = added.iter().map(|added| mean(added)).collect();
        let errors = Some(added.iter().map(|added| standard_error(added)).collect());
        Ok(RowValues {
            class: None,
            base,
            values,
            errors,
        })
    };
    let rows: Vec<(usize, ArrayView1<'_, f64>)> = features.axis_iter(Axis(0)).enumerate().collect();
    rows.into_par_iter().map(one).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn standard_error(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    let count = values.len() as f64;
    if count < 2.0 {
        f64::NAN
    } else {
        (squares / (count - 1.0) / count).sqrt()
    }
}
