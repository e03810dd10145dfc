//! An allocator that counts, so that a test can tell how much memory a call took at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// What this thread holds, and the most it has held, in bytes, since the last look.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    // While a thread ends its counter may be gone; nobody asks any more then.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = now + change;
        held.set((now, most.max(now)));
    });
}

#[expect(
    unsafe_code,
    reason = "an allocator cannot be had otherwise; every call goes to the system's unchanged"
)]
// SAFETY: memory comes from and goes back to `System` with the layout that was given; counting
// touches none of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the most memory, in bytes, that a call held at once on this thread.
pub(crate) fn most_held<T>(call: impl FnOnce() -> T) -> usize {
    HELD.with(|held| held.set((0, 0)));
    drop(call());
    HELD.with(|held| usize::try_from(held.get().1).unwrap_or(0))
}

#[test]
fn what_is_held_is_counted() {
    let held = most_held(|| vec![1_u8; 100_000].len());
    assert!((100_000..110_000).contains(&held), "{held}");
}
