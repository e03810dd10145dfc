//! A model, and what it makes of the rows that judge it.

use std::collections::BTreeMap;

use crate::base::stored::finite;
use crate::frame::labels::Labels;
use crate::frame::table::Table;
use crate::gate::curves::{calibration, curve};
use crate::gate::decision::JudgedModel;
use crate::gate::error::{ContenderRole, GateError};
use crate::gate::latency::RowLatency;
use crate::gate::paired::ScoredRows;
use crate::model::bundle::ModelBundle;
use crate::model::class_report::ClassReport;
use crate::model::error::ModelError;
use crate::model::intervals::{Interval, RESAMPLING, intervals, score_interval, tell_interval};
use crate::model::metrics::{Metrics, RankedRows};
use crate::model::review::ReviewBand;
use crate::model::scores::Scores;

/// A model before the gate.
#[derive(Debug)]
pub struct ContenderModel {
    /// Which one it is.
    pub role: ContenderRole,
    /// The digest of its bytes, in hexadecimal.
    pub digest: String,
    /// How many bytes they are.
    pub bytes: u64,
    /// The model.
    pub bundle: ModelBundle,
}

impl ContenderModel {
    /// Reads a model.
    ///
    /// # Errors
    /// It is not one, or of a newer format.
    pub fn decode(role: ContenderRole, digest: String, bytes: &[u8]) -> Result<Self, GateError> {
        let bundle =
            ModelBundle::decode(bytes).map_err(|why| GateError::Inapplicable { role, why })?;
        Ok(Self {
            role,
            digest,
            bytes: bytes.len() as u64,
            bundle,
        })
    }

    /// Returns the classes of rows by this model's mapping of labels.
    ///
    /// # Errors
    /// A label is not mapped, or the column is not there.
    pub fn labels(&self, test: &Table) -> Result<Labels, GateError> {
        let labels = self.bundle.preprocessor.labels(test);
        labels.map_err(|why| self.inapplicable(why.into()))
    }

    /// Applies the model to rows of these classes; `metric` is what models are compared by.
    ///
    /// # Errors
    /// A column is not there, or a cell is not what it was in training.
    pub fn evaluate(
        self,
        test: &Table,
        labels: &Labels,
        metric: &str,
    ) -> Result<EvaluatedModel, GateError> {
        let scores = self.bundle.scores(test);
        let scores = scores.map_err(|why| self.inapplicable(why))?;
        let metrics = Metrics::at(labels, &scores, self.bundle.validation.threshold);
        Ok(EvaluatedModel {
            by_class: ClassReport::of(labels, &scores, metrics.threshold),
            score: metrics.score(metric).unwrap_or(f64::NEG_INFINITY),
            intervals: intervals(
                &RankedRows::new(labels, &scores),
                metrics.threshold,
                RESAMPLING,
            ),
            model: self,
            scores,
            metrics,
        })
    }

    /// Measures how long it takes to score one row.
    ///
    /// # Errors
    /// As for `evaluate`.
    pub fn latency(&self, test: &Table) -> Result<RowLatency, GateError> {
        RowLatency::measure(&self.bundle, test).map_err(|why| self.inapplicable(why))
    }

    fn inapplicable(&self, why: ModelError) -> GateError {
        let role = self.role;
        GateError::Inapplicable { role, why }
    }
}

/// A model, and what it makes of the rows.
#[derive(Debug)]
pub struct EvaluatedModel {
    /// The model.
    pub model: ContenderModel,
    /// What it makes of each row.
    pub scores: Scores,
    /// Its figures at its threshold.
    pub metrics: Metrics,
    /// The 95 % confidence interval of each figure.
    pub intervals: BTreeMap<String, Interval>,
    /// Its figures class by class, where there are more than two.
    pub by_class: Option<ClassReport>,
    /// The metric, turned so that greater is better.
    pub score: f64,
}

impl EvaluatedModel {
    /// Returns its figures on these rows as they are stored.
    pub fn judged(&self, labels: &Labels) -> JudgedModel {
        let bundle = &self.model.bundle;
        JudgedModel {
            digest: self.model.digest.clone(),
            bytes: self.model.bytes,
            learner: bundle.learner.clone(),
            setting: bundle.setting.iter().cloned().collect(),
            score: finite(self.score),
            metrics: self.metrics,
            intervals: self.intervals.clone(),
            by_class: self.by_class.clone(),
            curve: curve(labels, &self.scores),
            calibration: calibration(labels, &self.scores),
            unseen_families: bundle.unseen_families.clone(),
            review: bundle.review.as_ref().map(|review| {
                let alarm = self.metrics.threshold;
                ReviewBand::of(labels, &self.scores, review.threshold, alarm)
            }),
            novelty: bundle.novelty.clone(),
            without_shortcuts: bundle.without_shortcuts.clone(),
        }
    }

    /// Returns its scores with its threshold.
    pub fn rows(&self) -> ScoredRows<'_> {
        ScoredRows {
            scores: &self.scores,
            threshold: self.metrics.threshold,
        }
    }

    /// Returns the interval of a metric turned so that greater is better, if there is one.
    pub fn score_interval(&self, metric: &str) -> Option<Interval> {
        score_interval(&self.intervals, metric)
    }

    /// Returns the interval of a figure in words, if there is one.
    pub fn within(&self, name: &str) -> String {
        tell_interval(self.intervals.get(name).copied())
    }
}
