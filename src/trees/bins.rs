//! Features as bins, made once for every candidate, fold and learner of a search.
//!
//! Boosting has bins of one byte: it looks at all rows of a leaf for each feature, and many small
//! steps make up for where a cut lies. Single trees and forests have finer ones: their trees go
//! down to a few rows, and a cut has to tell those apart.
//!
//! Rows with the same bins are one group: all that a tree can know of them is how many of each
//! class there are. Groups stand in an order of their own, so that the order of the rows does not
//! matter.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use crate::trees::bin_code::BinCode;
use crate::trees::packs::{COLUMNS, FeaturePack, PackedCode};

/// So many rows are digested at a time.
const PART: usize = 1 << 14;

/// How a feature is cut: the bin of a value is the number of cuts below it; what is missing has a
/// bin after the last.
#[derive(Clone, Debug, PartialEq)]
pub struct BinCuts(Vec<f64>);

impl BinCuts {
    /// Finds cuts for at most so many bins: between any two values where there are few, otherwise
    /// so that bins hold about as many rows each. NaN is missing and has no part in it.
    pub fn of(values: ArrayView1<'_, f64>, most: usize) -> Self {
        if let Some(few) = few(values, most) {
            return Self(
                few.windows(2)
                    .map(|pair| between(pair[0], pair[1]))
                    .collect(),
            );
        }
        let mut sorted: Vec<f64> = values
            .iter()
            .copied()
            .filter(|value| !value.is_nan())
            .map(|value| value + 0.0)
            .collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut distinct: Vec<(f64, usize)> = Vec::new();
        for value in &sorted {
            match distinct.last_mut() {
                Some((last, count)) if last == value => *count += 1,
                _ => distinct.push((*value, 1)),
            }
        }
        // Values that fill a bin by themselves have one; the others share what is left.
        let (mut cuts, mut held) = (Vec::new(), 0);
        let (mut rows, mut bins) = (sorted.len(), most);
        for pair in distinct.windows(2) {
            let ((value, count), (next, following)) = (pair[0], pair[1]);
            held += count;
            let share = rows / bins.max(1);
            if bins > 1 && (held >= share.max(1) || following >= share.max(2)) {
                cuts.push(between(value, next));
                (rows, bins, held) = (rows - held, bins - 1, 0);
            }
        }
        Self(cuts)
    }

    /// Cuts between categories by number, of which there are at most 255: the bin of each is its
    /// number.
    fn of_categories(values: ArrayView1<'_, f64>) -> Self {
        let present = values.iter().filter(|value| !value.is_nan());
        let last = present.fold(0.0_f64, |last, value| last.max(*value));
        Self((0..last as u16).map(|bin| f64::from(bin) + 0.5).collect())
    }

    /// Returns the bin of a value.
    pub fn bin(&self, value: f64) -> u16 {
        if value.is_nan() {
            self.missing()
        } else {
            self.0.partition_point(|cut| *cut < value) as u16
        }
    }

    /// Returns the bin of what is missing.
    pub fn missing(&self) -> u16 {
        self.bins() as u16
    }

    /// Returns the greatest value that belongs into a bin; the last has none.
    pub fn threshold(&self, bin: u16) -> f64 {
        self.0[usize::from(bin)]
    }

    /// Returns the number of bins of present values.
    pub fn bins(&self) -> usize {
        self.0.len() + 1
    }
}

/// Returns the different values in order, if there are no more than that.
fn few(values: ArrayView1<'_, f64>, most: usize) -> Option<Vec<f64>> {
    let count = (4 * most).next_power_of_two();
    let mut slots = vec![f64::NAN; count];
    let mut distinct = Vec::new();
    for value in values
        .iter()
        .filter(|value| !value.is_nan())
        .map(|value| value + 0.0)
    {
        // Fibonacci hashing (Knuth, 6.4); then the next free slot.
        let mut at = (value.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> (u64::BITS - count.ilog2())) as usize;
        while slots[at] != value {
            if slots[at].is_nan() {
                if distinct.len() == most {
                    return None;
                }
                slots[at] = value;
                distinct.push(value);
            } else {
                at = (at + 1) % count;
            }
        }
    }
    distinct.sort_unstable_by(f64::total_cmp);
    Some(distinct)
}

