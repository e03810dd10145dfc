//! `train`: the model factory. Candidates × settings × folds in parallel; the best by the declared metric.

use ndarray::Axis;
use serde_json::json;

use crate::frame::npy;
use crate::kinds::candidates::{self, key};
use crate::kinds::sweep::{Scored, Sweep, Trial};
use crate::model::bundle::Bundle;
use crate::model::calibrate::Calibrator;
use crate::model::data::Data;
use crate::model::folds::{By, folds};
use crate::model::learner::{Learner, ModelError, Task};
use crate::model::metrics::{CHOICES, Metrics, threshold_within};
use crate::model::search::{self, Dimension, Search, Strategy};
use crate::prep::preprocessor::Preprocessor;
use crate::stage::error::StageError;
use crate::stage::io::{Context, Input, Inputs, Outputs};
use crate::stage::kind::{Kind, Stage};
use crate::stage::param::{Fallback, Fault, Param, Type, Values};
use crate::stage::port::{Format, Need, Port, Ports};

/// The kind.
pub const KIND: Kind = Kind {
    name: "train",
    version: 3,
    doc: "Fits every candidate with the settings of its grid, or those that a search finds in its space, by cross-validation, \
          in parallel, picks the best, and fits it on all training rows. Every fit is kept by itself: more candidates cost \
          what they add, and what was stopped goes on.",
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
            kind: Type::List(&Type::Record(candidates::PARAMS)),
            default: Fallback::Yaml(
                "[{learner: logistic_regression, grid: {alpha: [0.1, 1, 10]}}, {learner: knn, grid: {k: [5, 15]}}, \
                 {learner: decision_tree, grid: {max_depth: [6, 12]}}, {learner: random_forest, grid: {trees: [50, 100]}}, \
                 {learner: extra_trees, grid: {trees: [50, 100]}}, {learner: gradient_boosting, grid: {trees: [50, 100]}}]",
            ),
            doc: "What to try.",
        },
        Param {
            name: "search",
            kind: Type::Record(&[
                Param {
                    name: "strategy",
                    kind: Type::Choice(&["grid", "random", "tpe", "halving"]),
                    default: Fallback::Yaml("grid"),
                    doc: "`grid`: every combination; `random`: draws; `tpe`: draws where good trials are dense; `halving`: \
                          many trials on few rows, the best of them on more.",
                },
                Param {
                    name: "trials",
                    kind: Type::Int(1, 1_000_000),
                    default: Fallback::Yaml("50"),
                    doc: "How many trials `random`, `tpe` and `halving` begin.",
                },
                Param {
                    name: "factor",
                    kind: Type::Int(2, 100),
                    default: Fallback::Yaml("3"),
                    doc: "By how much `halving` makes trials fewer and rows more.",
                },
            ]),
            default: Fallback::Yaml("{}"),
            doc: "How settings are found.",
        },
        Param {
            name: "folds",
            kind: Type::Int(2, 100),
            default: Fallback::Yaml("3"),
            doc: "Folds of the cross-validation.",
        },
        Param {
            name: "fold_by",
            kind: Type::Choice(&["content", "stratified"]),
            default: Fallback::Yaml("content"),
            doc: "`content`: rows with equal features are in the same fold; `stratified`: every fold has the same share of \
                  attacks.",
        },
        Param {
            name: "select",
            kind: Type::Record(&[
                Param {
                    name: "metric",
                    kind: Type::Choice(&CHOICES),
                    default: Fallback::Yaml("f1"),
                    doc: "What the best is best at; `log_loss` and `brier` count negated, so that greater is better.",
                },
                Param {
                    name: "min_score",
                    kind: Type::Float(-1e9, 1.0),
                    default: Fallback::Yaml("0.9"),
                    doc: "What a trial has to reach.",
                },
                Param {
                    name: "max_fpr",
                    kind: Type::Float(0.0, 1.0),
                    default: Fallback::Absent,
                    doc: "The most false alarms, as a share of benign rows.",
                },
                Param {
                    name: "overfit_gap",
                    kind: Type::Float(0.0, 1e9),
                    default: Fallback::Absent,
                    doc: "By how much a trial may be better on the rows that it was fitted to.",
                },
            ]),
            default: Fallback::Yaml("{}"),
            doc: "Which trial is picked. If none fits, the stage fails and there is no model (exit code 6); the leaderboard is \
                  kept.",
        },
        Param {
            name: "calibrate",
            kind: Type::Choice(&["none", "platt", "isotonic"]),
            default: Fallback::Yaml("none"),
            doc: "How probabilities are corrected, by those that cross-validation told: by a line through the logarithm of the \
                  odds, or by steps that rise, for which a thousand rows or more are wanted and which make many rows alike.",
        },
        Param {
            name: "threshold_fpr",
            kind: Type::Float(0.0, 1.0),
            default: Fallback::Absent,
            doc: "A budget of false alarms, as a share of benign rows: the model alarms from the lowest probability on that \
                  keeps it in cross-validation, instead of from 0.5 on.",
        },
    ],
    seeded: true,
    own_turn: false,
    make,
};

