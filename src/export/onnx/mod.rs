//! Models as ONNX, with all that stands in front of them.
pub mod document;
pub mod graph;
pub mod learners;
pub mod neighbours;
pub mod proto;
pub mod steps;
