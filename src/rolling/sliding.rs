//! Sums over a window whose rows come at one end and go at the other.
//!
//! How: two stacks. New numbers go onto the back one, of which one summary is kept; the front one
//! holds for each of its numbers the summary of it and all that go later, so that the oldest goes
//! by a pop. When the front is empty, the back is turned over onto it: each number is moved once.
//! No number is ever subtracted, so what has gone leaves no rounding behind.

use serde::{Deserialize, Serialize};

/// What is known of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumberSummary {
    /// How many.
    pub count: u64,
    /// Their sum.
    sum: f64,
    /// The least; infinite of none.
    pub least: f64,
    /// The greatest; infinite of none.
    pub greatest: f64,
    /// Their mean.
    mean: f64,
    /// The sum of squares of what lies between them and their mean.
    squares: f64,
}

impl Default for NumberSummary {
    fn default() -> Self {
        Self::NONE
    }
}

impl NumberSummary {
    const NONE: Self = Self {
        count: 0,
        sum: 0.0,
        least: f64::INFINITY,
        greatest: f64::NEG_INFINITY,
        mean: 0.0,
        squares: 0.0,
    };

    /// What is known of a cell: nothing, if it is missing or infinite.
    fn of(cell: f64) -> Self {
        if !cell.is_finite() {
            return Self::NONE;
        }
        Self {
            count: 1,
            sum: cell,
            least: cell,
            greatest: cell,
            mean: cell,
            squares: 0.0,
        }
    }

    /// Adds what is known of others: Chan, Golub and LeVeque (1979).
    fn and(self, other: Self) -> Self {
        if self.count == 0 {
            return other;
        }
        if other.count == 0 {
            return self;
        }
        let count = self.count + other.count;
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let apart = other.mean - self.mean;
        Self {
            count,
            sum: self.sum + other.sum,
            least: self.least.min(other.least),
            greatest: self.greatest.max(other.greatest),
            mean: self.mean + apart * (theirs / count as f64),
            squares: self.squares + other.squares + apart * apart * (mine * theirs / count as f64),
        }
    }

    /// Returns the sum; NaN of none.
    pub fn sum(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum }
    }

    /// Returns the mean; NaN of none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.mean }
    }

    /// Returns the standard deviation (divided by the count, 0 of one number); NaN of none.
    pub fn deviation(&self) -> f64 {
        match self.count {
            0 => f64::NAN,
            count => (self.squares / count as f64).sqrt(),
        }
    }
}

/// Numbers of the rows in a window, and what is known of all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlidingNumbers {
    /// Of each number that goes next, the last of the list first: it and all later ones of the
    /// list.
    front: Vec<NumberSummary>,
    back: Vec<f64>,
    of_back: NumberSummary,
}

impl SlidingNumbers {
    /// Takes the number of a new row; NaN is a missing one.
    pub fn push(&mut self, cell: f64) {
        self.back.push(cell);
        self.of_back = self.of_back.and(NumberSummary::of(cell));
    }

    /// Lets the oldest go.
    pub fn pop(&mut self) {
        if self.front.is_empty() {
            let mut so_far = NumberSummary::NONE;
            for cell in self.back.drain(..).rev() {
                so_far = NumberSummary::of(cell).and(so_far);
                self.front.push(so_far);
            }
            self.of_back = NumberSummary::NONE;
        }
        self.front.pop();
    }

    /// Returns what is known of all.
    pub fn summary(&self) -> NumberSummary {
        match self.front.last() {
            None => self.of_back,
            Some(front) => front.and(self.of_back),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_leaves_nothing_behind() {
        let mut window = SlidingNumbers::default();
        for cell in [1e300, 1.0, f64::NAN, f64::INFINITY, 2.0] {
            window.push(cell);
        }
        window.pop();
        let summary = window.summary();
        assert_eq!((summary.count, summary.sum()), (2, 3.0));
        assert_eq!((summary.least, summary.greatest), (1.0, 2.0));
        assert_eq!((summary.mean(), summary.deviation()), (1.5, 0.5));
        for _ in 0..4 {
            window.pop();
        }
        assert_eq!(window.summary().count, 0);
        assert!(window.summary().mean().is_nan());
    }
}
