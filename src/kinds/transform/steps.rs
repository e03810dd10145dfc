//! Steps of `transform`, read from parameters.

use crate::base::name::in_backticks;
use crate::prep::cells::CellKind;
use crate::prep::clip::ClipBound;
use crate::prep::columns::ColumnPick;
use crate::prep::derive::PairOp;
use crate::prep::encode::UnknownCategory;
use crate::prep::finite::FiniteStrategy;
use crate::prep::impute::ImputeStrategy;
use crate::prep::knn::DonorWeights;
use crate::prep::reduce::DropRule;
use crate::prep::scale::ScaleMethod;
use crate::prep::step::{PrepStep, StepAction};
use crate::stage::param::{
    self, Param, ParamError, ParamFallback, ParamStep, ParamType, Value, Values,
};

const fn of(
    name: &'static str,
    kind: ParamType,
    default: &'static str,
    doc: &'static str,
) -> Param {
    Param {
        name,
        kind,
        default: ParamFallback::Yaml(default),
        doc,
    }
}

const fn maybe(name: &'static str, kind: ParamType, doc: &'static str) -> Param {
    Param {
        name,
        kind,
        default: ParamFallback::Absent,
        doc,
    }
}

const FINITE: ParamType = ParamType::Float(f64::MIN, f64::MAX);

const IMPUTE: &[Param] = &[
    of(
        "with",
        ParamType::Choice(&["knn", "mean", "median", "most_frequent", "constant"]),
        "knn",
        "`knn`: the mean of the nearest rows, as scikit-learn's `KNNImputer`; the others look at the column alone.",
    ),
    of(
        "neighbours",
        ParamType::Int(1, 1000),
        "3",
        "How many rows `knn` takes.",
    ),
    of(
        "weights",
        ParamType::Choice(&["uniform", "distance"]),
        "uniform",
        "Whether all of them count the same, or one over the distance.",
    ),
    of(
        "value",
        FINITE,
        "0",
        "What `constant` puts into columns of numbers.",
    ),
    of(
        "text",
        ParamType::Text,
        "missing",
        "What `constant` puts into columns of text.",
    ),
    of(
        "indicator",
        ParamType::Bool,
        "false",
        "Whether a column `NAME is missing` is added for each that had missing cells in training.",
    ),
];

const INFINITE: &[Param] = &[
    of(
        "with",
        ParamType::Choice(&["missing", "clip", "quantile"]),
        "missing",
        "What stands in for plus and minus infinity: a missing cell; the greatest and the least finite number of training; or, \
         `quantile`, what all but a small share of the training cells are below and above.",
    ),
    of(
        "share",
        ParamType::Float(0.5, 1.0),
        "0.999",
        "The share of training cells below what `quantile` puts there.",
    ),
];

const SCALE: &[Param] = &[of(
    "with",
    ParamType::Choice(&["standard", "min_max", "robust", "max_abs"]),
    "standard",
    "`standard`: mean 0 and standard deviation 1; `min_max`: from 0 to 1; `robust`: median 0 and the middle half 1 wide; \
     `max_abs`: the largest absolute value 1.",
)];

const QUANTILE: &[Param] = &[
    of(
        "quantiles",
        ParamType::Int(2, 10_000),
        "1000",
        "How many quantiles are kept, or as many as there are rows.",
    ),
    of(
        "to",
        ParamType::Choice(&["uniform", "normal"]),
        "uniform",
        "How the values are spread.",
    ),
];

const CLIP: &[Param] = &[
    maybe("low", FINITE, "The least value."),
    maybe("high", FINITE, "The greatest value."),
    maybe(
        "low_share",
        ParamType::Float(0.0, 1.0),
        "The least value is what this share of the training rows is below.",
    ),
    maybe(
        "high_share",
        ParamType::Float(0.0, 1.0),
        "The greatest value is what this share of the training rows is below.",
    ),
];

const ONEHOT: &[Param] = &[
    of(
        "unknown",
        ParamType::Choice(&["zero", "rare", "error"]),
        "zero",
        "What becomes of a category that training did not have: 0 in all columns, one of the rare, or an error.",
    ),
    of(
        "min_count",
        ParamType::Int(1, 1_000_000_000),
        "1",
        "Categories in fewer training rows share the column `NAME is rare`.",
    ),
    of(
        "max",
        ParamType::Int(1, 10_000),
        "100",
        "The most categories of a column; with more the stage fails.",
    ),
];

const TARGET: &[Param] = &[
    maybe(
        "smooth",
        ParamType::Float(0.0, 1e9),
        "By so many rows of the share among all a category is drawn towards it; without it, by as much as its spread asks for.",
    ),
    of(
        "folds",
        ParamType::Int(2, 100),
        "5",
        "Training rows are told the shares of the other folds, so that none is told its own class.",
    ),
];

const HASH: &[Param] = &[of(
    "buckets",
    ParamType::Int(1, 100_000),
    "32",
    "How many columns there are in the end.",
)];

const PCA: &[Param] = &[of(
    "components",
    ParamType::Int(1, 10_000),
    "10",
    "How many components there are in the end, or as many as columns.",
)];