/// A number from the first on and below the second.
fn between(low: f64, high: f64) -> f64 {
    let middle = low / 2.0 + high / 2.0;
    if middle >= low && middle < high {
        middle
    } else {
        low
    }
}

/// Binned rows.
#[derive(Clone, Debug)]
pub struct BinnedRows<C> {
    /// The cuts of every feature.
    pub cuts: Vec<BinCuts>,
    /// Of every feature, the bin of every group.
    pub codes: Vec<Vec<C>>,
    /// The group of every row.
    pub group: Vec<u32>,
    /// How many groups there are.
    pub groups: usize,
    /// Features, packed: all that have bins of one byte, of finer ones those of few bins.
    pub packs: Vec<FeaturePack<C>>,
    /// The columns of the packs: tiles of up to 64, each group by group.
    pub tiles: Vec<Vec<[C; COLUMNS]>>,
    /// Of every feature its pack, and its place there.
    pub places: Vec<Option<(usize, usize)>>,
    /// Of every feature whether its values are the numbers of categories, each with a bin of its
    /// own; empty where none is.
    categories: Vec<bool>,
}

impl<C: PackedCode> BinnedRows<C> {
    /// Bins rows of features; NaN is missing. Those that are marked hold the numbers of categories;
    /// no mark at all: none does.
    pub fn new(x: ArrayView2<'_, f64>, categories: &[bool]) -> Self {
        let turned = turned(x);
        let columns: Vec<ArrayView1<'_, f64>> = turned.axis_iter(Axis(0)).collect();
        let binned: Vec<(BinCuts, Vec<C>)> = columns
            .par_iter()
            .enumerate()
            .map(|(feature, column)| {
                let cuts = match categories.get(feature) {
                    Some(true) => BinCuts::of_categories(*column),
                    _ => BinCuts::of(*column, C::MOST),
                };
                let code = |value: &f64| C::of(cuts.bin(*value));
                let codes = column.iter().map(code).collect();
                (cuts, codes)
            })
            .collect();
        let (cuts, rows): (Vec<BinCuts>, Vec<Vec<C>>) = binned.into_iter().unzip();
        let (group, firsts) = grouped(&rows, x.nrows());
        let codes: Vec<Vec<C>> = rows
            .par_iter()
            .map(|codes| firsts.iter().map(|row| codes[*row as usize]).collect())
            .collect();
        let counts: Vec<usize> = cuts.iter().map(BinCuts::bins).collect();
        let (packs, tiles) = C::packed(&codes, &counts);
        let mut places = vec![None; cuts.len()];
        for (at, pack) in packs.iter().enumerate() {
            for (place, feature) in pack.features.iter().enumerate() {
                places[*feature] = Some((at, place));
            }
        }
        Self {
            cuts,
            codes,
            group,
            groups: firsts.len(),
            packs,
            tiles,
            places,
            categories: categories.to_vec(),
        }
    }
}

impl<C> BinnedRows<C> {
    /// Returns the number of features.
    pub fn features(&self) -> usize {
        self.cuts.len()
    }

    /// Returns whether the values of a feature are the numbers of categories.
    pub fn is_category(&self, feature: usize) -> bool {
        self.categories.get(feature).copied().unwrap_or(false)
    }
}

/// Returns a row for each column, which is read several times, some rows at a time: both sides stay
/// in the cache.
fn turned(x: ArrayView2<'_, f64>) -> Array2<f64> {
    const ROWS: usize = 64;
    let mut turned = Array2::zeros((x.ncols(), x.nrows()));
    for (block, mut into) in x
        .axis_chunks_iter(Axis(0), ROWS)
        .zip(turned.axis_chunks_iter_mut(Axis(1), ROWS))
    {
        into.assign(&block.t());
    }
    turned
}

