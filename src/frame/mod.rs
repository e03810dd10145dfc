//! Tables (polars lives here).

pub mod codec;
pub mod npy;
pub mod rows;
pub mod table;
