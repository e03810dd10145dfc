//! Shares of rows: between which values they lie, and whether two shares of the same rows differ.

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc_inv;

/// Returns how many standard deviations on either side of its mean hold this share of a normal
/// distribution: 1.96 for .95.
pub fn normal_width(confidence: f64) -> f64 {
    std::f64::consts::SQRT_2 * erfc_inv(1.0 - confidence)
}

/// How large a share may well be of which none was seen among so many rows: the upper end of its
/// score interval (Wilson, 1927).
pub fn unseen_share(rows: usize, confidence: f64) -> f64 {
    let square = normal_width(confidence).powi(2);
    square / (rows as f64 + square)
}

/// The exact interval of a share (Clopper and Pearson, 1934): it holds the true share at least as
/// often as `confidence` says, however few rows there are. From 0 to 1 where there are none.
pub fn clopper_pearson(hits: u64, of: u64, confidence: f64) -> [f64; 2] {
    let tail = (1.0 - confidence) / 2.0;
    let misses = of - hits;
    let low = match hits {
        0 => 0.0,
        _ => beta_quantile(hits as f64, misses as f64 + 1.0, tail),
    };
    let high = match misses {
        0 => 1.0,
        _ => beta_quantile(hits as f64 + 1.0, misses as f64, 1.0 - tail),
    };
    [low, high]
}

/// Returns between which numbers of rows, of so many, those lie that have something which is true
/// of this share of all: with a probability of at most `tail` they are fewer than the first, and of
/// at most `tail` more than the second.
pub fn likely_counts(rows: u64, share: f64, tail: f64) -> [u64; 2] {
    // The probability of at most so many, by the incomplete beta function.
    let at_most = |count: u64| match count >= rows {
        true => 1.0,
        false => beta_reg((rows - count) as f64, count as f64 + 1.0, 1.0 - share),
    };
    let first = |reaches: &dyn Fn(u64) -> bool| {
        let (mut from, mut to) = (0, rows);
        while from < to {
            let middle = from + (to - from) / 2;
            match reaches(middle) {
                true => to = middle,
                false => from = middle + 1,
            }
        }
        from
    };
    // Fewer than `count` is at most `count - 1`: the last that is rare enough, and the first beyond
    // which more is.
    let fewest = first(&|count| at_most(count) > tail);
    let most = first(&|count| 1.0 - at_most(count) <= tail);
    [fewest, most]
}

/// The value below which this share of a beta distribution lies.
fn beta_quantile(a: f64, b: f64, share: f64) -> f64 {
    bisect([0.0, 1.0], |x| beta_reg(a, b, x) < share)
}

/// Returns the place up to which a condition holds that holds at the beginning and not at the end.
fn bisect([mut low, mut high]: [f64; 2], holds: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The rows on which two models differ in what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairedCounts {
    /// Rows that count for the first only.
    pub first_only: u64,
    /// Rows that count for the second only.
    pub second_only: u64,
    /// All rows.
    pub rows: u64,
}

impl PairedCounts {
    /// Returns the share of the first less that of the second; 0 where there is no row.
    pub fn difference(&self) -> f64 {
        match self.rows {
            0 => 0.0,
            rows => (self.first_only as f64 - self.second_only as f64) / rows as f64,
        }
    }

    /// The score interval of the difference of two shares of the same rows (Tango, 1998). Unlike
    /// that of Wald it has a width where the models agree on every row. From -1 to 1 where there is
    /// none.
    pub fn interval(&self, confidence: f64) -> [f64; 2] {
        if self.rows == 0 {
            return [-1.0, 1.0];
        }
        let (z, found) = (normal_width(confidence), self.difference());
        let low = bisect([-1.0, found], |delta| self.score(delta) > z);
        let high = bisect([found, 1.0], |delta| self.score(delta) > -z);
        [low, high]
    }

    /// How many standard deviations the difference lies above `delta`, the deviation being the
    /// likeliest if `delta` were the true difference.
    fn score(&self, delta: f64) -> f64 {
        let (first, second) = (self.first_only as f64, self.second_only as f64);
        let rows = self.rows as f64;
        let a = 2.0 * rows;
        let b = (2.0 * rows - first + second) * delta - first - second;
        let c = -second * delta * (1.0 - delta);
        // The likeliest share of rows that count for the second only.
        let share = ((b * b - 4.0 * a * c).max(0.0).sqrt() - b) / (2.0 * a);
        let variance = rows * (2.0 * share + delta * (1.0 - delta));
        let excess = first - second - rows * delta;
        match variance > 0.0 {
            true => excess / variance.sqrt(),
            false => excess.signum() * f64::INFINITY,
        }
    }

    /// Returns the least loss of the first that so many rows could have shown: that at which all
    /// rows that differ speak against it, and just enough of them for the interval to lie below 0.
    pub fn least_loss(rows: u64, confidence: f64) -> f64 {
        let shows = |second_only: u64| {
            let counts = Self {
                first_only: 0,
                second_only,
                rows,
            };
            counts.interval(confidence)[1] < 0.0
        };
        (1..=rows)
            .take(64)
            .find(|losses| shows(*losses))
            .map_or(1.0, |losses| losses as f64 / rows as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_interval_holds_its_share_and_has_a_width() {
        let [low, high] = clopper_pearson(10, 10, 0.95);
        assert!((low - 0.025_f64.powf(0.1)).abs() < 1e-12, "{low}");
        assert_eq!(high, 1.0);
        let [low, high] = clopper_pearson(0, 10, 0.95);
        assert_eq!(low, 0.0);
        assert!((high - (1.0 - 0.025_f64.powf(0.1))).abs() < 1e-12, "{high}");
        assert_eq!(clopper_pearson(0, 0, 0.95), [0.0, 1.0]);
    }

    #[test]
    fn models_that_agree_on_every_row_may_still_differ() {
        let counts = PairedCounts {
            first_only: 0,
            second_only: 0,
            rows: 30,
        };
        let z2 = normal_width(0.95).powi(2);
        let [low, high] = counts.interval(0.95);
        assert!((high - z2 / (30.0 + z2)).abs() < 1e-9, "{high}");
        assert!((low + high).abs() < 1e-15, "{low} {high}");
    }

    #[test]
    fn four_losses_are_the_least_that_can_be_shown() {
        assert_eq!(PairedCounts::least_loss(100, 0.95), 0.04);
        assert_eq!(PairedCounts::least_loss(3, 0.95), 1.0);
        assert_eq!(PairedCounts::least_loss(0, 0.95), 1.0);
    }
}
