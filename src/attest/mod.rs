//! Statements about models that others can check without netsec: what a model was made of (in-toto
//! with SLSA provenance, in a DSSE envelope), what the files of an exported model are (the OpenSSF
//! model signature), and what is inside (an ML-BOM). One key signs all of them.

pub mod envelope;
pub mod keys;
pub mod ml_bom;
pub mod model_signature;
pub mod package;
pub mod provenance;
pub mod statement;
