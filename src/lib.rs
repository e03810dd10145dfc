//! netsec as a library: the floors of the house, from the ground up. `docs/ARCHITECTURE.md` is the
//! map.

pub mod base;

pub mod event;
pub mod stage;

pub mod lineage;
pub mod pipeline;
pub mod store;

pub mod graph;

pub mod plan;

pub mod engine;

#[cfg(feature = "kinds")]
pub mod frame;
#[cfg(feature = "kinds")]
pub mod kinds;
#[cfg(feature = "kinds")]
pub mod model;
#[cfg(feature = "kinds")]
pub mod prep;
#[cfg(feature = "kinds")]
pub mod quality;
#[cfg(feature = "kinds")]
pub mod source;

pub mod app;
pub mod reporter;

#[cfg(feature = "kinds")]
pub mod cli;