/// Fits a calibrator to classes and the probabilities that were told.
type Calibration = fn(&[f64], &[f64]) -> Calibrator;

struct Train {
    learners: Vec<&'static Learner>,
    spaces: Vec<Vec<Dimension>>,
    strategy: Strategy,
    folds: usize,
    by: By,
    metric: String,
    min_score: f64,
    max_fpr: Option<f64>,
    overfit_gap: Option<f64>,
    threshold_fpr: Option<f64>,
    calibrate: Option<Calibration>,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<Fault>> {
    let none = Values::default();
    let search = values.map("search").unwrap_or(&none);
    let (trials, factor) = (search.size("trials"), search.size("factor"));
    let strategy = match search.text("strategy") {
        Some("random") => Strategy::Random(trials),
        Some("tpe") => Strategy::Tpe(trials),
        Some("halving") => Strategy::Halving(trials, factor),
        _ => Strategy::Grid,
    };
    let (learners, spaces, mut faults) = candidates::read(values, strategy);
    let select = values.map("select").unwrap_or(&none);
    if let Err(more) = gate_fits(select) {
        let inside = |fault: Fault| Fault { path: std::iter::once(key("select")).chain(fault.path).collect(), ..fault };
        faults.extend(more.into_iter().map(inside));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Box::new(Train {
        learners,
        spaces,
        strategy,
        folds: values.size("folds"),
        by: if values.text("fold_by") == Some("stratified") { By::Stratified } else { By::Content },
        metric: select.text("metric").unwrap_or_default().to_owned(),
        min_score: select.float("min_score").unwrap_or_default(),
        max_fpr: select.float("max_fpr"),
        overfit_gap: select.float("overfit_gap"),
        threshold_fpr: values.float("threshold_fpr"),
        calibrate: match values.text("calibrate") {
            Some("platt") => Some(Calibrator::platt),
            Some("isotonic") => Some(Calibrator::isotonic),
            _ => None,
        },
    }))
}

/// A negated loss never reaches a positive score: such a gate refuses everything.
pub(crate) fn gate_fits(values: &Values) -> Result<(), Vec<Fault>> {
    let metric = values.text("metric").unwrap_or_default();
    let impossible = matches!(metric, "log_loss" | "brier") && values.float("min_score").unwrap_or_default() > 0.0;
    if !impossible {
        return Ok(());
    }
    let message = format!("`{metric}` counts negated and is never above 0: nothing can reach this `min_score`");
    let help = Some("set it to the negated greatest loss, such as `min_score: -0.3`".to_owned());
    Err(vec![Fault { path: vec![key("min_score")], message, help }])
}

impl Stage for Train {
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError> {
        let array = npy::decode(&inputs.one("train").bytes()?).map_err(|error| StageError::Data(error.0))?;
        let preprocessor = Preprocessor::decode(&inputs.one("preprocessor").bytes()?).map_err(StageError::Data)?;
        if array.ncols() < 2 {
            return Err(StageError::Data("the training array has no feature column".to_owned()));
        }
        let (x, y) = array.view().split_at(Axis(1), array.ncols() - 1);
        let data = Data::new(x.to_owned(), y.iter().copied().collect(), &preprocessor.features());
        let data = data.map_err(|error| StageError::Data(error.0))?;
        let (trials, scores) = self.search(&data, context)?;
        let (best, scored) = self.pick(&trials, &scores, &data, outputs)?;
        let rows = data.rows();
        let task = Task { data: &data, rows: &rows, setting: &best.setting, seed: context.seed };
        let fitted = best.learner.fit(&task).map_err(|error| failed(best, &error))?;
        let calibrator = self.calibrate.map(|fit| fit(&data.y, &scored.p));
        let p: Vec<f64> = match &calibrator {
            Some(calibrator) => scored.p.iter().map(|p| calibrator.apply(*p)).collect(),
            None => scored.p.clone(),
        };
        let threshold = self.threshold(&data, &p)?;
        let metrics = Metrics::at(&data.y, &p, threshold);
        if calibrator.is_some() {
            let before = scored.metrics.log_loss;
            outputs.note(format!("calibrated: log loss {before:.4} before, {:.4} after", metrics.log_loss));
        }
        let mut bundle = Bundle::new(best.learner.name, best.named(), metrics, preprocessor, fitted);
        bundle.calibrator = calibrator;
        bundle.profile = inputs.maybe("profile").map(Input::bytes).transpose()?;
        if let Some(budget) = self.threshold_fpr {
            outputs.note(format!(
                "alarms from {threshold:.4} on: at most {} % false alarms and a recall of {:.4} in cross-validation",
                budget * 100.0,
                metrics.recall
            ));
        }
        outputs.bytes("model", bundle.encode());
        Ok(())
    }
}

type Outcome = Result<Scored, ModelError>;

impl Train {
    /// Carries out trials until the search has no more.
    fn search(&self, data: &Data, context: &Context<'_>) -> Result<(Vec<Trial>, Vec<Outcome>), StageError> {
        let fold_of = folds(data, self.folds, self.by, context.seed);
        let made = format!("{} by {:?} seed {}", self.folds, self.by, context.seed);
        let with_gap = self.overfit_gap.is_some();
        let sweep = Sweep { data, fold_of: &fold_of, folds: self.folds, made, metric: &self.metric, with_gap };
        let search = Search { spaces: self.spaces.clone(), strategy: self.strategy, seed: context.seed };
        let (mut trials, mut scores, mut done) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let next = search.next(&done);
            if next.is_empty() {
                return Ok((trials, scores));
            }
            let of = |trial: &search::Trial| Trial {
                learner: self.learners[trial.candidate],
                setting: trial.setting.clone(),
                share: trial.share,
            };
            let batch: Vec<Trial> = next.iter().map(of).collect();
            let found = sweep.carry_out(&batch, trials.len(), context)?;
            done.extend(next.into_iter().zip(&found).map(|(trial, outcome)| {
                (trial, outcome.as_ref().ok().and_then(|scored| scored.metrics.score(&self.metric)))
            }));
            trials.extend(batch);
            scores.extend(found);
        }
    }

