//! What of a table may be dealt out, drawn and permuted by itself: a distinct row with all its
//! copies, or a group of rows; and a sample of them.
//!
//! How: a unit is known by a hash of its row, or of what names its group. Those with the smallest
//! hashes are kept (Broder, 1997): a fair sample of all units, however often each stands, in which
//! the same units stand for every table, and whose counts stay exact when tables are put together.
//! A group is shown by the row with the smallest hash of its own.

use std::collections::{BTreeMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frame::hash::RowHasher;
use crate::frame::table::{ColumnType, Table, TableError};

/// A sample of so many units is kept.
pub const SAMPLE: usize = 2048;

/// Sampled units, those with the smallest hashes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledUnits {
    /// The hash of each.
    pub keys: Vec<u64>,
    /// The hash of the row that is shown of it.
    picks: Vec<u64>,
    /// How many rows it has.
    pub counts: Vec<u64>,
    /// Whether they are groups that were named, and not equal rows.
    pub are_groups: bool,
}

/// The units with the smallest hashes so far: of each the hash of the row that is shown, where that
/// stands, and its rows. One that is beyond them never comes back, so that the counts of those that
/// stay are whole.
struct SmallestHashes<P> {
    units: BTreeMap<u64, (u64, P, u64)>,
}

impl<P> Default for SmallestHashes<P> {
    fn default() -> Self {
        Self {
            units: BTreeMap::new(),
        }
    }
}

impl<P> SmallestHashes<P> {
    fn add(&mut self, key: u64, pick: u64, place: P, count: u64) {
        if self.units.len() >= SAMPLE
            && self
                .units
                .last_key_value()
                .is_some_and(|(last, _)| key > *last)
        {
            return;
        }
        match self.units.get_mut(&key) {
            Some(unit) => {
                unit.2 += count;
                if pick < unit.0 {
                    (unit.0, unit.1) = (pick, place);
                }
            }
            None => {
                self.units.insert(key, (pick, place, count));
                if self.units.len() > SAMPLE {
                    self.units.pop_last();
                }
            }
        }
    }

    fn finish(self, are_groups: bool) -> (SampledUnits, Vec<P>) {
        let (mut sample, mut shown) = (
            SampledUnits {
                are_groups,
                ..SampledUnits::default()
            },
            Vec::new(),
        );
        for (key, (pick, place, count)) in self.units {
            sample.keys.push(key);
            sample.picks.push(pick);
            sample.counts.push(count);
            shown.push(place);
        }
        (sample, shown)
    }
}

impl SampledUnits {
    /// Samples a table; the second list is the row that is shown of each unit. Without columns that
    /// name a group, equal rows are one unit.
    ///
    /// # Errors
    /// A column is not there or cannot be read.
    pub fn of(table: &Table, group: &[String]) -> Result<(Self, Vec<usize>), TableError> {
        let rows = hashes(table, &table.names())?;
        let keys = if group.is_empty() {
            rows.clone()
        } else {
            hashes(table, group)?
        };
        let mut smallest = SmallestHashes::default();
        for (row, (key, pick)) in keys.into_iter().zip(rows).enumerate() {
            smallest.add(key, pick, row, 1);
        }
        Ok(smallest.finish(!group.is_empty()))
    }

    /// Puts the samples of parts together; the second list tells of each unit in which part, and at
    /// which place there, the row stands that is shown.
    pub fn merged(parts: &[&Self]) -> (Self, Vec<(usize, usize)>) {
        let mut smallest = SmallestHashes::default();
        for (part, sample) in parts.iter().enumerate() {
            for (at, key) in sample.keys.iter().enumerate() {
                smallest.add(*key, sample.picks[at], (part, at), sample.counts[at]);
            }
        }
        smallest.finish(parts.iter().any(|part| part.are_groups))
    }

    /// Keeps at most so many.
    pub fn truncate(&mut self, units: usize) {
        self.keys.truncate(units);
        self.picks.truncate(units);
        self.counts.truncate(units);
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns how many of them have a hash up to which those of another sample are complete too:
    /// units that both tables have are in both samples, or in neither.
    pub fn comparable(&self, other: &Self) -> usize {
        let reach = |units: &Self| {
            if units.len() < SAMPLE {
                u64::MAX
            } else {
                units.keys.last().copied().unwrap_or(u64::MAX)
            }
        };
        let common = reach(self).min(reach(other));
        self.keys.partition_point(|key| *key <= common)
    }
}

/// What two tables were drawn by, as far as their copies tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrawnUnit {
    /// Row by row: copies of a row are on both sides about as often as chance has it.
    Row,
    /// Distinct rows with all their copies: those are on one side, as a split by content leaves
    /// them.
    DistinctRow,
    /// The groups that were named.
    Group,
}

