//! How two tables compare, as it is stored, and in a line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::StoredDocument;
use crate::drift::domain_classifier::DomainClassifier;
use crate::profile::units::DrawnUnit;

/// How many columns a line names.
const SHOWN: usize = 8;

/// What is asked of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftQuestion {
    /// Whether its values are distributed alike.
    Distribution,
    /// Whether as many cells are missing.
    Missing,
    /// Whether as many numbers are infinite or none.
    NotFinite,
    /// Whether there are more values never met before than were to be expected.
    NewCategories,
    /// Whether it has the same type.
    Type,
    /// Whether it is on both sides.
    Column,
}

impl DriftQuestion {
    /// Returns it in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Distribution => "distribution",
            Self::Missing => "missing",
            Self::NotFinite => "not finite",
            Self::NewCategories => "new categories",
            Self::Type => "type",
            Self::Column => "column",
        }
    }
}

/// The test by which a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftTestName {
    /// That of Kolmogorov and Smirnov.
    Ks,
    /// That of Cramér and von Mises.
    CramerVonMises,
    /// Pearson's.
    ChiSquared,
    /// That of two shares by the normal distribution.
    TwoProportions,
    /// Fisher's exact test.
    Fisher,
    /// None: what is so needs no test.
    None,
}

impl DriftTestName {
    /// Returns it in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ks => "ks",
            Self::CramerVonMises => "cramer von mises",
            Self::ChiSquared => "chi squared",
            Self::TwoProportions => "two proportions",
            Self::Fisher => "fisher",
            Self::None => "none",
        }
    }
}

/// What an effect is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftEffect {
    /// The greatest distance of the two distribution functions.
    Distance,
    /// Cramér's V.
    CramersV,
    /// The difference of two shares.
    Difference,
    /// The share beyond what was to be expected.
    Share,
    /// The column is new.
    NewColumn,
    /// The column is gone.
    MissingColumn,
    /// The column is of another type.
    OtherType,
}

impl DriftEffect {
    /// Returns it in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Distance => "distance",
            Self::CramersV => "cramers v",
            Self::Difference => "difference",
            Self::Share => "share",
            Self::NewColumn => "a new column",
            Self::MissingColumn => "a missing column",
            Self::OtherType => "another type",
        }
    }
}

/// One thing that was asked of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriftTest {
    /// What it is about.
    pub about: DriftQuestion,
    /// The test.
    pub test: DriftTestName,
    /// Its statistic.
    pub statistic: f64,
    /// Its p-value.
    pub p: f64,
    /// The p-value corrected for how many things were asked.
    pub p_adjusted: f64,
    /// What the effect is.
    pub effect_name: DriftEffect,
    /// The effect.
    pub effect: f64,
    /// The least that counts.
    pub min_effect: f64,
    /// Whether it is significant and counts.
    pub alarm: bool,
}

/// How a column compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnDrift {
    /// The column.
    pub column: String,
    /// What was asked.
    pub asked: Vec<DriftTest>,
    /// The population stability index, on tenths of the reference or on categories.
    pub psi: Option<f64>,
    /// The Jensen–Shannon distance, on the same bins.
    pub jensen_shannon: Option<f64>,
    /// The Wasserstein distance in standard deviations of the reference.
    pub wasserstein: Option<f64>,
    /// Values that the reference does not have, the most frequent first, at most ten.
    pub new_categories: Vec<(String, u64)>,
    /// Whether something about it raised an alarm.
    pub drifted: bool,
}

/// How two tables compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriftReport {
    /// The version of this form.
    #[serde(default)]
    pub format: u32,
    /// Whether they drifted apart.
    pub drifted: bool,
    /// The chance of a false alarm.
    pub alpha: f64,
    /// Rows of the reference.
    pub reference_rows: u64,
    /// Rows of the other table.
    pub current_rows: u64,
    /// What was compared: rows, distinct rows or groups.
    pub drawn_by: DrawnUnit,
    /// How many of them on either side: all rows, or a sample of the others.
    pub compared: (u64, u64),
    /// How many columns drifted.
    pub drifted_columns: usize,
    /// Each column, in the order of the reference.
    pub columns: Vec<ColumnDrift>,
    /// Whether whole rows can be told apart.
    pub domain: Option<DomainClassifier>,
    /// Whether that raised an alarm.
    pub domain_alarm: bool,
}

impl StoredDocument for DriftReport {
    const NAME: &'static str = "a drift report";
    const FORMAT: u32 = 1;
}

impl DriftReport {
    /// Returns a line that says what came of it.
    pub fn line(&self) -> String {
        let names: Vec<String> = self
            .columns
            .iter()
            .filter(|column| column.drifted)
            .map(ColumnDrift::short)
            .collect();
        let rows = match self.domain {
            Some(domain) if self.domain_alarm => {
                format!(
                    "whole rows are told apart with AUC {:.3} (p {:.3})",
                    domain.auc, domain.p
                )
            }
            _ => String::new(),
        };
        let more = if names.len() > SHOWN {
            format!(" and {} more", names.len() - SHOWN)
        } else {
            String::new()
        };
        let shown = names
            .iter()
            .take(SHOWN)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let count = self.columns.len();
        let columns = format!("{} of {count} columns drifted: {shown}{more}", names.len());
        let told = match (self.drifted, names.is_empty()) {
            (true, true) => format!("drift: {rows}, though no column by itself"),
            (true, false) if rows.is_empty() => columns,
            (true, false) => format!("{columns}; {rows}"),
            (false, true) => format!("no drift in {count} columns"),
            (false, false) => format!("no drift: {columns}, not more than `max_share` allows"),
        };
        let by = match self.drawn_by {
            DrawnUnit::Row => return told,
            DrawnUnit::DistinctRow => "distinct rows, as copies stay on one side",
            DrawnUnit::Group => "groups",
        };
        format!(
            "{told} (compared by {} and {} {by})",
            self.compared.0, self.compared.1
        )
    }
}

impl ColumnDrift {
    /// Names the column and what raised the alarm.
    fn short(&self) -> String {
        let why: Vec<String> = self
            .asked
            .iter()
            .filter(|asked| asked.alarm)
            .map(|asked| match asked.test {
                DriftTestName::None => asked.effect_name.words().to_owned(),
                _ => format!(
                    "{} {} {:.3}",
                    asked.about.words(),
                    asked.effect_name.words(),
                    asked.effect
                ),
            })
            .collect();
        format!("{} ({})", self.column, why.join(", "))
    }
}
