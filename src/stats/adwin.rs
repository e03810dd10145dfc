//! Whether the mean of a stream has changed: ADWIN (Bifet and Gavaldà, "Learning from time-changing
//! data with adaptive windowing", 2007).
//!
//! How: a window over the latest numbers is held as buckets of 1, 2, 4, … numbers, at most so many of
//! each size, so that it takes room by the logarithm of its length. From time to time each border
//! between two buckets is looked at: where the means on both sides differ by more than chance allows,
//! given the variance (their bound of equation 3.1, with the corrections of the authors' program), the
//! oldest bucket goes. What is left is the stream since it last changed.

/// So many buckets of a size there are at most.
const BUCKETS: usize = 5;
/// Borders are looked at after each so many numbers.
const CLOCK: u64 = 32;
/// A side of fewer numbers tells nothing.
const LEAST: u64 = 5;
/// With fewer numbers in all nothing is looked at.
const GRACE: u64 = 10;

/// Numbers that stand together: as many as the place of their list says.
#[derive(Clone, Copy, Debug)]
struct MeanBucket {
    sum: f64,
    /// The sum of squares of what lies between them and their mean.
    squares: f64,
}

/// The latest numbers of a stream, from where its mean was another.
#[derive(Clone, Debug)]
pub struct AdaptiveWindow {
    /// The chance that a stream that does not change is said to, at a look.
    delta: f64,
    /// The buckets of 1, 2, 4, … numbers, of each size the oldest first.
    buckets: Vec<Vec<MeanBucket>>,
    count: u64,
    sum: f64,
    squares: f64,
    seen: u64,
}

/// A change of the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanChange {
    /// The mean of what is older, and was let go.
    pub before: f64,
    /// The mean of what is left.
    pub now: f64,
    /// How many numbers are left.
    pub count: u64,
}

impl AdaptiveWindow {
    /// Begins without a number.
    pub fn new(delta: f64) -> Self {
        Self {
            delta,
            buckets: vec![Vec::new()],
            count: 0,
            sum: 0.0,
            squares: 0.0,
            seen: 0,
        }
    }

    /// Returns the mean over the window; 0 of none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.sum / self.count as f64
    }

    /// Takes a number; returns the change, if that is where the mean is seen to have changed.
    pub fn push(&mut self, number: f64) -> Option<MeanChange> {
        if self.count > 0 {
            let (count, apart) = (self.count as f64, number - self.mean());
            self.squares += count * apart * apart / (count + 1.0);
        }
        self.count += 1;
        self.seen += 1;
        self.sum += number;
        self.buckets[0].push(MeanBucket {
            sum: number,
            squares: 0.0,
        });
        self.compress();
        if !self.seen.is_multiple_of(CLOCK) || self.count <= GRACE {
            return None;
        }
        let (count, sum) = (self.count, self.sum);
        while self.is_cut() {
            self.let_oldest_go();
        }
        (self.count < count).then(|| MeanChange {
            before: (sum - self.sum) / (count - self.count) as f64,
            now: self.mean(),
            count: self.count,
        })
    }

    /// Puts two buckets of a size together where there are too many.
    fn compress(&mut self) {
        let mut size = 0;
        while size < self.buckets.len() && self.buckets[size].len() > BUCKETS {
            let (first, second) = (self.buckets[size][0], self.buckets[size][1]);
            self.buckets[size].drain(..2);
            let half = (1_u64 << size) as f64;
            let apart = first.sum / half - second.sum / half;
            let both = MeanBucket {
                sum: first.sum + second.sum,
                squares: first.squares + second.squares + half / 2.0 * apart * apart,
            };
            if size + 1 == self.buckets.len() {
                self.buckets.push(Vec::new());
            }
            self.buckets[size + 1].push(both);
            size += 1;
        }
    }

    /// Whether the means on the sides of some border differ by more than chance allows.
    fn is_cut(&self) -> bool {
        let (mut older, mut sum) = (0, 0.0);
        for (size, buckets) in self.buckets.iter().enumerate().rev() {
            for bucket in buckets {
                older += 1 << size;
                sum += bucket.sum;
                let newer = self.count - older;
                if newer == 0 {
                    return false;
                }
                let apart = sum / older as f64 - (self.sum - sum) / newer as f64;
                if older >= LEAST && newer >= LEAST && apart.abs() > self.bound(older, newer) {
                    return true;
                }
            }
        }
        false
    }

    /// By how much the means of so many older and newer numbers may differ.
    fn bound(&self, older: u64, newer: u64) -> f64 {
        let count = self.count as f64;
        let variance = self.squares / count;
        let harmonic = |count: u64| 1.0 / (count - LEAST + 1) as f64;
        let sizes = harmonic(older) + harmonic(newer);
        let chance = (2.0 * count.ln() / self.delta).ln();
        (2.0 * sizes * variance * chance).sqrt() + 2.0 / 3.0 * chance * sizes
    }

    fn let_oldest_go(&mut self) {
        let size = self.buckets.len() - 1;
        let gone = self.buckets[size].remove(0);
        let of = 1_u64 << size;
        self.count -= of;
        self.sum -= gone.sum;
        let (gone_count, left) = (of as f64, self.count as f64);
        let apart = gone.sum / gone_count - self.sum / left;
        self.squares -= gone.squares + gone_count * left * apart * apart / (gone_count + left);
        // What differences leave of no squares does not count.
        self.squares = self.squares.max(0.0);
        while self.buckets.len() > 1 && self.buckets.last().is_some_and(Vec::is_empty) {
            self.buckets.pop();
        }
    }
}
