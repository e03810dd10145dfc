//! Growing that may be told to stop.

/// With what trees are grown: what random draws begin with, and whoever may say that they are not
/// wanted any more. What was grown until then is returned, and is of no use.
#[derive(Clone, Copy)]
pub struct TreeGrowth<'a> {
    /// What random draws begin with.
    pub seed: u64,
    /// Whether to stop.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl TreeGrowth<'_> {
    /// Returns whether to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        (self.is_stopped)()
    }
}