const DROP: &[Param] = &[
    of(
        "constant",
        ParamType::Bool,
        "false",
        "Those that are the same in all training rows.",
    ),
    of(
        "duplicate",
        ParamType::Bool,
        "false",
        "Those that equal an earlier one.",
    ),
    maybe(
        "correlated",
        ParamType::Float(0.0, 1.0),
        "Those whose correlation with an earlier one that stays is larger, whatever its sign.",
    ),
];

const PAIR: &[Param] = &[
    Param {
        name: "of",
        kind: ParamType::Text,
        default: ParamFallback::Required,
        doc: "The first column.",
    },
    Param {
        name: "and",
        kind: ParamType::Text,
        default: ParamFallback::Required,
        doc: "The second column.",
    },
    maybe(
        "name",
        ParamType::Text,
        "What the new column is called; otherwise after the two, as in `a / b` or `a - b`.",
    ),
];

/// A step.
pub(crate) const PARAMS: &[Param] = &[
    maybe(
        "columns",
        ParamType::List(&ParamType::Text),
        "Which columns the step takes; without any choice all that it has use for.",
    ),
    maybe(
        "match",
        ParamType::Text,
        "Which columns it takes: those whose whole name this regular expression describes.",
    ),
    maybe(
        "type",
        ParamType::Choice(&["number", "text"]),
        "Which columns it takes: those of this kind.",
    ),
    maybe(
        "finite",
        ParamType::Record(INFINITE),
        "Replaces infinite numbers; first of all steps.",
    ),
    maybe("impute", ParamType::Record(IMPUTE), "Fills missing cells."),
    maybe(
        "scale",
        ParamType::Record(SCALE),
        "Shifts and divides columns of numbers.",
    ),
    maybe(
        "quantile",
        ParamType::Record(QUANTILE),
        "Spreads columns of numbers by their rank.",
    ),
    maybe(
        "log1p",
        ParamType::Record(&[]),
        "Takes ln(1 + x) of columns of numbers that are above -1.",
    ),
    maybe(
        "clip",
        ParamType::Record(CLIP),
        "Keeps columns of numbers within bounds.",
    ),
    maybe(
        "onehot",
        ParamType::Record(ONEHOT),
        "Makes columns of text a column of zeros and ones a category.",
    ),
    maybe(
        "ordinal",
        ParamType::Record(&[]),
        "Makes columns of text the number of their category; unknown or missing: -1.",
    ),
    maybe(
        "target",
        ParamType::Record(TARGET),
        "Makes columns of text the share of attacks in their category.",
    ),
    maybe(
        "hash",
        ParamType::Record(HASH),
        "Deals columns of text out over buckets, whatever stands there.",
    ),
    maybe(
        "pca",
        ParamType::Record(PCA),
        "Makes columns of numbers their principal components.",
    ),
    maybe(
        "drop",
        ParamType::Record(DROP),
        "Leaves out columns: all that are taken, or those of them that are useless.",
    ),
    maybe(
        "ratio",
        ParamType::Record(PAIR),
        "Adds the first column over the second; missing where that is 0.",
    ),
    maybe(
        "difference",
        ParamType::Record(PAIR),
        "Adds the first column less the second.",
    ),
];

/// The names of the actions.
const CHOOSERS: usize = 3;

