//! Missing cells from the nearest rows, as scikit-learn's `KNNImputer` defines it.

use std::collections::HashMap;
use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::prep::knn_bounds::DistanceBounds;
use crate::stats::nearest_found::NearestFound;

/// Donors whose distances are summed at a time: their sums stay in the nearest cache.
const BLOCK: usize = 1024;

/// Rows that are filled at a time: a block of donors is read from memory once for all of them.
const TOGETHER: usize = 96;

/// So many bounds are looked at before it is asked whether any is near enough.
const ABREAST: usize = 16;

/// The most neighbours.
const MOST: usize = 1000;

/// How a missing cell is made of its donors' values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DonorWeights {
    /// All count the same.
    #[default]
    Uniform,
    /// Each counts one over its distance; where some are at no distance, only those count.
    Distance,
}

/// An imputer fitted on the rows of a training table.
///
/// The distance of two rows is sqrt(D / present · Σ (xᵢ − yᵢ)²) over the coordinates present in
/// both, D being the number of columns. A missing cell becomes the mean of its column over the
/// `neighbours` nearest rows that have it; where no row with a distance has it, the column's mean.
/// Rows at the same distance are taken in the order of the table (scikit-learn's order among ties
/// is not defined).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnnImputer {
    /// How many donors a cell is made of.
    pub neighbours: usize,
    /// How they count.
    pub weights: DonorWeights,
    /// The training rows, NaN where missing.
    pub rows: Array2<f64>,
    /// The means of the columns.
    pub means: Array1<f64>,
}

/// Stands for a missing cell among small whole numbers.
const NONE: i16 = i16::MIN;

/// The training rows as they are asked: which cells each has, and what tells most of them to be too
/// far.
struct DonorRows {
    /// Of every column small whole numbers, with the least and the greatest, where all are.
    small: Option<Vec<(Vec<i16>, f64, f64)>>,
    bounds: DistanceBounds,
    /// Of every row, a bit a column, in words of 64.
    present: Vec<u64>,
    words: usize,
}

impl DonorRows {
    fn new(rows: &Array2<f64>) -> Self {
        let words = rows.ncols().div_ceil(64);
        let columns = rows.axis_iter(Axis(1));
        Self {
            small: columns.map(small).collect(),
            bounds: DistanceBounds::new(rows.view()),
            present: rows
                .axis_iter(Axis(0))
                .flat_map(|row| bits(row, words))
                .collect(),
            words,
        }
    }

    /// Which cells a row has.
    fn present(&self, row: usize) -> &[u64] {
        &self.present[row * self.words..(row + 1) * self.words]
    }
}

/// A column as small whole numbers, if it holds no others.
fn small(column: ArrayView1<'_, f64>) -> Option<(Vec<i16>, f64, f64)> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    let cell = |cell: &f64| {
        if cell.is_nan() {
            return Some(NONE);
        }
        (least, most) = (least.min(*cell), most.max(*cell));
        (cell.fract() == 0.0 && cell.abs() < 1e4).then_some(*cell as i16)
    };
    let cells = column.iter().map(cell).collect::<Option<Vec<i16>>>()?;
    Some((cells, least, most))
}

/// Of some donors, the sums of squared differences to a row, and how many cells of it they lack.
struct SmallDistances {
    sums: [i16; BLOCK],
    absent: [i16; BLOCK],
}

impl DonorRows {
    /// Returns the cells of a row as small whole numbers, where no sum of squares can grow beyond
    /// 16 bits.
    fn small_row(&self, row: ArrayView1<'_, f64>, present: &[usize]) -> Option<Vec<i16>> {
        let columns = self.small.as_ref()?;
        let mut worst = 0.0;
        for column in present {
            let (_, least, most) = &columns[*column];
            let cell = row[*column];
            if cell.fract() != 0.0 || cell.abs() >= 1e4 {
                return None;
            }
            worst += (cell - least).powi(2).max((cell - most).powi(2));
        }
        (worst <= f64::from(i16::MAX))
            .then(|| present.iter().map(|column| row[*column] as i16).collect())
    }

