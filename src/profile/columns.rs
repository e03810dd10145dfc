//! What a table looks like, in little room: per column the distribution of its values, and a sample
//! of rows. Profiles of parts can be merged; for a list of parts the result is always the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::frame::hash::{hash_text, spread};
use crate::frame::table::{ColumnType, Table, TableError};
use crate::profile::distinct::DistinctCounter;
use crate::profile::units::SampledUnits;

/// Version of the stored form. Another one is refused.
const FORMAT: u32 = 2;
/// Up to so many different values are all counted.
pub const EXACT: usize = 1024;
/// With more, a part of a table gives so many points of its distribution, of equal weight.
const POINTS: usize = 512;
/// So many points are left after a merge.
const MERGED: usize = 1024;
/// Text with more different values is counted by so many buckets of its digests.
const BUCKETS: usize = 256;

/// What a table looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    format: u32,
    /// Its rows.
    pub rows: u64,
    /// Its columns.
    pub columns: Vec<ColumnProfile>,
    /// The sampled rows.
    pub units: SampledUnits,
}

/// What a column looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Cells that are missing.
    pub missing: u64,
    /// Cells that are NaN.
    pub nan: u64,
    /// Cells that are minus and plus infinity.
    pub infinite: (u64, u64),
    /// All other cells.
    pub values: ValueDistribution,
    /// How many different values there are, about; see `Distinct`.
    pub distinct: DistinctCounter,
    /// The cells of the sampled rows, in their order.
    pub sample: SampledCells,
}

/// The distribution of a column's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ValueDistribution {
    /// Every number with its count, in order.
    Counts(Vec<(f64, u64)>),
    /// Numbers that each stand for as many values around them: the empirical distribution function
    /// at any place is off by at most 1 / 512 in a part, and by as much again after a merge.
    Points(Vec<(f64, u64)>),
    /// Every text with its count, in order.
    Texts(Vec<(String, u64)>),
    /// Texts counted by digest.
    Buckets(Vec<u64>),
}

/// The cells of sampled rows; NaN and `None` for what is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SampledCells {
    /// Numbers; their first seven digits are enough to put them in order.
    Numbers(Vec<f32>),
    /// Texts.
    Texts(Vec<Option<String>>),
}

impl Profile {
    /// Looks at one part of a table.
    ///
    /// # Errors
    /// A column cannot be read.
    pub fn of(table: &Table) -> Result<Self, TableError> {
        Self::of_groups(table, &[])
    }

    /// Looks at one part of a table in which the rows of a group are not drawn one by one: columns
    /// that name it; none where equal rows are one unit.
    ///
    /// # Errors
    /// A column is not there or cannot be read.
    pub fn of_groups(table: &Table, group: &[String]) -> Result<Self, TableError> {
        let (units, rows) = SampledUnits::of(table, group)?;
        let column =
            |(name, kind): (String, ColumnType)| ColumnProfile::of(table, name, kind, &rows);
        let columns = table
            .columns()?
            .into_iter()
            .map(column)
            .collect::<Result<_, TableError>>()?;
        Ok(Self {
            format: FORMAT,
            rows: table.height() as u64,
            columns,
            units,
        })
    }

    /// Puts the profiles of parts together; a column that a part does not have is missing in all of
    /// its rows.
    pub fn merged(parts: &[Self]) -> Self {
        let rows = parts.iter().map(|part| part.rows).sum();
        let (units, shown) =
            SampledUnits::merged(&parts.iter().map(|part| &part.units).collect::<Vec<_>>());
        let mut names: Vec<&str> = Vec::new();
        for column in parts.iter().flat_map(|part| &part.columns) {
            if !names.contains(&column.name.as_str()) {
                names.push(&column.name);
            }
        }
        let column = |name: &&str| {
            let of: Vec<(u64, Option<&ColumnProfile>)> = parts
                .iter()
                .map(|part| (part.rows, part.column(name)))
                .collect();
            ColumnProfile::merged(name, &of, &shown)
        };
        let columns = names.iter().map(column).collect();
        Self {
            format: FORMAT,
            rows,
            columns,
            units,
        }
    }

    /// Returns the profile with at most so many sampled rows.
    #[must_use]
    pub fn with_sample(mut self, rows: usize) -> Self {
        self.units.truncate(rows);
        for column in &mut self.columns {
            match &mut column.sample {
                SampledCells::Numbers(cells) => cells.truncate(rows),
                SampledCells::Texts(cells) => cells.truncate(rows),
            }
        }
        self
    }

