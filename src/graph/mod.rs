//! Order and reach.

pub mod build;
pub mod draw;
pub mod order;
pub mod select;
