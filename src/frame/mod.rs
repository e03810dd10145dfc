//! Tables (polars lives here).

pub mod build;
pub mod cell;
pub mod codec;
pub mod convert;
pub mod dataset;
pub mod diff;
pub mod hash;
pub mod labels;
pub mod moments;
pub mod npy;
pub mod npz;
pub mod rows;
pub mod table;
