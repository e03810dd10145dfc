//! Sums of gradients, hessians and rows as whole numbers.
//!
//! How: for each tree a power of two is found for gradients and one for hessians, so that the sums
//! over all rows just fit; each group's are rounded to that once. A hessian and a number of rows
//! share a word. What is summed up then is exact: in any order, by any number of threads, and where
//! one side of a split is the whole less the other.
//!
//! The invariant: no sum of gradients leaves ±2⁵¹ and none of hessians 2⁵², so that each is a
//! number of double precision, too.

use rayon::prelude::*;

use crate::trees::splits::NodeSums;

/// So many groups are added up at a time.
const PART: usize = 1 << 16;

/// Sums of gradients have this many bits, and a sign.
const G_BITS: i32 = 51;

/// Sums of hessians have this many bits at most.
const H_BITS: u32 = 52;

/// Added to a number below 2⁵¹, it leaves the nearest whole number in the lower bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// 2⁵², whose last bit is 1: the bits of a whole number below it are those of the sum.
const WHOLE: f64 = 4_503_599_627_370_496.0;

/// A group of rows that a tree is grown from; without rows it takes no part.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedGroup {
    /// How many rows.
    pub n: u32,
    /// Their negative gradients; of trees that are not boosted, the weight of class 1.
    pub g: f64,
    /// Their hessians; of trees that are not boosted, the weight of both classes.
    pub h: f64,
}

/// Sums of rows, on the scale of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub(crate) struct BinSums {
    pub(crate) g: i64,
    /// The hessians, above the number of rows.
    pub(crate) hn: u64,
}

impl BinSums {
    pub(crate) fn add(&mut self, other: Self) {
        self.g = self.g.wrapping_add(other.g);
        self.hn = self.hn.wrapping_add(other.hn);
    }

    pub(crate) fn less(self, other: Self) -> Self {
        Self {
            g: self.g.wrapping_sub(other.g),
            hn: self.hn.wrapping_sub(other.hn),
        }
    }
}

/// What sums are multiplied with before they are rounded, both powers of two, and how many bits the
/// number of rows has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SumScale {
    pub(crate) g: f64,
    pub(crate) h: f64,
    n_bits: u32,
}

impl SumScale {
    /// The scale of a tree that is grown from these.
    pub(crate) fn of(groups: &[WeightedGroup]) -> Self {
        // Added up part by part: the same parts for any number of threads.
        let part = |groups: &[WeightedGroup]| {
            let (mut g, mut h, mut n) = (0.0, 0.0, 0_u64);
            for group in groups {
                g += group.g.abs();
                h += group.h;
                n += u64::from(group.n);
            }
            (g, h, n)
        };
        let parts: Vec<(f64, f64, u64)> = groups.par_chunks(PART).map(part).collect();
        let (mut g, mut h, mut n) = (0.0, 0.0, 0);
        for part in parts {
            (g, h, n) = (g + part.0, h + part.1, n + part.2);
        }
        let n_bits = u64::BITS - n.leading_zeros();
        // Half of the room is left to what rounding adds: half a unit for each group.
        let h_bits = H_BITS.min(u64::BITS - n_bits) as i32;
        Self {
            g: scale(g, G_BITS - 1),
            h: scale(h, h_bits - 1),
            n_bits,
        }
    }

    /// The sums of a group on this scale.
    pub(crate) fn scaled(&self, group: &WeightedGroup) -> BinSums {
        let h = round(group.h * self.h) as u64;
        BinSums {
            g: round(group.g * self.g),
            hn: h << self.n_bits | u64::from(group.n),
        }
    }

    /// Sums as numbers; exact.
    pub(crate) fn sums(&self, sums: BinSums) -> NodeSums {
        NodeSums {
            g: self.g(sums.g) / self.g,
            h: self.h(sums.hn) / self.h,
            n: self.n(sums.hn),
        }
    }

    /// Sums that are exact as numbers, on this scale again.
    pub(crate) fn back(&self, sums: NodeSums) -> BinSums {
        BinSums {
            g: round(sums.g * self.g),
            hn: (round(sums.h * self.h) as u64) << self.n_bits | sums.n as u64,
        }
    }

    /// Gradients as a number, on this scale.
    #[inline(always)]
    pub(crate) fn g(&self, g: i64) -> f64 {
        f64::from_bits((g as u64).wrapping_add(ROUND.to_bits())) - ROUND
    }

    /// Hessians, on this scale.
    #[inline(always)]
    pub(crate) fn h(&self, hn: u64) -> f64 {
        f64::from_bits(hn >> self.n_bits | WHOLE.to_bits()) - WHOLE
    }

    /// The number of rows.
    #[inline(always)]
    pub(crate) fn n(&self, hn: u64) -> f64 {
        let rows = hn & ((1 << self.n_bits) - 1);
        f64::from_bits(rows | WHOLE.to_bits()) - WHOLE
    }
}

/// The greatest power of two that keeps a sum within so many bits; 1 for no sum.
fn scale(sum: f64, bits: i32) -> f64 {
    // Beyond this the power itself is no number.
    const MOST: i32 = 1020;
    match sum > 0.0 && sum.is_finite() {
        true => 2.0_f64.powi((bits - 1 - exponent(sum)).clamp(-MOST, MOST)),
        false => 1.0,
    }
}

/// The power of two that a positive number is not below.
fn exponent(number: f64) -> i32 {
    let biased = (number.to_bits() >> 52) as i32;
    biased.max(1) - 1023
}

/// The nearest whole number to one below 2⁵¹.
fn round(number: f64) -> i64 {
    (number + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_exact_and_near(
            entries in prop::collection::vec((-1.0..1.0_f64, 0.0..1.0_f64, 1_u32..1000), 1..200),
            power in -200..200_i32,
        ) {
            let size = 2.0_f64.powi(power);
            let group = |(g, h, n): &(f64, f64, u32)| WeightedGroup { n: *n, g: g * size, h: h * size };
            let entries: Vec<WeightedGroup> = entries.iter().map(group).collect();
            let scale = SumScale::of(&entries);
            let (mut whole, mut expected) = (BinSums::default(), NodeSums::default());
            let mut size = 0.0;
            for entry in &entries {
                whole.add(scale.scaled(entry));
                expected.add(NodeSums { g: entry.g, h: entry.h, n: f64::from(entry.n) });
                size += entry.g.abs();
            }
            let sums = scale.sums(whole);
            prop_assert_eq!(sums.n, expected.n);
            prop_assert!((sums.g - expected.g).abs() <= 1e-12 * size, "{sums:?} {expected:?}");
            prop_assert!((sums.h - expected.h).abs() <= 1e-9 * expected.h, "{sums:?} {expected:?}");
            // Taken away in another order, nothing is left.
            for entry in entries.iter().rev() {
                whole = whole.less(scale.scaled(entry));
            }
            prop_assert_eq!(whole, BinSums::default());
        }
    }

    #[test]
    fn no_weight_at_all_and_the_greatest_and_least_have_a_scale() {
        for (g, h) in [(0.0, 0.0), (-1e300, 1e300), (1e-290, 1e-290)] {
            let group = WeightedGroup { n: 2, g, h };
            let scale = SumScale::of(&[group]);
            let sums = scale.sums(scale.scaled(&group));
            assert_eq!(sums.n, 2.0);
            assert!((sums.g - g).abs() <= 1e-12 * g.abs(), "{sums:?}");
            assert!((sums.h - h).abs() <= 1e-12 * h, "{sums:?}");
        }
    }
}
