//! Every stage kind: a small table in, figures and digests out, against outside oracles.

use netsec::frame::labels::{Classes, Labels};

mod bounds;
mod cells;
mod classes;
mod data;
mod drift;
mod gate;
mod honest;
mod image;
mod learners;
mod malformed;
mod mongodb;
mod novelty;
mod parquet;
mod prep;
mod quality;
mod search;
mod split;
mod trees;

/// The labels of rows of which 1 is an attack.
fn labels(y: &[f64]) -> Labels {
    Labels::of_numbers(Classes::binary(), y.iter().copied()).unwrap()
}
