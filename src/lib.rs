//! The library of the program netsec.
//!
//! What is stable is what users and scripts see: the command line and its exit codes, pipeline and
//! schema files, events, records, and every stored format, each of which has a number. The items of
//! this library may change from one version to the next.
//!
//! The rooms stand on floors, and each may import only what is below it; a test reads every import.
//! The orchestrator knows nothing of tables and models, the machine learning nothing of caches and
//! clocks; they meet in [`stage`], the contract of a stage.
//!
//! ```text
//! cli  serve  sync              flags in, text and exit codes out
//! app  reporter
//! engine                        kinds
//! plan                          views  tuning  gate  scoring  export  scaffold
//! graph  bucket  reapi          model
//! pipeline  store  lineage far  prep  drift  schema  source
//! event  stage  render          profile  rolling  frame  trees  stats
//! base
//! ```
//!
//! Other programs come in through `embed`.
//!
//! To begin with: [`app::workspace::Workspace`] opens a folder and loads, plans and runs a pipeline;
//! [`plan::decide::Verdict`] says whether a stage runs, and why; [`engine::drive`] carries a plan
//! out; [`lineage::ledger::Ledger`] holds what was recorded; [`stage::kind::StageKind`] declares a
//! stage. `docs/ARCHITECTURE.md` is the map.

pub mod base;

pub mod event;
pub mod render;
pub mod stage;

pub mod lineage;
pub mod pipeline;
pub mod store;

pub mod far;

pub mod graph;

pub mod plan;

pub mod engine;

#[cfg(feature = "kinds")]
pub mod attest;
#[cfg(feature = "kinds")]
pub mod bucket;
#[cfg(feature = "kinds")]
pub mod drift;
#[cfg(feature = "kinds")]
pub mod export;
#[cfg(feature = "kinds")]
pub mod frame;
#[cfg(feature = "kinds")]
pub mod gate;
#[cfg(feature = "kinds")]
pub mod image;
#[cfg(feature = "kinds")]
pub mod kinds;
#[cfg(feature = "kinds")]
pub mod model;
#[cfg(feature = "kinds")]
pub mod novelty;
#[cfg(feature = "kinds")]
pub mod prep;
#[cfg(feature = "kinds")]
pub mod profile;
#[cfg(feature = "kinds")]
pub mod reapi;
#[cfg(feature = "kinds")]
pub mod rolling;
#[cfg(feature = "kinds")]
pub mod scaffold;
#[cfg(feature = "kinds")]
pub mod schema;
#[cfg(feature = "kinds")]
pub mod scoring;
#[cfg(feature = "kinds")]
pub mod source;
#[cfg(feature = "kinds")]
pub mod stats;
#[cfg(feature = "kinds")]
pub mod trees;
#[cfg(feature = "kinds")]
pub mod tuning;
#[cfg(feature = "kinds")]
pub mod views;

#[cfg(feature = "kinds")]
pub mod embed;

pub mod app;
pub mod reporter;

#[cfg(feature = "kinds")]
pub mod serve;
#[cfg(feature = "kinds")]
pub mod sync;

#[cfg(feature = "kinds")]
pub mod cli;
