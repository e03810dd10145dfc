//! The best cut of a feature at a node, from the sums of its bins.

use crate::trees::categories::{CategoryRules, CategorySet};

/// What is summed over rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(32))]
pub struct NodeSums {
    /// Negative gradients; of trees that are not boosted, the weight of class 1.
    pub g: f64,
    /// Hessians; of trees that are not boosted, the weight of both classes.
    pub h: f64,
    /// Rows.
    pub n: f64,
}

impl NodeSums {
    /// Adds.
    pub fn add(&mut self, other: Self) {
        self.g += other.g;
        self.h += other.h;
        self.n += other.n;
    }

    /// Takes away.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            g: self.g - other.g,
            h: self.h - other.h,
            n: self.n - other.n,
        }
    }
}

/// What a split gains by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitCriterion {
    /// G² / (H + l2), the second-order gain of Friedman (2001) and of Chen and Guestrin (2016); of
    /// two classes without gradients, half the decrease of Gini's impurity.
    Squares,
    /// The decrease of entropy.
    Entropy,
}

/// What a tree may do.
#[derive(Clone, Debug)]
pub struct TreeRules {
    /// What a split gains by.
    pub criterion: SplitCriterion,
    /// The most splits from the root to a leaf.
    pub max_depth: usize,
    /// The most leaves.
    pub max_leaves: usize,
    /// The fewest rows of a leaf.
    pub min_leaf: f64,
    /// A split gains more than this.
    pub min_gain: f64,
    /// The penalty of the squares of leaf values.
    pub l2: f64,
    /// The penalty of their sizes.
    pub l1: f64,
    /// How far from 0 a leaf value may be.
    pub max_step: f64,
    /// The least sum of hessians of a leaf.
    pub least_h: f64,
    /// How many features are tried at a node; all if there are fewer.
    pub features: usize,
    /// Whether one random cut of each is tried instead of all.
    pub random_cuts: bool,
    /// Whether a cut between two bins with rows lies in the middle between them, as scikit-learn
    /// has it, and not after the first, as LightGBM has it.
    pub middle_cuts: bool,
    /// Of every feature whether the prediction may only rise (1) or fall (-1) with it; empty for
    /// none.
    pub directions: Vec<i8>,
    /// How features of categories are split.
    pub categories: CategoryRules,
}

/// Between which values the leaves below a node stay.
#[derive(Clone, Copy, Debug)]
pub struct LeafBounds {
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl LeafBounds {
    /// No bounds.
    pub const NONE: Self = Self {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };
}

impl TreeRules {
    /// Returns the value of a leaf.
    pub fn value(&self, sums: NodeSums, bounds: LeafBounds) -> f64 {
        let value = if sums.h + self.l2 > 0.0 {
            self.pull(sums.g) / (sums.h + self.l2)
        } else {
            0.0
        };
        let value = value.max(-self.max_step).min(self.max_step);
        value.max(bounds.low).min(bounds.high)
    }

    /// What is left of a sum of gradients less the penalty of sizes.
    fn pull(&self, g: f64) -> f64 {
        match self.l1 > 0.0 {
            true => g.signum() * (g.abs() - self.l1).max(0.0),
            false => g,
        }
    }

    /// Returns how good a leaf of these rows is; greater is better.
    pub fn score(&self, sums: NodeSums, bounds: LeafBounds) -> f64 {
        match self.criterion {
            SplitCriterion::Squares if self.directions.is_empty() => {
                let (whole, g) = (sums.h + self.l2, self.pull(sums.g));
                if whole <= 0.0 {
                    0.0
                } else if g.abs() <= self.max_step * whole {
                    g * g / whole
                } else {
                    self.score_of_value(sums, bounds)
                }
            }
            SplitCriterion::Squares => self.score_of_value(sums, bounds),
            SplitCriterion::Entropy => {
                let part = |weight: f64| {
                    if weight > 0.0 {
                        weight * (weight / sums.h).ln()
                    } else {
                        0.0
                    }
                };
                part(sums.g) + part(sums.h - sums.g)
            }
        }
    }

