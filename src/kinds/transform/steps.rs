//! Steps of `transform`, read from parameters.

use crate::base::name::in_backticks;
use crate::prep::cells::CellKind;
use crate::prep::clip::ClipBound;
use crate::prep::columns::ColumnPick;
use crate::prep::derive::PairOp;
use crate::prep::encode::{MOST_CATEGORIES, UnknownCategory};
use crate::prep::finite::FiniteStrategy;
use crate::prep::impute::ImputeStrategy;
use crate::prep::knn::DonorWeights;
use crate::prep::reduce::DropRule;
use crate::prep::scale::ScaleMethod;
use crate::prep::step::{PrepStep, StepAction};
use crate::stage::declare::{ParamField, choices, params};
use crate::stage::param::{ParamError, ParamStep, ParamType, Value};

params! {
    /// Parameters of `impute`.
    pub(crate) struct ImputeParams {
        /// `knn`: the mean of the nearest rows, as scikit-learn's `KNNImputer`; the others look at
        /// the column alone.
        with: ImputeMethod = "knn";
        /// How many rows `knn` takes.
        neighbours: usize = "3", in ParamType::Int(1, 1000);
        /// Whether all of them count the same, or one over the distance.
        weights: DonorWeights = "uniform";
        /// What `constant` puts into columns of numbers.
        value: f64 = "0";
        /// What `constant` puts into columns of text.
        text: String = "missing";
        /// Whether a column `NAME is missing` is added for each that had missing cells in training.
        indicator: bool = "false";
    }
}

params! {
    /// Parameters of `finite`.
    pub(crate) struct FiniteParams {
        /// What stands in for plus and minus infinity: a missing cell; the greatest and the least
        /// finite number of training; or, `quantile`, what all but a small share of the training
        /// cells are below and above.
        with: FiniteMethod = "missing";
        /// The share of training cells below what `quantile` puts there.
        share: f64 = "0.999", in ParamType::Float(0.5, 1.0);
    }
}

params! {
    /// Parameters of `scale`.
    pub(crate) struct ScaleParams {
        /// `standard`: mean 0 and standard deviation 1; `min_max`: from 0 to 1; `robust`: median 0
        /// and the middle half 1 wide; `max_abs`: the largest absolute value 1.
        with: ScaleMethod = "standard";
    }
}

params! {
    /// Parameters of `quantile`.
    pub(crate) struct QuantileParams {
        /// How many quantiles are kept, or as many as there are rows.
        quantiles: usize = "1000", in ParamType::Int(2, 10_000);
        /// How the values are spread.
        to: QuantileShape = "uniform";
    }
}

params! {
    /// Parameters of `clip`.
    pub(crate) struct ClipParams {
        /// The least value.
        low: Option<f64>;
        /// The greatest value.
        high: Option<f64>;
        /// The least value is what this share of the training rows is below.
        low_share: Option<f64>, in ParamType::Float(0.0, 1.0);
        /// The greatest value is what this share of the training rows is below.
        high_share: Option<f64>, in ParamType::Float(0.0, 1.0);
    }
}

params! {
    /// Parameters of `onehot`.
    pub(crate) struct OneHotParams {
        /// What becomes of a category that training did not have: 0 in all columns, one of the
        /// rare, or an error.
        unknown: UnknownCategory = "zero";
        /// Categories in fewer training rows share the column `NAME is rare`.
        min_count: usize = "1", in ParamType::Int(1, 1_000_000_000);
        /// The most categories of a column; with more the stage fails.
        max: usize = "100", in ParamType::Int(1, 10_000);
    }
}

params! {
    /// Parameters of `category`.
    pub(crate) struct CategoryParams {
        /// Categories in fewer training rows are one together.
        min_count: usize = "1", in ParamType::Int(1, 1_000_000_000);
        /// The most categories of a column that are told apart: the most frequent ones. All others
        /// are one together.
        max: usize = "254", in ParamType::Int(1, MOST_CATEGORIES as i64);
    }
}

params! {
    /// Parameters of `target`.
    pub(crate) struct TargetParams {
        /// By so many rows of the share among all a category is drawn towards it; without it, by as
        /// much as its spread asks for.
        smooth: Option<f64>, in ParamType::Float(0.0, 1e9);
        /// Training rows are told the shares of the other folds, so that none is told its own
        /// class.
        folds: usize = "5", in ParamType::Int(2, 100);
    }
}

params! {
    /// Parameters of `hash`.
    pub(crate) struct HashParams {
        /// How many columns there are in the end.
        buckets: usize = "32", in ParamType::Int(1, 100_000);
    }
}

