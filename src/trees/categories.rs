//! Categories by number: sets of them, and how sets are filled that splits are tried by.

use serde::{Deserialize, Serialize};

/// Categories by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategorySet([u64; 4]);

impl CategorySet {
    /// Adds a category below 256.
    pub fn insert(&mut self, category: u16) {
        self.0[usize::from(category >> 6)] |= 1 << (category & 63);
    }

    /// Returns whether a category is in it.
    pub fn has(self, category: u16) -> bool {
        let word = self.0.get(usize::from(category >> 6));
        word.is_some_and(|word| word >> (category & 63) & 1 == 1)
    }

    /// Returns whether it has the category of a feature's value, which is its number.
    pub fn has_value(self, value: f64) -> bool {
        value >= 0.0 && self.has(value as u16)
    }

    /// Returns its categories in order.
    pub fn each(self) -> impl Iterator<Item = u16> {
        (0..256).filter(move |category| self.has(*category))
    }
}

/// A set that is being filled, and whether what is missing is with it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FilledSet {
    pub(crate) set: CategorySet,
    pub(crate) has_missing: bool,
}

impl FilledSet {
    /// Adds the category of a bin, `missing` being that of what is missing.
    pub(crate) fn add(&mut self, bin: u16, missing: u16) {
        match bin == missing {
            true => self.has_missing = true,
            false => self.set.insert(bin),
        }
    }
}

/// What keeps splits of categories from learning few rows by heart.
#[derive(Clone, Copy, Debug)]
pub struct CategoryRules {
    /// Added to the sum of hessians by which categories are ordered; those of fewer rows are in no
    /// set.
    pub smooth: f64,
    /// The penalty of the squares of leaf values that a split has to gain beside the usual one.
    pub l2: f64,
    /// The most categories of a set.
    pub most: usize,
    /// A set grows by so many rows at least from one that is tried to the next.
    pub group: f64,
}

impl CategoryRules {
    /// Of trees that are not boosted: none.
    pub const NONE: Self = Self {
        smooth: 0.0,
        l2: 0.0,
        most: usize::MAX,
        group: 0.0,
    };
}

/// A category more in a set.
pub(crate) struct CategoryStep {
    /// Its place in their order.
    pub place: usize,
    /// Whether it is the first of a new set.
    pub begins: bool,
    /// Whether the set with it may be tried.
    pub is_tried: bool,
}

/// Returns how sets are filled from either end of an order of so many categories. With `only` just
/// the cut after so many of them is tried.
pub(crate) fn sets(
    count: usize,
    most: usize,
    only: Option<usize>,
) -> impl Iterator<Item = CategoryStep> {
    let length = most.min(count.div_ceil(2));
    [false, true].into_iter().flat_map(move |from_above| {
        (0..length).map(move |at| {
            let before = if from_above { count - at - 1 } else { at + 1 };
            CategoryStep {
                place: if from_above { count - at - 1 } else { at },
                begins: at == 0,
                is_tried: only.is_none_or(|only| only == before),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let mut set = CategorySet::default();
        [0, 63, 64, 255]
            .into_iter()
            .for_each(|category| set.insert(category));
        assert_eq!(set.each().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert!(set.has_value(63.0) && !set.has_value(62.0));
        assert!(
            ![-1.0, f64::NAN, 256.0, 1e300]
                .into_iter()
                .any(|value| set.has_value(value))
        );
    }
}