/// Finds rows with the same codes: of every row its group, of every group its first row. Groups are
/// in the order of a digest of their codes.
fn grouped<C: BinCode>(codes: &[Vec<C>], rows: usize) -> (Vec<u32>, Vec<u32>) {
    let mut keys = vec![0_u64; rows];
    keys.par_chunks_mut(PART)
        .enumerate()
        .for_each(|(part, keys)| {
            for column in codes {
                for (key, code) in keys.iter_mut().zip(&column[part * PART..]) {
                    // The multiplier of Knuth's generator MMIX; what it mixes upwards is turned down
                    // again.
                    *key = (key.rotate_left(23) ^ u64::from(code.bin()))
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                }
            }
        });
    let cells = |row: u32| codes.iter().map(move |column| column[row as usize]);
    let mut order: Vec<(u64, u32)> = keys.into_iter().zip(0..).collect();
    order.par_sort_unstable();
    // Different rows with the same key are rare: they are told apart by their codes.
    for same in order.chunk_by_mut(|a, b| a.0 == b.0) {
        same.sort_by(|a, b| cells(a.1).cmp(cells(b.1)));
    }
    let (mut group, mut firsts) = (vec![0; rows], Vec::new());
    let mut last: Option<(u64, u32)> = None;
    for (key, row) in order {
        let is_same =
            last.is_some_and(|(other, first)| other == key && cells(first).eq(cells(row)));
        if !is_same {
            firsts.push(row);
            last = Some((key, row));
        }
        group[row as usize] = firsts.len() as u32 - 1;
    }
    (group, firsts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn few_values_have_a_bin_each_and_many_share() {
        let cuts = BinCuts::of(array![3.0, 1.0, f64::NAN, 3.0, -2.0].view(), 255);
        assert_eq!(
            (cuts.bins(), cuts.bin(-2.0), cuts.bin(1.0), cuts.bin(9.0)),
            (3, 0, 1, 2)
        );
        assert_eq!((cuts.bin(f64::NAN), cuts.threshold(1)), (3, 2.0));
        let many =
            ndarray::Array1::from_shape_fn(
                10_000,
                |row| if row < 5_000 { 0.5 } else { row as f64 },
            );
        let cuts = BinCuts::of(many.view(), 255);
        assert!(cuts.bins() > 200 && cuts.bins() <= 255, "{}", cuts.bins());
        let mut rows = [0; 256];
        many.iter()
            .for_each(|value| rows[usize::from(cuts.bin(*value))] += 1);
        assert_eq!(rows[0], 5_000);
        assert!(rows[1..255].iter().all(|rows| *rows <= 41), "{rows:?}");
    }

    #[test]
    fn neighbours_that_no_number_lies_between_are_cut_at_the_lower() {
        let next = f64::from_bits(1.0_f64.to_bits() + 1);
        let cuts = BinCuts::of(array![1.0, next].view(), 255);
        assert_eq!((cuts.bin(1.0), cuts.bin(next)), (0, 1));
        assert_eq!(
            BinCuts::of(array![-f64::MAX, f64::MAX].view(), 255).threshold(0),
            0.0
        );
    }

    #[test]
    fn groups_have_the_bins_of_their_rows() {
        let x = ndarray::Array2::from_shape_fn((500, 9), |(row, column)| {
            ((row * 31 + column * 7) % (2 + column)) as f64
        });
        let bins = BinnedRows::<u8>::new(x.view(), &[]);
        assert!(bins.packs.len() < 9, "{} packs", bins.packs.len());
        for (row, group) in bins.group.iter().enumerate() {
            for (column, codes) in bins.codes.iter().enumerate() {
                assert_eq!(
                    codes[*group as usize].bin(),
                    bins.cuts[column].bin(x[[row, column]])
                );
            }
        }
    }
}
