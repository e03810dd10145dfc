//! Which trial of a search is picked: judged as it would alarm, calibrated and at its threshold.

use crate::base::stored::{StoredDocument, finite};
use crate::frame::labels::Labels;
use crate::model::calibrate::Calibrator;
use crate::model::data::TrainingSet;
use crate::model::error::ModelError;
use crate::model::metrics::{Metrics, RankedRows};
use crate::model::review::ReviewBand;
use crate::model::scores::Scores;
use crate::model::threshold::ThresholdRule;
use crate::tuning::composition::Composition;
use crate::tuning::leaderboard::{Leaderboard, TrialEntry};
use crate::tuning::trials::{ScoredTrial, TrialResult};

/// Fits a calibrator to classes and the probabilities that were told.
pub type FitCalibrator = fn(&Labels, &Scores) -> Calibrator;

/// What trials are judged by.
#[derive(Debug)]
pub(crate) struct SelectionRule {
    /// What the best is best at.
    pub(crate) metric: String,
    /// What a trial has to reach.
    pub(crate) min_score: f64,
    /// The fewest attacks, and the fewest benign rows, by which anything is chosen.
    pub(crate) min_attacks: usize,
    /// The highest false-positive rate.
    pub(crate) max_fpr: Option<f64>,
    /// By how much a trial may be better on the rows that it was fitted to.
    pub(crate) overfit_gap: Option<f64>,
    /// The names of learners and ensembles of which one is picked; empty for all.
    pub(crate) among: Vec<String>,
    /// How the threshold is set.
    pub(crate) threshold: ThresholdRule,
    /// The share of benign rows that may raise an alarm or be left to review.
    pub(crate) review_fpr: Option<f64>,
    /// How probabilities are calibrated.
    pub(crate) calibrate: Option<FitCalibrator>,
}

/// A trial as it would alarm.
pub(crate) struct JudgedTrial {
    pub(crate) scored: ScoredTrial,
    pub(crate) calibrator: Option<Calibrator>,
    /// The scores, calibrated.
    pub(crate) scores: Scores,
    pub(crate) metrics: Metrics,
    /// Greater is better.
    pub(crate) score: f64,
    /// Why it may not be picked.
    pub(crate) objection: Option<String>,
}

/// A trial as it would alarm, or why it could not be fitted.
pub(crate) type JudgedResult = Result<JudgedTrial, ModelError>;

impl SelectionRule {
    /// Judges a trial as it would alarm.
    pub(crate) fn judge(&self, data: &TrainingSet, scored: ScoredTrial) -> JudgedTrial {
        let labels = data.labels.select(&scored.rows);
        let calibrator = self.calibrate.map(|fit| fit(&labels, &scored.scores));
        let scores = match &calibrator {
            Some(calibrator) => scored.scores.map_attack(|p| calibrator.apply(p)),
            None => scored.scores.clone(),
        };
        let ranked = RankedRows::of_folds(&labels, &scores, &scored.fold_of);
        let threshold = self.threshold.of(&ranked);
        let metrics = ranked.metrics(|_| 1.0, threshold);
        let score = metrics.score(&self.metric).unwrap_or(f64::NEG_INFINITY);
        let objection = self.objection(&scored, &metrics, score);
        JudgedTrial {
            scored,
            calibrator,
            scores,
            metrics,
            score,
            objection,
        }
    }

    /// Returns which rows of a trial are left to review, if some are to be; `labels` are its rows'.
    pub(crate) fn review(&self, labels: &Labels, judged: &JudgedTrial) -> Option<ReviewBand> {
        let alarm = judged.metrics.threshold;
        let ranked = RankedRows::new(labels, &judged.scores);
        let threshold = ranked.threshold_within(self.review_fpr?).min(alarm);
        Some(ReviewBand::of(labels, &judged.scores, threshold, alarm))
    }

    /// Objects to what is not to be picked.
    pub(crate) fn only_among(&self, trials: &[Composition], judged: &mut [JudgedResult]) {
        let is_other = |trial: &Composition| {
            !self.among.is_empty() && self.among.iter().all(|name| name != trial.name())
        };
        for (trial, judged) in trials.iter().zip(judged) {
            if let (true, Ok(judged)) = (is_other(trial), judged) {
                let why = "`among` of `select` names others";
                judged.objection.get_or_insert_with(|| why.to_owned());
            }
        }
    }

