//! Tables (polars lives here).

pub mod build;
pub mod codec;
pub mod dataset;
pub mod hash;
pub mod npy;
pub mod rows;
pub mod table;