fn fault(at: usize, inner: Option<&str>, message: String, help: &str) -> ParamError {
    let path = [ParamStep::key("steps"), param::ParamStep::Index(at)]
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
pub(crate) fn read(values: &Values) -> (Vec<PrepStep>, Vec<ParamError>) {
    let (mut steps, mut faults) = (Vec::new(), Vec::new());
    for (at, step) in values.list("steps").iter().enumerate() {
        let Value::Map(step) = step else { continue };
        match one(step, at) {
            Ok(step) => steps.push(step),
            Err(fault) => faults.push(*fault),
        }
    }
    (steps, faults)
}

fn one(step: &Values, at: usize) -> Result<PrepStep, Box<ParamError>> {
    let (name, with) = named_action(step, at)?;
    let pick = pick(step, at)?;
    let is_choice = !pick.names.is_empty() || pick.matching.is_some() || pick.kind.is_some();
    let action = action(name, with, is_choice, at)?;
    if matches!(action, StepAction::Derive(..)) && is_choice {
        let message = format!("`{name}` names its columns itself");
        let help = "leave out `columns`, `match` and `type`";
        return Err(Box::new(fault(at, Some(name), message, help)));
    }
    Ok(PrepStep { pick, action })
}

/// Returns the one action that a step names, and its parameters.
fn named_action(step: &Values, at: usize) -> Result<(&'static str, &Values), Box<ParamError>> {
    let actions = || PARAMS[CHOOSERS..].iter().map(|param| param.name);
    let named: Vec<(&'static str, &Values)> = actions()
        .filter_map(|name| Some((name, step.map(name)?)))
        .collect();
    let message = match named[..] {
        [one] => return Ok(one),
        [] => "this step does nothing",
        _ => "this step does more than one thing",
    };
    let help = format!("name one of {}", in_backticks(actions()));
    Err(Box::new(fault(at, None, message.to_owned(), &help)))
}

/// Reads which columns a step takes.
fn pick(step: &Values, at: usize) -> Result<ColumnPick, Box<ParamError>> {
    let matching = step.text("match").map(ColumnPick::whole).transpose();
    let matching = matching.map_err(|error| {
        let message = format!("this is no regular expression: {error}");
        Box::new(fault(at, Some("match"), message, ESCAPES))
    })?;
    let names = step.texts("columns");
    if step.get("columns").is_some() && names.is_empty() {
        let message = "no column is named".to_owned();
        let help = "name some, or leave it out: then the step takes all that it has use for";
        return Err(Box::new(fault(at, Some("columns"), message, help)));
    }
    let kind = step.text("type").map(|word| match word {
        "text" => CellKind::Text,
        _ => CellKind::Number,
    });
    Ok(ColumnPick {
        names,
        matching,
        kind,
    })
}

const ESCAPES: &str = "in a regular expression these have to be written with a backslash before them: . + * ? ( ) [ ] { } | ^ $";

/// Reads an action by its name; `is_choice`: the step says which columns it takes.
fn action(
    name: &str,
    with: &Values,
    is_choice: bool,
    at: usize,
) -> Result<StepAction, Box<ParamError>> {
    Ok(match name {
        "finite" => StepAction::Finite(match with.text("with") {
            Some("clip") => FiniteStrategy::Clip,
            Some("quantile") => FiniteStrategy::Quantile(with.float("share").unwrap_or(1.0)),
            _ => FiniteStrategy::Missing,
        }),
        "impute" => StepAction::Impute(imputed(with), with.flag("indicator")),
        "scale" => StepAction::Scale(match with.text("with") {
            Some("min_max") => ScaleMethod::MinMax,
            Some("robust") => ScaleMethod::Robust,
            Some("max_abs") => ScaleMethod::MaxAbs,
            _ => ScaleMethod::Standard,
        }),
        "quantile" => {
            let is_normal = with.text("to") == Some("normal");
            StepAction::Quantile(with.size("quantiles"), is_normal)
        }
        "log1p" => StepAction::Log1p,
        "clip" => clip(with, at)?,
        "onehot" => {
            let unknown = match with.text("unknown") {
                Some("rare") => UnknownCategory::Rare,
                Some("error") => UnknownCategory::Error,
                _ => UnknownCategory::Zero,
            };
            StepAction::OneHot(unknown, with.size("min_count"), with.size("max"))
        }
        "ordinal" => StepAction::Ordinal,
        "target" => StepAction::Target(with.float("smooth"), with.size("folds")),
        "hash" => StepAction::Hash(with.size("buckets")),
        "pca" => StepAction::Pca(with.size("components")),
        "drop" => drop_columns(with, is_choice, at)?,
        "ratio" => derive(PairOp::Ratio, "/", with),
        _ => derive(PairOp::Difference, "-", with),
    })
}

fn clip(with: &Values, at: usize) -> Result<StepAction, Box<ParamError>> {
    let low = bound(with, "low", "low_share", at)?;
    let high = bound(with, "high", "high_share", at)?;
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

fn bound(with: &Values, value: &str, share: &str, at: usize) -> Result<ClipBound, Box<ParamError>> {
    match (with.float(value), with.float(share)) {
        (Some(_), Some(_)) => {
            let message = format!("`{value}` and `{share}` say the same");
            Err(Box::new(fault(
                at,
                Some("clip"),
                message,
                "name one of them",
            )))
        }
        (Some(value), None) => Ok(ClipBound::Value(value)),
        (None, Some(share)) => Ok(ClipBound::Share(share)),
        (None, None) => Ok(ClipBound::None),
    }
}

fn drop_columns(with: &Values, is_choice: bool, at: usize) -> Result<StepAction, Box<ParamError>> {
    let rule = DropRule {
        constant: with.flag("constant"),
        duplicate: with.flag("duplicate"),
        correlated: with.float("correlated"),
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
fn derive(op: PairOp, sign: &str, with: &Values) -> StepAction {
    let of = with.text("of").unwrap_or_default().to_owned();
    let and = with.text("and").unwrap_or_default().to_owned();
    let name = with
        .text("name")
        .map_or_else(|| format!("{of} {sign} {and}"), str::to_owned);
    StepAction::Derive(op, of, and, name)
}

fn imputed(with: &Values) -> ImputeStrategy {
    let weights = if with.text("weights") == Some("distance") {
        DonorWeights::Distance
    } else {
        DonorWeights::Uniform
    };
    match with.text("with") {
        Some("mean") => ImputeStrategy::Mean,
        Some("median") => ImputeStrategy::Median,
        Some("most_frequent") => ImputeStrategy::MostFrequent,
        Some("constant") => ImputeStrategy::Constant(
            with.float("value").unwrap_or_default(),
            with.text("text").unwrap_or_default().to_owned(),
        ),
        _ => ImputeStrategy::Knn(with.size("neighbours"), weights),
    }
}
