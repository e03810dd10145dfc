//! Whether a challenger replaces the champion: fair rows, paired tests, rules, and the decision.
//!
//! [`judge::decide`] takes two models and a table and returns a [`decision::Decision`]; what
//! becomes of it, such as a ref that moves, is not known here.

pub mod contenders;
pub mod curves;
pub mod decision;
pub mod elsewhere;
pub mod error;
pub mod evaluated;
pub mod improve;
pub mod judge;
pub mod latency;
pub mod not_worse;
pub mod other_network;
pub mod paired;
pub mod rows;
pub mod rules;
pub mod slices;
pub mod time_decay;
pub mod traffic;
pub mod unseen;
pub mod windows;
