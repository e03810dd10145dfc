//! Slots: how many stages run at once, and that they start in the order in which they were handed
//! out.
//!
//! How: every task that is handed out has a ticket with its number. Only the task whose number is
//! next may take slots, as many as its width; then the number moves on. A task that ends before it
//! took any passes its number on when its ticket is dropped, so that none waits for it. Workers of a
//! stage's sub-actions borrow what is free, out of turn.
//!
//! The invariant: slots held and slots free are as many as there are, and whoever's number is next
//! either holds a ticket or has passed it on.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// Slots to run in. A worker holds one only while its stage runs: what comes before and after is
/// done beside others.
pub(crate) struct Slots {
    state: Mutex<SlotState>,
    /// For those who borrow.
    freed: Condvar,
}

struct SlotState {
    count: usize,
    free: usize,
    /// Whose turn it is.
    next: u64,
    /// Who waits for which turn. Only the one whose turn it is is woken.
    waiting: BTreeMap<u64, Thread>,
    /// How many wait to borrow.
    borrowers: usize,
}

/// A turn that has to be taken; dropped without, it is passed on.
pub(crate) struct SlotTicket<'a> {
    slots: &'a Slots,
    number: u64,
    width: usize,
    taken: bool,
}

impl<'a> SlotTicket<'a> {
    /// Returns whether it was taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken
    }

    /// Waits for a slot.
    pub(crate) fn take(&mut self) -> SlotPermit<'a> {
        self.taken = true;
        self.slots.take(self.number, self.width)
    }
}

impl Drop for SlotTicket<'_> {
    fn drop(&mut self) {
        if !self.taken {
            drop(self.take());
        }
    }
}

/// Slots that are held; dropped, they are free.
pub(crate) struct SlotPermit<'a>(&'a Slots, usize);

impl Slots {
    /// Makes so many slots.
    pub(crate) fn new(count: usize) -> Self {
        let state = SlotState {
            count,
            free: count,
            next: 0,
            waiting: BTreeMap::new(),
            borrowers: 0,
        };
        Self {
            state: Mutex::new(state),
            freed: Condvar::new(),
        }
    }

    /// Returns the turn of the task that was handed out as this many-th, from zero, and takes so
    /// many slots.
    pub(crate) fn turn(&self, number: u64, width: usize) -> SlotTicket<'_> {
        SlotTicket {
            slots: self,
            number,
            width,
            taken: false,
        }
    }

    /// Returns how many slots there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    /// Waits for a free slot, out of turn, until `is_over`.
    pub(crate) fn borrow(&self, is_over: &dyn Fn() -> bool) -> Option<SlotPermit<'_>> {
        let mut state = self.lock();
        state.borrowers += 1;
        let waits = |state: &mut SlotState| state.free == 0 && !is_over();
        let mut state = self
            .freed
            .wait_while(state, waits)
            .unwrap_or_else(PoisonError::into_inner);
        state.borrowers -= 1;
        if is_over() {
            return None;
        }
        state.free -= 1;
        Some(SlotPermit(self, 1))
    }

    /// Lets everyone who waits to borrow look again.
    pub(crate) fn nudge(&self) {
        drop(self.lock());
        self.freed.notify_all();
    }

    fn take(&self, turn: u64, width: usize) -> SlotPermit<'_> {
        let mut state = self.lock();
        let width = width.clamp(1, state.count);
        while state.free < width || state.next != turn {
            state.waiting.insert(turn, thread::current());
            drop(state);
            thread::park();
            state = self.lock();
        }
        state.waiting.remove(&turn);
        state.free -= width;
        state.next += 1;
        self.tell(state);
        SlotPermit(self, width)
    }

    /// Wakes whoever may have something to take.
    fn tell(&self, state: MutexGuard<'_, SlotState>) {
        if state.free == 0 {
            return;
        }
        let (next, borrowers) = (state.waiting.get(&state.next).cloned(), state.borrowers);
        drop(state);
        if let Some(next) = next {
            next.unpark();
        }
        if borrowers > 0 {
            self.freed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SlotPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.free += self.1;
        self.0.tell(state);
    }
}
