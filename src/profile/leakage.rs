//! What leaks from one side of a split to the other, and which columns tell too much.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::StoredDocument;
use crate::profile::giveaway::{Giveaway, GiveawayGrade};
use crate::profile::separation::{ClassTellings, LabelProfiles};

/// Bytes that are kept of a row: 16 of the digest of its features, 8 of that of its label, 8 that
/// decide its side.
const ROW: usize = 32;

/// Stands for the digest of a label that is missing.
const UNLABELLED: u64 = 0;

/// The side of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SplitSide {
    /// For learning.
    Train,
    /// For choosing.
    Validation,
    /// For judging.
    Test,
    /// In a gap.
    Nowhere,
    /// On none, for want of a label.
    Unlabelled,
}

/// What is kept of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTrace {
    /// The digest of its features.
    pub features: u128,
    /// The digest of its label.
    pub label: u64,
    /// What decides its side.
    pub decider: u64,
}

/// What is kept of the rows of every part.
#[derive(Debug, Default)]
pub struct RowTraces(Vec<Vec<u8>>);

/// Returns the first 8 bytes of a digest as a number.
pub fn head(digest: &[u8; 32]) -> u64 {
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// Returns the digest of a label.
pub fn label(text: Option<&str>) -> u64 {
    text.map_or(UNLABELLED, |text| {
        head(blake3::hash(text.as_bytes()).as_bytes())
    })
}

impl RowTraces {
    /// Writes the traces of a part.
    pub fn encode(features: &[[u8; 32]], labels: &[Option<String>], deciders: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ROW * features.len());
        let mut known: HashMap<&str, u64> = HashMap::new();
        for ((features, text), decider) in features.iter().zip(labels).zip(deciders) {
            bytes.extend_from_slice(&features[..16]);
            let label = text.as_deref().map_or(UNLABELLED, |text| {
                *known.entry(text).or_insert_with(|| label(Some(text)))
            });
            bytes.extend_from_slice(&label.to_le_bytes());
            bytes.extend_from_slice(&decider.to_le_bytes());
        }
        bytes
    }

    /// Adds a part.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes.to_vec());
    }

    /// Returns the rows of every part.
    pub fn parts(&self) -> impl Iterator<Item = impl Iterator<Item = RowTrace>> {
        self.0
            .iter()
            .map(|part| part.as_chunks::<ROW>().0.iter().map(trace))
    }
}

fn trace(bytes: &[u8; ROW]) -> RowTrace {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let features = u128::from_le_bytes(bytes[..16].try_into().expect("sixteen bytes"));
    RowTrace {
        features,
        label: number(16),
        decider: number(24),
    }
}

/// Rows of one side that stand in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SharedRows {
    /// Rows of the side.
    pub rows: u64,
    /// Those that stand in train, features and label.
    pub rows_in_train: u64,
    /// Those whose features stand in train, whatever their label.
    pub features_in_train: u64,
}

/// How well a column tells attacks from benign rows by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnTelling {
    /// The column.
    pub column: String,
    /// The area under the ROC curve, at least one half; see `profile::giveaway`.
    pub auc: f64,
}

/// What leaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeakageReport {
    /// The version of this form.
    #[serde(default)]
    pub format: u32,
    /// Rows.
    pub rows: u64,
    /// Rows that equal an earlier one, features and label.
    pub duplicate_rows: u64,
    /// Different features.
    pub distinct_features: u64,
    /// Features with more than one label.
    pub contradictory_features: u64,
    /// Rows with such features.
    pub contradictory_rows: u64,
    /// Rows that are on no side.
    pub rows_nowhere: u64,
    /// The validation side.
    pub validation: SharedRows,
    /// The test side.
    pub test: SharedRows,
    /// The labels that count as benign; all others are attacks.
    pub benign: Vec<String>,
    /// Rows without a label.
    pub unlabelled_rows: u64,
    /// Every column and how well it tells attacks from benign rows by itself, the best first.
    pub columns: Vec<ColumnTelling>,
    /// Columns that give the label away, the worst first.
    pub giveaways: Vec<Giveaway>,
}

