//! What must hold for all inputs.

mod graphs;
mod keys;
mod ledgers;
mod trees;
