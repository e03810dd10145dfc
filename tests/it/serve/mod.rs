//! Models behind HTTP, asked as clients ask them.

mod answers;
mod beside;
pub(crate) mod client;
mod fuzzed;
mod refusals;
mod reload;
mod retraining;
