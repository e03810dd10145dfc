//! Candidates of a search: learners with the values or ranges of their hyperparameters, read from
//! parameters.

use crate::base::nearest::suggest;
use crate::model::fitted::{Learner, NAMES, find};
use crate::model::hyper::{Hyperparameter, HyperparameterRange, HyperparameterValue};
use crate::stage::param::{Param, ParamError, ParamFallback, ParamStep, ParamType, Value, Values};
use crate::tuning::search::{SearchDimension, SearchStrategy};

/// The learners' hyperparameters, for the reference; a test compares with the learners' own lists.
const GRID: &str = "Values to try for each hyperparameter; every combination is one trial. logistic_regression: alpha. \
                    knn: k, weights. svm: c, kernel, gamma, class_weight. naive_bayes: smoothing. decision_tree: criterion, max_depth, min_leaf, max_features, \
                    class_weight. random_forest: trees, criterion, max_depth, min_leaf, max_features, class_weight. \
                    extra_trees: trees, criterion, max_depth, min_leaf, max_features, class_weight. gradient_boosting: trees, \
                    learning_rate, leaves, max_depth, min_leaf, subsample, colsample, l2, min_gain, class_weight, patience. adaboost: \
                    trees, learning_rate, max_depth.";

/// What may stand for a hyperparameter in a space.
const SPACE: &[Param] = &[
    Param {
        name: "choice",
        kind: ParamType::List(&ParamType::Scalar),
        default: ParamFallback::Absent,
        doc: "One of these.",
    },
    Param {
        name: "int",
        kind: ParamType::List(&ParamType::Int(i64::MIN, i64::MAX)),
        default: ParamFallback::Absent,
        doc: "A whole number from the first to the second of two.",
    },
    Param {
        name: "float",
        kind: ParamType::List(&ParamType::Float(f64::MIN, f64::MAX)),
        default: ParamFallback::Absent,
        doc: "A number from the first to the second of two.",
    },
    Param {
        name: "log",
        kind: ParamType::List(&ParamType::Float(f64::MIN_POSITIVE, f64::MAX)),
        default: ParamFallback::Absent,
        doc: "The same, its logarithm being drawn.",
    },
];

/// A candidate.
pub(crate) const PARAMS: &[Param] = &[
    Param {
        name: "learner",
        kind: ParamType::Choice(&NAMES),
        default: ParamFallback::Required,
        doc: "The learner.",
    },
    Param {
        name: "grid",
        kind: ParamType::Map(&ParamType::List(&ParamType::Scalar)),
        default: ParamFallback::Yaml("{}"),
        doc: GRID,
    },
    Param {
        name: "space",
        kind: ParamType::Map(&ParamType::Record(SPACE)),
        default: ParamFallback::Yaml("{}"),
        doc: "Where a search draws hyperparameters from: `{choice: [a, b]}`, `{int: [1, 9]}`, `{float: [0.5, 1]}` or \
                          `{log: [0.001, 0.3]}`.",
    },
];

/// What was read: learners, of each a dimension for every hyperparameter, and what is wrong.
pub(crate) type CandidatesRead = (
    Vec<&'static Learner>,
    Vec<Vec<SearchDimension>>,
    Vec<ParamError>,
);

/// Reads the candidates of a search.
pub(crate) fn read(values: &Values, strategy: SearchStrategy) -> CandidatesRead {
    let (mut learners, mut spaces, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let none = Values::default();
    for (index, candidate) in values.list("candidates").iter().enumerate() {
        let Value::Map(candidate) = candidate else {
            continue;
        };
        let Some(learner) = candidate.text("learner").and_then(find) else {
            continue;
        };
        let of = |wrong: Vec<CandidateFault>, word: &'static str| {
            wrong
                .into_iter()
                .map(move |(steps, message, help)| ParamError {
                    path: [
                        ParamStep::key("candidates"),
                        ParamStep::Index(index),
                        ParamStep::key(word),
                    ]
                    .into_iter()
                    .chain(steps)
                    .collect(),
                    message,
                    help,
                })
        };
        let (mut space, mut wrong) = (Vec::new(), Vec::new());
        let (grid, wide) = (
            candidate.map("grid").unwrap_or(&none),
            candidate.map("space").unwrap_or(&none),
        );
        for (name, tries) in &grid.0 {
            wrong.extend(listed(learner, name, tries).err().unwrap_or_default());
        }
        faults.extend(of(std::mem::take(&mut wrong), "grid"));
        for (name, range) in &wide.0 {
            wrong.extend(drawn(learner, name, range).err().unwrap_or_default());
            if grid.0.contains_key(name) {
                wrong.push((
                    vec![ParamStep::key(name)],
                    format!("`{name}` stands in `grid` too"),
                    None,
                ));
            }
            if strategy == SearchStrategy::Grid {
                let help = "set `search: { strategy: tpe, trials: 50 }`, or name values in `grid`"
                    .to_owned();
                wrong.push((
                    vec![ParamStep::key(name)],
                    "the strategy `grid` draws nothing from a space".to_owned(),
                    Some(help),
                ));
            }
        }
        faults.extend(of(wrong, "space"));
        for hyper in learner.hypers {
            let of_grid = grid
                .0
                .get(hyper.name)
                .and_then(|tries| listed(learner, hyper.name, tries).ok());
            let of_space = wide
                .0
                .get(hyper.name)
                .and_then(|range| drawn(learner, hyper.name, range).ok());
            space.push(
                of_grid
                    .or(of_space)
                    .unwrap_or(SearchDimension::Choice(vec![hyper.default])),
            );
        }
        learners.push(learner);
        spaces.push(space);
    }
    if values.list("candidates").is_empty() {
        faults.push(ParamError {
            path: vec![ParamStep::key("candidates")],
            message: "there is no candidate".to_owned(),
            help: Some("name at least one learner".to_owned()),
        });
    }
    (learners, spaces, faults)
}

