//! `transform`: tables to arrays, with what was fitted on the training rows alone.

pub mod kind;
pub mod steps;
