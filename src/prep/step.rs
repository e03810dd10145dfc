//! A step on the way from a table to features: what is asked for, and what it is once it was
//! fitted.

use serde::{Deserialize, Serialize};

use crate::frame::labels::Labels;
use crate::prep::cells::CellKind;
use crate::prep::clip::{ClipBound, FittedClip, FittedLog1p};
use crate::prep::columns::{ColumnPick, Columns};
use crate::prep::derive::{DerivedColumn, PairOp};
use crate::prep::encode::{
    CategoryEncoder, KeptCategories, MOST_CATEGORIES, OneHot, OrdinalEncoder, UnknownCategory,
    of_category, of_rare,
};
use crate::prep::error::PrepError;
use crate::prep::finite::{FiniteReplacement, FiniteStrategy};
use crate::prep::hash::{HashEncoder, MOST_BUCKETS};
use crate::prep::impute::{FillMethod, ImputeStrategy, Imputer, indicator};
use crate::prep::pca::PrincipalComponents;
use crate::prep::quantile::QuantileScaler;
use crate::prep::reduce::{DropRule, DroppedColumns};
use crate::prep::scale::{ScaleMethod, Scaler};
use crate::prep::target::TargetEncoder;

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum StepAction {
    /// Replaces infinite numbers.
    Finite(FiniteStrategy),
    /// Fills missing cells; with the flag, columns are added that tell where.
    Impute(ImputeStrategy, bool),
    /// Scales.
    Scale(ScaleMethod),
    /// Spreads over so many quantiles; with the flag, as a normal distribution.
    Quantile(usize, bool),
    /// Takes ln(1 + x).
    Log1p,
    /// Keeps within bounds.
    Clip(ClipBound, ClipBound),
    /// Makes text a column a category, of at least so many rows, at most so many.
    OneHot(UnknownCategory, usize, usize),
    /// Keeps text as categories, those of at least so many rows, at most so many.
    Category(usize, usize),
    /// Makes text the number of its category.
    Ordinal,
    /// Makes text the share of attacks in its category, smoothed, told across so many folds.
    Target(Option<f64>, usize),
    /// Deals text out over so many buckets.
    Hash(usize),
    /// Leaves out the columns, or those of them that are useless.
    Drop(DropRule),
    /// Makes numbers so many principal components.
    Pca(usize),
    /// Adds a column made of two others, under this name.
    Derive(PairOp, String, String, String),
}

/// A step that is to be fitted.
#[derive(Clone, Debug)]
pub struct PrepStep {
    /// The columns that it takes.
    pub pick: ColumnPick,
    /// What it does.
    pub action: StepAction,
}

/// A fitted step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FittedStep {
    /// Replaces infinite numbers.
    Finite(FiniteReplacement),
    /// Fills missing cells.
    Impute(Imputer),
    /// Scales.
    Scale(Scaler),
    /// Spreads.
    Quantile(QuantileScaler),
    /// Takes ln(1 + x).
    Log1p(FittedLog1p),
    /// Keeps within bounds.
    Clip(FittedClip),
    /// Makes text a column a category.
    OneHot(OneHot),
    /// Keeps text as categories.
    Category(CategoryEncoder),
    /// Makes text a number.
    Ordinal(OrdinalEncoder),
    /// Makes text a share.
    Target(TargetEncoder),
    /// Deals text out.
    Hash(HashEncoder),
    /// Leaves out.
    Drop(DroppedColumns),
    /// Makes numbers components.
    Pca(PrincipalComponents),
    /// Adds.
    Derive(DerivedColumn),
}

const NUMBERS: &[CellKind] = &[CellKind::Number];
const TEXTS: &[CellKind] = &[CellKind::Text];
const ALL: &[CellKind] = &[CellKind::Number, CellKind::Text];

