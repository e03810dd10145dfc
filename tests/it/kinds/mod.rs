//! Every stage kind: a small table in, figures and digests out, against outside oracles.

mod learners;
mod prep;
mod quality;
mod split;
