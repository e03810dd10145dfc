//! Models for other programs and for people: ONNX, a model directory of MLflow, a card.

pub mod card;
pub mod error;
pub mod mlflow;
pub mod onnx;
