//! `train`: the model factory. Candidates × settings × folds in parallel; the best by the declared
//! metric.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::base::name::in_backticks;
use crate::base::nearest::suggest;
use crate::base::stored::{StoredDocument, finite};
use crate::frame::labels::Labels;
use crate::frame::npy;
use crate::kinds::dataset::Dataset;
use crate::kinds::train::folding::{FoldPlan, FoldSettings};
use crate::kinds::train::params::{
    CalibrationMethod, EnsembleParams, MonotoneDirection, SearchMethod, SearchParams, TrainParams,
};
use crate::kinds::train::{candidates, checks, families, notes, picking};
use crate::model::bundle::ModelBundle;
use crate::model::class_metrics::ClassMetrics;
use crate::model::class_report::ClassReport;
use crate::model::data::{HeldOutRows, TrainingSet};
use crate::model::error::ModelError;
use crate::model::intervals::intervals;
use crate::model::learner::FitTask;
use crate::model::learners::Learner;
use crate::model::metrics::RankedRows;
use crate::model::threshold::ThresholdRule;
use crate::prep::error::PrepError;
use crate::prep::preprocessor::Preprocessor;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Input, Inputs, Outputs};
use crate::stage::kind::{Stage, StageKind};
use crate::stage::param::{ParamError, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;
use crate::tuning::composition::Composition;
use crate::tuning::ensembles::{self, EnsembleRequest, members_scored};
use crate::tuning::families::Families;
use crate::tuning::folds::{FoldPlacement, Folds, FoldsKey, rows_digest};
use crate::tuning::leaderboard::{CurvePoint, ShortcutAblation};
use crate::tuning::left_out::unseen_families;
use crate::tuning::novelty_comparison;
use crate::tuning::search::{self, SearchDimension, SearchSpace, SearchStrategy};
use crate::tuning::selection::{self, JudgedResult, JudgedTrial, SelectionRule};
use crate::tuning::shortcuts::without_shortcuts;
use crate::tuning::trials::{CrossValidation, TrialFit, TrialPlan};
use ndarray::Axis;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "train",
    version: 12,
    doc: "Fits every candidate with the settings of its grid, or those that a search finds in its space, by cross-validation, \
          in parallel, picks the best, and fits it on all training rows. Every fit is kept by itself: more candidates cost \
          what they add, and what was stopped goes on.",
    inputs: Ports::Fixed(&[
        Port {
            name: "train",
            format: PortFormat::Array,
            need: PortNeed::One,
            doc: "features, then the class in the last column",
        },
        Port {
            name: "preprocessor",
            format: PortFormat::Preprocessor,
            need: PortNeed::One,
            doc: "stored with the model, so that it takes tables as they come",
        },
        Port {
            name: "profile",
            format: PortFormat::Profile,
            need: PortNeed::Optional,
            doc: "what the training rows look like, as `drift` gives it: stored with the model, so that later rows can be \
                  compared with them",
        },
        Port {
            name: "validation",
            format: PortFormat::Table,
            need: PortNeed::Optional,
            doc: "rows as they come by which `patience` of `gradient_boosting` sees that more trees do not help; without them, \
                  some of the training rows are held out for it",
        },
        Port {
            name: "rows",
            format: PortFormat::Table,
            need: PortNeed::Optional,
            doc: "the training rows as they come, for folds by group or time",
        },
    ]),
    outputs: Ports::Fixed(&[
        Port {
            name: "model",
            format: PortFormat::Model,
            need: PortNeed::One,
            doc: "the model with its preprocessor",
        },
        Port {
            name: "metrics",
            format: PortFormat::Json,
            need: PortNeed::One,
            doc: "the leaderboard: figures of every trial",
        },
    ]),
    params: TrainParams::PARAMS,
    seeded: true,
    runs_elsewhere: false,
    remote: RemoteWork::Parts,
    make,
};

/// The most trials that are begun at once where time is short.
const ROUND: usize = 8;