impl PrepStep {
    /// Fits the step to training rows with their classes, and carries it out on them. This is the
    /// only way to a fitted step, so that none has seen other rows. `digests` are those of the rows
    /// as they came, by which rows are dealt out where a step may not see a row's own class.
    ///
    /// # Errors
    /// What does not fit, naming the column.
    pub fn fit(
        &self,
        columns: &mut Columns,
        labels: &Labels,
        digests: &[u64],
    ) -> Result<FittedStep, PrepError> {
        let pick = |columns: &Columns, able: &[CellKind]| self.pick.of(columns, able);
        Ok(match &self.action {
            StepAction::Finite(strategy) => FittedStep::Finite(FiniteReplacement::fit(
                columns,
                pick(columns, NUMBERS)?,
                *strategy,
            )?),
            StepAction::Impute(with, indicator) => {
                // What only numbers have is asked of numbers.
                let able = if matches!(
                    with,
                    ImputeStrategy::MostFrequent | ImputeStrategy::Constant(..)
                ) {
                    ALL
                } else {
                    NUMBERS
                };
                let names = pick(columns, able)?;
                FittedStep::Impute(Imputer::fit(columns, names, with, *indicator)?)
            }
            StepAction::Scale(by) => {
                FittedStep::Scale(Scaler::fit(columns, pick(columns, NUMBERS)?, *by)?)
            }
            StepAction::Quantile(count, normal) => FittedStep::Quantile(QuantileScaler::fit(
                columns,
                pick(columns, NUMBERS)?,
                *count,
                *normal,
            )?),
            StepAction::Log1p => {
                FittedStep::Log1p(FittedLog1p::fit(columns, pick(columns, NUMBERS)?)?)
            }
            StepAction::Clip(low, high) => FittedStep::Clip(FittedClip::fit(
                columns,
                pick(columns, NUMBERS)?,
                *low,
                *high,
            )?),
            StepAction::OneHot(unknown, least, most) => FittedStep::OneHot(OneHot::fit(
                columns,
                pick(columns, TEXTS)?,
                *unknown,
                *least,
                *most,
            )?),
            StepAction::Category(least, most) => FittedStep::Category(CategoryEncoder::fit(
                columns,
                pick(columns, TEXTS)?,
                *least,
                *most,
            )?),
            StepAction::Ordinal => {
                FittedStep::Ordinal(OrdinalEncoder::fit(columns, pick(columns, TEXTS)?)?)
            }
            StepAction::Target(smooth, folds) => FittedStep::Target(TargetEncoder::fit(
                columns,
                pick(columns, TEXTS)?,
                labels,
                *smooth,
                (*folds, digests),
            )?),
            StepAction::Hash(buckets) => {
                let hashed = HashEncoder {
                    columns: pick(columns, TEXTS)?,
                    buckets: *buckets,
                };
                hashed.apply(columns)?;
                FittedStep::Hash(hashed)
            }
            StepAction::Drop(useless) => {
                let names = self.pick.of_all(columns)?;
                FittedStep::Drop(match *useless == DropRule::default() {
                    true => DroppedColumns::named(columns, names)?,
                    false => DroppedColumns::fit(columns, names, *useless)?,
                })
            }
            StepAction::Pca(count) => FittedStep::Pca(PrincipalComponents::fit(
                columns,
                pick(columns, NUMBERS)?,
                *count,
            )?),
            StepAction::Derive(how, first, second, name) => {
                let of_both = [first, second];
                if let Some(name) = of_both.into_iter().find(|name| columns.is_category(name)) {
                    return Err(PrepError::Category(name.clone()));
                }
                let (first, second, name) = (first.clone(), second.clone(), name.clone());
                let derived = DerivedColumn {
                    how: *how,
                    first,
                    second,
                    name,
                };
                derived.apply(columns)?;
                FittedStep::Derive(derived)
            }
        })
    }
}