    /// Returns the profile of one column, without its sample of rows.
    #[must_use]
    pub fn only(&self, name: &str) -> Self {
        let columns = self.column(name).cloned().into_iter().collect();
        Self {
            format: self.format,
            rows: self.rows,
            columns,
            units: SampledUnits::default(),
        }
        .with_sample(0)
    }

    /// Returns a column's profile.
    pub fn column(&self, name: &str) -> Option<&ColumnProfile> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns the profile of the sampled units alone, each counted once.
    #[must_use]
    pub fn of_units(&self) -> Self {
        let columns = self.columns.iter().map(ColumnProfile::of_units).collect();
        Self {
            format: self.format,
            rows: self.units.len() as u64,
            columns,
            units: self.units.clone(),
        }
    }

    /// Returns the stored form (MessagePack).
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).expect("plain data serialises")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let profile: Self =
            rmp_serde::from_slice(bytes).map_err(|error| format!("not a profile: {error}"))?;
        match profile.format {
            FORMAT => Ok(profile),
            other => Err(format!(
                "a profile of format {other}; this netsec reads {FORMAT}: make it again, or train the model again"
            )),
        }
    }
}

impl ColumnProfile {
    fn of(
        table: &Table,
        name: String,
        kind: ColumnType,
        rows: &[usize],
    ) -> Result<Self, TableError> {
        let missing = table
            .missing(&name)?
            .into_iter()
            .filter(|missing| *missing)
            .count() as u64;
        let whole = table.height() as u64;
        let none = |sample| Self {
            name: name.clone(),
            kind,
            missing,
            nan: 0,
            infinite: (0, 0),
            values: ValueDistribution::Counts(Vec::new()),
            distinct: DistinctCounter::default(),
            sample,
        };
        match kind {
            ColumnType::Empty => Ok(none(SampledCells::Numbers(vec![f32::NAN; rows.len()]))),
            ColumnType::Text | ColumnType::Other => {
                let cells = table.texts(&name)?;
                let sample =
                    SampledCells::Texts(rows.iter().map(|row| cells[*row].clone()).collect());
                let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
                for cell in cells.iter().flatten() {
                    *counts.entry(cell).or_default() += 1;
                }
                let distinct = (counts.len() > EXACT)
                    .then(|| DistinctCounter::of(counts.keys().map(|text| hash_text(text))));
                let counts = counts
                    .into_iter()
                    .map(|(text, count)| (text.to_owned(), count))
                    .collect();
                Ok(Self {
                    values: fewer_texts(counts),
                    distinct: distinct.unwrap_or_default(),
                    ..none(sample)
                })
            }
            _ => {
                let cells: Vec<f64> = match kind {
                    ColumnType::Time => table
                        .times(&name)?
                        .into_iter()
                        .map(|ms| ms.map_or(f64::NAN, |ms| ms as f64))
                        .collect(),
                    _ => table.numbers(&name)?,
                };
                let sample =
                    SampledCells::Numbers(rows.iter().map(|row| cells[*row] as f32).collect());
                let nan = cells.iter().filter(|cell| cell.is_nan()).count() as u64 - missing;
                let count =
                    |infinity: f64| cells.iter().filter(|cell| **cell == infinity).count() as u64;
                let infinite = (count(f64::NEG_INFINITY), count(f64::INFINITY));
                let finite: Vec<f64> = cells
                    .into_iter()
                    .filter(|cell| cell.is_finite())
                    .map(|cell| cell + 0.0)
                    .collect();
                debug_assert_eq!(
                    finite.len() as u64 + nan + missing + infinite.0 + infinite.1,
                    whole
                );
                let counts = counted(finite);
                let is_few = counts.len() <= EXACT;
                let hashes = counts.iter().map(|(value, _)| spread(value.to_bits()));
                let distinct = if is_few {
                    DistinctCounter::default()
                } else {
                    DistinctCounter::of(hashes)
                };
                let values = if is_few {
                    ValueDistribution::Counts(counts)
                } else {
                    ValueDistribution::Points(thinned(&counts, POINTS))
                };
                Ok(Self {
                    nan,
                    infinite,
                    values,
                    distinct,
                    ..none(sample)
                })
            }
        }
    }

