//! Trials of a search, carried out: each a part of its own, fits shared by those that a larger model holds.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use crate::model::data::Data;
use crate::model::folds::in_share;
use crate::model::learner::{Learner, ModelError, Setting, Task, Told};
use crate::model::metrics::Metrics;
use crate::stage::error::StageError;
use crate::stage::io::Context;
use crate::stage::memo::Part;
use crate::stage::param::{Value, Values};

/// A setting of a learner on a share of the rows.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) learner: &'static Learner,
    pub(crate) setting: Setting,
    pub(crate) share: f64,
}

impl Trial {
    pub(crate) fn named(&self) -> Vec<(String, Told)> {
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
    fn family(&self) -> (usize, Trial) {
        let mut family = self.clone();
        // A model that holds no others is of any size.
        let size = self.learner.size.map_or(usize::MAX, |at| std::mem::take(&mut family.setting[at]) as usize);
        (size, family)
    }

    fn is_like(&self, other: &Self) -> bool {
        self.learner.name == other.learner.name && self.setting == other.setting && self.share == other.share
    }
}

/// What a trial came to.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    /// The figures of all rows, each told by a model that did not see it.
    pub(crate) metrics: Metrics,
    /// Of every fold, how good its model is by the metric.
    pub(crate) folds: Vec<f64>,
    /// How much better the models are on the rows that they were fitted to, if that was asked.
    pub(crate) gap: Option<f64>,
    /// Of every row the probability, where its fold was told.
    pub(crate) p: Vec<f64>,
}

/// Rows and their folds.
pub(crate) struct Sweep<'a> {
    pub(crate) data: &'a Data,
    /// The fold of every row.
    pub(crate) fold_of: &'a [usize],
    pub(crate) folds: usize,
    /// How they were made, for the keys of trials.
    pub(crate) made: String,
    pub(crate) metric: &'a str,
    /// Whether models are judged by the rows that they were fitted to, too.
    pub(crate) with_gap: bool,
}

/// What is kept of a fit: the probabilities of the rows of its fold, and how good it is on those that it was fitted to.
type Fit = Result<(Vec<f64>, Option<f64>), String>;

/// Trials whose models are all held by the largest of them.
struct Family {
    trial: Trial,
    /// Sizes with the trials that have them, in ascending order.
    sizes: Vec<(usize, usize)>,
    /// Of every fold, the fits of the sizes that were not kept.
    fits: Vec<OnceLock<BTreeMap<usize, Fit>>>,
}

