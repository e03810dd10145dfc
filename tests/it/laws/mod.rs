//! What must hold for all inputs.

mod dispatch;
mod graphs;
mod hostile;
mod keys;
mod ledgers;
mod plans;
mod trees;

#[cfg(feature = "kinds")]
mod fuzzed;
