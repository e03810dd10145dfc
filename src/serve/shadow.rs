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
    /// The mean difference of probabilities, without their signs; none without rows that both scored.
    pub mean_difference: Option<f64>,
    /// The share of rows of which one makes an alarm and the other does not.
    pub disagreement: Option<f64>,
    /// Between which values 95 % of such shares lie, as if rows were drawn one by one (Clopper and
    /// Pearson, 1934).
    pub disagreement_interval: Option<[f64; 2]>,
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

    /// Returns it with shares and their uncertainty, where there are rows to tell of; none before a request.
    pub fn report(&self) -> Option<ShadowReport> {
        let without_rows = self.unread + self.challenger_unscored + self.champion_unscored;
        if self.rows + without_rows == 0 {
            return None;
        }
        let differ = self.champion_only + self.challenger_only;
        let of_rows = |sum: f64| (self.rows > 0).then(|| sum / self.rows as f64);
        Some(ShadowReport {
            agreement: self.clone(),
            mean_difference: of_rows(self.sum),
            disagreement: of_rows(differ as f64),
            disagreement_interval: (self.rows > 0)
                .then(|| clopper_pearson(differ, self.rows, CONFIDENCE)),
        })
    }
}

impl ShadowReport {
    /// Returns it in a line.
    pub fn line(&self) -> String {
        let of = &self.agreement;
        let (challenger, champion) = (&of.challenger[..12], &of.champion[..12]);
        let (Some(share), Some([low, high])) = (self.disagreement, self.disagreement_interval)
        else {
            return format!(
                "the challenger {challenger} scored no row that {champion} scored: it could not read {} requests and {} rows",
                of.unread, of.challenger_unscored
            );
        };
        format!(
            "on {} rows the challenger {challenger} disagrees with {champion} about {:.2} % (95 % {:.2} to {:.2}): {} alarms less, {} more; it could not read {} requests",
            of.rows,
            100.0 * share,
            100.0 * low,
            100.0 * high,
            of.champion_only,
            of.challenger_only,
            of.unread,
        )
    }
}