struct TrainStage {
    learners: Vec<&'static Learner>,
    spaces: Vec<Vec<SearchDimension>>,
    strategy: SearchStrategy,
    prune: bool,
    minutes: Option<f64>,
    folding: FoldSettings,
    monotone: BTreeMap<String, MonotoneDirection>,
    select: SelectionRule,
    leave_out: Option<String>,
    ensembles: Vec<EnsembleRequest>,
    curve: Vec<f64>,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let params = TrainParams::of(values);
    let strategy = strategy(&params.search);
    let (learners, spaces, mut faults) = candidates::read(&params.candidates, strategy);
    if !params.monotone.is_empty() {
        faults.extend(checks::not_monotone(&learners));
    }
    let threshold = picking::threshold(params.threshold_fpr, params.cost.as_ref());
    let threshold = threshold
        .map_err(|fault| faults.push(fault))
        .unwrap_or(ThresholdRule::Half);
    if params.threshold_fpr.is_none()
        && params.cost.is_none()
        && params.calibrate == CalibrationMethod::None
    {
        faults.extend(checks::no_threshold(&learners));
    }
    let ensembles: Vec<EnsembleRequest> = params
        .ensembles
        .iter()
        .map(EnsembleParams::request)
        .collect();
    faults.extend(checks::no_members(&ensembles, &learners));
    faults.extend(checks::not_tried(
        &params.select.among,
        &ensembles,
        &learners,
    ));
    let folding = FoldSettings::read(params.folds, params.fold_by, params.fold_column);
    let folding = folding.map_err(|fault| faults.push(fault)).ok();
    let select = picking::rule(
        params.select,
        threshold,
        params.review_fpr,
        params.calibrate,
    );
    let select = select.map_err(|wrong| faults.extend(wrong)).ok();
    match (select, folding) {
        (Some(select), Some(folding)) if faults.is_empty() => Ok(Box::new(TrainStage {
            learners,
            spaces,
            strategy,
            prune: params.search.prune,
            minutes: params.search.minutes,
            folding,
            monotone: params.monotone,
            select,
            leave_out: params.leave_out,
            ensembles,
            curve: params.learning_curve,
        })),
        _ => Err(faults),
    }
}

fn strategy(search: &SearchParams) -> SearchStrategy {
    match search.strategy {
        SearchMethod::Grid => SearchStrategy::Grid,
        SearchMethod::Random => SearchStrategy::Random(search.trials),
        SearchMethod::Tpe => SearchStrategy::Tpe(search.trials),
        SearchMethod::Halving => SearchStrategy::Halving(search.trials, search.factor),
    }
}

impl Stage for TrainStage {
    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let preprocessor = Preprocessor::decode(&inputs.one("preprocessor").bytes()?)?;
        let mut data = self.data(inputs, &preprocessor)?;
        self.check_classes(&data)?;
        checks::no_weights(&self.learners, &data)?;
        checks::no_categories(&self.learners, &data)?;
        let mut folding = self.folding.plan(inputs, &data, &preprocessor)?;
        data.hold_out_last = folding.by.places_to_hold_out(context.seed);
        if let Some(input) = inputs.maybe("validation") {
            data.validation = Some(validation(input, &preprocessor)?);
            folding.inputs.extend(["validation", "preprocessor"]);
        }
        let families = match &self.leave_out {
            Some(word) => families::read(word, inputs, &data, &preprocessor)?,
            None => Families::default(),
        };
        let sweep = self.sweep(&data, &folding, families, outputs, context)?;
        let (trials, judged) = self.search(&sweep, outputs, context)?;
        let (trials, judged) = self.with_ensembles(trials, judged, &sweep);
        let order = SelectionRule::order(&trials, &judged);
        let size = (self.folding.folds, data.labels.len());
        let mut board = self.select.board(&trials, &judged, &order, size);
        outputs.bytes("metrics", board.encode());
        let (best, picked) = self.pick(&trials, &judged, &order)?;
        let labels = data.labels.select(&picked.scored.rows);
        let ranked = RankedRows::of_folds(&labels, &picked.scores, &picked.scored.fold_of);
        let sure = intervals(&ranked, picked.metrics.threshold, context.seed);
        board.intervals = Some(sure.clone());
        board.by_class = ClassReport::of(&labels, &picked.scores, picked.metrics.threshold);
        if let Some(least) = board.by_class.as_ref().and_then(ClassReport::least_found) {
            outputs.note(least.tell_least());
        }
        let review = self.select.review(&labels, picked);
        if let Some(review) = &review {
            outputs.note(review.tell());
        }
        if !self.curve.is_empty() {
            board.learning_curve =
                self.learning_curve(&sweep, best, &data, trials.len(), context)?;
        }
        let done = trials.len() + self.curve.len();
        board.unseen_families =
            unseen_families(best, &picked.scored, &data, &sweep, done, context)?;
        if let Some(least) = board.unseen_families.first() {
            outputs.note(least.tell());
        }
        board.novelty =
            novelty_comparison::compared(&trials, &judged, &order, &data, sweep.families());
        if let Some(beside) = &board.novelty {
            outputs.note(format!("novelty: {}", beside.tell()));
        }
        let blind = without_shortcuts(best, &data, &preprocessor, &sweep, context)?;
        if let Some((columns, metrics)) = &blind {
            board.without_shortcuts = Some(ShortcutAblation {
                columns: columns.clone(),
                metrics: *metrics,
            });
            outputs.note(format!(
                "without {}, which may hold for this testbed only: ROC AUC {:.4}, with {:.4}",
                in_backticks(columns),
                metrics.roc_auc,
                picked.metrics.roc_auc
            ));
        }
        outputs.bytes("metrics", board.encode());
        let rows = data.rows();
        let task = FitTask {
            data: &data,
            rows: &rows,
            setting: &[],
            seed: context.seed,
            cancel: context.cancel,
        };

