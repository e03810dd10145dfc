//! A challenger that answers beside the champion, unseen: how far the two agree.

use serde::Serialize;

use crate::scoring::scorer::RowVerdict;
use crate::stats::binomial::clopper_pearson;

/// The confidence of intervals.
const CONFIDENCE: f64 = 0.95;

/// How far a challenger agrees with the champion, on rows that both were asked about.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShadowAgreement {
    /// The champion's digest.
    pub champion: String,
    /// The challenger's digest.
    pub challenger: String,
    /// Rows that both scored.
    pub rows: u64,
    /// Rows that are alarms for both.
    pub both: u64,
    /// Rows that are alarms for the champion alone.
    pub champion_only: u64,
    /// Rows that are alarms for the challenger alone.
    pub challenger_only: u64,
    /// Rows that only the champion could score.
    pub challenger_unscored: u64,
    /// Rows that only the challenger could score.
    pub champion_unscored: u64,
    /// Requests that the challenger could not read, as it needs other columns.
    pub unread: u64,
    /// The sum of the differences of probabilities, without their signs.
    sum: f64,
    /// The greatest difference.
    pub greatest_difference: f64,
}

/// An agreement as it is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShadowReport {
    /// The counts.
    #[serde(flatten)]
    pub agreement: ShadowAgreement,
    /// The mean difference of probabilities, without their signs.
    pub mean_difference: f64,
    /// The share of rows of which one makes an alarm and the other does not.
    pub disagreement: f64,
    /// Between which values 95 % of such shares lie, as if rows were drawn one by one (Clopper and
    /// Pearson, 1934).
    pub disagreement_interval: [f64; 2],
}

impl ShadowAgreement {
    /// Of two models that were not asked yet.
    pub fn between(champion: &str, challenger: &str) -> Self {
        Self {
            champion: champion.to_owned(),
            challenger: challenger.to_owned(),
            ..Self::default()
        }
    }

    /// Counts what both told of the same rows.
    pub fn count(&mut self, champion: &[RowVerdict], challenger: &[RowVerdict]) {
        for pair in champion.iter().zip(challenger) {
            match pair {
                (Ok(first), Ok(second)) => {
                    self.rows += 1;
                    self.both += u64::from(first.alarm && second.alarm);
                    self.champion_only += u64::from(first.alarm && !second.alarm);
                    self.challenger_only += u64::from(!first.alarm && second.alarm);
                    let difference = (first.probability - second.probability).abs();
                    self.sum += difference;
                    self.greatest_difference = self.greatest_difference.max(difference);
                }
                (Ok(_), Err(_)) => self.challenger_unscored += 1,
                (Err(_), Ok(_)) => self.champion_unscored += 1,
                (Err(_), Err(_)) => {}
            }
        }
    }

    /// Returns it with shares and their uncertainty; none before there are rows.
    pub fn report(&self) -> Option<ShadowReport> {
        if self.rows == 0 {
            return None;
        }
        let differ = self.champion_only + self.challenger_only;
        Some(ShadowReport {
            agreement: self.clone(),
            mean_difference: self.sum / self.rows as f64,
            disagreement: differ as f64 / self.rows as f64,
            disagreement_interval: clopper_pearson(differ, self.rows, CONFIDENCE),
        })
    }
}

impl ShadowReport {
    /// Returns it in a line.
    pub fn line(&self) -> String {
        let of = &self.agreement;
        let [low, high] = self.disagreement_interval;
        format!(
            "on {} rows the challenger {} disagrees with {} about {:.2} % (95 % {:.2} to {:.2}): {} alarms less, {} more",
            of.rows,
            &of.challenger[..12],
            &of.champion[..12],
            100.0 * self.disagreement,
            100.0 * low,
            100.0 * high,
            of.champion_only,
            of.challenger_only,
        )
    }
}