    fn merged(name: &str, parts: &[(u64, Option<&Self>)], shown: &[(usize, usize)]) -> Self {
        let present = || parts.iter().filter_map(|(_, column)| *column);
        let kind = present().fold(ColumnType::Empty, |kind, column| kind.unify(column.kind));
        let is_text = matches!(kind, ColumnType::Text | ColumnType::Other);
        let missing = parts
            .iter()
            .map(|(rows, column)| column.map_or(*rows, |column| column.missing))
            .sum();
        let mut distinct = DistinctCounter::default();
        for column in present() {
            distinct.merge(&registers(column));
        }
        let values = if is_text {
            merged_texts(present())
        } else {
            merged_numbers(present())
        };
        if matches!(
            values,
            ValueDistribution::Counts(_) | ValueDistribution::Texts(_)
        ) {
            distinct = DistinctCounter::default();
        }
        let cell = |(part, row): &(usize, usize)| (parts[*part].1, *row);
        let sample = if is_text {
            SampledCells::Texts(
                shown
                    .iter()
                    .map(cell)
                    .map(|(column, row)| column.and_then(|column| column.sample.text(row)))
                    .collect(),
            )
        } else {
            SampledCells::Numbers(
                shown
                    .iter()
                    .map(cell)
                    .map(|(column, row)| {
                        column.map_or(f32::NAN, |column| column.sample.number(row))
                    })
                    .collect(),
            )
        };
        Self {
            name: name.to_owned(),
            kind,
            missing,
            nan: present().map(|column| column.nan).sum(),
            infinite: (
                present().map(|column| column.infinite.0).sum(),
                present().map(|column| column.infinite.1).sum(),
            ),
            values,
            distinct,
            sample,
        }
    }

    /// The profile of its sampled cells.
    fn of_units(&self) -> Self {
        let none = |missing: usize, values: ValueDistribution, infinite: (u64, u64)| Self {
            name: self.name.clone(),
            kind: self.kind,
            missing: missing as u64,
            nan: 0,
            infinite,
            values,
            distinct: DistinctCounter::default(),
            sample: self.sample.clone(),
        };
        match &self.sample {
            SampledCells::Numbers(cells) => {
                let count =
                    |is_so: fn(&f32) -> bool| cells.iter().filter(|cell| is_so(cell)).count();
                let infinite =
                    |infinity: f32| cells.iter().filter(|cell| **cell == infinity).count() as u64;
                let finite = cells
                    .iter()
                    .filter(|cell| cell.is_finite())
                    .map(|cell| f64::from(*cell) + 0.0)
                    .collect();
                let infinite = (infinite(f32::NEG_INFINITY), infinite(f32::INFINITY));
                none(
                    count(|cell| cell.is_nan()),
                    ValueDistribution::Counts(counted(finite)),
                    infinite,
                )
            }
            SampledCells::Texts(cells) => {
                let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
                cells
                    .iter()
                    .flatten()
                    .for_each(|cell| *counts.entry(cell).or_default() += 1);
                let texts = ValueDistribution::Texts(
                    counts
                        .into_iter()
                        .map(|(text, count)| (text.to_owned(), count))
                        .collect(),
                );
                // What had too many values to be counted one by one has too many here.
                let values = if matches!(self.values, ValueDistribution::Buckets(_)) {
                    ValueDistribution::Buckets(in_buckets(&texts))
                } else {
                    texts
                };
                none(
                    cells.iter().filter(|cell| cell.is_none()).count(),
                    values,
                    (0, 0),
                )
            }
        }
    }

    /// Returns the number of cells that are neither missing nor NaN nor infinite.
    pub fn count(&self) -> u64 {
        match &self.values {
            ValueDistribution::Counts(values) | ValueDistribution::Points(values) => {
                values.iter().map(|(_, count)| count).sum()
            }
            ValueDistribution::Texts(values) => values.iter().map(|(_, count)| count).sum(),
            ValueDistribution::Buckets(counts) => counts.iter().sum(),
        }
    }

    /// Returns how many different values there are, exactly up to 1024 and within some 3 % above.
    pub fn distinct(&self) -> f64 {
        match &self.values {
            ValueDistribution::Counts(values) => values.len() as f64,
            ValueDistribution::Texts(values) => values.len() as f64,
            ValueDistribution::Points(_) | ValueDistribution::Buckets(_) => {
                self.distinct.estimate()
            }
        }
    }
}