params! {
    /// Parameters of `pca`.
    pub(crate) struct PcaParams {
        /// How many components there are in the end, or as many as columns.
        components: usize = "10", in ParamType::Int(1, 10_000);
    }
}

params! {
    /// Parameters of `drop`.
    pub(crate) struct DropParams {
        /// Those that are the same in all training rows.
        constant: bool = "false";
        /// Those that equal an earlier one.
        duplicate: bool = "false";
        /// Those whose correlation with an earlier one that stays is larger, whatever its sign.
        correlated: Option<f64>, in ParamType::Float(0.0, 1.0);
    }
}

params! {
    /// Parameters of `ratio` and `difference`.
    pub(crate) struct PairParams {
        /// The first column.
        of: String = required;
        /// The second column.
        and: String = required;
        /// What the new column is called; otherwise after the two, as in `a / b` or `a - b`.
        name: Option<String>;
    }
}

/// Of an action that has no parameters: that it is named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoParams;

impl ParamField for NoParams {
    const TYPE: ParamType = ParamType::Record(&[]);

    fn read(_: Option<&Value>) -> Self {
        Self
    }
}

params! {
    /// A step.
    pub(crate) struct StepParams {
        /// Which columns the step takes; without any choice all that it has use for.
        columns: Option<Vec<String>>;
        /// Which columns it takes: those whose whole name this regular expression describes.
        matching as "match": Option<String>;
        /// Which columns it takes: those of this kind.
        kind as "type": Option<CellKind>;
        /// Replaces infinite numbers; first of all steps.
        finite: Option<FiniteParams>;
        /// Fills missing cells.
        impute: Option<ImputeParams>;
        /// Shifts and divides columns of numbers.
        scale: Option<ScaleParams>;
        /// Spreads columns of numbers by their rank.
        quantile: Option<QuantileParams>;
        /// Takes ln(1 + x) of columns of numbers that are above -1.
        log1p: Option<NoParams>;
        /// Keeps columns of numbers within bounds.
        clip: Option<ClipParams>;
        /// Makes columns of text a column of zeros and ones a category.
        onehot: Option<OneHotParams>;
        /// Keeps columns of text as categories, of which trees send some one way and all others the
        /// other; learners that are not made of trees cannot do with them. One that training did
        /// not have is one of the rare ones, or missing where there were none.
        category: Option<CategoryParams>;
        /// Makes columns of text the number of their category; unknown or missing: -1.
        ordinal: Option<NoParams>;
        /// Makes columns of text the share of attacks in their category.
        target: Option<TargetParams>;
        /// Deals columns of text out over buckets, whatever stands there.
        hash: Option<HashParams>;
        /// Makes columns of numbers their principal components.
        pca: Option<PcaParams>;
        /// Leaves out columns: all that are taken, or those of them that are useless.
        drop: Option<DropParams>;
        /// Adds the first column over the second; missing where that is 0.
        ratio: Option<PairParams>;
        /// Adds the first column less the second.
        difference: Option<PairParams>;
    }
}

/// How missing cells are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImputeMethod {
    Knn,
    Mean,
    Median,
    MostFrequent,
    Constant,
}

choices!(ImputeMethod {
    "knn" => ImputeMethod::Knn,
    "mean" => ImputeMethod::Mean,
    "median" => ImputeMethod::Median,
    "most_frequent" => ImputeMethod::MostFrequent,
    "constant" => ImputeMethod::Constant,
});

choices!(DonorWeights {
    "uniform" => DonorWeights::Uniform,
    "distance" => DonorWeights::Distance,
});

/// What stands in for infinite numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FiniteMethod {
    Missing,
    Clip,
    Quantile,
}

choices!(FiniteMethod {
    "missing" => FiniteMethod::Missing,
    "clip" => FiniteMethod::Clip,
    "quantile" => FiniteMethod::Quantile,
});

choices!(ScaleMethod {
    "standard" => ScaleMethod::Standard,
    "min_max" => ScaleMethod::MinMax,
    "robust" => ScaleMethod::Robust,
    "max_abs" => ScaleMethod::MaxAbs,
});

/// How ranks are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuantileShape {
    Uniform,
    Normal,
}

choices!(QuantileShape {
    "uniform" => QuantileShape::Uniform,
    "normal" => QuantileShape::Normal,
});

choices!(UnknownCategory {
    "zero" => UnknownCategory::Zero,
    "rare" => UnknownCategory::Rare,
    "error" => UnknownCategory::Error,
});

choices!(CellKind {
    "number" => CellKind::Number,
    "text" => CellKind::Text,
});

/// Parameters that say which columns a step takes; all others are actions.
const CHOOSERS: usize = 3;