    /// Measures some donors, of a row that is small: whole numbers are exact in any type that holds
    /// them.
    fn measure_small(
        &self,
        cells: &[i16],
        present: &[usize],
        from: usize,
    ) -> Option<SmallDistances> {
        let columns = self.small.as_ref()?;
        let count = BLOCK.min(columns[0].0.len() - from);
        let (mut sums, mut absent) = ([0_i16; BLOCK], [0_i16; BLOCK]);
        for (cell, column) in cells.iter().zip(present) {
            let donors = &columns[*column].0[from..from + count];
            for ((sum, absent), donor) in sums.iter_mut().zip(&mut absent).zip(donors) {
                let difference = cell.wrapping_sub(*donor);
                let square = difference.wrapping_mul(difference);
                *sum += if *donor == NONE { 0 } else { square };
                *absent += i16::from(*donor == NONE);
            }
        }
        Some(SmallDistances { sums, absent })
    }
}

/// Which cells of a row are present.
fn bits(row: ArrayView1<'_, f64>, words: usize) -> Vec<u64> {
    let mut bits = vec![0; words];
    for (at, _) in row.iter().enumerate().filter(|(_, cell)| !cell.is_nan()) {
        bits[at / 64] |= 1 << (at % 64);
    }
    bits
}

impl DonorWeights {
    /// Returns the mean of the values of donors, of which the squared distances are told, the
    /// nearest first; there is one.
    pub(crate) fn mean(self, donors: &[(f64, usize)], value: impl Fn(usize) -> f64) -> f64 {
        let has_equal = donors[0].0 == 0.0;
        let weight = |square: f64| match self {
            Self::Distance if has_equal => f64::from(u8::from(square == 0.0)),
            Self::Distance => 1.0 / square.sqrt(),
            Self::Uniform => 1.0,
        };
        let (sum, whole) = donors
            .iter()
            .fold((0.0, 0.0), |(sum, whole), (square, donor)| {
                let weight = weight(*square);
                (sum + weight * value(*donor), whole + weight)
            });
        sum / whole
    }
}

/// A row that is to be filled.
struct NeighbourQuery<'a> {
    row: ArrayView1<'a, f64>,
    present: Vec<usize>,
    missing: Vec<usize>,
    /// Its present cells, a bit a column.
    mine: Vec<u64>,
    /// Its present cells as small whole numbers, if they are.
    small: Option<Vec<i16>>,
    /// Of every missing cell the nearest donors so far.
    nearest: Vec<NearestFound>,
}

impl<'a> NeighbourQuery<'a> {
    fn new(row: ArrayView1<'a, f64>, donors: &DonorRows, neighbours: usize) -> Self {
        let (present, missing): (Vec<usize>, Vec<usize>) =
            (0..row.len()).partition(|column| !row[*column].is_nan());
        let (mine, small) = (bits(row, donors.words), donors.small_row(row, &present));
        let nearest = missing
            .iter()
            .map(|_| NearestFound::new(neighbours))
            .collect();
        Self {
            row,
            present,
            missing,
            mine,
            small,
            nearest,
        }
    }
}

