//! Every stage kind: a small table in, figures and digests out, against outside oracles.

mod bounds;
mod cells;
mod data;
mod drift;
mod honest;
mod learners;
mod malformed;
mod mongodb;
mod parquet;
mod prep;
mod quality;
mod split;
mod trees;