impl StoredDocument for LeakageReport {
    const NAME: &'static str = "a leakage report";
    const FORMAT: u32 = 1;
}

impl LeakageReport {
    /// Looks for leaks: in the traces of all rows and their sides, and in the profiles of the rows
    /// of every label.
    pub fn new(
        traces: &RowTraces,
        sides: &[Vec<SplitSide>],
        benign: Vec<String>,
        labels: &LabelProfiles,
        near_perfect: f64,
    ) -> Self {
        // Sorted, rows with the same features stand side by side; among them those with the same
        // label.
        let mut rows: Vec<(u128, u64, SplitSide)> = (traces.parts().zip(sides))
            .flat_map(|(part, sides)| {
                part.zip(sides)
                    .map(|(trace, side)| (trace.features, trace.label, *side))
            })
            .collect();
        rows.sort_unstable();
        let (mut distinct_features, mut duplicate_rows) = (0, 0);
        let (mut contradictory_features, mut contradictory_rows) = (0, 0);
        let (mut validation, mut test) = (SharedRows::default(), SharedRows::default());
        let has_train =
            |rows: &[(u128, u64, SplitSide)]| rows.iter().any(|row| row.2 == SplitSide::Train);
        for same in rows.chunk_by(|a, b| a.0 == b.0) {
            let features_in_train = has_train(same);
            let mut labels = 0_u64;
            for equal in same.chunk_by(|a, b| a.1 == b.1) {
                let row_in_train = features_in_train && has_train(equal);
                labels += 1;
                duplicate_rows += equal.len() as u64 - 1;
                for (_, _, side) in equal {
                    let shared = match side {
                        SplitSide::Validation => &mut validation,
                        SplitSide::Test => &mut test,
                        SplitSide::Train | SplitSide::Nowhere | SplitSide::Unlabelled => continue,
                    };
                    shared.rows += 1;
                    shared.features_in_train += u64::from(features_in_train);
                    shared.rows_in_train += u64::from(row_in_train);
                }
            }
            distinct_features += 1;
            if labels > 1 {
                contradictory_features += 1;
                contradictory_rows += same.len() as u64;
            }
        }
        let is_attack = |label: &str| !benign.iter().any(|benign| benign == label);
        let tellings = ClassTellings::new(labels, &is_attack);
        Self {
            format: Self::FORMAT,
            rows: rows.len() as u64,
            duplicate_rows,
            distinct_features,
            contradictory_features,
            contradictory_rows,
            rows_nowhere: rows
                .iter()
                .filter(|row| row.2 == SplitSide::Nowhere)
                .count() as u64,
            validation,
            test,
            unlabelled_rows: rows.iter().filter(|row| row.1 == UNLABELLED).count() as u64,
            columns: tellings
                .areas()
                .into_iter()
                .map(|(column, auc)| ColumnTelling { column, auc })
                .collect(),
            giveaways: tellings.giveaways(near_perfect, &[]),
            benign,
        }
    }

    /// Returns the share of test rows whose features stand in train.
    pub fn shared_share(&self) -> f64 {
        if self.test.rows == 0 {
            0.0
        } else {
            self.test.features_in_train as f64 / self.test.rows as f64
        }
    }

    /// Returns a line for each thing that asks for a look.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.test.features_in_train > 0 {
            let SharedRows {
                rows,
                features_in_train,
                ..
            } = self.test;
            lines.push(format!("leak: {features_in_train} of {rows} test rows have features that stand in train too"));
        }
        if self.rows_nowhere > 0 {
            lines.push(format!(
                "{} rows are on no side: they lie in a gap or have no moment",
                self.rows_nowhere
            ));
        }
        if self.contradictory_rows > 0 {
            lines.push(format!(
                "{} rows of {} different features have labels that contradict each other",
                self.contradictory_rows, self.contradictory_features
            ));
        }
        let told = self
            .giveaways
            .iter()
            .filter(|giveaway| giveaway.grade != GiveawayGrade::Signature);
        lines.extend(told.map(Giveaway::tell));
        lines
    }
}