/// With fewer units that chance would have on both sides nothing can be told, and nothing need be.
const TELLING: f64 = 3.0;

/// Tells by what units two tables were drawn.
pub fn drawn_by(first: &SampledUnits, second: &SampledUnits, rows: (u64, u64)) -> DrawnUnit {
    if first.are_groups || second.are_groups {
        return DrawnUnit::Group;
    }
    let (mine, theirs) = (first.comparable(second), second.comparable(first));
    let mut counts: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    (0..mine).for_each(|at| counts.entry(first.keys[at]).or_default().0 += first.counts[at]);
    (0..theirs).for_each(|at| counts.entry(second.keys[at]).or_default().1 += second.counts[at]);
    let share = rows.1 as f64 / (rows.0 + rows.1).max(1) as f64;
    let (mut expected, mut found) = (0.0, 0.0);
    for (a, b) in counts.into_values() {
        let copies = (a + b) as f64;
        expected += 1.0 - share.powf(copies) - (1.0 - share).powf(copies);
        found += f64::from(u8::from(a > 0 && b > 0));
    }
    if expected >= TELLING && found < expected / 2.0 {
        DrawnUnit::DistinctRow
    } else {
        DrawnUnit::Row
    }
}

/// Returns a table with the first of each of its equal rows.
///
/// # Errors
/// A column cannot be read.
pub fn distinct_rows(table: &Table) -> Result<Table, TableError> {
    let mut known = HashSet::new();
    let keep: Vec<bool> = hashes(table, &table.names())?
        .into_iter()
        .map(|hash| known.insert(hash))
        .collect();
    table.filter(&keep)
}

/// A hash of each row over some columns, which the order of the columns does not change.
fn hashes(table: &Table, names: &[String]) -> Result<Vec<u64>, TableError> {
    let mut names = names.to_vec();
    names.sort();
    let mut hasher = RowHasher::new(table.height());
    for name in &names {
        match table.column_type(name)? {
            ColumnType::Int | ColumnType::Float | ColumnType::Bool | ColumnType::Empty => {
                hasher.numbers(&table.numbers(name)?);
            }
            ColumnType::Time => {
                let ms = table
                    .times(name)?
                    .into_iter()
                    .map(|ms| ms.map_or(f64::NAN, |ms| ms as f64));
                hasher.numbers(&ms.collect::<Vec<_>>());
            }
            ColumnType::Text | ColumnType::Other => hasher.texts(&table.texts(name)?),
        }
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(cells: Vec<f64>) -> Table {
        Table::of_numbers(vec![("a".to_owned(), cells)]).unwrap()
    }

    #[test]
    fn copies_are_counted_and_stay_exact_in_a_merge() {
        let cells = |range: std::ops::Range<u32>| {
            range
                .map(|row| f64::from(row % 3_000))
                .collect::<Vec<f64>>()
        };
        let of = |range| SampledUnits::of(&table(cells(range)), &[]).unwrap().0;
        let (first, second) = (of(0..4_000), of(4_000..6_500));
        let (merged, _) = SampledUnits::merged(&[&first, &second]);
        assert_eq!(merged, of(0..6_500));
        assert_eq!(
            (merged.len(), merged.counts.iter().max()),
            (SAMPLE, Some(&3))
        );
    }

    #[test]
    fn a_split_by_content_is_told_from_a_draw_of_rows() {
        // Every row stands four times.
        let cells: Vec<f64> = (0..4_000_u32).map(|row| f64::from(row % 1_000)).collect();
        let side = |is_second: &dyn Fn(usize) -> bool, wanted: bool| {
            let rows = cells
                .iter()
                .enumerate()
                .filter(|(row, _)| is_second(*row) == wanted)
                .map(|(_, cell)| *cell);
            SampledUnits::of(&table(rows.collect()), &[]).unwrap().0
        };
        let drawn = |is_second: &dyn Fn(usize) -> bool| {
            let (first, second) = (side(is_second, false), side(is_second, true));
            let rows = |units: &SampledUnits| units.counts.iter().sum();
            drawn_by(&first, &second, (rows(&first), rows(&second)))
        };
        assert_eq!(drawn(&|row| row % 1_000 % 5 == 0), DrawnUnit::DistinctRow);
        assert_eq!(drawn(&|row| row * 7919 % 1_013 % 5 == 0), DrawnUnit::Row);
    }
}