impl Sweep<'_> {
    fn part(&self, trial: &Trial, number: usize, fold: usize) -> Part {
        let told = |value: Told| match value {
            Told::Number(number) => Value::Float(number),
            Told::Word(word) => Value::Text(word),
        };
        let setting = trial.named().into_iter().map(|(name, value)| (name, told(value))).collect();
        let mut with = vec![
            ("learner", Value::Text(trial.learner.name.to_owned())),
            ("setting", Value::Map(Values(setting))),
            ("folds", Value::Text(self.made.clone())),
            ("fold", Value::Int(fold as i64)),
        ];
        if trial.share < 1.0 {
            with.push(("share", Value::Float(trial.share)));
        }
        if self.with_gap {
            with.push(("gap", Value::Text(self.metric.to_owned())));
        }
        Part {
            name: format!("trial-{}-fold-{}", number + 1, fold + 1),
            with: with.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            inputs: vec!["train"],
        }
    }

    /// Carries trials out, of which the first has this number.
    pub(crate) fn carry_out(
        &self,
        trials: &[Trial],
        first: usize,
        context: &Context<'_>,
    ) -> Result<Vec<Result<Scored, ModelError>>, StageError> {
        let mut families: Vec<Family> = Vec::new();
        let mut family_of = Vec::new();
        for (number, trial) in trials.iter().enumerate() {
            let (size, alike) = trial.family();
            let at = families.iter().position(|family| family.trial.is_like(&alike)).unwrap_or(families.len());
            if at == families.len() {
                let fits = (0..self.folds).map(|_| OnceLock::new()).collect();
                families.push(Family { trial: alike, sizes: Vec::new(), fits });
            }
            families[at].sizes.push((size, number));
            family_of.push((at, size));
        }
        families.iter_mut().for_each(|family| family.sizes.sort_unstable());
        // The largest of every family first: it makes the others too.
        let mut pairs: Vec<(usize, usize)> =
            (0..trials.len()).flat_map(|trial| (0..self.folds).map(move |fold| (trial, fold))).collect();
        let is_largest =
            |trial: usize| families[family_of[trial].0].sizes.last().is_some_and(|(_, largest)| *largest == trial);
        pairs.sort_by_key(|(trial, fold)| (!is_largest(*trial), *trial, *fold));
        let parts: Vec<Part> =
            pairs.iter().map(|(trial, fold)| self.part(&trials[*trial], first + trial, *fold)).collect();
        let mut missing: Vec<Vec<bool>> = vec![vec![false; self.folds]; trials.len()];
        for (part, (trial, fold)) in parts.iter().zip(&pairs) {
            missing[*trial][*fold] = context.memo.recall(part)?.is_none();
        }
        let told = Mutex::new(News::default());
        let kept = context.memo.keep(&parts, &|at, context| {
            context.check()?;
            let (trial, fold) = pairs[at];
            let (family, size) = (&families[family_of[trial].0], family_of[trial].1);
            let fits = family.fits[fold].get_or_init(|| {
                let wanted = family.sizes.iter().filter(|(_, trial)| missing[*trial][fold]).map(|(size, _)| *size);
                self.fits(&family.trial, wanted.collect(), fold, context.seed)
            });
            let fit = &fits[&size];
            let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let line = told.add(self, fit, &trials[trial], (trial, fold));
            (context.progress)(told.done, pairs.len() as u64, &line);
            Ok(vec![rmp_serde::to_vec(fit).expect("plain data serialises")])
        })?;
        let mut fits: Vec<Vec<Option<Fit>>> = vec![vec![None; self.folds]; trials.len()];
        for (kept, (trial, fold)) in kept.iter().zip(&pairs) {
            let bytes = context.memo.fetch(&kept[0].digest)?;
            let fit = rmp_serde::from_slice(&bytes);
            fits[*trial][*fold] =
                Some(fit.map_err(|error| StageError::Lost(format!("what is kept of a fit cannot be read: {error}")))?);
        }
        context.check()?;
        Ok(fits.into_iter().map(|fits| self.pooled(fits.into_iter().flatten().collect())).collect())
    }

    fn held(&self, fold: usize) -> Vec<u32> {
        (0..self.fold_of.len() as u32).filter(|row| self.fold_of[*row as usize] == fold).collect()
    }

    /// Fits the largest of some sizes to all folds but one, and tells what all of them say.
    fn fits(&self, family: &Trial, sizes: Vec<usize>, fold: usize, seed: u64) -> BTreeMap<usize, Fit> {
        let mut setting = family.setting.clone();
        if let (Some(at), Some(largest)) = (family.learner.size, sizes.iter().max()) {
            setting[at] = *largest as f64;
        }
        let rows: Vec<u32> = (0..self.fold_of.len() as u32)
            .filter(|row| self.fold_of[*row as usize] != fold)
            .filter(|row| family.share >= 1.0 || in_share(self.data, *row, family.share, seed))
            .collect();
        let held = self.held(fold);
        if held.is_empty() {
            return sizes.into_iter().map(|size| (size, Ok((Vec::new(), None)))).collect();
        }
        let fitted = family.learner.fit(&Task { data: self.data, rows: &rows, setting: &setting, seed });
        let told = fitted.and_then(|model| {
            let held = model.staged(self.data, &held, &sizes)?;
            let seen = if self.with_gap { Some(model.staged(self.data, &rows, &sizes)?) } else { None };
            Ok((held, seen))
        });
        match told {
            Err(error) => sizes.into_iter().map(|size| (size, Err(error.0.clone()))).collect(),
            Ok((held, seen)) => {
                let y = self.data.labels(&rows);
                let seen =
                    |at: usize| Some(Metrics::of(&y, &seen.as_ref()?[at]).score(self.metric).unwrap_or_default());
                held.into_iter().zip(&sizes).enumerate().map(|(at, (p, size))| (*size, Ok((p, seen(at))))).collect()
            }
        }
    }

    fn pooled(&self, fits: Vec<Fit>) -> Result<Scored, ModelError> {
        let mut p = vec![0.0; self.fold_of.len()];
        let (mut folds, mut seen) = (Vec::new(), Vec::new());
        for (fold, fit) in fits.into_iter().enumerate() {
            let (predicted, on_seen) = fit.map_err(ModelError)?;
            let held = self.held(fold);
            if held.is_empty() {
                continue;
            }
            folds.push(self.score(&held, &predicted));
            seen.extend(on_seen);
            held.iter().zip(predicted).for_each(|(row, value)| p[*row as usize] = value);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let gap = (!seen.is_empty()).then(|| mean(&seen) - mean(&folds));
        Ok(Scored { metrics: Metrics::of(&self.data.y, &p), folds, gap, p })
    }

    fn score(&self, held: &[u32], p: &[f64]) -> f64 {
        Metrics::of(&self.data.labels(held), p).score(self.metric).unwrap_or_default()
    }
}

/// What is told while trials are carried out: how many fits are done, and the best trial of those whose folds all are.
#[derive(Default)]
struct News {
    done: u64,
    folds: BTreeMap<usize, Vec<f64>>,
    best: Option<(f64, String)>,
}

impl News {
    fn add(&mut self, sweep: &Sweep<'_>, fit: &Fit, trial: &Trial, (number, fold): (usize, usize)) -> String {
        self.done += 1;
        if let Ok((p, _)) = fit {
            let folds = self.folds.entry(number).or_default();
            folds.push(sweep.score(&sweep.held(fold), p));
            let mean = folds.iter().sum::<f64>() / folds.len() as f64;
            if folds.len() == sweep.folds && self.best.as_ref().is_none_or(|(best, _)| mean > *best) {
                self.best = Some((mean, trial.show()));
            }
        }
        match &self.best {
            Some((score, trial)) => format!("best {} {score:.4}: {trial}", sweep.metric),
            None => trial.show(),
        }
    }
}
