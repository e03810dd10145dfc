//! What a table is like: the distributions of its columns, what they tell of the label, what is
//! inferred from them.
//!
//! [`columns::Profile`] is what is kept of a table, whatever its size, and can be
//! merged from its parts; [`giveaway::Giveaway`] a column that gives the label
//! away.

pub mod columns;
pub mod distinct;
pub mod giveaway;
pub mod infer;
pub mod labels;
pub mod leakage;
pub mod nature;
pub mod separation;
pub mod units;
