//! The rows of one key in one window.
//!
//! What is counted is counted in whole numbers and what is summed is summed by [`SlidingNumbers`],
//! so that a figure depends on the rows in the window alone, and on nothing that has gone.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::rolling::sliding::SlidingNumbers;

/// So few values are counted when they are asked for: most hosts have no more, and need no room for
/// counts.
const FEW: usize = 12;

/// Values of the rows in a window, that are equal or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlidingValues {
    values: VecDeque<Option<u64>>,
    /// What is counted of them, once they are more than a few; until none is left.
    counted: Option<Box<ValueCounts>>,
}

/// How often values stand.
#[derive(Clone, Debug, Default, PartialEq)]
struct ValueCounts {
    /// How often each value stands.
    counts: HashMap<u64, u32>,
    /// How many values stand so often.
    often: BTreeMap<u32, u32>,
    /// How many cells are there.
    present: u64,
}

impl ValueCounts {
    fn add(&mut self, value: Option<u64>) {
        let Some(value) = value else { return };
        self.present += 1;
        let count = self.counts.entry(value).or_insert(0);
        *count += 1;
        let now = *count;
        self.leave(now - 1);
        *self.often.entry(now).or_insert(0) += 1;
    }

    fn take(&mut self, value: Option<u64>) {
        let Some(value) = value else { return };
        self.present -= 1;
        let count = self.counts.get_mut(&value).expect("it was counted");
        *count -= 1;
        let now = *count;
        if now == 0 {
            self.counts.remove(&value);
        } else {
            *self.often.entry(now).or_insert(0) += 1;
        }
        self.leave(now + 1);
    }

    /// One value less stands so often.
    fn leave(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        let often = self.often.get_mut(&count).expect("it was counted");
        *often -= 1;
        if *often == 0 {
            self.often.remove(&count);
        }
    }
}

impl SlidingValues {
    /// Takes the value of a new row, by its hash.
    pub fn push(&mut self, value: Option<u64>) {
        self.values.push_back(value);
        match &mut self.counted {
            Some(counted) => counted.add(value),
            None if self.values.len() > FEW => self.counted = Some(Box::new(self.count())),
            None => {}
        }
    }

    /// Lets the oldest go.
    pub fn pop(&mut self) {
        let Some(value) = self.values.pop_front() else {
            return;
        };
        if let Some(counted) = &mut self.counted {
            counted.take(value);
        }
        if self.values.is_empty() {
            self.counted = None;
        }
    }

    fn count(&self) -> ValueCounts {
        let mut counted = ValueCounts::default();
        self.values.iter().for_each(|value| counted.add(*value));
        counted
    }

    /// Asks what is counted.
    fn ask<T>(&self, question: impl Fn(&ValueCounts) -> T) -> T {
        match &self.counted {
            Some(counted) => question(counted),
            None => question(&self.count()),
        }
    }

    /// Returns how many different values there are.
    pub fn distinct(&self) -> f64 {
        self.ask(|counted| counted.counts.len() as f64)
    }

    /// Returns the share of the cells that equal the latest; NaN if that is missing.
    pub fn share_of_latest(&self) -> f64 {
        let Some(Some(latest)) = self.values.back() else {
            return f64::NAN;
        };
        self.ask(|counted| f64::from(counted.counts[latest]) / counted.present as f64)
    }

    /// Returns the entropy in bits; NaN where all cells are missing.
    pub fn entropy(&self) -> f64 {
        self.ask(|counted| {
            if counted.present == 0 {
                return f64::NAN;
            }
            let all = counted.present as f64;
            let part = |(count, values): (&u32, &u32)| {
                let share = f64::from(*count) / all;
                -f64::from(*values) * share * share.log2()
            };
            // -0.0 is 0.0.
            counted.often.iter().map(part).sum::<f64>() + 0.0
        })
    }
}

/// The times of the rows in a window.
#[derive(Clone, Debug, Default, PartialEq)]
struct SlidingTimes {
    times: VecDeque<i64>,
    /// The sum of the squares of what lies between two rows.
    squares: i128,
}

fn square(gap: i64) -> i128 {
    i128::from(gap) * i128::from(gap)
}

impl SlidingTimes {
    fn push(&mut self, time: i64) {
        if let Some(before) = self.times.back() {
            self.squares += square(time - before);
        }
        self.times.push_back(time);
    }

