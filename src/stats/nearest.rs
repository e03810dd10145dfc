//! The nearest of many rows by Euclidean distance, exactly.
//!
//! How: rows are dealt into boxes, by halving the widest side at the median again and again, and
//! sixteen boxes stand in one larger. Who asks measures sixteen boxes, or the rows of one, with the
//! same instructions: cells of a feature stand together. It looks into the nearest box first, and
//! leaves out a box that is farther than the farthest of those found. Where the first that ask have
//! to look into many boxes, the others are compared with every row.
//!
//! The invariant: what is found is what comparing with every row would find, to the bit. Squares
//! are summed in the order of the features for rows and boxes alike, and no cell of a box is nearer
//! than its side, so that no rounding makes a box farther than a row in it.

use std::sync::OnceLock;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use crate::stats::compared::ComparedRows;
use crate::stats::nearest_found::NearestFound;

/// Rows or boxes whose distances are summed side by side.
const ABREAST: usize = 16;

/// Rows that one thread asks about at a time.
const TOGETHER: usize = 64;

/// So many are asked first.
const FIRST: usize = 16;

/// Looking into the boxes of so many rows takes about as long as comparing with all of `MANY` times
/// as many.
const MANY: usize = 8;

/// How often the rows of a box are halved before they stand in boxes of their own.
const HALVINGS: u32 = ABREAST.ilog2();

/// Features after which it is asked whether all are too far already.
const AT_ONCE: usize = 8;

/// Rows, laid out to be asked which of them are nearest.
#[derive(Clone, Debug)]
pub struct NearestRows {
    width: usize,
    /// What stands in boxes, sixteen at most, the outermost last.
    boxes: Vec<RowBox>,
    /// Of boxes of boxes the sides of these, feature by feature: the least and the greatest cells.
    sides: Vec<[[f64; ABREAST]; 2]>,
    /// The rows of the smallest boxes, box by box, in their order.
    rows: Vec<u32>,
    /// Their cells: so many rows abreast, feature by feature.
    cells: Vec<[f64; ABREAST]>,
    /// The rows as they are compared with, once they were.
    compared: OnceLock<ComparedRows>,
}

/// Rows as they are asked, made of them when that is first needed.
#[derive(Clone, Debug, Default)]
pub struct LaidOutRows(OnceLock<NearestRows>);

impl LaidOutRows {
    /// Returns them; `x` is the same each time.
    pub fn of(&self, x: ArrayView2<'_, f64>) -> &NearestRows {
        self.0.get_or_init(|| NearestRows::new(x))
    }
}

/// What stands in a box.
#[derive(Clone, Debug)]
enum RowBox {
    /// Boxes, and where their sides begin.
    Boxes(Vec<u32>, usize),
    /// Rows from one place to another, and where their cells begin: those of one if all are equal.
    Rows {
        from: usize,
        to: usize,
        cells: usize,
        are_equal: bool,
    },
}

/// The least and the greatest cell of every feature of some rows.
type Sides = Vec<[f64; 2]>;

impl NearestRows {
    /// Lays rows out; cells are finite.
    pub fn new(x: ArrayView2<'_, f64>) -> Self {
        let mut laid_out = Self {
            width: x.ncols(),
            boxes: Vec::new(),
            sides: Vec::new(),
            rows: Vec::new(),
            cells: Vec::new(),
            compared: OnceLock::new(),
        };
        let x = x.as_standard_layout();
        let mut rows: Vec<u32> = (0..x.nrows() as u32).collect();
        let sides = sides_of(x.view(), &rows);
        laid_out.add(x.view(), &mut rows, &sides);
        laid_out
    }

    /// Adds a box, and returns its place.
    fn add(&mut self, x: ArrayView2<'_, f64>, rows: &mut [u32], sides: &Sides) -> u32 {
        let is_whole = rows.len() <= ABREAST || widest(sides).is_none();
        let filled = if is_whole {
            self.add_rows(x, rows, widest(sides).is_none())
        } else {
            let mut parts = Vec::new();
            halve(x, rows, sides.clone(), HALVINGS, &mut parts);
            let from = self.sides.len();
            for feature in 0..self.width {
                // Where there are fewer boxes than places, none is there.
                let mut abreast = [[f64::INFINITY; ABREAST]; 2];
                for (at, (_, sides)) in parts.iter().enumerate() {
                    [abreast[0][at], abreast[1][at]] = sides[feature];
                }
                self.sides.push(abreast);
            }
            let parts = parts.into_iter();
            let places = parts.map(|(rows, sides)| self.add(x, rows, &sides));
            RowBox::Boxes(places.collect(), from)
        };
        self.boxes.push(filled);
        self.boxes.len() as u32 - 1
    }

