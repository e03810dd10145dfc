//! Models as ONNX, with all that stands in front of them.
pub mod classes;
pub mod document;
pub mod graph;
pub mod learners;
pub mod neighbours;
pub mod novelty;
pub mod proto;
pub mod steps;
pub mod two_classes;
