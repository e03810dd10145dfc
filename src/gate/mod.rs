//! Whether a challenger replaces the champion: fair rows, paired tests, rules, and the decision.
//!
//! [`judge::decide`] takes two models and a table and returns a [`decision::Decision`]; what becomes
//! of it, such as a ref that moves, is not known here.

pub mod decision;
pub mod error;
pub mod evaluated;
pub mod families;
pub mod judge;
pub mod paired;
pub mod rows;
pub mod rules;
