//! Candidates of a search: learners with the values or ranges of their hyperparameters, read from
//! parameters.

use crate::base::nearest::suggest;
use crate::kinds::train::params::{CandidateParams, SpaceParams};
use crate::model::hyper::{Hyperparameter, HyperparameterRange, HyperparameterValue};
use crate::model::learners::Learner;
use crate::stage::param::{ParamError, ParamStep};
use crate::tuning::search::{SearchDimension, SearchStrategy};

/// What was read: learners, of each a dimension for every hyperparameter, and what is wrong.
pub(crate) type CandidatesRead = (
    Vec<&'static Learner>,
    Vec<Vec<SearchDimension>>,
    Vec<ParamError>,
);

/// Reads the candidates of a search.
pub(crate) fn read(candidates: &[CandidateParams], strategy: SearchStrategy) -> CandidatesRead {
    let (mut learners, mut spaces, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for (index, candidate) in candidates.iter().enumerate() {
        let Some(learner) = candidate.learner.0 else {
            continue;
        };
        let wrong = grid_faults(learner, candidate);
        faults.extend(wrong.into_iter().map(|fault| at(index, "grid", fault)));
        let wrong = space_faults(learner, candidate, strategy);
        faults.extend(wrong.into_iter().map(|fault| at(index, "space", fault)));
        let dimensions = learner.hypers.iter();
        spaces.push(
            dimensions
                .map(|hyper| dimension(learner, candidate, hyper))
                .collect(),
        );
        learners.push(learner);
    }
    if candidates.is_empty() {
        let message = "there is no candidate";
        faults.push(ParamError::new(
            &["candidates"],
            message,
            "name at least one learner",
        ));
    }
    (learners, spaces, faults)
}

/// Places what is wrong with a candidate.
fn at(index: usize, word: &str, (steps, message, help): CandidateFault) -> ParamError {
    let mut path = vec![
        ParamStep::key("candidates"),
        ParamStep::Index(index),
        ParamStep::key(word),
    ];
    path.extend(steps);
    ParamError {
        path,
        message,
        help,
    }
}

fn grid_faults(learner: &Learner, candidate: &CandidateParams) -> Vec<CandidateFault> {
    let mut faults = Vec::new();
    for (name, tries) in &candidate.grid {
        faults.extend(listed(learner, name, tries).err().unwrap_or_default());
    }
    faults
}

fn space_faults(
    learner: &Learner,
    candidate: &CandidateParams,
    strategy: SearchStrategy,
) -> Vec<CandidateFault> {
    let mut faults = Vec::new();
    for (name, range) in &candidate.space {
        faults.extend(drawn(learner, name, range).err().unwrap_or_default());
        let here = || vec![ParamStep::key(name)];
        if candidate.grid.contains_key(name) {
            faults.push((here(), format!("`{name}` stands in `grid` too"), None));
        }
        if strategy == SearchStrategy::Grid {
            let message = "the strategy `grid` draws nothing from a space".to_owned();
            let help = "set `search: { strategy: tpe, trials: 50 }`, or name values in `grid`";
            faults.push((here(), message, Some(help.to_owned())));
        }
    }
    faults
}

/// Returns what is tried for a hyperparameter: the grid, the space, or its default.
fn dimension(
    learner: &Learner,
    candidate: &CandidateParams,
    hyper: &Hyperparameter,
) -> SearchDimension {
    let grid = candidate.grid.get(hyper.name);
    let grid = grid.and_then(|tries| listed(learner, hyper.name, tries).ok());
    let space = candidate.space.get(hyper.name);
    let space = space.and_then(|range| drawn(learner, hyper.name, range).ok());
    grid.or(space)
        .unwrap_or(SearchDimension::Choice(vec![hyper.default]))
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
    tries: &[HyperparameterValue],
) -> Result<SearchDimension, Vec<CandidateFault>> {
    let hyper = hyper(learner, name)?;
    let (mut values, mut wrong) = (Vec::new(), Vec::new());
    for (index, value) in tries.iter().enumerate() {
        match hyper.read(value) {
            Some(value) => values.push(value),
            None => {
                let message = format!("`{name}` is {}, not {value}", hyper.describe());
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
    range: &SpaceParams,
) -> Result<SearchDimension, Vec<CandidateFault>> {
    let hyper = hyper(learner, name)?;
    let at = |message: String| {
        vec![(
            vec![ParamStep::key(name)],
            message,
            Some(hyper.doc.to_owned()),
        )]
    };
    let whole = |ends: &[Option<i64>]| -> Vec<Option<f64>> {
        ends.iter().map(|end| end.map(|end| end as f64)).collect()
    };
    let (word, ends) = match (&range.choice, &range.int, &range.float, &range.log) {
        (Some(tries), None, None, None) => return listed(learner, name, tries),
        (None, Some(ends), None, None) => ("int", whole(ends)),
        (None, None, Some(ends), None) => ("float", ends.clone()),
        (None, None, None, Some(ends)) => ("log", ends.clone()),
        _ => {
            let message = "one of `choice`, `int`, `float` and `log` is needed";
            return Err(at(message.to_owned()));
        }
    };
    // An end that was refused is told already.
    let Some(ends) = ends.into_iter().collect::<Option<Vec<f64>>>() else {
        return Err(Vec::new());
    };
    let [low, high] = ends[..] else {
        return Err(at(format!(
            "`{word}` takes two numbers, the least and the greatest"
        )));
    };
    let fits = match hyper.range {
        HyperparameterRange::Number(least, most) => word != "int" && low >= least && high <= most,
        HyperparameterRange::Whole(least, most) => word == "int" && low >= least && high <= most,
        HyperparameterRange::Words(_) | HyperparameterRange::WordsOrNumber(..) => false,
    };
    if low >= high || !fits {
        return Err(at(format!(
            "`{name}` is {}, which `{word}` from {low} to {high} does not give",
            hyper.describe()
        )));
    }
    Ok(match word {
        "int" => SearchDimension::Whole(low, high),
        "log" => SearchDimension::Log(low, high),
        _ => SearchDimension::Number(low, high),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learners::LEARNERS;

    #[test]
    fn the_reference_names_every_hyperparameter() {
        let grid = CandidateParams::PARAMS
            .iter()
            .find(|param| param.name == "grid")
            .expect("a candidate has a grid");
        for learner in LEARNERS {
            let names: Vec<&str> = learner.hypers.iter().map(|hyper| hyper.name).collect();
            let line = format!("{}: {}.", learner.name, names.join(", "));
            assert!(grid.doc.contains(&line), "{line}");
        }
    }
}
