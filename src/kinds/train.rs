//! `train`: the model factory. Candidates × grid × folds in parallel; the best by the declared metric.

use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{Array2, ArrayView2, Axis, s};
use serde_json::json;

use crate::base::nearest::suggest;
use crate::frame::npy;
use crate::model::bundle::Bundle;
use crate::model::folds::folds;
use crate::model::learner::{Hyper, Learner, ModelError, NAMES, Setting, find};
use crate::model::metrics::{CHOICES, Metrics};
use crate::prep::preprocessor::Preprocessor;
use crate::stage::error::StageError;
use crate::stage::io::{Context, Input, Inputs, Outputs};
use crate::stage::kind::{Kind, Stage};
use crate::stage::memo;
use crate::stage::param::{Fallback, Fault, Param, Step, Type, Value, Values};
use crate::stage::port::{Format, Need, Port, Ports};

/// The learners' hyperparameters, for the reference; a test compares with the learners' own lists.
const GRID: &str = "Values to try for each hyperparameter; every combination is one trial. logistic_regression: alpha. \
                    knn: k, by_distance. decision_tree: max_depth, min_leaf. random_forest: trees, max_depth, min_leaf. \
                    extra_trees: trees, max_depth, min_leaf.";

/// The kind.
pub const KIND: Kind = Kind {
    name: "train",
    version: 1,
    doc: "Fits every candidate with every setting of its grid by cross-validation, candidates in parallel, picks the \
          best by `metric`, and fits it on all training rows. Rows with equal features are always in the same fold.",
    inputs: Ports::Fixed(&[
        Port {
            name: "train",
            format: Format::Array,
            need: Need::One,
            doc: "features, then the class in the last column",
        },
        Port {
            name: "preprocessor",
            format: Format::Preprocessor,
            need: Need::One,
            doc: "stored with the model, so that it takes tables as they come",
        },
        Port {
            name: "profile",
            format: Format::Profile,
            need: Need::Optional,
            doc: "what the training rows look like, as `drift` gives it: stored with the model, so that later rows can be \
                  compared with them",
        },
    ]),
    outputs: Ports::Fixed(&[
        Port { name: "model", format: Format::Model, need: Need::One, doc: "the model with its preprocessor" },
        Port { name: "metrics", format: Format::Json, need: Need::One, doc: "the leaderboard: figures of every trial" },
    ]),
    params: &[
        Param {
            name: "candidates",
            kind: Type::List(&Type::Record(&[
                Param { name: "learner", kind: Type::Choice(&NAMES), default: Fallback::Required, doc: "The learner." },
                Param {
                    name: "grid",
                    kind: Type::Map(&Type::List(&Type::Float(f64::MIN, f64::MAX))),
                    default: Fallback::Yaml("{}"),
                    doc: GRID,
                },
            ])),
            default: Fallback::Yaml(
                "[{learner: logistic_regression, grid: {alpha: [0.1, 1, 10]}}, {learner: knn, grid: {k: [5, 15]}}, \
                 {learner: decision_tree, grid: {max_depth: [6, 12]}}, {learner: random_forest, grid: {trees: [50, 100]}}, \
                 {learner: extra_trees, grid: {trees: [50, 100]}}]",
            ),
            doc: "What to try.",
        },
        Param {
            name: "folds",
            kind: Type::Int(2, 100),
            default: Fallback::Yaml("3"),
            doc: "Folds of the cross-validation.",
        },
        Param {
            name: "metric",
            kind: Type::Choice(&CHOICES),
            default: Fallback::Yaml("f1"),
            doc: "What the best is best at; `log_loss` counts negated, so that greater is better.",
        },
        Param {
            name: "min_score",
            kind: Type::Float(-1e9, 1.0),
            default: Fallback::Yaml("0.9"),
            doc: "If no trial reaches this, the stage fails and there is no model (exit code 6).",
        },
    ],
    seeded: true,
    own_turn: false,
    make,
};

struct Candidate {
    learner: &'static Learner,
    settings: Vec<Setting>,
}

