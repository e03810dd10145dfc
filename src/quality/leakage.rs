//! What leaks from one side of a split to the other, and which columns tell too much.

use std::collections::HashMap;

use serde::Serialize;

use crate::quality::profile::{ColumnProfile, Profile, Values, side_by_side};

/// Bytes that are kept of a row: 16 of the digest of its features, 8 of that of its label, 8 that decide its side.
const ROW: usize = 32;

/// Columns with so many different values for so many rows look like row numbers.
const ID_SHARE: f64 = 0.95;
/// With fewer rows nothing looks like row numbers.
const ID_ROWS: u64 = 50;

/// The side of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// For learning.
    Train,
    /// For choosing.
    Validation,
    /// For judging.
    Test,
    /// In a gap.
    Nowhere,
}

/// What is kept of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The digest of its features.
    pub features: u128,
    /// The digest of its label.
    pub label: u64,
    /// What decides its side.
    pub decider: u64,
}

/// What is kept of the rows of every part.
#[derive(Debug, Default)]
pub struct Traces(Vec<Vec<u8>>);

/// Returns the first 8 bytes of a digest as a number.
pub fn head(digest: &[u8; 32]) -> u64 {
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// Returns the digest of a label.
pub fn label(text: Option<&str>) -> u64 {
    text.map_or(0, |text| head(blake3::hash(text.as_bytes()).as_bytes()))
}

impl Traces {
    /// Writes the traces of a part.
    pub fn encode(features: &[[u8; 32]], labels: &[Option<String>], deciders: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ROW * features.len());
        let mut known: HashMap<&str, u64> = HashMap::new();
        for ((features, text), decider) in features.iter().zip(labels).zip(deciders) {
            bytes.extend_from_slice(&features[..16]);
            let label = text.as_deref().map_or(0, |text| *known.entry(text).or_insert_with(|| label(Some(text))));
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
    pub fn parts(&self) -> impl Iterator<Item = impl Iterator<Item = Trace>> {
        self.0.iter().map(|part| part.as_chunks::<ROW>().0.iter().map(trace))
    }
}

fn trace(bytes: &[u8; ROW]) -> Trace {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let features = u128::from_le_bytes(bytes[..16].try_into().expect("sixteen bytes"));
    Trace { features, label: number(16), decider: number(24) }
}

/// Rows of one side that stand in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shared {
    /// Rows of the side.
    pub rows: u64,
    /// Those that stand in train, features and label.
    pub rows_in_train: u64,
    /// Those whose features stand in train, whatever their label.
    pub features_in_train: u64,
}

/// A column that tells the label by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Telling {
    /// The column.
    pub column: String,
    /// The area under its ROC curve, the better of both directions; of text, by the labels of the other rows with the same value.
    pub auc: f64,
    /// Whether that is near one.
    pub near_perfect: bool,
}

/// A column that looks like a row number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdLike {
    /// The column.
    pub column: String,
    /// Its different values, about.
    pub distinct: u64,
    /// Their share of the cells that are not missing.
    pub share: f64,
}

/// What leaks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leakage {
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
    pub validation: Shared,
    /// The test side.
    pub test: Shared,
    /// The label that columns were asked to tell from all others.
    pub label: Option<String>,
    /// Every column and how well it tells the label, the best first.
    pub columns: Vec<Telling>,
    /// Columns that look like row numbers.
    pub id_like: Vec<IdLike>,
}

