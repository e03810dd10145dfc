//! Trials of a search, carried out: each a part of its own, fits shared by those that a larger
//! model holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::base::cancel::Cancel;
use crate::model::data::TrainingSet;
use crate::model::error::ModelError;
use crate::model::hyper::{HyperparameterValue, Hyperparameters};
use crate::model::learner::FitTask;
use crate::model::learners::Learner;
use crate::model::metrics::{Metrics, RankedRows};
use crate::model::scores::Scores;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::sub_action::SubAction;
use crate::tuning::families::Families;
use crate::tuning::folds::{Folds, FoldsKey, places, weights_digest};

/// A setting of a learner on a share of the rows.
#[derive(Clone, Debug)]
pub(crate) struct TrialFit {
    pub(crate) learner: &'static Learner,
    pub(crate) setting: Hyperparameters,
    pub(crate) share: f64,
    /// The family of attacks whose rows its models are not fitted to.
    pub(crate) left_out: Option<u16>,
}

impl TrialFit {
    pub(crate) fn named(&self) -> Vec<(String, HyperparameterValue)> {
        self.learner.named(&self.setting)
    }

    /// Tells it, without what is as usual.
    pub(crate) fn show(&self) -> String {
        let usual = self.learner.usual();
        let named = self.named().into_iter().zip(self.setting.iter().zip(usual));
        let setting: Vec<String> = named
            .filter(|(_, (value, usual))| **value != *usual)
            .map(|((name, value), _)| format!("{name}: {value}"))
            .collect();
        format!("{} {{{}}}", self.learner.name, setting.join(", "))
    }

    /// How large its model is, and the same trial of any size.
    fn family(&self) -> (usize, TrialFit) {
        let mut family = self.clone();
        // A model that holds no others is of any size.
        let size = self.learner.size.map_or(usize::MAX, |at| {
            std::mem::take(&mut family.setting[at]) as usize
        });
        (size, family)
    }

    fn is_like(&self, other: &Self) -> bool {
        self.learner.name == other.learner.name
            && self.setting == other.setting
            && self.share == other.share
            && self.left_out == other.left_out
    }
}

/// What a trial came to.
#[derive(Clone, Debug)]
pub(crate) struct ScoredTrial {
    /// The figures of all rows that were told, each by a model that did not see it.
    pub(crate) metrics: Metrics,
    /// Of every fold, how good its model is by the metric.
    pub(crate) folds: Vec<f64>,
    /// How much better the models are on the rows that they were fitted to, if that was asked.
    pub(crate) gap: Option<f64>,
    /// The rows that were told.
    pub(crate) rows: Vec<u32>,
    /// Of each the fold that it is in.
    pub(crate) fold_of: Vec<u32>,
    /// What their models make of them.
    pub(crate) scores: Scores,
    /// Why not all folds were carried out.
    pub(crate) given_up: Option<String>,
}

/// What trials came to.
pub(crate) type TrialResult = Result<ScoredTrial, ModelError>;

/// Rows and their folds.
pub(crate) struct CrossValidation<'a> {
    data: &'a TrainingSet,
    folds: Folds,
    /// Of every fold the rows that are asked about.
    held: Vec<Vec<u32>>,
    /// How folds were made.
    key: FoldsKey,
    /// The stage's inputs that fits depend on.
    inputs: Vec<&'static str>,
    metric: &'a str,
    /// Whether models are judged by the rows that they were fitted to, too.
    with_gap: bool,
    families: Families,
    seed: u64,
    /// Of every row its place among all, for trials on a share of them.
    places: OnceLock<Vec<f64>>,
    news: Mutex<SearchProgress>,
}

/// What is kept of a fit: the scores of the rows of its fold, and how good it is on those
/// that it was fitted to.
type FoldFit = Result<(Scores, Option<f64>), String>;

/// Fits by trial and fold.
type FoldFits = Vec<BTreeMap<usize, FoldFit>>;

