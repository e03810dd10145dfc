//! Whether a model is to be trained anew: by what it told, what came in, what analysts found, and its
//! age.
//!
//! Each question is asked of the entries of one model, from its first on. What is said is a reason to
//! train, no more: whether what comes of it replaces the model is for the gate to say.

use std::collections::BTreeMap;
use std::fmt;

use crate::frame::table::{Table, TableError};
use crate::scoring::live_drift::LiveDrift;
use crate::scoring::prediction_log::PredictionEntry;
use crate::scoring::scorer::Scorer;
use crate::stats::adwin::{AdaptiveWindow, MeanChange};
use crate::stats::binomial::clopper_pearson;

/// The chance of a false alarm of a look at the rate of alarms: that of River's ADWIN.
const DELTA: f64 = 0.002;

/// How often the interval of the precision holds the true one.
const CONFIDENCE: f64 = 0.95;

/// When a model is to be trained anew.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RetrainingTerms {
    /// Whether a change of the rate of alarms is a reason.
    pub alert_rate: bool,
    /// So many rows are compared with the training rows at a time.
    pub drift_rows: Option<usize>,
    /// At this age, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// With a precision that is below this share.
    pub min_precision: Option<f64>,
}

/// Why a model is to be trained anew.
#[derive(Clone, Debug, PartialEq)]
pub enum RetrainingReason {
    /// The rate of alarms is another.
    AlertRate(MeanChange),
    /// The rows do not look like the training rows; the words of the report.
    Drift(String),
    /// Of so many alarms that analysts judged so many were attacks; the interval of the precision, and
    /// what it should be.
    Precision(u64, u64, [f64; 2], f64),
    /// The model is so old, in milliseconds.
    Age(u64),
}

impl fmt::Display for RetrainingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlertRate(change) => write!(
                f,
                "the alert rate has changed from {:.3} % to {:.3} %, over the last {} rows (ADWIN)",
                100.0 * change.before,
                100.0 * change.now,
                change.count
            ),
            Self::Drift(line) => f.write_str(line),
            Self::Precision(attacks, judged, [low, high], least) => write!(
                f,
                "{attacks} of {judged} alarms that were judged are attacks: a precision of {:.1} % to {:.1} %, below {:.1} %",
                100.0 * low,
                100.0 * high,
                100.0 * least
            ),
            Self::Age(ms) => write!(f, "the model is {:.1} days old", *ms as f64 / 86_400_000.0),
        }
    }
}

/// What analysts found of rows: by the id of the request and the number of the row in it, from one,
/// whether it was an attack.
pub type AnalystVerdicts = BTreeMap<(String, u64), bool>;

/// Reads what analysts found: a table with the columns `request`, `row` (left out: 1) and `verdict`.
///
/// # Errors
/// A column is not there; a verdict is neither `attack` nor `benign`.
pub fn read_verdicts(table: &Table) -> Result<AnalystVerdicts, TableError> {
    let requests = table.texts("request")?;
    let rows = match table.has("row") {
        true => table.numbers("row")?,
        false => vec![1.0; table.height()],
    };
    let mut verdicts = AnalystVerdicts::new();
    let cells = requests.into_iter().zip(rows).zip(table.texts("verdict")?);
    for (at, ((request, row), verdict)) in cells.enumerate() {
        let is_attack = match verdict.as_deref().map(str::trim) {
            Some("attack" | "true" | "1") => true,
            Some("benign" | "false" | "0") => false,
            other => {
                let other = other.unwrap_or_default();
                return Err(TableError(format!(
                    "the verdict {other:?} of row {} is neither `attack` nor `benign`",
                    at + 1
                )));
            }
        };
        let (Some(request), true) = (request, row >= 1.0 && row.fract() == 0.0) else {
            return Err(TableError(format!(
                "the verdict of row {} names no request, or no row of it: rows are counted from 1",
                at + 1
            )));
        };
        // Who judges twice means the last.
        verdicts.insert((request, row as u64), is_attack);
    }
    Ok(verdicts)
}

/// Watches a model by its entries.
pub struct RetrainingWatch {
    terms: RetrainingTerms,
    alarms: AdaptiveWindow,
    drift: Option<Result<LiveDrift, String>>,
    /// The alarms that may be judged.
    raised: Vec<(String, u64)>,
    /// How many verdicts there were when they were last a reason.
    judged: u64,
}

impl RetrainingWatch {
    /// Begins with the first entry of a model.
    pub fn new(terms: RetrainingTerms, scorer: &Scorer) -> Self {
        Self {
            terms,
            alarms: AdaptiveWindow::new(DELTA),
            drift: terms.drift_rows.map(|rows| LiveDrift::of(scorer, rows)),
            raised: Vec::new(),
            judged: 0,
        }
    }

    /// Returns why drift is not watched, if it was asked for and is not.
    pub fn unwatched(&self) -> Option<&str> {
        match &self.drift {
            Some(Err(why)) => Some(why),
            _ => None,
        }
    }

    /// Takes an entry of the model; returns the reasons that it gives.
    pub fn add(&mut self, entry: &PredictionEntry, scorer: &Scorer) -> Vec<RetrainingReason> {
        let mut reasons = Vec::new();
        let told = entry.probabilities.iter().zip(&entry.alarms);
        for (row, (_, alarm)) in (1..).zip(told).filter(|(_, told)| told.0.is_some()) {
            if self.terms.alert_rate
                && let Some(change) = self.alarms.push(f64::from(u8::from(*alarm)))
            {
                reasons.push(RetrainingReason::AlertRate(change));
                // One change is one reason.
                self.alarms = AdaptiveWindow::new(DELTA);
            }
            if *alarm && self.terms.min_precision.is_some() {
                self.raised.push((entry.request.clone(), row));
            }
        }
        if let Some(Ok(drift)) = &mut self.drift {
            match entry.rows_for(scorer).map(|rows| drift.add(scorer, &rows)) {
                Some(Ok(Some(window))) if window.report.drifted => {
                    reasons.push(RetrainingReason::Drift(window.report.line()));
                }
                Some(Err(why)) => self.drift = Some(Err(why.to_string())),
                _ => {}
            }
        }
        reasons
    }

    /// Returns the reason that what analysts found is, if it is one that is new.
    pub fn judge(&mut self, verdicts: &AnalystVerdicts) -> Option<RetrainingReason> {
        let least = self.terms.min_precision?;
        let found: Vec<bool> = self
            .raised
            .iter()
            .filter_map(|alarm| verdicts.get(alarm).copied())
            .collect();
        let (judged, attacks) = (
            found.len() as u64,
            found.iter().filter(|is| **is).count() as u64,
        );
        if judged <= self.judged {
            return None;
        }
        let interval = clopper_pearson(attacks, judged, CONFIDENCE);
        if interval[1] >= least {
            return None;
        }
        self.judged = judged;
        Some(RetrainingReason::Precision(
            attacks, judged, interval, least,
        ))
    }

    /// Returns the reason that the age of the model is, if it is one.
    pub fn age(&self, age_ms: u64) -> Option<RetrainingReason> {
        let most = self.terms.max_age_ms?;
        (age_ms >= most).then_some(RetrainingReason::Age(age_ms))
    }
}