fn fault(at: usize, inner: Option<&str>, message: String, help: &str) -> ParamError {
    let path = [ParamStep::key("steps"), ParamStep::Index(at)]
        .into_iter()
        .chain(inner.map(ParamStep::key))
        .collect();
    ParamError {
        path,
        message,
        help: Some(help.to_owned()),
    }
}

/// Reads the steps.
pub(crate) fn read(steps: &[Option<StepParams>]) -> (Vec<PrepStep>, Vec<ParamError>) {
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for (at, step) in steps.iter().enumerate() {
        // What was refused is told already.
        let Some(step) = step else { continue };
        match one(step, at) {
            Ok(step) => read.push(step),
            Err(fault) => faults.push(*fault),
        }
    }
    (read, faults)
}

fn one(step: &StepParams, at: usize) -> Result<PrepStep, Box<ParamError>> {
    let action = named_action(step, at)?;
    let pick = pick(step, at)?;
    let is_choice = !pick.names.is_empty() || pick.matching.is_some() || pick.kind.is_some();
    if let (Some(pair), true) = (action.pair(), is_choice) {
        let message = format!("`{pair}` names its columns itself");
        let help = "leave out `columns`, `match` and `type`";
        return Err(Box::new(fault(at, Some(pair), message, help)));
    }
    let action = action.read(is_choice, at)?;
    Ok(PrepStep { pick, action })
}

