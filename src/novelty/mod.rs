//! Novelty detectors: how far a row is from what training rows are like, without any label. Numbers
//! in, numbers out; greater is farther.

pub mod detector;
pub mod directions;
pub mod distance;
pub mod histograms;
pub mod steps;
pub mod tails;