type CandidateFault = (Vec<ParamStep>, String, Option<String>);

fn hyper(learner: &Learner, name: &str) -> Result<&'static Hyperparameter, Vec<CandidateFault>> {
    learner
        .hypers
        .iter()
        .find(|hyper| hyper.name == name)
        .ok_or_else(|| {
            let message = format!("`{}` has no hyperparameter `{name}`", learner.name);
            vec![(
                vec![ParamStep::key(name)],
                message,
                suggest(name, learner.hypers.iter().map(|hyper| hyper.name)),
            )]
        })
}

/// Values to try, one after the other.
fn listed(
    learner: &Learner,
    name: &str,
    tries: &Value,
) -> Result<SearchDimension, Vec<CandidateFault>> {
    let hyper = hyper(learner, name)?;
    let Value::List(tries) = tries else {
        return Err(Vec::new());
    };
    let (mut values, mut wrong) = (Vec::new(), Vec::new());
    for (index, value) in tries.iter().enumerate() {
        let told = match value {
            Value::Int(number) => HyperparameterValue::Number(*number as f64),
            Value::Float(number) => HyperparameterValue::Number(*number),
            Value::Text(word) => HyperparameterValue::Word(word.clone()),
            other => HyperparameterValue::Word(other.to_string()),
        };
        match hyper.read(&told) {
            Some(value) => values.push(value),
            None => {
                let message = format!("`{name}` is {}, not {told}", hyper.describe());
                wrong.push((
                    vec![ParamStep::key(name), ParamStep::Index(index)],
                    message,
                    Some(hyper.doc.to_owned()),
                ));
            }
        }
    }
    if tries.is_empty() {
        wrong.push((
            vec![ParamStep::key(name)],
            format!("there is nothing to try for `{name}`"),
            None,
        ));
    }
    if wrong.is_empty() {
        Ok(SearchDimension::Choice(values))
    } else {
        Err(wrong)
    }
}

/// A range to draw from.
fn drawn(
    learner: &Learner,
    name: &str,
    range: &Value,
) -> Result<SearchDimension, Vec<CandidateFault>> {
    let hyper = hyper(learner, name)?;
    let Value::Map(range) = range else {
        return Err(Vec::new());
    };
    let at = |message: String| {
        vec![(
            vec![ParamStep::key(name)],
            message,
            Some(hyper.doc.to_owned()),
        )]
    };
    let [(word, value)] = range.0.iter().collect::<Vec<_>>()[..] else {
        return Err(at(
            "one of `choice`, `int`, `float` and `log` is needed".to_owned()
        ));
    };
    if word == "choice" {
        return listed(learner, name, value);
    }
    let Value::List(ends) = value else {
        return Err(Vec::new());
    };
    let ends: Vec<f64> = ends.iter().filter_map(Value::number).collect();
    let [low, high] = ends[..] else {
        return Err(at(format!(
            "`{word}` takes two numbers, the least and the greatest"
        )));
    };
    let fits = match hyper.range {
        HyperparameterRange::Number(least, most) => word != "int" && low >= least && high <= most,
        HyperparameterRange::Whole(least, most) => word == "int" && low >= least && high <= most,
        HyperparameterRange::Words(_) => false,
    };
    if low >= high || !fits {
        return Err(at(format!(
            "`{name}` is {}, which `{word}` from {low} to {high} does not give",
            hyper.describe()
        )));
    }
    Ok(match word.as_str() {
        "int" => SearchDimension::Whole(low, high),
        "log" => SearchDimension::Log(low, high),
        _ => SearchDimension::Number(low, high),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fitted::LEARNERS;

    #[test]
    fn the_reference_names_every_hyperparameter() {
        for learner in LEARNERS {
            let names: Vec<&str> = learner.hypers.iter().map(|hyper| hyper.name).collect();
            let line = format!("{}: {}.", learner.name, names.join(", "));
            assert!(GRID.contains(&line), "{line}");
        }
    }
}
