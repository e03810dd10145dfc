//! How much of a family of attacks is found by models that never saw it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frame::labels::Labels;
use crate::model::class_report::ShareOfRows;
use crate::model::intervals::tell_interval;
use crate::model::metrics::RankedRows;
use crate::model::scores::Scores;

/// The budgets of false positives at which rows are counted.
const BUDGETS: [f64; 2] = [0.001, 0.01];

/// A family of attacks, found by models that were fitted to its rows and by models that were not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnseenFamily {
    /// The family.
    pub family: String,
    /// What is found of it in cross-validation by models that were fitted to others of its rows.
    pub trained: FoundShares,
    /// What is found by models that were fitted to the same rows without those of the family; none
    /// if they could not be fitted.
    pub unseen: Option<FoundShares>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The share of rows that raise an alarm within budgets of false positives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoundShares {
    /// At the lowest threshold at which at most 0.1 % of the benign rows do.
    pub at_fpr_0_001: ShareOfRows,
    /// The same with at most 1 %.
    pub at_fpr_0_01: ShareOfRows,
}

impl FoundShares {
    /// Returns the lowest thresholds that keep to the budgets.
    pub fn thresholds(labels: &Labels, scores: &Scores) -> [f64; 2] {
        let ranked = RankedRows::new(labels, scores);
        BUDGETS.map(|budget| ranked.threshold_within(budget))
    }

    /// Counts what is found at these thresholds of some of the rows; none if there are none of
    /// them.
    pub fn of(scores: &Scores, thresholds: [f64; 2], of_family: &[bool]) -> Option<Self> {
        let [strict, wide] = thresholds.map(|threshold| {
            let mine = scores.attack().iter().zip(of_family);
            let mine = mine.filter(|(_, is_mine)| **is_mine);
            ShareOfRows::counted(mine.map(|(p, _)| *p >= threshold))
        });
        Some(Self {
            at_fpr_0_001: strict?,
            at_fpr_0_01: wide?,
        })
    }

    /// Returns a share by its name.
    pub fn share(&self, name: &str) -> Option<ShareOfRows> {
        match name {
            "at_fpr_0_001" => Some(self.at_fpr_0_001),
            "at_fpr_0_01" => Some(self.at_fpr_0_01),
            _ => None,
        }
    }
}

impl UnseenFamily {
    /// The names of its shares.
    pub const SHARES: [&'static str; 2] = ["at_fpr_0_001", "at_fpr_0_01"];

    /// Puts families in order, those first of which least is found by models that never saw them.
    pub fn sort(families: &mut [Self]) {
        let key = |family: &Self| {
            family
                .unseen
                .map_or(f64::NEG_INFINITY, |found| found.at_fpr_0_01.share)
        };
        families.sort_by(|a, b| {
            key(a)
                .total_cmp(&key(b))
                .then_with(|| a.family.cmp(&b.family))
        });
    }

    /// Says what is found of it, with and without rows to learn from.
    pub fn tell(&self) -> String {
        let family = &self.family;
        let Some(unseen) = &self.unseen else {
            let why = self
                .error
                .as_deref()
                .unwrap_or("it has no rows to be asked about");
            return format!("without `{family}` no model can be fitted: {why}");
        };
        let share = |share: &ShareOfRows| {
            let interval = tell_interval(Some(share.interval));
            format!("{:.4}{interval}", share.share)
        };
        format!(
            "of `{family}`, had it never been seen, {} of {} rows would raise an alarm at 1 % false positives, and {} at 0.1 %; trained \
             on, it is {:.4} and {:.4}",
            share(&unseen.at_fpr_0_01),
            unseen.at_fpr_0_01.of,
            share(&unseen.at_fpr_0_001),
            self.trained.at_fpr_0_01.share,
            self.trained.at_fpr_0_001.share
        )
    }
}
