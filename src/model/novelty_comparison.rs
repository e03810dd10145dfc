//! What the best novelty detector finds of each family of attacks, beside the best model that was
//! trained on attacks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::unseen::FoundShares;

/// What two trials find of the attacks in cross-validation, each at the thresholds that keep to
/// budgets of false positives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoveltyComparison {
    /// The best novelty detector.
    pub novelty: ComparedTrial,
    /// The best model that was trained on attacks; none if there is no such candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervised: Option<ComparedTrial>,
    /// Of all attacks.
    pub attacks: FoundBeside,
    /// Of each family: those of `leave_out`, otherwise the classes; nothing where there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<FoundBeside>,
}

/// A trial that is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedTrial {
    /// Its number in the order of the search, from one.
    pub trial: usize,
    /// Its learner.
    pub learner: String,
}

/// What both find of some attacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoundBeside {
    /// The family; `all attacks` of all.
    pub family: String,
    /// What the novelty detector finds.
    pub novelty: FoundShares,
    /// What the model finds that was trained on others of the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervised: Option<FoundShares>,
}

impl NoveltyComparison {
    /// Says what both find of all attacks.
    pub fn tell(&self) -> String {
        let found = &self.attacks.novelty.at_fpr_0_01;
        let [low, high] = found.interval;
        let beside = match (&self.supervised, &self.attacks.supervised) {
            (Some(trial), Some(found)) => format!(
                "{}, trained on attacks, finds {:.4}",
                trial.learner, found.at_fpr_0_01.share
            ),
            _ => "no candidate was trained on attacks to compare it with: name one, such as `gradient_boosting`".to_owned(),
        };
        format!(
            "{} finds {:.4} (95 % {low:.4} to {high:.4}) of {} attacks at 1 % false positives; {beside}",
            self.novelty.learner, found.share, found.of
        )
    }
}
