//! Rows that raise no alarm, and that somebody should look at all the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frame::labels::Labels;
use crate::model::class_report::ShareOfRows;
use crate::model::intervals::tell_interval;
use crate::model::scores::Scores;

/// Rows between two thresholds: below that of an alarm, and at or above this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewBand {
    /// The least probability with which a row is to be looked at.
    pub threshold: f64,
    /// The share of the attacks that lie there; none where there are no attacks.
    pub attacks: Option<ShareOfRows>,
    /// The share of the benign rows that lie there.
    pub benign: Option<ShareOfRows>,
}

impl ReviewBand {
    /// Counts rows from one threshold on and below that of an alarm.
    pub fn of(labels: &Labels, scores: &Scores, threshold: f64, alarm: f64) -> Self {
        let share = |is_attack: bool| {
            let rows = scores.attack().iter().enumerate();
            let rows = rows.filter(|(row, _)| labels.is_attack(*row) == is_attack);
            ShareOfRows::counted(rows.map(|(_, p)| (threshold..alarm).contains(p)))
        };
        Self {
            threshold,
            attacks: share(true),
            benign: share(false),
        }
    }

    /// Says how many rows lie there.
    pub fn tell(&self) -> String {
        let share = |share: &Option<ShareOfRows>, what: &str| match share {
            Some(share) => format!(
                "{} of {} {what} ({:.4}{})",
                share.hits,
                share.of,
                share.share,
                tell_interval(Some(share.interval))
            ),
            None => format!("no {what}, as there are none,"),
        };
        format!(
            "from {:.4} on rows are left to review: {} and {}",
            self.threshold,
            share(&self.attacks, "attacks"),
            share(&self.benign, "benign rows")
        )
    }
}
