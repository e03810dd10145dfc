//! A column that gives the label away, how, and what is said of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What may come of a column that gives the label away.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum GiveawayGrade {
    /// A model that uses it is not accepted unless it is allowed by name.
    Leak,
    /// It may hold for the testbed only; it is told.
    Shortcut,
    /// It is the mark of one kind of attack; it stands in the report.
    Signature,
}

/// How a column gives the label away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GiveawayReason {
    /// Its values tell attacks from benign rows.
    Values,
    /// Which of its cells are missing tells them.
    Missing,
    /// Its values tell this label from all others.
    OneLabel(String),
    /// It is called what is noted down after the fact, such as a second label.
    Annotation,
    /// It rises with the rows of the file.
    FileOrder,
    /// It tells much, though not all.
    Strong,
    /// It numbers the rows.
    RowNumber,
    /// It names rows: a value hardly ever repeats.
    FlowId,
    /// It holds addresses of hosts.
    Address,
    /// It holds moments.
    Moment,
    /// It is a time to live.
    TimeToLive,
    /// It is a port.
    Port,
}

/// A column that gives the label away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Giveaway {
    /// The column.
    pub column: String,
    /// What comes of it.
    pub grade: GiveawayGrade,
    /// How.
    pub reason: GiveawayReason,
    /// The area under the ROC curve of the column by itself, at least one half; none where that was
    /// not asked.
    pub auc: Option<f64>,
}

impl Giveaway {
    /// Returns whether a model that uses the column is not accepted unless that is allowed.
    pub fn is_leak(&self) -> bool {
        self.grade == GiveawayGrade::Leak
    }

    /// Says what is so and what to do.
    pub fn tell(&self) -> String {
        let column = &self.column;
        let auc = self
            .auc
            .map(|auc| format!(" (AUC {auc:.3})"))
            .unwrap_or_default();
        let known = "drop it unless it is known at detection time";
        match (&self.reason, self.grade) {
            (GiveawayReason::Values, _) => {
                format!("LEAK? `{column}` alone predicts the label{auc}: {known}")
            }
            (GiveawayReason::Missing, _) => {
                format!(
                    "LEAK? which cells of `{column}` are missing predicts the label{auc}: {known}"
                )
            }
            (GiveawayReason::OneLabel(label), GiveawayGrade::Signature) => {
                format!("`{column}` alone nearly tells `{label}` from every other label{auc}")
            }
            (GiveawayReason::OneLabel(label), _) => {
                format!(
                    "LEAK? `{column}` alone tells `{label}` from every other label{auc}: {known}"
                )
            }
            (GiveawayReason::Annotation, _) => {
                format!("LEAK? `{column}` is named like a note made after the fact{auc}: {known}")
            }
            (GiveawayReason::FileOrder, _) => {
                format!(
                    "LEAK? `{column}` rises with the order of the file{auc}: drop it, it tells when a row was written"
                )
            }
            (GiveawayReason::Strong, _) => {
                format!(
                    "SHORTCUT? `{column}` tells much by itself{auc}: make sure that it is known at detection time"
                )
            }
            (GiveawayReason::RowNumber, _) => {
                format!(
                    "LEAK? `{column}` numbers the rows{auc}: drop it, it tells the order of the file and nothing of the traffic"
                )
            }
            (GiveawayReason::FlowId, _) => {
                format!(
                    "LEAK? `{column}` names rows, its values hardly repeat: drop it, a model would learn them by heart"
                )
            }
            (GiveawayReason::Address, _) => {
                format!(
                    "LEAK? `{column}` holds addresses{auc}: drop it, a model would learn the hosts of this network"
                )
            }
            (GiveawayReason::Moment, _) => {
                format!(
                    "LEAK? `{column}` holds times{auc}: drop it, a model would learn when the attacks were carried out"
                )
            }
            (GiveawayReason::TimeToLive, _) => {
                format!(
                    "SHORTCUT? `{column}` is a time to live and tells much by itself{auc}: it may hold in this testbed only"
                )
            }
            (GiveawayReason::Port, _) => {
                format!(
                    "SHORTCUT? `{column}` is a port and tells much by itself{auc}: it may hold for these attackers only"
                )
            }
        }
    }
}