        let members = members_scored(best, &judged);
        let fitted = best.fit(&task, &members);
        let fitted = fitted.map_err(|error| failed(best, &error));
        context.check()?;
        let fitted = fitted?;
        notes::tell_failures(&judged, outputs);
        let whole = trials.iter().filter(|trial| trial.share() >= 1.0).count();
        if data.labels.attacks() == 0 {
            notes::tell_without_attacks(picked, &sure, outputs);
        } else {
            notes::tell_best(&self.select, best, picked, &sure, whole, outputs);
        }
        let mut bundle = ModelBundle::new(
            best.name(),
            best.named(),
            picked.metrics,
            preprocessor,
            fitted,
        );
        bundle.calibrator.clone_from(&picked.calibrator);
        bundle.intervals = sure;
        bundle.review = review;
        bundle.by_class = board.by_class;
        bundle.unseen_families = board.unseen_families;
        bundle.novelty = board.novelty;
        bundle.without_shortcuts = blind;
        bundle.profile = inputs.maybe("profile").map(Input::bytes).transpose()?;
        outputs.bytes("model", bundle.encode());
        Ok(())
    }
}

impl TrainStage {
    fn data(
        &self,
        inputs: &Inputs,
        preprocessor: &Preprocessor,
    ) -> Result<TrainingSet, StageError> {
        let array = npy::decode(&inputs.one("train").bytes()?)?;
        if array.ncols() < 2 {
            return Err(StageError::Data(
                "the training array has no feature column".to_owned(),
            ));
        }
        let (x, y) = array.view().split_at(Axis(1), array.ncols() - 1);
        let names = preprocessor.features();
        let classes = preprocessor.classes().clone();
        let labels = Labels::of_numbers(classes, y.iter().copied())?;
        let mut data = TrainingSet::new(x.to_owned(), labels, names)?;
        if preprocessor.training_rows().len() == data.labels.len() {
            data.origins = preprocessor.training_rows().to_vec();
        }
        if preprocessor.weights().len() == data.labels.len() {
            data.weights = preprocessor.weights().to_vec();
        }
        data.categories = preprocessor.categories();
        if !self.monotone.is_empty() {
            data.directions = vec![0; data.x.ncols()];
        }
        for (name, way) in &self.monotone {
            let Some(at) = names.iter().position(|known| known == name) else {
                let help = suggest(name, names.iter().map(String::as_str)).unwrap_or_default();
                return Err(StageError::Data(format!(
                    "monotone: there is no feature `{name}`: {help}"
                )));
            };
            if data.categories.get(at) == Some(&true) {
                return Err(StageError::Data(format!(
                    "monotone: `{name}` holds categories, which do not rise or fall"
                )));
            }
            data.directions[at] = match way {
                MonotoneDirection::Rising => 1,
                MonotoneDirection::Falling => -1,
            };
        }
        Ok(data)
    }