    fn pop(&mut self) {
        if let (Some(gone), Some(next)) = (self.times.pop_front(), self.times.front()) {
            self.squares -= square(next - gone);
        }
    }
}

/// The rows of a key in a window.
#[derive(Clone, Debug)]
pub struct KeyWindow {
    times: SlidingTimes,
    values: Vec<SlidingValues>,
    numbers: Vec<SlidingNumbers>,
    /// The number of the latest row that came.
    pub latest: u64,
}

/// The same as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredKeyWindow {
    times: Vec<i64>,
    values: Vec<Vec<Option<u64>>>,
    numbers: Vec<SlidingNumbers>,
    latest: u64,
}

impl KeyWindow {
    /// Returns a window without rows, for so many columns of values and of numbers.
    pub fn new(values: usize, numbers: usize) -> Self {
        Self {
            times: SlidingTimes::default(),
            values: vec![SlidingValues::default(); values],
            numbers: vec![SlidingNumbers::default(); numbers],
            latest: 0,
        }
    }

    /// Takes a row.
    pub fn push(
        &mut self,
        time: i64,
        values: impl Iterator<Item = Option<u64>>,
        numbers: impl Iterator<Item = f64>,
    ) {
        self.times.push(time);
        for (column, value) in self.values.iter_mut().zip(values) {
            column.push(value);
        }
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.push(number);
        }
    }

    /// Lets the oldest row go.
    pub fn pop(&mut self) {
        self.times.pop();
        self.values.iter_mut().for_each(SlidingValues::pop);
        self.numbers.iter_mut().for_each(SlidingNumbers::pop);
    }

    /// Returns how many rows there are.
    pub fn count(&self) -> u64 {
        self.times.times.len() as u64
    }

    /// Returns when the rows came, the oldest first.
    pub fn times(&self) -> impl Iterator<Item = i64> {
        self.times.times.iter().copied()
    }

    /// Returns a column of values.
    pub fn values(&self, at: usize) -> &SlidingValues {
        &self.values[at]
    }

    /// Returns a column of numbers.
    pub fn numbers(&self, at: usize) -> &SlidingNumbers {
        &self.numbers[at]
    }

    /// Returns the seconds between the latest two rows; NaN of one.
    pub fn gap(&self) -> f64 {
        let mut latest = self.times.times.iter().rev();
        match (latest.next(), latest.next()) {
            (Some(last), Some(before)) => (last - before) as f64 / 1000.0,
            _ => f64::NAN,
        }
    }

    /// Returns the standard deviation of the time between rows over its mean; NaN with fewer than
    /// three rows, and where all came at once.
    pub fn regularity(&self) -> f64 {
        let times = &self.times.times;
        let (Some(first), Some(last)) = (times.front(), times.back()) else {
            return f64::NAN;
        };
        let whole = i128::from(last - first);
        if times.len() < 3 || whole == 0 {
            return f64::NAN;
        }
        // n Σg² - (Σg)² over (Σg)²: whole numbers until the division.
        let gaps = times.len() as i128 - 1;
        let above = gaps * self.times.squares - whole * whole;
        (above as f64 / (whole * whole) as f64).sqrt()
    }

    /// Returns it as it is stored.
    pub fn stored(&self) -> StoredKeyWindow {
        let values = |column: &SlidingValues| column.values.iter().copied().collect();
        StoredKeyWindow {
            times: self.times().collect(),
            values: self.values.iter().map(values).collect(),
            numbers: self.numbers.clone(),
            latest: self.latest,
        }
    }

    /// Returns whether what was stored is of so many columns of values and of numbers, all of as many
    /// rows.
    pub fn fits(stored: &StoredKeyWindow, values: usize, numbers: usize) -> bool {
        let rows = stored.times.len();
        stored.values.len() == values
            && stored.numbers.len() == numbers
            && stored.values.iter().all(|column| column.len() == rows)
            && rows > 0
    }

    /// Makes it of what was stored.
    pub fn of_stored(stored: StoredKeyWindow) -> Self {
        let mut times = SlidingTimes::default();
        stored.times.into_iter().for_each(|time| times.push(time));
        let column = |cells: Vec<Option<u64>>| {
            let mut column = SlidingValues::default();
            cells.into_iter().for_each(|value| column.push(value));
            column
        };
        Self {
            times,
            values: stored.values.into_iter().map(column).collect(),
            numbers: stored.numbers,
            latest: stored.latest,
        }
    }
}
