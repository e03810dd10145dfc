//! Slots: how many stages run at once, and that they start in the order in which they were handed out.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Slots to run in. A worker holds one only while its stage runs: what comes before and after is done beside others.
pub(crate) struct Slots {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    count: usize,
    free: usize,
    /// Whose turn it is.
    next: u64,
}

/// A turn that has to be taken; dropped without, it is passed on.
pub(crate) struct Turn<'a> {
    slots: &'a Slots,
    number: u64,
    width: usize,
    taken: bool,
}

impl<'a> Turn<'a> {
    /// Waits for a slot.
    pub(crate) fn take(&mut self) -> Slot<'a> {
        self.taken = true;
        self.slots.take(self.number, self.width)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.taken {
            drop(self.take());
        }
    }
}

/// Slots that are held; dropped, they are free.
pub(crate) struct Slot<'a>(&'a Slots, usize);

impl Slots {
    /// Makes so many slots.
    pub(crate) fn new(count: usize) -> Self {
        Self { state: Mutex::new(State { count, free: count, next: 0 }), changed: Condvar::new() }
    }

    /// Returns the turn of the task that was handed out as this many-th, from zero, and takes so many slots.
    pub(crate) fn turn(&self, number: u64, width: usize) -> Turn<'_> {
        Turn { slots: self, number, width, taken: false }
    }

    /// Returns how many slots there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    /// Waits for a free slot, out of turn, until `is_over`.
    pub(crate) fn borrow(&self, is_over: &dyn Fn() -> bool) -> Option<Slot<'_>> {
        let waits = |state: &mut State| state.free == 0 && !is_over();
        let mut state = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        if is_over() {
            return None;
        }
        state.free -= 1;
        Some(Slot(self, 1))
    }

    /// Lets everyone who waits look again.
    pub(crate) fn nudge(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    fn take(&self, turn: u64, width: usize) -> Slot<'_> {
        let width = width.clamp(1, self.lock().count);
        let waits = |state: &mut State| state.free < width || state.next != turn;
        let mut state = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        state.free -= width;
        state.next += 1;
        self.changed.notify_all();
        Slot(self, width)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.lock().free += self.1;
        self.0.changed.notify_all();
    }
}
