//! The parts of a stage's work that are still to be made, and who takes which.
//!
//! How: parts that share work are one unit. The stage's own workers take a unit at a time; what goes to
//! another machine is a batch of units: half of its share of what is left, so that in the end no machine
//! has much while others have nothing, but as much as takes a few seconds where that is known. A batch that
//! comes back undone is taken here; so is all that waits once no machine takes any more, also where this
//! one was to leave them to others.
//!
//! The invariant: whatever was not made is waiting, or somebody has it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A batch takes so many seconds at least, if there is enough.
const WORTH: f64 = 5.0;

/// The most parts in a batch.
const MOST: usize = 64;

/// Parts that share work, by their numbers.
pub type PartUnit = Vec<usize>;

struct QueueState {
    waiting: VecDeque<PartUnit>,
    /// How many parts these are.
    left: usize,
    /// Those that came back undone.
    returned: VecDeque<PartUnit>,
    /// Whether what waits may be taken here.
    is_shared: bool,
    /// How many still take batches.
    machines: usize,
    /// Batches that other machines have.
    away: usize,
    /// Seconds and number of the parts that other machines made.
    made: (f64, usize),
}

impl QueueState {
    fn take(&mut self) -> Option<PartUnit> {
        let returned = self.returned.pop_front();
        match (returned, self.is_shared) {
            (None, true) => self.take_waiting(),
            (returned, _) => returned,
        }
    }

    fn take_waiting(&mut self) -> Option<PartUnit> {
        let unit = self.waiting.pop_front()?;
        self.left -= unit.len();
        Some(unit)
    }
}

/// Parts that are to be made.
pub struct PartQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

impl PartQueue {
    /// Makes a queue of units, in the order in which they are taken.
    pub fn new(units: impl IntoIterator<Item = PartUnit>) -> Self {
        let waiting: VecDeque<PartUnit> = units.into_iter().collect();
        let state = QueueState {
            left: waiting.iter().map(Vec::len).sum(),
            waiting,
            returned: VecDeque::new(),
            is_shared: true,
            machines: 0,
            away: 0,
            made: (0.0, 0),
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many take batches for other machines; where it is theirs `alone`, what waits is not taken here.
    #[must_use]
    pub fn with_machines(self, machines: usize, alone: bool) -> Self {
        let mut state = self.lock();
        state.machines = machines;
        state.is_shared = !alone || machines == 0;
        drop(state);
        self
    }

    /// Returns whether nothing waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Returns whether nothing waits to be taken here.
    pub fn is_empty_here(&self) -> bool {
        let state = self.lock();
        state.returned.is_empty() && (state.waiting.is_empty() || !state.is_shared)
    }

    /// Returns how many units wait to be taken.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Takes a unit, if one may be taken here.
    pub fn take(&self) -> Option<PartUnit> {
        self.lock().take()
    }

    /// Takes a unit; where there is none but may be yet, waits for it.
    pub fn take_last(&self) -> Option<PartUnit> {
        let mut state = self.lock();
        loop {
            let unit = state.take();
            let is_left = state.away > 0 || !state.waiting.is_empty();
            if unit.is_some() || !is_left {
                return unit;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One that took batches takes no more.
    pub fn machine_gone(&self) {
        let mut state = self.lock();
        state.machines -= 1;
        state.is_shared |= state.machines == 0;
        drop(state);
        self.changed.notify_all();
    }

    /// Takes a batch for one of so many machines.
    pub fn take_batch(&self, machines: usize) -> Option<Vec<PartUnit>> {
        let mut state = self.lock();
        let share = state.left.div_ceil(machines.max(1));
        let (seconds, count) = state.made;
        let worth = match count {
            0 => 1,
            _ => (WORTH / (seconds / count as f64).max(1e-3)).ceil() as usize,
        };
        let most = (share / 2).max(worth.min(share)).clamp(1, MOST);
        let mut batch: Vec<PartUnit> = Vec::new();
        let mut size = 0;
        while size < most
            && let Some(unit) = state.take_waiting()
        {
            size += unit.len();
            batch.push(unit);
        }
        if batch.is_empty() {
            return None;
        }
        state.away += 1;
        Some(batch)
    }

    /// A batch was made, in so many seconds of work.
    pub fn made(&self, batch: &[PartUnit], seconds: f64) {
        let mut state = self.lock();
        state.away -= 1;
        state.made.0 += seconds;
        state.made.1 += batch.iter().map(Vec::len).sum::<usize>();
        drop(state);
        self.changed.notify_all();
    }

    /// A batch came back undone.
    pub fn give_back(&self, batch: Vec<PartUnit>) {
        let mut state = self.lock();
        state.away -= 1;
        state.returned.extend(batch);
        drop(state);
        self.changed.notify_all();
    }

    /// Lets nobody take anything more.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.waiting.clear();
        state.left = 0;
        state.returned.clear();
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_smaller_towards_the_end() {
        let queue = PartQueue::new((0..60).map(|at| vec![at]));
        let mut sizes = Vec::new();
        while let Some(batch) = queue.take_batch(3) {
            sizes.push(batch.len());
            queue.made(&batch, batch.len() as f64 * 10.0);
        }
        assert_eq!(sizes.iter().sum::<usize>(), 60);
        assert_eq!(sizes[..3], [10, 8, 7]);
        assert_eq!(sizes.last(), Some(&1));
    }

    #[test]
    fn quick_parts_go_together() {
        let queue = PartQueue::new((0..600).map(|at| vec![at]));
        let first = queue.take_batch(50).unwrap();
        assert_eq!(first.len(), 6);
        queue.made(&first, 0.6);
        assert_eq!(
            queue.take_batch(50).unwrap().len(),
            12,
            "no more than its share"
        );
        assert_eq!(queue.take_batch(4).unwrap().len(), MOST);
    }

    #[test]
    fn what_is_left_to_others_is_taken_here_once_they_are_gone() {
        let queue = PartQueue::new([vec![0], vec![1]]).with_machines(1, true);
        assert!(queue.is_empty_here() && queue.take().is_none());
        let batch = queue.take_batch(1).unwrap();
        assert_eq!(batch, [vec![0]]);
        queue.give_back(batch);
        assert_eq!(queue.take_last(), Some(vec![0]));
        std::thread::scope(|threads| {
            let last = threads.spawn(|| queue.take_last());
            queue.machine_gone();
            assert_eq!(last.join().unwrap(), Some(vec![1]));
        });
        assert_eq!(queue.take_last(), None);
    }

    #[test]
    fn what_comes_back_undone_is_taken_here_and_nothing_is_taken_after_a_stop() {
        let queue = PartQueue::new([vec![0, 1], vec![2]]);
        let batch = queue.take_batch(1).unwrap();
        assert_eq!(batch, [vec![0, 1]]);
        assert_eq!(queue.take(), Some(vec![2]));
        std::thread::scope(|threads| {
            let last = threads.spawn(|| queue.take_last());
            queue.give_back(batch);
            assert_eq!(last.join().unwrap(), Some(vec![0, 1]));
        });
        assert_eq!(queue.take_last(), None);
        let queue = PartQueue::new([vec![0]]);
        queue.stop();
        assert!(queue.is_empty() && queue.take_batch(1).is_none());
    }
}