struct Train {
    candidates: Vec<Candidate>,
    folds: usize,
    metric: String,
    min_score: f64,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<Fault>> {
    let (mut candidates, mut faults) = (Vec::new(), Vec::new());
    for (index, candidate) in values.list("candidates").iter().enumerate() {
        let Value::Map(candidate) = candidate else { continue };
        let Some(learner) = candidate.text("learner").and_then(find) else { continue };
        let path = |rest: &[Step]| {
            [Step::Key("candidates".to_owned()), Step::Index(index), Step::Key("grid".to_owned())]
                .into_iter()
                .chain(rest.iter().cloned())
                .collect::<Vec<Step>>()
        };
        let grid = candidate.map("grid").cloned().unwrap_or_default();
        for (name, tries) in &grid.0 {
            faults.extend(check(learner, name, tries).into_iter().map(|(step, message, help)| {
                let steps: Vec<Step> = std::iter::once(Step::Key(name.clone())).chain(step).collect();
                Fault { path: path(&steps), message, help }
            }));
        }
        candidates.push(Candidate { learner, settings: settings(learner, &grid) });
    }
    if values.list("candidates").is_empty() {
        let path = vec![Step::Key("candidates".to_owned())];
        faults.push(Fault {
            path,
            message: "there is no candidate".to_owned(),
            help: Some("name at least one learner".to_owned()),
        });
    }
    if let Err(more) = gate_fits(values) {
        faults.extend(more);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Box::new(Train {
        candidates,
        folds: values.size("folds"),
        metric: values.text("metric").unwrap_or_default().to_owned(),
        min_score: values.float("min_score").unwrap_or_default(),
    }))
}

/// A negated loss never reaches a positive score: such a gate refuses everything.
pub(crate) fn gate_fits(values: &Values) -> Result<(), Vec<Fault>> {
    let impossible = values.text("metric") == Some("log_loss") && values.float("min_score").unwrap_or_default() > 0.0;
    if !impossible {
        return Ok(());
    }
    let message = "`log_loss` counts negated and is never above 0: nothing can reach this `min_score`".to_owned();
    let help = Some("set it to the negated greatest loss, such as `min_score: -0.3`".to_owned());
    Err(vec![Fault { path: vec![Step::Key("min_score".to_owned())], message, help }])
}

type Wrong = (Option<Step>, String, Option<String>);

fn check(learner: &Learner, name: &str, tries: &Value) -> Vec<Wrong> {
    let Some(hyper) = learner.hypers.iter().find(|hyper| hyper.name == name) else {
        let message = format!("`{}` has no hyperparameter `{name}`", learner.name);
        return vec![(None, message, suggest(name, learner.hypers.iter().map(|hyper| hyper.name)))];
    };
    let Value::List(tries) = tries else { return Vec::new() };
    if tries.is_empty() {
        return vec![(None, format!("there is nothing to try for `{name}`"), None)];
    }
    let wrong = |(index, value): (usize, &Value)| {
        let Value::Float(value) = value else { return None };
        let fits = (hyper.least..=hyper.most).contains(value) && (!hyper.whole || value.fract() == 0.0);
        let Hyper { least, most, whole, .. } = hyper;
        let what = if *whole { "a whole number" } else { "a number" };
        let message = format!("`{name}` is {what} from {least} to {most}, not {value}");
        (!fits).then(|| (Some(Step::Index(index)), message, Some(hyper.doc.to_owned())))
    };
    tries.iter().enumerate().filter_map(wrong).collect()
}

/// Every combination of the grid, the last hyperparameter of the learner's list changing fastest.
fn settings(learner: &Learner, grid: &Values) -> Vec<Setting> {
    let mut settings: Vec<Setting> = vec![Vec::new()];
    for hyper in learner.hypers {
        let tries: Vec<f64> = (grid.list(hyper.name).iter())
            .filter_map(|value| if let Value::Float(value) = value { Some(*value) } else { None })
            .collect();
        let tries = if tries.is_empty() { vec![hyper.default] } else { tries };
        let extend = |setting: &Setting| {
            let setting = setting.clone();
            tries.clone().into_iter().map(move |value| setting.iter().copied().chain([value]).collect::<Setting>())
        };
        settings = settings.iter().flat_map(extend).collect();
    }
    settings
}

struct Trial<'a> {
    learner: &'static Learner,
    setting: &'a Setting,
}