/// The one action that a step names.
enum NamedAction<'a> {
    Finite(&'a FiniteParams),
    Impute(&'a ImputeParams),
    Scale(&'a ScaleParams),
    Quantile(&'a QuantileParams),
    Log1p,
    Clip(&'a ClipParams),
    OneHot(&'a OneHotParams),
    Category(&'a CategoryParams),
    Ordinal,
    Target(&'a TargetParams),
    Hash(&'a HashParams),
    Pca(&'a PcaParams),
    Drop(&'a DropParams),
    Ratio(&'a PairParams),
    Difference(&'a PairParams),
}

fn named_action(step: &StepParams, at: usize) -> Result<NamedAction<'_>, Box<ParamError>> {
    let mut named: Vec<NamedAction<'_>> = Vec::new();
    named.extend(step.finite.as_ref().map(NamedAction::Finite));
    named.extend(step.impute.as_ref().map(NamedAction::Impute));
    named.extend(step.scale.as_ref().map(NamedAction::Scale));
    named.extend(step.quantile.as_ref().map(NamedAction::Quantile));
    named.extend(step.log1p.as_ref().map(|_| NamedAction::Log1p));
    named.extend(step.clip.as_ref().map(NamedAction::Clip));
    named.extend(step.onehot.as_ref().map(NamedAction::OneHot));
    named.extend(step.category.as_ref().map(NamedAction::Category));
    named.extend(step.ordinal.as_ref().map(|_| NamedAction::Ordinal));
    named.extend(step.target.as_ref().map(NamedAction::Target));
    named.extend(step.hash.as_ref().map(NamedAction::Hash));
    named.extend(step.pca.as_ref().map(NamedAction::Pca));
    named.extend(step.drop.as_ref().map(NamedAction::Drop));
    named.extend(step.ratio.as_ref().map(NamedAction::Ratio));
    named.extend(step.difference.as_ref().map(NamedAction::Difference));
    let message = match named.len() {
        1 => return Ok(named.remove(0)),
        0 => "this step does nothing",
        _ => "this step does more than one thing",
    };
    let actions = StepParams::PARAMS[CHOOSERS..]
        .iter()
        .map(|param| param.name);
    let help = format!("name one of {}", in_backticks(actions));
    Err(Box::new(fault(at, None, message.to_owned(), &help)))
}

/// Reads which columns a step takes.
fn pick(step: &StepParams, at: usize) -> Result<ColumnPick, Box<ParamError>> {
    let matching = step.matching.as_deref().map(ColumnPick::whole).transpose();
    let matching = matching.map_err(|error| {
        let message = format!("this is no regular expression: {error}");
        Box::new(fault(at, Some("match"), message, ESCAPES))
    })?;
    if step.columns.as_ref().is_some_and(Vec::is_empty) {
        let message = "no column is named".to_owned();
        let help = "name some, or leave it out: then the step takes all that it has use for";
        return Err(Box::new(fault(at, Some("columns"), message, help)));
    }
    Ok(ColumnPick {
        names: step.columns.clone().unwrap_or_default(),
        matching,
        kind: step.kind,
    })
}

const ESCAPES: &str = "in a regular expression these have to be written with a backslash before them: . + * ? ( ) [ ] { } | ^ $";

impl NamedAction<'_> {
    /// The name of an action that makes a column of two.
    fn pair(&self) -> Option<&'static str> {
        match self {
            Self::Ratio(_) => Some("ratio"),
            Self::Difference(_) => Some("difference"),
            _ => None,
        }
    }

    /// Reads it; `is_choice`: the step says which columns it takes.
    fn read(&self, is_choice: bool, at: usize) -> Result<StepAction, Box<ParamError>> {
        Ok(match self {
            Self::Finite(with) => StepAction::Finite(match with.with {
                FiniteMethod::Missing => FiniteStrategy::Missing,
                FiniteMethod::Clip => FiniteStrategy::Clip,
                FiniteMethod::Quantile => FiniteStrategy::Quantile(with.share),
            }),
            Self::Impute(with) => StepAction::Impute(imputed(with), with.indicator),
            Self::Scale(with) => StepAction::Scale(with.with),
            Self::Quantile(with) => {
                StepAction::Quantile(with.quantiles, with.to == QuantileShape::Normal)
            }
            Self::Log1p => StepAction::Log1p,
            Self::Clip(with) => clip(with, at)?,
            Self::OneHot(with) => StepAction::OneHot(with.unknown, with.min_count, with.max),
            Self::Category(with) => StepAction::Category(with.min_count, with.max),
            Self::Ordinal => StepAction::Ordinal,
            Self::Target(with) => StepAction::Target(with.smooth, with.folds),
            Self::Hash(with) => StepAction::Hash(with.buckets),
            Self::Pca(with) => StepAction::Pca(with.components),
            Self::Drop(with) => drop_columns(with, is_choice, at)?,
            Self::Ratio(with) => derive(PairOp::Ratio, "/", with),
            Self::Difference(with) => derive(PairOp::Difference, "-", with),
        })
    }
}

fn clip(with: &ClipParams, at: usize) -> Result<StepAction, Box<ParamError>> {
    let low = bound(("low", with.low), ("low_share", with.low_share), at)?;
    let high = bound(("high", with.high), ("high_share", with.high_share), at)?;
    let is_empty = match (low, high) {
        (ClipBound::Value(low), ClipBound::Value(high))
        | (ClipBound::Share(low), ClipBound::Share(high)) => low > high,
        (ClipBound::None, ClipBound::None) => true,
        _ => false,
    };
    if is_empty {
        let message = "these are no bounds".to_owned();
        let help = "name `low` or `low_share`, and `high` or `high_share` above it";
        return Err(Box::new(fault(at, Some("clip"), message, help)));
    }
    Ok(StepAction::Clip(low, high))
}

/// A bound by its value or its share, each with its name.
fn bound(
    value: (&str, Option<f64>),
    share: (&str, Option<f64>),
    at: usize,
) -> Result<ClipBound, Box<ParamError>> {
    match (value.1, share.1) {
        (Some(_), Some(_)) => {
            let message = format!("`{}` and `{}` say the same", value.0, share.0);
            let help = "name one of them";
            Err(Box::new(fault(at, Some("clip"), message, help)))
        }
        (Some(value), None) => Ok(ClipBound::Value(value)),
        (None, Some(share)) => Ok(ClipBound::Share(share)),
        (None, None) => Ok(ClipBound::None),
    }
}

fn drop_columns(
    with: &DropParams,
    is_choice: bool,
    at: usize,
) -> Result<StepAction, Box<ParamError>> {
    let rule = DropRule {
        constant: with.constant,
        duplicate: with.duplicate,
        correlated: with.correlated,
    };
    if rule == DropRule::default() && !is_choice {
        let message = "this would leave out all columns".to_owned();
        let help =
            "name `columns`, `match` or `type`, or set `constant`, `duplicate` or `correlated`";
        return Err(Box::new(fault(at, Some("drop"), message, help)));
    }
    Ok(StepAction::Drop(rule))
}

/// A column made of two others, called after them unless it has a name.
fn derive(op: PairOp, sign: &str, with: &PairParams) -> StepAction {
    let PairParams { of, and, name } = with.clone();
    let name = name.unwrap_or_else(|| format!("{of} {sign} {and}"));
    StepAction::Derive(op, of, and, name)
}

fn imputed(with: &ImputeParams) -> ImputeStrategy {
    match with.with {
        ImputeMethod::Knn => ImputeStrategy::Knn(with.neighbours, with.weights),
        ImputeMethod::Mean => ImputeStrategy::Mean,
        ImputeMethod::Median => ImputeStrategy::Median,
        ImputeMethod::MostFrequent => ImputeStrategy::MostFrequent,
        ImputeMethod::Constant => ImputeStrategy::Constant(with.value, with.text.clone()),
    }
}