impl NeighbourQuery<'_> {
    /// Returns the squared distance beyond which a donor is of no use for any missing cell.
    fn limit(&self) -> f64 {
        self.nearest
            .iter()
            .map(NearestFound::limit)
            .fold(0.0, f64::max)
    }

    /// Takes a donor, if it is near enough: the sum of squared differences to it is known, and over
    /// how many cells.
    fn take(&mut self, donors: &DonorRows, donor: usize, sum: f64, both: f64) {
        if both == 0.0 {
            return;
        }
        let distance = sum * self.row.len() as f64 / both;
        let theirs = donors.present(donor);
        for (nearest, column) in self.nearest.iter_mut().zip(&self.missing) {
            let has = theirs[column / 64] >> (column % 64) & 1 == 1;
            if has && distance < nearest.limit() {
                nearest.add(distance, donor);
            }
        }
    }

    /// Takes donors whose distances are known.
    fn take_small(&mut self, donors: &DonorRows, apart: &SmallDistances, rows: Range<usize>) {
        let width = self.row.len() as f64;
        let mut limit = self.limit();
        let each = apart.sums.iter().zip(&apart.absent);
        for (donor, (sum, absent)) in rows.zip(each) {
            let both = self.present.len() as f64 - f64::from(*absent);
            let sum = f64::from(*sum);
            // Most donors are too far for all missing cells, which costs no division to see.
            if sum * width > limit * both * (1.0 + 1e-9) {
                continue;
            }
            self.take(donors, donor, sum, both);
            limit = self.limit();
        }
    }

    /// Takes donors from a row on that are not told to be too far by their bounds.
    fn take_bounded(
        &mut self,
        donors: &DonorRows,
        rows: &Array2<f64>,
        (bounds, limit): (&[f32], &dyn Fn(f64) -> f32),
        from: usize,
    ) {
        // Over fewer cells than these the same sum is farther.
        let share = self.present.len() as f64 / self.row.len() as f64;
        let mut most = limit(self.limit() * share);
        for (chunk, bounds) in bounds.chunks(ABREAST).enumerate() {
            if bounds.iter().all(|bound| *bound > most) {
                continue;
            }
            for (at, bound) in bounds.iter().enumerate() {
                if *bound > most {
                    continue;
                }
                let donor = from + chunk * ABREAST + at;
                let theirs = rows.row(donor);
                let parts = self.present.iter();
                // In the order of the columns.
                let sum = parts
                    .map(|column| part(self.row[*column], theirs[*column]))
                    .sum();
                let both = self.mine.iter().zip(donors.present(donor));
                let both: u32 = both
                    .map(|(mine, theirs)| (mine & theirs).count_ones())
                    .sum();
                self.take(donors, donor, sum, f64::from(both));
                most = limit(self.limit() * share);
            }
        }
    }
}

impl KnnImputer {
    /// Remembers the rows of `table` (NaN where missing).
    ///
    /// # Errors
    /// The index of a column that has no value at all.
    pub fn fit(
        table: ArrayView2<'_, f64>,
        neighbours: usize,
        weights: DonorWeights,
    ) -> Result<Self, usize> {
        let mut means = Array1::zeros(table.ncols());
        for (index, column) in table.axis_iter(Axis(1)).enumerate() {
            let present: Vec<f64> = column
                .iter()
                .copied()
                .filter(|cell| !cell.is_nan())
                .collect();
            if present.is_empty() {
                return Err(index);
            }
            means[index] = present.iter().sum::<f64>() / present.len() as f64;
        }
        Ok(Self {
            neighbours,
            weights,
            rows: table.to_owned(),
            means,
        })
    }

    /// Returns whether it is of so many columns, and can be asked.
    pub fn fits(&self, columns: usize) -> bool {
        self.rows.ncols() == columns
            && self.means.len() == columns
            && (1..=MOST).contains(&self.neighbours)
    }

    /// Fills the missing cells of `table`, which has the columns of the training table.
    ///
    /// # Panics
    /// The number of columns differs: the caller lines them up by name.
    pub fn fill(&self, table: &mut Array2<f64>) {
        assert_eq!(
            table.ncols(),
            self.rows.ncols(),
            "columns are lined up by name"
        );
        // Rows that are equal, missing cells included, are filled alike.
        let mut asked: Vec<usize> = Vec::new();
        let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
        let mut same: Vec<(usize, usize)> = Vec::new();
        for (row, cells) in table.axis_iter(Axis(0)).enumerate() {
            if cells.iter().any(|cell| cell.is_nan()) {
                let cells = cells
                    .iter()
                    .map(|cell| if cell.is_nan() { f64::NAN } else { cell + 0.0 }.to_bits())
                    .collect();
                let number = *known.entry(cells).or_insert_with(|| {
                    asked.push(row);
                    asked.len() - 1
                });
                same.push((row, number));
            }
        }
        if asked.is_empty() {
            return;
        }
        let donors = DonorRows::new(&self.rows);
        let rows: Vec<ArrayView1<'_, f64>> = asked.iter().map(|row| table.row(*row)).collect();
        let filled: Vec<Vec<f64>> = rows
            .par_chunks(TOGETHER)
            .flat_map_iter(|rows| self.filled(&donors, rows))
            .collect();
        for (row, number) in same {
            table
                .row_mut(row)
                .iter_mut()
                .zip(&filled[number])
                .for_each(|(cell, value)| *cell = *value);
        }
    }

