//! Models behind HTTP, asked as clients ask them.

mod answers;
mod beside;
mod client;
mod fuzzed;
mod refusals;
mod reload;