impl Leakage {
    /// Looks for leaks: in the traces of all rows and their sides, and in the profiles of the rows without and with the
    /// label (just one where there are no labels).
    pub fn new(
        traces: &Traces,
        sides: &[Vec<Side>],
        label: Option<String>,
        classes: &[Profile],
        near_perfect: f64,
    ) -> Self {
        // Sorted, rows with the same features stand side by side; among them those with the same label.
        let mut rows: Vec<(u128, u64, Side)> = (traces.parts().zip(sides))
            .flat_map(|(part, sides)| part.zip(sides).map(|(trace, side)| (trace.features, trace.label, *side)))
            .collect();
        rows.sort_unstable();
        let (mut distinct_features, mut duplicate_rows) = (0, 0);
        let (mut contradictory_features, mut contradictory_rows) = (0, 0);
        let (mut validation, mut test) = (Shared::default(), Shared::default());
        let has_train = |rows: &[(u128, u64, Side)]| rows.iter().any(|row| row.2 == Side::Train);
        for same in rows.chunk_by(|a, b| a.0 == b.0) {
            let features_in_train = has_train(same);
            let mut labels = 0_u64;
            for equal in same.chunk_by(|a, b| a.1 == b.1) {
                let row_in_train = features_in_train && has_train(equal);
                labels += 1;
                duplicate_rows += equal.len() as u64 - 1;
                for (_, _, side) in equal {
                    let shared = match side {
                        Side::Validation => &mut validation,
                        Side::Test => &mut test,
                        Side::Train | Side::Nowhere => continue,
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
        let mut columns = match classes {
            [without, with] => telling(without, with, near_perfect),
            _ => Vec::new(),
        };
        columns.sort_by(|a, b| b.auc.total_cmp(&a.auc).then_with(|| a.column.cmp(&b.column)));
        Self {
            rows: rows.len() as u64,
            duplicate_rows,
            distinct_features,
            contradictory_features,
            contradictory_rows,
            rows_nowhere: rows.iter().filter(|row| row.2 == Side::Nowhere).count() as u64,
            validation,
            test,
            label,
            columns,
            id_like: id_like(classes),
        }
    }

    /// Returns the share of test rows whose features stand in train.
    pub fn shared_share(&self) -> f64 {
        if self.test.rows == 0 { 0.0 } else { self.test.features_in_train as f64 / self.test.rows as f64 }
    }

    /// Returns a line for each thing that asks for a look.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.test.features_in_train > 0 {
            let Shared { rows, features_in_train, .. } = self.test;
            lines.push(format!("leak: {features_in_train} of {rows} test rows have features that stand in train too"));
        }
        if self.rows_nowhere > 0 {
            lines.push(format!("{} rows are on no side: they lie in a gap or have no moment", self.rows_nowhere));
        }
        if self.contradictory_rows > 0 {
            lines.push(format!(
                "{} rows of {} different features have labels that contradict each other",
                self.contradictory_rows, self.contradictory_features
            ));
        }
        for column in self.columns.iter().filter(|column| column.near_perfect) {
            lines.push(format!("`{}` tells the label by itself: AUC {:.4}", column.column, column.auc));
        }
        for IdLike { column, distinct, .. } in &self.id_like {
            lines.push(format!("`{column}` looks like a row number: about {distinct} different values"));
        }
        lines
    }
}

fn telling(without: &Profile, with: &Profile, near_perfect: f64) -> Vec<Telling> {
    let one = |first: &ColumnProfile| {
        let second = with.column(&first.name)?;
        let auc = match (&first.values, &second.values) {
            (Values::Counts(a) | Values::Points(a), Values::Counts(b) | Values::Points(b)) => auc(a, b)?,
            (Values::Texts(a), Values::Texts(b)) => text_auc(a, b)?,
            // Text of which the values are not known tells nothing that could be told here.
            _ => return None,
        };
        let auc = auc.max(1.0 - auc);
        Some(Telling { column: first.name.clone(), auc, near_perfect: auc >= near_perfect })
    };
    without.columns.iter().filter_map(one).collect()
}

/// The area under the ROC curve of values with their counts, in order: the probability that one of the second is greater
/// than one of the first, ties counted half (Mann and Whitney, 1947). `None` if a sample is empty.
pub fn auc(first: &[(f64, u64)], second: &[(f64, u64)]) -> Option<f64> {
    let total = |sample: &[(f64, u64)]| sample.iter().map(|(_, count)| *count as f64).sum::<f64>();
    let (n1, n2) = (total(first), total(second));
    if n1 == 0.0 || n2 == 0.0 {
        return None;
    }
    let (mut below, mut i, mut sum) = (0.0, 0, 0.0);
    for (value, count) in second {
        while let Some((_, lower)) = first.get(i).filter(|(lower, _)| lower < value) {
            below += *lower as f64;
            i += 1;
        }
        let equal: f64 =
            first[i..].iter().take_while(|(other, _)| other == value).map(|(_, count)| *count as f64).sum();
        sum += *count as f64 * (below + equal / 2.0);
    }
    Some(sum / (n1 * n2))
}

/// The same of text, every row placed by the share of the second among the *other* rows with its value: a value that stands
/// once tells nothing, and one half is the least.
fn text_auc(first: &[(String, u64)], second: &[(String, u64)]) -> Option<f64> {
    let counts = side_by_side(first, second);
    let (n1, n2) = counts.values().fold((0, 0), |(n1, n2), (a, b)| (n1 + a, n2 + b));
    let share = |hits: u64, rows: u64| if rows == 0 { n2 as f64 / (n1 + n2) as f64 } else { hits as f64 / rows as f64 };
    let side = |place: &dyn Fn(u64, u64) -> Option<(f64, u64)>| {
        let mut places: Vec<(f64, u64)> = counts.values().filter_map(|(a, b)| place(*a, *b)).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        places
    };
    let without = side(&|a, b| (a > 0).then(|| (share(b, a + b - 1), a)));
    let with = side(&|a, b| (b > 0).then(|| (share(b - 1, a + b - 1), b)));
    auc(&without, &with).map(|auc| auc.max(0.5))
}

fn id_like(classes: &[Profile]) -> Vec<IdLike> {
    let whole = Profile::merged(classes);
    let one = |column: &ColumnProfile| {
        let count = column.count();
        let (distinct, share) = (column.distinct(), column.distinct() / count.max(1) as f64);
        // Measured numbers with a fraction are nearly all different; that says nothing.
        let is_name = column.kind != crate::frame::table::ColumnType::Float;
        let is_id = is_name && whole.rows >= ID_ROWS && count * 2 >= whole.rows && share >= ID_SHARE;
        is_id.then(|| IdLike { column: column.name.clone(), distinct: distinct.round() as u64, share: share.min(1.0) })
    };
    whole.columns.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_counts_ties_half() {
        assert_eq!(auc(&[(0.0, 1), (1.0, 1)], &[(1.0, 1), (2.0, 1)]), Some(0.875));
        assert_eq!(auc(&[], &[(1.0, 1)]), None);
        let text =
            |pairs: &[(&str, u64)]| pairs.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect::<Vec<_>>();
        assert_eq!(text_auc(&text(&[("a", 5)]), &text(&[("b", 3), ("c", 2)])), Some(1.0));
        let names = |letter: &str| (0..50).map(|i| (format!("{letter}{i}"), 1)).collect::<Vec<_>>();
        assert_eq!(text_auc(&names("a"), &names("b")), Some(0.5), "names that stand once tell nothing");
    }
}