    /// Adds the rows of a box that is not halved.
    fn add_rows(&mut self, x: ArrayView2<'_, f64>, rows: &mut [u32], are_equal: bool) -> RowBox {
        rows.sort_unstable();
        let (from, cells) = (self.rows.len(), self.cells.len());
        self.rows.extend_from_slice(rows);
        // One of equal rows speaks for all.
        let told = if are_equal {
            1.min(rows.len())
        } else {
            rows.len()
        };
        for feature in 0..self.width {
            let mut abreast = [0.0; ABREAST];
            for (cell, row) in abreast.iter_mut().zip(&rows[..told]) {
                *cell = x[[*row as usize, feature]];
            }
            self.cells.push(abreast);
        }
        RowBox::Rows {
            from,
            to: self.rows.len(),
            cells,
            are_equal,
        }
    }

    /// Returns the nearest rows of a row with as many features: squared distances and places, the
    /// nearest first, of equally far ones the earlier.
    pub fn nearest(&self, row: &[f64], most: usize) -> NearestFound {
        self.look(row, most).0
    }

    /// Looks for the nearest rows; returns as well into the boxes of how many it looked.
    fn look(&self, row: &[f64], most: usize) -> (NearestFound, usize) {
        assert_eq!(row.len(), self.width, "as many features");
        let mut looked = 0;
        let mut nearest = NearestFound::new(most);
        // Boxes to be looked into, each with how far it is at least; the nearest of them last.
        let mut open = vec![(self.boxes.len() as u32 - 1, 0.0)];
        while let Some((place, distance)) = open.pop() {
            if distance > nearest.limit() {
                continue;
            }
            match &self.boxes[place as usize] {
                RowBox::Boxes(places, sides) => {
                    let distances = self.to_boxes(row, *sides);
                    let before = open.len();
                    let each = places.iter().copied().zip(distances);
                    open.extend(each.filter(|(_, distance)| *distance <= nearest.limit()));
                    open[before..].sort_by(|a, b| b.1.total_cmp(&a.1));
                }
                RowBox::Rows {
                    from,
                    to,
                    cells,
                    are_equal,
                } => {
                    let rows = &self.rows[*from..*to];
                    looked += rows.len();
                    self.measure(row, rows, *cells, *are_equal, &mut nearest);
                }
            }
        }
        (nearest, looked)
    }

    /// Tells of each row the nearest so many, in the order of the rows; several threads ask.
    pub fn each<T: Send>(
        &self,
        x: ArrayView2<'_, f64>,
        most: usize,
        told: impl Fn(&[f64], NearestFound) -> T + Sync,
    ) -> Vec<T> {
        let one = |row: ArrayView1<'_, f64>| {
            let row = row.to_vec();
            let (found, looked) = self.look(&row, most);
            (told(&row, found), looked)
        };
        let (first, rest) = x.split_at(Axis(0), x.nrows().min(FIRST));
        let (mut answers, looked): (Vec<T>, Vec<usize>) = first.axis_iter(Axis(0)).map(one).unzip();
        let looked: usize = looked.iter().sum();
        let parts: Vec<_> = rest.axis_chunks_iter(Axis(0), TOGETHER).collect();
        let parts = parts.into_par_iter();
        let is_grouped = looked * MANY < first.nrows() * self.rows.len();
        if is_grouped || rest.nrows() < TOGETHER {
            let each = |part: ArrayView2<'_, f64>| {
                let each = part.axis_iter(Axis(0)).map(|row| one(row).0);
                each.collect::<Vec<T>>()
            };
            answers.par_extend(parts.flat_map_iter(each));
        } else {
            let compared = self
                .compared
                .get_or_init(|| ComparedRows::new(self.plain()));
            let each = |part: ArrayView2<'_, f64>| {
                let found = compared.nearest(part, most).into_iter();
                let rows = part.axis_iter(Axis(0));
                let each = rows
                    .zip(found)
                    .map(|(row, found)| told(&row.to_vec(), found));
                each.collect::<Vec<T>>()
            };
            answers.par_extend(parts.flat_map_iter(each));
        }
        answers
    }

    /// The rows in their order.
    fn plain(&self) -> Array2<f64> {
        let mut plain = Array2::zeros((self.rows.len(), self.width));
        for filled in &self.boxes {
            let RowBox::Rows {
                from,
                to,
                cells,
                are_equal,
            } = filled
            else {
                continue;
            };
            for (at, row) in self.rows[*from..*to].iter().enumerate() {
                let at = if *are_equal { 0 } else { at };
                let own = self.cells[*cells..*cells + self.width].iter();
                let mut into = plain.row_mut(*row as usize);
                into.iter_mut()
                    .zip(own)
                    .for_each(|(into, cells)| *into = cells[at]);
            }
        }
        plain
    }

    /// Returns how far boxes are at least: the squared distances to their nearest corners or sides.
    fn to_boxes(&self, row: &[f64], sides: usize) -> [f64; ABREAST] {
        let mut sums = [0.0; ABREAST];
        for (cell, [low, high]) in row.iter().zip(&self.sides[sides..sides + self.width]) {
            for (sum, (low, high)) in sums.iter_mut().zip(low.iter().zip(high)) {
                let (below, above) = (low - cell, cell - high);
                let apart = if below > above { below } else { above };
                let apart = if apart > 0.0 { apart } else { 0.0 };
                *sum += apart * apart;
            }
        }
        sums
    }

    /// Takes in the rows of a box.
    fn measure(
        &self,
        row: &[f64],
        rows: &[u32],
        cells: usize,
        are_equal: bool,
        nearest: &mut NearestFound,
    ) {
        let limit = nearest.limit();
        let sums = sums(row, &self.cells[cells..cells + self.width], limit);
        if are_equal {
            let some = rows.iter().take(nearest.most);
            some.for_each(|row| nearest.add(sums[0], *row as usize));
            return;
        }
        for (sum, row) in sums.iter().zip(rows) {
            if *sum <= limit {
                nearest.add(*sum, *row as usize);
            }
        }
    }
}