/// Trials whose models are all held by the largest of them.
struct TrialFamily {
    trial: TrialFit,
    /// Sizes with the trials that have them, in ascending order.
    sizes: Vec<(usize, usize)>,
    /// Of every fold, the fits of the sizes that were not kept.
    fits: Vec<OnceLock<BTreeMap<usize, FoldFit>>>,
}

/// How trials are carried out.
pub(crate) struct TrialPlan<'a> {
    /// How folds were made.
    pub(crate) key: FoldsKey,
    /// The stage's inputs that fits depend on.
    pub(crate) inputs: Vec<&'static str>,
    /// What models are judged by.
    pub(crate) metric: &'a str,
    /// Whether they are judged by the rows that they were fitted to, too.
    pub(crate) with_gap: bool,
    /// The families of attacks that trials may leave out.
    pub(crate) families: Families,
}

impl<'a> CrossValidation<'a> {
    /// Makes ready to carry trials out.
    pub(crate) fn new(data: &'a TrainingSet, folds: Folds, plan: TrialPlan<'a>, seed: u64) -> Self {
        let held = (0..folds.count).map(|fold| folds.held(fold)).collect();
        let TrialPlan {
            key,
            inputs,
            metric,
            with_gap,
            families,
        } = plan;
        let (places, news) = (OnceLock::new(), Mutex::default());
        Self {
            data,
            folds,
            held,
            key,
            inputs,
            metric,
            with_gap,
            families,
            seed,
            places,
            news,
        }
    }