impl Trial<'_> {
    fn named(&self) -> Vec<(String, f64)> {
        self.learner.hypers.iter().zip(self.setting).map(|(hyper, value)| (hyper.name.to_owned(), *value)).collect()
    }

    fn show(&self) -> String {
        let setting: Vec<String> = self.named().iter().map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{} {{{}}}", self.learner.name, setting.join(", "))
    }
}

impl Stage for Train {
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError> {
        let array = npy::decode(&inputs.one("train").bytes()?).map_err(|error| StageError::Data(error.0))?;
        let preprocessor = Preprocessor::decode(&inputs.one("preprocessor").bytes()?).map_err(StageError::Data)?;
        if array.ncols() < 2 {
            return Err(StageError::Data("the training array has no feature column".to_owned()));
        }
        let (x, y) = array.view().split_at(Axis(1), array.ncols() - 1);
        let y: Vec<f64> = y.iter().copied().collect();
        let trials: Vec<Trial<'_>> = (self.candidates.iter())
            .flat_map(|candidate| {
                candidate.settings.iter().map(|setting| Trial { learner: candidate.learner, setting })
            })
            .collect();
        let scores = self.validate(x, &y, &trials, context)?;
        let (best, metrics) = self.pick(&trials, &scores, outputs)?;
        let fitted =
            best.learner.fit(x, (&y[..]).into(), best.setting, context.seed).map_err(|error| failed(best, &error))?;
        let mut bundle = Bundle::new(best.learner.name, best.named(), metrics, preprocessor, fitted);
        bundle.profile = inputs.maybe("profile").map(Input::bytes).transpose()?;
        outputs.bytes("model", bundle.encode());
        Ok(())
    }
}

impl Train {
    /// One fit of the cross-validation: all that its predictions depend on.
    fn memo(&self, trial: &Trial<'_>, number: usize, fold: usize) -> memo::Part {
        let setting = trial.named().into_iter().map(|(name, value)| (name, Value::Float(value))).collect();
        let with = [
            ("learner", Value::Text(trial.learner.name.to_owned())),
            ("setting", Value::Map(Values(setting))),
            ("folds", Value::Int(self.folds as i64)),
            ("fold", Value::Int(fold as i64)),
        ];
        memo::Part {
            name: format!("trial-{number}-fold-{fold}"),
            with: with.map(|(name, value)| (name.to_owned(), value)).into(),
            inputs: vec!["train"],
        }
    }