    fn check_classes(&self, data: &TrainingSet) -> Result<(), StageError> {
        let metric = self.select.metric.as_str();
        if data.labels.classes().are_two_sides() && ClassMetrics::NAMES.contains(&metric) {
            return Err(StageError::Data(format!(
                "select: `{metric}` tells more than two classes apart, and `target_map` of `transform` names two: choose another \
                 metric, or give families of attacks their own classes"
            )));
        }
        let attacks = data.labels.attacks();
        let benign = data.labels.benign();
        if attacks.min(benign) >= self.select.min_attacks {
            return Ok(());
        }
        let are_novelty = self.learners.iter().all(|learner| learner.is_novelty);
        if attacks == 0 && are_novelty {
            return self.check_alone();
        }
        let what = if attacks < benign {
            "attacks"
        } else {
            "benign rows"
        };
        Err(StageError::Rejected(format!(
            "only {} {what} are among the {} training rows, too few to choose a model by: at least {} are needed (`min_attacks` of \
             `select`); bring more of them, as from a longer time, or keep all of them while others are thinned out before; where \
             there are no more, set `min_attacks` lower with `fold_by: stratified` and few `folds`, and read the intervals",
            attacks.min(benign),
            data.labels.len(),
            self.select.min_attacks
        )))
    }

    /// Checks that there is nothing to choose, as without attacks nothing can be chosen by.
    fn check_alone(&self) -> Result<(), StageError> {
        let mut dimensions = self.spaces.iter().flatten();
        let is_set = |dimension: &SearchDimension| matches!(dimension, SearchDimension::Choice(values) if values.len() == 1);
        if self.learners.len() == 1 && dimensions.all(is_set) {
            return Ok(());
        }
        Err(StageError::Rejected(
            "no attack is among the training rows, so that several novelty detectors cannot be compared: name one candidate with one \
             value for each hyperparameter, or bring labelled attacks to choose by"
                .to_owned(),
        ))
    }

