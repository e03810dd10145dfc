//! The nearest rows that were found so far.

/// The nearest so far, the farthest last; of equally far ones the earlier is nearer.
pub struct NearestFound {
    pub(crate) most: usize,
    found: Vec<(f64, usize)>,
}

impl NearestFound {
    /// Begins to look for so many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            found: Vec::with_capacity(most + 1),
        }
    }

    /// Returns the squared distance beyond which a row is of no use.
    pub fn limit(&self) -> f64 {
        match self.found.last() {
            Some((farthest, _)) if self.found.len() == self.most => *farthest,
            _ => f64::INFINITY,
        }
    }

    /// Takes a row in, if it is near enough.
    pub fn add(&mut self, square: f64, row: usize) {
        let is_before = |other: &(f64, usize)| (other.0, other.1) < (square, row);
        let place = self.found.partition_point(is_before);
        if place == self.most {
            return;
        }
        if self.found.len() == self.most {
            self.found.pop();
        }
        self.found.insert(place, (square, row));
    }

    /// Returns squared distances and rows, the nearest first.
    pub fn found(&self) -> &[(f64, usize)] {
        &self.found
    }
}