    /// Cross-validates every trial; the figures are those of all rows, each predicted by a model that did not see it.
    fn validate(
        &self,
        x: ArrayView2<'_, f64>,
        y: &[f64],
        trials: &[Trial<'_>],
        context: &Context<'_>,
    ) -> Result<Vec<Result<Metrics, ModelError>>, StageError> {
        let fold_of = folds(x, self.folds, context.seed);
        let parts: Vec<Part> = (0..self.folds).map(|fold| Part::new(x, y, &fold_of, fold)).collect();
        let pairs: Vec<(usize, usize)> =
            (0..trials.len()).flat_map(|trial| (0..self.folds).map(move |fold| (trial, fold))).collect();
        let done = AtomicU64::new(0);
        // Each fit is kept by itself: a search that is stopped, or that gets more to try, goes on from there.
        let memos: Vec<memo::Part> =
            pairs.iter().map(|&(trial, fold)| self.memo(&trials[trial], trial, fold)).collect();
        let bytes = context.memo(&memos, &|at, _| {
            let (trial, fold) = pairs[at];
            let result = parts[fold].fit(&trials[trial], context.seed).map_err(|error| error.0);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            (context.progress)(done, pairs.len() as u64, &trials[trial].show());
            Ok(rmp_serde::to_vec(&result).expect("plain data serialises"))
        })?;
        let fits = bytes.iter().map(|bytes| rmp_serde::from_slice::<Result<Vec<f64>, String>>(bytes));
        let fits: Vec<Result<Vec<f64>, ModelError>> = fits
            .map(|fit| Ok(fit?.map_err(ModelError)))
            .collect::<Result<_, rmp_serde::decode::Error>>()
            .map_err(|error| StageError::Storage(format!("what is kept of a fit cannot be read: {error}")))?;
        context.check()?;
        let pooled = |trial: usize| {
            let mut p = vec![0.0; y.len()];
            for fold in 0..self.folds {
                let predicted = fits[trial * self.folds + fold].as_ref().map_err(Clone::clone)?;
                parts[fold].rows.iter().zip(predicted).for_each(|(row, value)| p[*row] = *value);
            }
            Ok(Metrics::of(y, &p))
        };
        Ok((0..trials.len()).map(pooled).collect())
    }

    /// Picks the best trial; of equal ones the first. Gives the leaderboard whatever happens.
    fn pick<'t>(
        &self,
        trials: &'t [Trial<'t>],
        scores: &[Result<Metrics, ModelError>],
        outputs: &mut Outputs,
    ) -> Result<(&'t Trial<'t>, Metrics), StageError> {
        let score = |metrics: &Metrics| metrics.score(&self.metric).unwrap_or(f64::NEG_INFINITY);
        let mut order: Vec<usize> = (0..trials.len()).collect();
        let key = |index: usize| scores[index].as_ref().map_or(f64::NEG_INFINITY, score);
        order.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
        let row = |index: &usize| {
            let trial = &trials[*index];
            let setting: serde_json::Map<String, serde_json::Value> =
                trial.named().into_iter().map(|(name, value)| (name, json!(value))).collect();
            match &scores[*index] {
                Ok(metrics) => {
                    json!({"learner": trial.learner.name, "setting": setting, "score": score(metrics), "metrics": metrics})
                }
                Err(error) => json!({"learner": trial.learner.name, "setting": setting, "error": error.0}),
            }
        };
        let report = json!({
            "metric": self.metric,
            "min_score": self.min_score,
            "folds": self.folds,
            "trials": order.iter().map(row).collect::<Vec<_>>(),
        });
        outputs.bytes("metrics", serde_json::to_vec_pretty(&report).expect("plain data serialises"));
        let best = order[0];
        let metrics = match &scores[best] {
            Ok(metrics) => *metrics,
            Err(error) => return Err(failed(&trials[best], error)),
        };
        let line = format!(
            "best of {} trials: {} with {} {:.4}",
            trials.len(),
            trials[best].show(),
            self.metric,
            score(&metrics)
        );
        if score(&metrics) < self.min_score {
            return Err(StageError::Rejected(format!(
                "no candidate reached {} {}: best was {} with {:.4}; the leaderboard is kept as `metrics`",
                self.metric,
                self.min_score,
                trials[best].show(),
                score(&metrics)
            )));
        }
        outputs.note(line);
        Ok((&trials[best], metrics))
    }
}

fn failed(trial: &Trial<'_>, error: &ModelError) -> StageError {
    StageError::Data(format!("{} could not be fitted: {error}", trial.show()))
}

/// The rows of one fold, and those of all others to fit on.
struct Part {
    rows: Vec<usize>,
    fit_x: Array2<f64>,
    fit_y: Vec<f64>,
    held_x: Array2<f64>,
}

impl Part {
    fn new(x: ArrayView2<'_, f64>, y: &[f64], fold_of: &[usize], fold: usize) -> Self {
        let (rows, others): (Vec<usize>, Vec<usize>) = (0..y.len()).partition(|row| fold_of[*row] == fold);
        let fit_y = others.iter().map(|row| y[*row]).collect();
        Self { fit_x: x.select(Axis(0), &others), fit_y, held_x: x.select(Axis(0), &rows), rows }
    }

    fn fit(&self, trial: &Trial<'_>, seed: u64) -> Result<Vec<f64>, ModelError> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let y = ndarray::ArrayView1::from(&self.fit_y);
        let model = trial.learner.fit(self.fit_x.slice(s![.., ..]), y, trial.setting, seed)?;
        model.probabilities(self.held_x.view())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::learner::LEARNERS;

    #[test]
    fn the_reference_names_every_hyperparameter() {
        for learner in LEARNERS {
            let names: Vec<&str> = learner.hypers.iter().map(|hyper| hyper.name).collect();
            let line = format!("{}: {}.", learner.name, names.join(", "));
            assert!(GRID.contains(&line), "{line}");
        }
    }
}