/// Returns the squared distances of a row to several abreast; where all are beyond the limit they
/// may be less than they are, but beyond it.
fn sums(row: &[f64], cells: &[[f64; ABREAST]], limit: f64) -> [f64; ABREAST] {
    let mut sums = [0.0; ABREAST];
    for (row, cells) in row.chunks(AT_ONCE).zip(cells.chunks(AT_ONCE)) {
        for (cell, theirs) in row.iter().zip(cells) {
            for (sum, other) in sums.iter_mut().zip(theirs) {
                *sum += (cell - other) * (cell - other);
            }
        }
        if sums.iter().all(|sum| *sum > limit) {
            break;
        }
    }
    sums
}

/// Halves rows so many times, or until they are few or equal, and adds the parts with their sides.
fn halve<'r>(
    x: ArrayView2<'_, f64>,
    rows: &'r mut [u32],
    sides: Sides,
    times: u32,
    parts: &mut Vec<(&'r mut [u32], Sides)>,
) {
    let widest = widest(&sides).filter(|_| times > 0 && rows.len() > ABREAST);
    let Some(feature) = widest else {
        parts.push((rows, sides));
        return;
    };
    let key = |row: &u32| (x[[*row as usize, feature]], *row);
    // Whole steps to the left: no lane of an instruction is for nothing.
    let half = (rows.len() / 2).next_multiple_of(ABREAST);
    rows.select_nth_unstable_by(half, |a, b| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
    });
    let (left, right) = rows.split_at_mut(half);
    for rows in [left, right] {
        let sides = sides_of(x, rows);
        halve(x, rows, sides, times - 1, parts);
    }
}

/// Returns the least and the greatest cell of every feature.
fn sides_of(x: ArrayView2<'_, f64>, rows: &[u32]) -> Sides {
    let mut sides = vec![[f64::INFINITY, f64::NEG_INFINITY]; x.ncols()];
    for row in rows {
        let cells = x.index_axis(Axis(0), *row as usize);
        for (side, cell) in sides.iter_mut().zip(cells) {
            *side = [side[0].min(*cell), side[1].max(*cell)];
        }
    }
    sides
}

/// Returns the feature of the widest side; none where all rows are equal.
fn widest(sides: &Sides) -> Option<usize> {
    let extents = sides.iter().map(|[low, high]| high - low).enumerate();
    let varied = extents.filter(|(_, extent)| *extent > 0.0);
    let widest = varied.reduce(|most, next| if next.1 > most.1 { next } else { most });
    widest.map(|(feature, _)| feature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_comparing_with_every_row_finds(
            cells in prop::collection::vec(-3_i32..4, 3..600),
            scale in prop::sample::select(vec![0.1, 1.0, 1e200]),
            most in 1_usize..8,
        ) {
            let rows = cells.len() / 3;
            let cells: Vec<f64> = cells[..rows * 3].iter().map(|cell| f64::from(*cell) * scale).collect();
            let x = Array2::from_shape_vec((rows, 3), cells).expect("three a row");
            let laid_out = NearestRows::new(x.view());
            for row in x.rows().into_iter().take(20) {
                let mut all = NearestFound::new(most);
                for (other, cells) in x.rows().into_iter().enumerate() {
                    let mut sum = 0.0;
                    row.iter().zip(cells).for_each(|(a, b)| sum += (a - b) * (a - b));
                    all.add(sum, other);
                }
                let found = laid_out.nearest(&row.to_vec(), most);
                prop_assert_eq!(found.found(), all.found());
            }
            // All at once they may be compared with every row.
            let each = laid_out.each(x.view(), most, |row, found| (row.to_vec(), found));
            prop_assert_eq!(each.len(), rows);
            for (row, (asked, found)) in x.rows().into_iter().zip(each) {
                prop_assert_eq!(row.to_vec(), asked.clone());
                let one = laid_out.nearest(&asked, most);
                prop_assert_eq!(found.found(), one.found());
            }
        }
    }
}