    /// Makes ready to carry trials out on the same rows with other features, in the same folds:
    /// without a column more of the rows could be equal. The features of some columns tell nothing
    /// there.
    pub(crate) fn with_features<'b>(
        &'b self,
        data: &'b TrainingSet,
        without: &[String],
    ) -> CrossValidation<'b> {
        let plan = TrialPlan {
            key: FoldsKey {
                without: without.to_vec(),
                ..self.key.clone()
            },
            inputs: self.inputs.clone(),
            metric: self.metric,
            with_gap: false,
            families: Families::default(),
        };
        CrossValidation::new(data, self.folds.clone(), plan, self.seed)
    }

    /// Returns the rows.
    pub(crate) fn data(&self) -> &TrainingSet {
        self.data
    }

    /// Returns the families of attacks that trials may leave out.
    pub(crate) fn families(&self) -> &Families {
        &self.families
    }

    /// Returns the attacks and the benign rows of every fold.
    pub(crate) fn classes(&self) -> Vec<(usize, usize)> {
        let of = |held: &Vec<u32>| {
            let labels = self.data.labels.select(held);
            (labels.attacks(), labels.benign())
        };
        self.held.iter().map(of).collect()
    }

    fn part(&self, trial: &TrialFit, number: usize, fold: usize) -> SubAction {
        let name = format!("trial-{}-fold-{}", number + 1, fold + 1);
        let setting: BTreeMap<String, HyperparameterValue> = trial.named().into_iter().collect();
        let mut part = SubAction::new("trial", name)
            .costly()
            .with("learner", trial.learner.name)
            .with("setting", setting)
            .with("folds", &self.key)
            .with("fold", fold);
        if trial.share < 1.0 {
            part = part.with("share", trial.share);
        }
        if let Some(family) = trial.left_out {
            let names = &self.families.names;
            part = part
                .with("left_out", &names[usize::from(family)])
                .with("families", &self.families.column);
        }
        if !self.data.directions.is_empty() && trial.learner.monotone {
            part = part.with("directions", &self.data.directions);
        }
        if !self.data.categories.is_empty() {
            part = part.with("categories", &self.data.categories);
        }
        if let Some(weights) = weights_digest(self.data) {
            part = part.with("weights", weights);
        }
        if self.with_gap {
            part = part.with("gap", self.metric);
        }
        part.inputs.clone_from(&self.inputs);
        if trial.left_out.is_some() && self.families.column.is_some() {
            part.inputs.push("rows");
        }
        part
    }

    /// Carries trials out, of which the first has this number. With `prune`, those that are worse
    /// than half of the others after a fold are given up.
    pub(crate) fn carry_out(
        &self,
        trials: &[TrialFit],
        first: usize,
        prune: bool,
        context: &StageContext<'_>,
    ) -> Result<Vec<TrialResult>, StageError> {
        let folds: Vec<usize> = (0..self.folds.count)
            .filter(|fold| !self.held[*fold].is_empty())
            .collect();
        let mut fits: FoldFits = vec![BTreeMap::new(); trials.len()];
        let mut given_up: Vec<Option<String>> = vec![None; trials.len()];
        let step = if prune { 1 } else { folds.len().max(1) };
        for some in folds.chunks(step) {
            let going: Vec<usize> = (0..trials.len())
                .filter(|trial| given_up[*trial].is_none())
                .collect();
            self.fit_all(trials, &going, some, first, &mut fits, context)?;
            if prune && some.last() != folds.last() {
                self.give_up(&going, &fits, &mut given_up);
            }
        }
        let outcomes: Vec<TrialResult> = fits
            .into_iter()
            .zip(given_up)
            .map(|(fits, given_up)| self.pooled(fits, given_up))
            .collect();
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        for (trial, scored) in trials.iter().zip(&outcomes) {
            if let Ok(scored) = scored {
                news.better(scored.metrics.score(self.metric).unwrap_or_default(), trial);
            }
        }
        Ok(outcomes)
    }

    /// Fits some trials to some folds.
    fn fit_all(
        &self,
        trials: &[TrialFit],
        going: &[usize],
        folds: &[usize],
        first: usize,
        fits: &mut FoldFits,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let mut families: Vec<TrialFamily> = Vec::new();
        let mut family_of = BTreeMap::new();
        for &number in going {
            let (size, alike) = trials[number].family();
            let at = families
                .iter()
                .position(|family| family.trial.is_like(&alike))
                .unwrap_or(families.len());
            if at == families.len() {
                let fits = (0..self.folds.count).map(|_| OnceLock::new()).collect();
                families.push(TrialFamily {
                    trial: alike,
                    sizes: Vec::new(),
                    fits,
                });
            }
            families[at].sizes.push((size, number));
            family_of.insert(number, (at, size));
        }
        families
            .iter_mut()
            .for_each(|family| family.sizes.sort_unstable());
        // The largest of every family first: it makes the others too.
        let mut pairs: Vec<(usize, usize)> = going
            .iter()
            .flat_map(|trial| folds.iter().map(move |fold| (*trial, *fold)))
            .collect();
        let is_largest = |trial: usize| {
            families[family_of[&trial].0]
                .sizes
                .last()
                .is_some_and(|(_, largest)| *largest == trial)
        };
        pairs.sort_by_key(|(trial, fold)| (!is_largest(*trial), *trial, *fold));
        let part = |(trial, fold): &(usize, usize)| {
            let part = self.part(&trials[*trial], first + trial, *fold);
            part.together(format!("family {} fold {fold}", family_of[trial].0))
        };
        let parts: Vec<SubAction> = pairs.iter().map(part).collect();
        let mut missing = BTreeSet::new();
        for (kept, pair) in context.memo.recall_all(&parts)?.iter().zip(&pairs) {
            if kept.is_none() {
                missing.insert(*pair);
            }
        }
        self.news
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .begin(pairs.len(), missing.len());
        let kept = context.memo.keep(&parts, &|at, context| {
            context.check()?;
            let (trial, fold) = pairs[at];
            let (family, size) = (&families[family_of[&trial].0], family_of[&trial].1);
            let fits = family.fits[fold].get_or_init(|| {
                let wanted = family
                    .sizes
                    .iter()
                    .filter(|(_, trial)| missing.contains(&(*trial, fold)));
                self.fits(
                    &family.trial,
                    wanted.map(|(size, _)| *size).collect(),
                    fold,
                    context.cancel,
                )
            });
            // One that was kept a moment ago and is not any more is fitted by itself.
            let alone = (!fits.contains_key(&size))
                .then(|| self.fits(&family.trial, vec![size], fold, context.cancel));
            // What was cut off is not kept.
            context.check()?;
            let fit = fits
                .get(&size)
                .or_else(|| alone.as_ref()?.get(&size))
                .expect("it was just fitted");
            let score = fit.as_ref().ok().map(|(p, _)| self.score(fold, p));
            let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
            let line = news.add(self, score, &trials[trial], first + trial);
            (context.progress)(news.done, news.all, &line);
            Ok(vec![rmp_serde::to_vec(fit).expect("plain data serialises")])
        })?;
        for (kept, (trial, fold)) in kept.iter().zip(&pairs) {
            let bytes = context.memo.fetch(&kept[0].digest)?;
            let fit: FoldFit = rmp_serde::from_slice(&bytes).map_err(|error| {
                StageError::Lost(format!("what is kept of a fit cannot be read: {error}"))
            })?;
            fits[*trial].insert(*fold, fit);
        }
        context.check()
    }

    /// Gives up the trials that are worse, by the mean of their folds so far, than half of those
    /// that go on.
    fn give_up(&self, going: &[usize], fits: &FoldFits, given_up: &mut [Option<String>]) {
        let mean = |trial: usize| {
            let mixed = fits[trial].iter().filter(|(fold, _)| self.is_mixed(**fold));
            let told =
                mixed.map(|(fold, fit)| fit.as_ref().map(|(p, _)| self.score(*fold, p)).ok());
            told.collect::<Option<Vec<f64>>>()
                .filter(|scores| !scores.is_empty())
                .map(|scores| mean(&scores))
        };
        let means: Vec<(usize, f64)> = going
            .iter()
            .filter_map(|trial| Some((*trial, mean(*trial)?)))
            .collect();
        let mut sorted: Vec<f64> = means.iter().map(|(_, mean)| *mean).collect();
        sorted.sort_by(f64::total_cmp);
        let Some(&median) = sorted.get(sorted.len() / 2) else {
            return;
        };
        for (trial, mean) in means.into_iter().filter(|(_, mean)| *mean < median) {
            let folds = fits[trial].len();
            given_up[trial] = Some(format!(
                "given up after {folds} of {} folds: {} {mean:.4} is below the median {median:.4}",
                self.folds.count, self.metric
            ));
        }
    }

    /// Fits the largest of some sizes to all folds but one, and tells what all of them say.
    fn fits(
        &self,
        family: &TrialFit,
        sizes: Vec<usize>,
        fold: usize,
        cancel: &Cancel,
    ) -> BTreeMap<usize, FoldFit> {
        let mut setting = family.setting.clone();
        if let (Some(at), Some(largest)) = (family.learner.size, sizes.iter().max()) {
            setting[at] = *largest as f64;
        }
        let mut rows = self.folds.fitted(fold);
        if family.share < 1.0 {
            let places = self.places.get_or_init(|| places(self.data, self.seed));
            rows.retain(|row| places[*row as usize] <= family.share);
        }
        if let Some(left_out) = family.left_out {
            rows.retain(|row| self.families.of[*row as usize] != Some(left_out));
        }
        let fitted = family.learner.fit(&FitTask {
            data: self.data,
            rows: &rows,
            setting: &setting,
            seed: self.seed,
            cancel,
        });
        let told = fitted.and_then(|model| {
            let held = model.staged(self.data, &self.held[fold], &sizes)?;
            let seen = if self.with_gap {
                Some(model.staged(self.data, &rows, &sizes)?)
            } else {
                None
            };
            Ok((held, seen))
        });
        match told {
            Err(error) => sizes
                .into_iter()
                .map(|size| (size, Err(error.to_string())))
                .collect(),
            Ok((held, seen)) => {
                let labels = self.data.labels.select(&rows);
                let seen = |at: usize| {
                    Some(
                        Metrics::of(&labels, &seen.as_ref()?[at])
                            .score(self.metric)
                            .unwrap_or_default(),
                    )
                };
                held.into_iter()
                    .zip(&sizes)
                    .enumerate()
                    .map(|(at, (scores, size))| (*size, Ok((scores, seen(at)))))
                    .collect()
            }
        }
    }

    fn pooled(&self, fits: BTreeMap<usize, FoldFit>, given_up: Option<String>) -> TrialResult {
        let mut seen = Vec::new();
        let (mut rows, mut fold_of) = (Vec::new(), Vec::new());
        let mut told = Vec::new();
        for (fold, fit) in fits {
            let (predicted, on_seen) = fit.map_err(ModelError::Kept)?;
            seen.push(on_seen.filter(|_| self.is_mixed(fold)));
            rows.extend(&self.held[fold]);
            fold_of.extend(self.held[fold].iter().map(|_| fold as u32));
            told.push(predicted);
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by_key(|place| rows[*place]);
        let in_order = |of: &[u32]| -> Vec<u32> { order.iter().map(|place| of[*place]).collect() };
        let (rows, fold_of) = (in_order(&rows), in_order(&fold_of));
        let scores = Scores::stacked(&told).select(&order);
        let scored = self.scored(rows, fold_of, scores);
        let both = seen.iter().zip(&scored.folds);
        let gaps: Vec<f64> = both
            .filter_map(|(seen, score)| Some((*seen)? - score))
            .collect();
        Ok(ScoredTrial {
            gap: (!gaps.is_empty()).then(|| mean(&gaps)),
            given_up,
            ..scored
        })
    }

    /// Returns what scores of rows, each told by a model that did not see it, come to.
    pub(crate) fn scored(&self, rows: Vec<u32>, fold_of: Vec<u32>, scores: Scores) -> ScoredTrial {
        let labels = self.data.labels.select(&rows);
        let mut numbers = fold_of.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let of_fold = |fold: &u32| {
            let places = (0..rows.len()).filter(|at| fold_of[*at] == *fold);
            let places: Vec<usize> = places.collect();
            let known: Vec<u32> = places.iter().map(|at| *at as u32).collect();
            let figures = Metrics::of(&labels.select(&known), &scores.select(&places));
            figures.score(self.metric).unwrap_or_default()
        };
        let folds = numbers.iter().map(of_fold).collect();
        let ranked = RankedRows::of_folds(&labels, &scores, &fold_of);
        ScoredTrial {
            metrics: ranked.metrics(|_| 1.0, 0.5),
            folds,
            gap: None,
            rows,
            fold_of,
            scores,
            given_up: None,
        }
    }

    /// Whether a fold holds rows of both classes: of others most figures tell nothing.
    fn is_mixed(&self, fold: usize) -> bool {
        let rows = self.held[fold].iter();
        let mut attacks = rows.map(|row| self.data.labels.is_attack(*row as usize));
        let first = attacks.next();
        attacks.any(|is_attack| Some(is_attack) != first)
    }

    fn score(&self, fold: usize, scores: &Scores) -> f64 {
        Metrics::of(&self.data.labels.select(&self.held[fold]), scores)
            .score(self.metric)
            .unwrap_or_default()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// What is told while trials are carried out: how many fits are done of how many, and the best
/// trial so far.
#[derive(Default)]
struct SearchProgress {
    done: u64,
    all: u64,
    folds: BTreeMap<usize, Vec<f64>>,
    best: Option<(f64, String)>,
}

impl SearchProgress {
    /// So many fits follow, of which some are not kept.
    fn begin(&mut self, fits: usize, missing: usize) {
        self.all += fits as u64;
        self.done += (fits - missing) as u64;
    }

    fn better(&mut self, score: f64, trial: &TrialFit) {
        if self.best.as_ref().is_none_or(|(best, _)| score > *best) {
            self.best = Some((score, trial.show()));
        }
    }

    fn add(
        &mut self,
        sweep: &CrossValidation<'_>,
        score: Option<f64>,
        trial: &TrialFit,
        number: usize,
    ) -> String {
        self.done += 1;
        let folds = self.folds.entry(number).or_default();
        folds.extend(score);
        if folds.len() == sweep.folds.count {
            let score = mean(folds);
            self.better(score, trial);
        }
        match &self.best {
            Some((score, trial)) => format!("best {} {score:.4}: {trial}", sweep.metric),
            None => trial.show(),
        }
    }
}