    fn sweep<'a>(
        &'a self,
        data: &'a TrainingSet,
        folding: &FoldPlan,
        families: Families,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<CrossValidation<'a>, StageError> {
        let key = FoldsKey {
            count: self.folding.folds,
            by: folding.origin.clone(),
            seed: context.seed,
            rows: match folding.by {
                FoldPlacement::Content | FoldPlacement::Stratified => rows_digest(data),
                FoldPlacement::Group(_) | FoldPlacement::Time(_) => None,
            },
            without: Vec::new(),
        };
        let folds = Folds::new(data, self.folding.folds, &folding.by, context.seed);
        let plan = TrialPlan {
            key,
            inputs: folding.inputs.clone(),
            metric: &self.select.metric,
            with_gap: self.select.overfit_gap.is_some(),
            families,
        };
        let sweep = CrossValidation::new(data, folds, plan, context.seed);
        self.folding
            .check(&sweep.classes(), &folding.by)?
            .into_iter()
            .for_each(|note| outputs.note(note));
        Ok(sweep)
    }

    /// Carries out trials until the search has no more, or the time is up.
    fn search(
        &self,
        sweep: &CrossValidation<'_>,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(Vec<TrialFit>, Vec<JudgedResult>), StageError> {
        let search = SearchSpace {
            spaces: self.spaces.clone(),
            strategy: self.strategy,
            seed: context.seed,
        };
        // What was given up is never built on.
        let score = |judged: &JudgedResult| {
            let judged = judged.as_ref().ok();
            let judged = judged.filter(|judged| judged.scored.given_up.is_none())?;
            judged.metrics.score(&self.select.metric)
        };
        let begun = Instant::now();
        let is_over = || {
            self.minutes
                .is_some_and(|minutes| begun.elapsed().as_secs_f64() > minutes * 60.0)
        };
        let (mut trials, mut judged, mut done) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let next = search.next(&done);
            if next.is_empty() {
                return Ok((trials, judged));
            }
            let round = if self.minutes.is_some() {
                ROUND
            } else {
                next.len()
            };
            for next in next.chunks(round) {
                if is_over() && !trials.is_empty() {
                    outputs.note(format!("time limit reached after {} trials", trials.len()));
                    return Ok((trials, judged));
                }
                let of = |trial: &search::Trial| TrialFit {
                    learner: self.learners[trial.candidate],
                    setting: trial.setting.clone(),
                    share: trial.share,
                    left_out: None,
                };
                let batch: Vec<TrialFit> = next.iter().map(of).collect();
                let outcomes = sweep.carry_out(&batch, trials.len(), self.prune, context)?;
                let found = selection::judged(&self.select, sweep.data(), outcomes);
                let scores = found.iter().map(score);
                done.extend(next.iter().cloned().zip(scores));
                trials.extend(batch);
                judged.extend(found);
            }
        }
    }

    /// Puts trials together as asked; what comes of it stands behind them.
    fn with_ensembles(
        &self,
        trials: Vec<TrialFit>,
        mut judged: Vec<JudgedResult>,
        sweep: &CrossValidation<'_>,
    ) -> (Vec<Composition>, Vec<JudgedResult>) {
        let numbered = trials.into_iter().zip(1..);
        let mut all: Vec<Composition> = numbered
            .map(|(trial, number)| Composition::of_trial(trial, number))
            .collect();
        let order = SelectionRule::order(&all, &judged);
        let composed = self.ensembles.iter();
        let composed =
            composed.map(|request| ensembles::composed(*request, &all, &judged, &order, sweep));
        for (composition, outcome) in composed.collect::<Vec<_>>() {
            all.push(composition);
            judged.push(outcome.map(|scored| self.select.judge(sweep.data(), scored)));
        }
        self.select.only_among(&all, &mut judged);
        (all, judged)
    }

    /// Picks the best trial that nothing speaks against.
    fn pick<'t>(
        &self,
        trials: &'t [Composition],
        judged: &'t [JudgedResult],
        order: &[usize],
    ) -> Result<(&'t Composition, &'t JudgedTrial), StageError> {
        let fits = |index: &usize| {
            let judged = judged[*index]
                .as_ref()
                .ok()
                .filter(|judged| judged.objection.is_none())?;
            (trials[*index].share() >= 1.0).then_some((&trials[*index], judged))
        };
        if let Some(found) = order.iter().find_map(fits) {
            return Ok(found);
        }
        let best = order[0];
        match &judged[best] {
            Err(error) => Err(failed(&trials[best], error)),
            Ok(judged) => Err(StageError::Rejected(format!(
                "no candidate may be picked: the best was {} with {} {:.4}, and {}; the leaderboard is kept as `metrics`",
                trials[best].show(),
                self.select.metric,
                judged.score,
                judged
                    .objection
                    .clone()
                    .unwrap_or_else(|| "no trial had all rows".to_owned())
            ))),
        }
    }

    /// Carries a trial out on shares of the rows.
    fn learning_curve(
        &self,
        sweep: &CrossValidation<'_>,
        best: &Composition,
        data: &TrainingSet,
        first: usize,
        context: &StageContext<'_>,
    ) -> Result<Vec<CurvePoint>, StageError> {
        let on_share = |share: f64| move |trial: TrialFit| TrialFit { share, ..trial };
        let ways: Vec<_> = self.curve.iter().map(|share| on_share(*share)).collect();
        let ways: Vec<&dyn Fn(TrialFit) -> TrialFit> = ways.iter().map(|way| way as _).collect();
        let outcomes = best.carried_out(&ways, sweep, first, context)?;
        let judged = selection::judged(&self.select, data, outcomes);
        let points = self.curve.iter().zip(judged);
        Ok(points
            .map(|(share, judged)| point(*share, judged))
            .collect())
    }
}

/// Reads the rows by which early stopping sees that it does not help any more.
fn validation(input: &Input, preprocessor: &Preprocessor) -> Result<HeldOutRows, StageError> {
    let table = Dataset::open(input)?.whole()?;
    let wrong = |error: PrepError| StageError::Data(format!("validation: {error}"));
    let labels = preprocessor.labels(&table).map_err(wrong)?;
    if labels.is_empty() {
        return Err(StageError::Data("validation: there are no rows".to_owned()));
    }
    let x = preprocessor.apply(&table).map_err(wrong)?;
    Ok(HeldOutRows {
        x,
        labels,
        weights: Vec::new(),
    })
}

fn point(share: f64, judged: JudgedResult) -> CurvePoint {
    match judged {
        Ok(judged) => CurvePoint {
            share,
            score: finite(judged.score),
            folds: judged.scored.folds.into_iter().map(finite).collect(),
            error: None,
        },
        Err(error) => CurvePoint {
            share,
            score: None,
            folds: Vec::new(),
            error: Some(error.to_string()),
        },
    }
}

fn failed(trial: &Composition, error: &ModelError) -> StageError {
    StageError::Data(format!("{} could not be fitted: {error}", trial.show()))
}