    /// Returns rows with their missing cells filled. Every block of donors is read for all of them
    /// before the next.
    fn filled(&self, donors: &DonorRows, rows: &[ArrayView1<'_, f64>]) -> Vec<Vec<f64>> {
        let mut asked: Vec<NeighbourQuery<'_>> = rows
            .iter()
            .map(|row| NeighbourQuery::new(*row, donors, self.neighbours))
            .collect();
        let rough: Vec<ArrayView1<'_, f64>> = asked
            .iter()
            .filter(|asked| asked.small.is_none())
            .map(|asked| asked.row)
            .collect();
        let asking = donors.bounds.asking(&rough);
        for start in (0..self.rows.nrows()).step_by(BLOCK) {
            let end = (start + BLOCK).min(self.rows.nrows());
            let bounds = match rough.is_empty() {
                true => Array2::zeros((0, 0)),
                false => (donors.bounds).told(&asking, self.rows.slice(s![start..end, ..])),
            };
            let mut place = 0;
            for asked in &mut asked {
                let small = asked.small.as_ref();
                match small.and_then(|cells| donors.measure_small(cells, &asked.present, start)) {
                    Some(apart) => asked.take_small(donors, &apart, start..end),
                    None => {
                        let limit = |square| donors.bounds.limit(&asking, place, square);
                        let bounds = bounds.row(place);
                        let bounds = bounds.as_slice().expect("it stands row by row");
                        asked.take_bounded(donors, &self.rows, (bounds, &limit), start);
                        place += 1;
                    }
                }
            }
        }
        let fill = |asked: NeighbourQuery<'_>| {
            let mut filled = asked.row.to_vec();
            for (column, nearest) in asked.missing.into_iter().zip(asked.nearest) {
                filled[column] = self.value(column, nearest.found());
            }
            filled
        };
        asked.into_iter().map(fill).collect()
    }

    fn value(&self, column: usize, donors: &[(f64, usize)]) -> f64 {
        if donors.is_empty() {
            return self.means[column];
        }
        self.weights
            .mean(donors, |donor| self.rows[[donor, column]])
    }
}

/// The squared difference of two cells; nothing where the second is missing.
fn part(cell: f64, donor: f64) -> f64 {
    let difference = cell - donor;
    let square = difference * difference;
    // NaN is not above nothing.
    if square > 0.0 { square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_cell_is_the_mean_of_its_nearest_donors() {
        let train = array![[1.0, 2.0], [1.1, 4.0], [9.0, 100.0], [1.2, f64::NAN]];
        let imputer = KnnImputer::fit(train.view(), 2, DonorWeights::Uniform).unwrap();
        let mut table = array![[1.0, f64::NAN], [f64::NAN, f64::NAN]];
        imputer.fill(&mut table);
        assert_eq!(table[[0, 1]], 3.0);
        assert_eq!(
            table[[1, 0]],
            (1.0 + 1.1 + 9.0 + 1.2) / 4.0,
            "no coordinate in common: the column's mean"
        );
    }

    #[test]
    fn nearer_donors_may_weigh_more_and_equal_ones_alone() {
        let train = array![[0.0, 2.0], [1.0, 4.0], [3.0, 8.0]];
        let imputer = KnnImputer::fit(train.view(), 2, DonorWeights::Distance).unwrap();
        let mut table = array![[0.0, f64::NAN], [2.0, f64::NAN]];
        imputer.fill(&mut table);
        assert_eq!((table[[0, 1]], table[[1, 1]]), (2.0, 6.0));
    }

    #[test]
    fn a_large_offset_does_not_change_the_neighbours() {
        let train = array![[1e8, 1.0], [1e8 + 1.0, 5.0], [1e8 + 3.0, 9.0]];
        let mut table = array![[1e8 + 1.1, f64::NAN]];
        KnnImputer::fit(train.view(), 1, DonorWeights::Uniform)
            .unwrap()
            .fill(&mut table);
        assert_eq!(table[[0, 1]], 5.0);
    }

    #[test]
    fn a_column_without_a_value_is_named() {
        assert_eq!(
            KnnImputer::fit(array![[1.0, f64::NAN]].view(), 3, DonorWeights::Uniform),
            Err(1)
        );
    }
}