impl FittedStep {
    /// Carries the step out on other rows.
    ///
    /// # Errors
    /// A column is not there, or of another kind; a category is unknown that may not be.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        match self {
            Self::Finite(step) => step.apply(columns),
            Self::Impute(step) => step.apply(columns),
            Self::Scale(step) => step.apply(columns),
            Self::Quantile(step) => step.apply(columns),
            Self::Log1p(step) => step.apply(columns),
            Self::Clip(step) => step.apply(columns),
            Self::OneHot(step) => step.apply(columns),
            Self::Category(step) => step.apply(columns),
            Self::Ordinal(step) => step.apply(columns),
            Self::Target(step) => step.apply(columns),
            Self::Hash(step) => step.apply(columns),
            Self::Drop(step) => step.apply(columns),
            Self::Pca(step) => step.apply(columns),
            Self::Derive(step) => step.apply(columns),
        }
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<&'static str> {
        let is_odd = match self {
            Self::Impute(Imputer {
                columns,
                fill: FillMethod::Knn(imputer),
                ..
            }) => !imputer.fits(columns.len()),
            Self::Impute(Imputer {
                columns,
                fill: FillMethod::Each(fillings),
                ..
            }) => fillings.len() != columns.len(),
            Self::Quantile(step) => !step.fits(),
            Self::Hash(step) => !(1..=MOST_BUCKETS).contains(&step.buckets),
            Self::Pca(step) => !step.fits(),
            Self::Category(step) => {
                let many = |column: &KeptCategories| column.categories.len() > MOST_CATEGORIES;
                step.columns.iter().any(many)
            }
            _ => false,
        };
        is_odd.then_some("a step whose lists do not fit its columns")
    }

    /// Returns the columns that it makes of one other, each with that other.
    pub fn made(&self) -> Vec<(String, String)> {
        match self {
            Self::Impute(step) => step
                .indicated
                .iter()
                .map(|name| (indicator(name), name.clone()))
                .collect(),
            Self::OneHot(step) => {
                let parts = |(name, categories, _): &(String, Vec<String>, Vec<String>)| {
                    let of_each = categories
                        .iter()
                        .map(|category| of_category(name, category));
                    of_each
                        .chain([of_rare(name)])
                        .map(|made| (made, name.clone()))
                        .collect::<Vec<_>>()
                };
                step.columns.iter().flat_map(parts).collect()
            }
            Self::Hash(step) => match step.columns.as_slice() {
                [name] => (0..step.buckets)
                    .map(|at| (HashEncoder::of_bucket(at), name.clone()))
                    .collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Says what it does, for people.
    pub fn tell(&self) -> String {
        let count = |count: usize| format!("{count} column{}", if count == 1 { "" } else { "s" });
        match self {
            Self::Finite(step) => {
                format!("replace infinite numbers in {}", count(step.columns.len()))
            }
            Self::Impute(step) => {
                let with = match &step.fill {
                    FillMethod::Knn(imputer) => {
                        format!("from the {} nearest rows", imputer.neighbours)
                    }
                    FillMethod::Each(_) => "with a value for each column".to_owned(),
                };
                format!("fill {} {with}", count(step.columns.len()))
            }
            Self::Scale(step) => format!("scale {}", count(step.columns.len())),
            Self::Quantile(step) => format!("spread {} evenly", count(step.columns.len())),
            Self::Log1p(step) => format!("take ln(1 + x) of {}", count(step.columns.len())),
            Self::Clip(step) => format!("keep {} within bounds", count(step.columns.len())),
            Self::OneHot(step) => format!(
                "make {} of text a column a category",
                count(step.columns.len())
            ),
            Self::Category(step) => {
                format!("keep {} of text as categories", count(step.columns.len()))
            }
            Self::Ordinal(step) => format!("make {} of text numbers", count(step.columns.len())),
            Self::Target(step) => format!(
                "make {} of text shares of attacks",
                count(step.columns.len())
            ),
            Self::Hash(step) => format!(
                "hash {} of text into {} buckets",
                count(step.columns.len()),
                step.buckets
            ),
            Self::Drop(step) => format!("leave out {}", count(step.columns.len())),
            Self::Pca(step) => {
                format!(
                    "make {} {} principal components",
                    count(step.columns.len()),
                    step.directions.ncols()
                )
            }
            Self::Derive(step) => format!("add `{}`", step.name),
        }
    }
}
