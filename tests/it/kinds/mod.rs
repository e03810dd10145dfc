//! Every stage kind: a small table in, figures and digests out, against outside oracles.

mod drift;
mod learners;
mod mongodb;
mod prep;
mod quality;
mod split;