    /// The least probability that is to raise an alarm.
    fn threshold(&self, data: &Data, p: &[f64]) -> Result<f64, StageError> {
        let Some(budget) = self.threshold_fpr else { return Ok(0.5) };
        let threshold = threshold_within(&data.y, p, budget);
        match threshold.is_finite() {
            true => Ok(threshold),
            false => Err(StageError::Rejected(format!(
                "no threshold keeps false alarms within {} %: benign rows have the highest score",
                budget * 100.0
            ))),
        }
    }

    /// Why a trial may not be picked.
    fn objection(&self, scored: &Scored) -> Option<String> {
        let score = scored.metrics.score(&self.metric).unwrap_or(f64::NEG_INFINITY);
        if score < self.min_score {
            return Some(format!("{} {score:.4} is below {}", self.metric, self.min_score));
        }
        if let Some(most) = self.max_fpr.filter(|most| scored.metrics.false_positive_rate > *most) {
            return Some(format!("{:.4} false alarms are above {most}", scored.metrics.false_positive_rate));
        }
        if let (Some(most), Some(gap)) = (self.overfit_gap, scored.gap)
            && gap > most
        {
            return Some(format!("it is {gap:.4} better on the rows it was fitted to, above {most}"));
        }
        None
    }

    /// Picks the best trial that nothing speaks against; of equal ones the first. Gives the leaderboard whatever happens.
    fn pick<'t>(
        &self,
        trials: &'t [Trial],
        scores: &'t [Outcome],
        data: &Data,
        outputs: &mut Outputs,
    ) -> Result<(&'t Trial, &'t Scored), StageError> {
        let score = |metrics: &Metrics| metrics.score(&self.metric).unwrap_or(f64::NEG_INFINITY);
        let key = |index: usize| {
            let scored = scores[index].as_ref().map_or(f64::NEG_INFINITY, |scored| score(&scored.metrics));
            (trials[index].share, scored)
        };
        let mut order: Vec<usize> = (0..trials.len()).collect();
        order.sort_by(|a, b| key(*b).0.total_cmp(&key(*a).0).then(key(*b).1.total_cmp(&key(*a).1)));
        let row = |index: &usize| {
            let trial = &trials[*index];
            let setting: serde_json::Map<String, serde_json::Value> =
                trial.named().into_iter().map(|(name, value)| (name, json!(value))).collect();
            let mut row = json!({"trial": index + 1, "learner": trial.learner.name, "setting": setting});
            if trial.share < 1.0 {
                row["share"] = json!(trial.share);
            }
            match &scores[*index] {
                Ok(scored) => {
                    row["score"] = json!(score(&scored.metrics));
                    row["folds"] = json!(scored.folds);
                    row["metrics"] = json!(scored.metrics);
                    row["gap"] = json!(scored.gap);
                    row["objection"] = json!(self.objection(scored));
                }
                Err(error) => row["error"] = json!(error.0),
            }
            row
        };
        let report = json!({
            "metric": self.metric,
            "min_score": self.min_score,
            "folds": self.folds,
            "rows": data.y.len(),
            "trials": order.iter().map(row).collect::<Vec<_>>(),
        });
        outputs.bytes("metrics", serde_json::to_vec_pretty(&report).expect("plain data serialises"));
        let whole = |index: &&usize| trials[**index].share >= 1.0;
        let fit = |index: &usize| scores[*index].as_ref().ok().filter(|scored| self.objection(scored).is_none());
        if let Some((index, scored)) = order.iter().filter(whole).find_map(|index| Some((*index, fit(index)?))) {
            let (trial, score) = (&trials[index], score(&scored.metrics));
            outputs.note(format!("best of {} trials: {} with {} {score:.4}", trials.len(), trial.show(), self.metric));
            return Ok((trial, scored));
        }
        let best = order[0];
        match &scores[best] {
            Err(error) => Err(failed(&trials[best], error)),
            Ok(scored) => Err(StageError::Rejected(format!(
                "no candidate may be picked: the best was {} with {} {:.4}, and {}; the leaderboard is kept as `metrics`",
                trials[best].show(),
                self.metric,
                score(&scored.metrics),
                self.objection(scored).unwrap_or_else(|| "no trial had all rows".to_owned())
            ))),
        }
    }
}

fn failed(trial: &Trial, error: &ModelError) -> StageError {
    StageError::Data(format!("{} could not be fitted: {error}", trial.show()))
}