/// The registers of a column, or those of its values where they are still counted exactly.
fn registers(column: &ColumnProfile) -> DistinctCounter {
    match &column.values {
        _ if !column.distinct.is_empty() => column.distinct.clone(),
        ValueDistribution::Counts(values) => {
            DistinctCounter::of(values.iter().map(|(value, _)| spread(value.to_bits())))
        }
        ValueDistribution::Texts(values) => {
            DistinctCounter::of(values.iter().map(|(text, _)| hash_text(text)))
        }
        ValueDistribution::Points(_) | ValueDistribution::Buckets(_) => column.distinct.clone(),
    }
}

impl SampledCells {
    fn number(&self, row: usize) -> f32 {
        match self {
            Self::Numbers(cells) => cells.get(row).copied().unwrap_or(f32::NAN),
            Self::Texts(_) => f32::NAN,
        }
    }

    pub(crate) fn text(&self, row: usize) -> Option<String> {
        match self {
            Self::Texts(cells) => cells.get(row).cloned().flatten(),
            Self::Numbers(cells) => cells
                .get(row)
                .filter(|cell| !cell.is_nan())
                .map(|cell| (cell + 0.0).to_string()),
        }
    }
}

/// Numbers with their counts, in order.
fn counted(mut numbers: Vec<f64>) -> Vec<(f64, u64)> {
    numbers.sort_unstable_by(f64::total_cmp);
    let mut counts: Vec<(f64, u64)> = Vec::new();
    for number in numbers {
        match counts.last_mut() {
            Some((value, count)) if *value == number => *count += 1,
            _ => counts.push((number, 1)),
        }
    }
    counts
}

/// Puts values together into at most so many groups of about equal weight; the middle value of a
/// group stands for it.
fn thinned(values: &[(f64, u64)], groups: usize) -> Vec<(f64, u64)> {
    let whole: u64 = values.iter().map(|(_, count)| count).sum();
    let mut points: Vec<(f64, u64)> = Vec::new();
    // The last value whose group is under way, the weight before it, and what the group has
    // gathered.
    let (mut before, mut from, mut group) = (0_u64, 0, 0_u64);
    for (at, (_, count)) in values.iter().enumerate() {
        let start = before;
        before += count;
        group += count;
        let number =
            |weight: u64| (u128::from(weight) * groups as u128 / u128::from(whole.max(1))) as u64;
        let is_last = at + 1 == values.len();
        if is_last
            || number(before) != number(start)
            || number(before) != number(before + values[at + 1].1 - 1)
        {
            points.push((middle(&values[from..=at], group), group));
            (from, group) = (at + 1, 0);
        }
    }
    points
}

fn middle(values: &[(f64, u64)], weight: u64) -> f64 {
    let mut before = 0;
    for (value, count) in values {
        before += count;
        if 2 * before >= weight {
            return *value;
        }
    }
    values.last().map_or(f64::NAN, |(value, _)| *value)
}

fn merged_numbers<'a>(columns: impl Iterator<Item = &'a ColumnProfile>) -> ValueDistribution {
    let (mut all, mut is_exact) = (Vec::new(), true);
    for column in columns {
        match &column.values {
            ValueDistribution::Counts(values) => all.extend_from_slice(values),
            ValueDistribution::Points(values) => {
                is_exact = false;
                all.extend_from_slice(values);
            }
            ValueDistribution::Texts(_) | ValueDistribution::Buckets(_) => {}
        }
    }
    // The stable sort takes the parts for the sorted runs they are.
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    match is_exact && all.len() <= EXACT {
        true => ValueDistribution::Counts(all),
        false if all.len() <= MERGED => ValueDistribution::Points(all),
        false => ValueDistribution::Points(thinned(&all, MERGED / 2)),
    }
}

/// Returns how often each text stands in one list and in another.
pub fn side_by_side<'a>(
    first: &'a [(String, u64)],
    second: &'a [(String, u64)],
) -> BTreeMap<&'a str, (u64, u64)> {
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    first
        .iter()
        .for_each(|(text, count)| counts.entry(text).or_default().0 += count);
    second
        .iter()
        .for_each(|(text, count)| counts.entry(text).or_default().1 += count);
    counts
}

/// Returns texts that were counted one by one as counts by digest.
pub fn in_buckets(values: &ValueDistribution) -> Vec<u64> {
    let mut buckets = vec![0; BUCKETS];
    if let ValueDistribution::Texts(counts) = values {
        for (text, count) in counts {
            buckets[(hash_text(text) % BUCKETS as u64) as usize] += count;
        }
    }
    buckets
}

