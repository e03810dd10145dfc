//! What is stored and deployed: a model with the preprocessor in front of it and how it was chosen.

use std::collections::BTreeMap;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::frame::labels::Classes;
use crate::frame::table::Table;
use crate::model::calibrate::Calibrator;
use crate::model::class_report::ClassReport;
use crate::model::error::ModelError;
use crate::model::fitted::Model;
use crate::model::hyper::HyperparameterValue;
use crate::model::intervals::Interval;
use crate::model::metrics::Metrics;
use crate::model::novelty_comparison::NoveltyComparison;
use crate::model::review::ReviewBand;
use crate::model::scores::Scores;
use crate::model::unseen::UnseenFamily;
use crate::prep::cells::CellKind;
use crate::prep::preprocessor::{Preprocessor, RequiredColumn};

/// The most cells of features that are made at once: 128 MiB.
const MOST_CELLS: usize = 1 << 24;

/// Version of the stored form. A newer one is refused.
const FORMAT: u32 = 3;

/// What every version of the stored form begins with.
#[derive(Deserialize)]
#[serde(expecting = "a stored model")]
struct BundleHead {
    format: u32,
}

/// A model that takes a table as it comes.
#[derive(Debug, Serialize, Deserialize)]
pub struct ModelBundle {
    format: u32,
    /// The learner's name.
    pub learner: String,
    /// Its hyperparameters by name.
    pub setting: Vec<(String, HyperparameterValue)>,
    /// Its figures in cross-validation, rows pooled over the folds.
    pub validation: Metrics,
    /// Between which values 95 % of these figures lie, by metric.
    pub intervals: BTreeMap<String, Interval>,
    /// The preprocessor.
    pub preprocessor: Preprocessor,
    /// The model.
    pub model: Model,
    /// What its probabilities are corrected by.
    pub calibrator: Option<Calibrator>,
    /// The rows that raise no alarm and are left to review, in cross-validation, if some are to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewBand>,
    /// Its figures class by class in cross-validation, where there are more than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_class: Option<ClassReport>,
    /// What is found of each family of attacks in cross-validation by models that never saw it, if
    /// that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen_families: Vec<UnseenFamily>,
    /// What the best novelty detector of the search finds beside the best model trained on attacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<NoveltyComparison>,
    /// Columns that may hold for the testbed only, and the figures in cross-validation without
    /// them, at the threshold .5.
    #[serde(default)]
    pub without_shortcuts: Option<(Vec<String>, Metrics)>,
    /// What the data looked like that it was trained on, if that was told.
    #[serde(default)]
    pub profile: Option<Vec<u8>>,
}

impl ModelBundle {
    /// Returns the columns that it reads, each with what its cells are: `number` or `text`.
    pub fn inputs(&self) -> Vec<(&str, &'static str)> {
        let kind = |input: &RequiredColumn| match input.kind() {
            CellKind::Number => "number",
            CellKind::Text => "text",
        };
        let inputs = self.preprocessor.inputs().iter();
        inputs
            .map(|input| (input.name.as_str(), kind(input)))
            .collect()
    }

    /// Puts a bundle together.
    pub fn new(
        learner: &str,
        setting: Vec<(String, HyperparameterValue)>,
        validation: Metrics,
        preprocessor: Preprocessor,
        model: Model,
    ) -> Self {
        Self {
            format: FORMAT,
            learner: learner.to_owned(),
            setting,
            validation,
            intervals: BTreeMap::new(),
            preprocessor: preprocessor.for_scoring(),
            model,
            calibrator: None,
            review: None,
            by_class: None,
            unseen_families: Vec::new(),
            novelty: None,
            without_shortcuts: None,
            profile: None,
        }
    }

    /// Returns it, if it can be asked without a panic.
    fn checked(self) -> Result<Self, ModelError> {
        let preprocessor = self.preprocessor.checked()?;
        let (needs, gives) = (self.model.features(), preprocessor.features().len());
        if needs.is_some_and(|needs| needs != gives) {
            let needs = needs.unwrap_or_default();
            let why = format!("it asks for {needs} features, {gives} are made");
            return Err(ModelError::NotStored(why));
        }
        let (tells, are) = (self.model.classes(), preprocessor.classes().count());
        if tells != are {
            let why = format!("it tells of {tells} classes, the labels are of {are}");
            return Err(ModelError::NotStored(why));
        }
        let review = self.review.as_ref().map(|review| review.threshold);
        if self.validation.threshold.is_nan() || review.is_some_and(f64::is_nan) {
            return Err(ModelError::NotStored(
                "its threshold is no number".to_owned(),
            ));
        }
        let fault = self
            .model
            .fault()
            .or_else(|| self.calibrator.as_ref().and_then(Calibrator::fault));
        match fault {
            Some(fault) => Err(ModelError::NotStored(fault)),
            None => Ok(Self {
                preprocessor,
                ..self
            }),
        }
    }

    /// Returns what the model makes of a table's rows, calibrated.
    ///
    /// # Errors
    /// The table does not fit the preprocessor; the model failed.
    pub fn scores(&self, table: &Table) -> Result<Scores, ModelError> {
        let step = self.rows_at_once();
        let mut parts = Vec::new();
        for from in (0..table.height().max(1)).step_by(step) {
            let piece = table.slice(from, step);
            let features = self.preprocessor.apply(&piece);
            let features = features.map_err(|error| error.after(from))?;
            parts.push(self.scores_of(features.view())?);
        }
        Ok(Scores::stacked(&parts))
    }

    /// Returns how many rows of features may be made at once: there can be many more features than
    /// columns.
    pub fn rows_at_once(&self) -> usize {
        (MOST_CELLS / self.preprocessor.widest().max(1)).max(1)
    }

    /// Returns the classes of rows. Most models tell of two; one that tells of more tells the
    /// probability of each.
    pub fn classes(&self) -> &Classes {
        self.preprocessor.classes()
    }

    /// Returns what the model makes of rows of features, calibrated.
    ///
    /// # Errors
    /// They are not what the model needs; it failed.
    pub fn scores_of(&self, features: ArrayView2<'_, f64>) -> Result<Scores, ModelError> {
        let told = self.model.scores(features, self.classes())?;
        Ok(match &self.calibrator {
            Some(calibrator) => told.map_attack(|p| calibrator.apply(p)),
            None => told,
        })
    }

    /// Returns the stored form: MessagePack, versioned.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("plain data serialises")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let wrong = |error: rmp_serde::decode::Error| ModelError::NotStored(error.to_string());
        match rmp_serde::from_slice::<BundleHead>(bytes)
            .map_err(wrong)?
            .format
        {
            FORMAT => rmp_serde::from_slice::<Self>(bytes)
                .map_err(wrong)?
                .checked(),
            found => Err(ModelError::OtherFormat {
                found,
                known: FORMAT,
            }),
        }
    }
}