    /// How good a leaf is whose value may not be the best.
    fn score_of_value(&self, sums: NodeSums, bounds: LeafBounds) -> f64 {
        let value = self.value(sums, bounds);
        2.0 * self.pull(sums.g) * value - (sums.h + self.l2) * value * value
    }

    /// Returns the last bin that goes left of a cut between two bins with rows.
    pub fn cut(&self, last: u16, next: u16) -> u16 {
        match self.middle_cuts {
            true => last + (next - 1 - last) / 2,
            false => last,
        }
    }

    /// Returns the bounds below a split.
    pub fn bounds(
        &self,
        split: &NodeSplit,
        whole: NodeSums,
        bounds: LeafBounds,
    ) -> (LeafBounds, LeafBounds) {
        let direction = self.directions.get(split.feature).copied().unwrap_or(0);
        if direction == 0 {
            return (bounds, bounds);
        }
        let middle =
            (self.value(split.left, bounds) + self.value(whole.less(split.left), bounds)) / 2.0;
        let (low, high) = (
            LeafBounds {
                high: middle,
                ..bounds
            },
            LeafBounds {
                low: middle,
                ..bounds
            },
        );
        if direction > 0 {
            (low, high)
        } else {
            (high, low)
        }
    }
}

/// Which bins go left at a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LeftSide {
    /// Those up to this.
    UpTo(u16),
    /// Those of these categories.
    Among(CategorySet),
}

/// A split of a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeSplit {
    /// What it gains.
    pub gain: f64,
    /// The feature.
    pub feature: usize,
    /// The bins that go left.
    pub side: LeftSide,
    /// Whether what is missing goes left.
    pub missing_left: bool,
    /// The rows that go left.
    pub left: NodeSums,
    /// The penalty of the squares of its sides' values beside the usual one.
    pub l2: f64,
}

/// The rows of a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeRows {
    /// Their sums.
    pub whole: NodeSums,
    /// How good a leaf of them is.
    pub score: f64,
    /// The bounds of the node.
    pub bounds: LeafBounds,
}

/// Looks for a better split among the cuts of one feature: `bins` are its bins with rows, in order,
/// `missing` the rows without a value. With `only` just the cut after that bin is tried.
pub fn scan(
    rules: &TreeRules,
    here: &NodeRows,
    feature: usize,
    bins: impl Iterator<Item = (u16, NodeSums)>,
    missing: NodeSums,
    only: Option<u16>,
    best: &mut Option<NodeSplit>,
) {
    let direction = rules.directions.get(feature).copied().unwrap_or(0);
    let mut attempt = |left: NodeSums, bin: u16, missing_left: bool| {
        let right = here.whole.less(left);
        if left.n.min(right.n) < rules.min_leaf || left.h.min(right.h) < rules.least_h {
            return;
        }
        let gain = rules.score(left, here.bounds) + rules.score(right, here.bounds) - here.score;
        if gain <= best.map_or(rules.min_gain, |best| best.gain) {
            return;
        }
        if direction != 0 {
            let rise = rules.value(right, here.bounds) - rules.value(left, here.bounds);
            if rise * f64::from(direction) < 0.0 {
                return;
            }
        }
        *best = Some(NodeSplit {
            gain,
            feature,
            side: LeftSide::UpTo(bin),
            missing_left,
            left,
            l2: 0.0,
        });
    };
    let has_missing = missing.n > 0.0;
    let mut below = NodeSums::default();
    let mut last: Option<u16> = None;
    for (bin, sums) in bins {
        if let Some(last) = last
            && only.is_none_or(|only| last <= only && only < bin)
        {
            let cut = only.unwrap_or(rules.cut(last, bin));
            if has_missing {
                let mut left = below;
                left.add(missing);
                attempt(left, cut, true);
            }
            attempt(below, cut, false);
        }
        below.add(sums);
        last = Some(bin);
    }
    if let (Some(last), true) = (last, has_missing && only.is_none()) {
        // All that is present on one side, what is missing on the other.
        attempt(below, last, false);
    }
}