    /// Says why there is no threshold.
    fn no_threshold(&self) -> String {
        match self.threshold {
            ThresholdRule::Within(budget) => format!(
                "no threshold keeps the false-positive rate within {} %: more of the benign rows have the highest score; look at these, as \
                 their labels may be wrong, or raise `threshold_fpr`",
                budget * 100.0
            ),
            _ => "no alarm at all costs least: an attack is too rare, or costs too little, for what false alarms cost; look at `cost`"
                .to_owned(),
        }
    }

    fn objection(&self, scored: &ScoredTrial, metrics: &Metrics, score: f64) -> Option<String> {
        if scored.given_up.is_some() {
            return scored.given_up.clone();
        }
        if metrics.threshold.is_infinite() {
            return Some(self.no_threshold());
        }
        // Nobody knows what would be found where there is no attack to find.
        if metrics.counts.attacks() == 0 {
            return None;
        }
        if metrics.counts.true_positives == 0 {
            return Some(format!(
                "it finds none of {} attacks at the threshold {:.4}: set `threshold_fpr` to a budget of false positives, or \
                 `class_weight: [balanced]` in the `grid` of a learner that has it",
                metrics.counts.attacks(),
                metrics.threshold
            ));
        }
        if score < self.min_score {
            return Some(format!(
                "{} {score:.4} is below {}",
                self.metric, self.min_score
            ));
        }
        if let Some(most) = self
            .max_fpr
            .filter(|most| metrics.false_positive_rate > *most)
        {
            return Some(format!(
                "the false-positive rate {:.4} is above {most}",
                metrics.false_positive_rate
            ));
        }
        if let (Some(most), Some(gap)) = (self.overfit_gap, scored.gap)
            && gap > most
        {
            return Some(format!(
                "it is {gap:.4} better on the rows it was fitted to, above {most}"
            ));
        }
        None
    }

    /// Returns the places of trials, the best first: those on all rows and with all folds before
    /// others, of equal ones the first.
    pub(crate) fn order(trials: &[Composition], judged: &[JudgedResult]) -> Vec<usize> {
        let key = |index: usize| match &judged[index] {
            Ok(judged) => (
                judged.scored.given_up.is_none(),
                trials[index].share(),
                judged.score,
            ),
            Err(_) => (false, trials[index].share(), f64::NEG_INFINITY),
        };
        let mut order: Vec<usize> = (0..trials.len()).collect();
        order.sort_by(|a, b| {
            let (a, b) = (key(*a), key(*b));
            b.0.cmp(&a.0)
                .then(b.1.total_cmp(&a.1))
                .then(b.2.total_cmp(&a.2))
        });
        order
    }

    /// Returns the leaderboard of trials by cross-validation with so many folds on so many rows, in
    /// this order.
    pub(crate) fn board(
        &self,
        trials: &[Composition],
        judged: &[JudgedResult],
        order: &[usize],
        (folds, rows): (usize, usize),
    ) -> Leaderboard {
        let entries = order
            .iter()
            .map(|index| entry(*index, &trials[*index], &judged[*index]));
        Leaderboard {
            format: Leaderboard::FORMAT,
            metric: self.metric.clone(),
            min_score: self.min_score,
            folds,
            rows,
            trials: entries.collect(),
            ..Leaderboard::default()
        }
    }
}

fn entry(index: usize, trial: &Composition, judged: &JudgedResult) -> TrialEntry {
    let entry = TrialEntry {
        trial: index + 1,
        learner: trial.name().to_owned(),
        setting: trial.named().into_iter().collect(),
        share: (trial.share() < 1.0).then_some(trial.share()),
        ..TrialEntry::default()
    };
    match judged {
        Ok(judged) => TrialEntry {
            score: finite(judged.score),
            folds: judged.scored.folds.iter().copied().map(finite).collect(),
            metrics: Some(judged.metrics),
            gap: judged.scored.gap.and_then(finite),
            objection: judged.objection.clone(),
            ..entry
        },
        Err(error) => TrialEntry {
            error: Some(error.to_string()),
            ..entry
        },
    }
}

/// Judges what trials came to.
pub(crate) fn judged(
    select: &SelectionRule,
    data: &TrainingSet,
    outcomes: Vec<TrialResult>,
) -> Vec<JudgedResult> {
    outcomes
        .into_iter()
        .map(|outcome| outcome.map(|scored| select.judge(data, scored)))
        .collect()
}