fn fewer_texts(counts: Vec<(String, u64)>) -> ValueDistribution {
    if counts.len() <= EXACT {
        return ValueDistribution::Texts(counts);
    }
    ValueDistribution::Buckets(in_buckets(&ValueDistribution::Texts(counts)))
}

fn merged_texts<'a>(columns: impl Iterator<Item = &'a ColumnProfile>) -> ValueDistribution {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut buckets: Option<Vec<u64>> = None;
    for column in columns {
        match &column.values {
            ValueDistribution::Texts(values) => {
                values
                    .iter()
                    .for_each(|(text, count)| *counts.entry(text.clone()).or_default() += count);
            }
            // A column that held numbers in one part and text in another.
            ValueDistribution::Counts(values) | ValueDistribution::Points(values) => {
                values.iter().for_each(|(value, count)| {
                    *counts.entry(value.to_string()).or_default() += count
                });
            }
            ValueDistribution::Buckets(theirs) => {
                let mine = buckets.get_or_insert_with(|| vec![0; BUCKETS]);
                mine.iter_mut()
                    .zip(theirs)
                    .for_each(|(mine, theirs)| *mine += theirs);
            }
        }
    }
    match buckets {
        None => fewer_texts(counts.into_iter().collect()),
        Some(mut buckets) => {
            let others = in_buckets(&ValueDistribution::Texts(counts.into_iter().collect()));
            buckets
                .iter_mut()
                .zip(others)
                .for_each(|(mine, theirs)| *mine += theirs);
            ValueDistribution::Buckets(buckets)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(cells: Vec<f64>) -> Table {
        Table::of_numbers(vec![("a".to_owned(), cells)]).unwrap()
    }

    #[test]
    fn few_values_are_counted_and_many_are_summarised() {
        let few = Profile::of(&numbers(vec![1.0, 2.0, 2.0, f64::NAN, f64::INFINITY])).unwrap();
        let column = few.column("a").unwrap();
        assert_eq!((column.missing, column.infinite), (1, (0, 1)));
        assert_eq!(
            column.values,
            ValueDistribution::Counts(vec![(1.0, 1), (2.0, 2)])
        );
        let many = Profile::of(&numbers((0..10_000).map(f64::from).collect())).unwrap();
        let ValueDistribution::Points(points) = &many.column("a").unwrap().values else {
            panic!()
        };
        assert!(
            points.len() <= 520 && points.iter().all(|(_, weight)| *weight <= 40),
            "{}",
            points.len()
        );
        let distinct = many.column("a").unwrap().distinct();
        assert!((9_500.0..10_500.0).contains(&distinct), "{distinct}");
    }

    #[test]
    fn merging_parts_is_looking_at_the_whole_where_values_are_counted() {
        let cells: Vec<f64> = (0..3_000).map(|i| f64::from(i * 7 % 90)).collect();
        let part =
            |range: std::ops::Range<usize>| Profile::of(&numbers(cells[range].to_vec())).unwrap();
        let merged = Profile::merged(&[part(0..1000), part(1000..1200), part(1200..3000)]);
        let whole = part(0..3000);
        assert_eq!(
            merged.column("a").unwrap().values,
            whole.column("a").unwrap().values
        );
        assert_eq!((merged.rows, &merged.units), (3000, &whole.units));
        assert_eq!(Profile::decode(&merged.encode()), Ok(merged));
    }

    #[test]
    fn the_distribution_of_a_merge_is_near_that_of_the_whole() {
        let cells: Vec<f64> = (0..40_000)
            .map(|i| (f64::from(i * 7919 % 40_000) / 100.0).exp())
            .collect();
        let parts: Vec<Profile> = cells
            .chunks(7_000)
            .map(|part| Profile::of(&numbers(part.to_vec())).unwrap())
            .collect();
        let merged = Profile::merged(&parts);
        let ValueDistribution::Points(points) = &merged.column("a").unwrap().values else {
            panic!()
        };
        assert!(points.len() <= MERGED);
        let mut sorted = cells.clone();
        sorted.sort_by(f64::total_cmp);
        let mut before = 0;
        for (value, weight) in points {
            before += weight;
            let below = sorted.partition_point(|cell| cell <= value);
            assert!(
                (before as f64 - below as f64).abs() / 40_000.0 < 2.0 / 512.0,
                "{value}: {before} {below}"
            );
        }
    }
}
