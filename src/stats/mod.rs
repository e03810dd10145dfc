//! Statistics: tests, intervals, distances, areas under curves, draws. Numbers in, numbers out;
//! tables and models are not known here.

pub mod adwin;
pub mod arithmetic;
pub mod auc;
pub mod bca;
pub mod binomial;
pub mod cell_scale;
pub mod cholesky;
pub mod compared;
pub mod distances;
pub mod draws;
pub mod hypothesis;
pub mod ks;
pub mod line;
pub mod logistic;
pub mod nearest;
pub mod nearest_found;
pub mod softmax;
