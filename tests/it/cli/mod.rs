//! What people and scripts see: one file a command or a story.

mod archives;
mod attest;
mod cache;
mod costs;
mod crash;
mod daily;
mod deploy;
mod differences;
mod elsewhere;
mod ensembles;
mod escapes;
mod families;
mod forget;
mod init;
pub(crate) mod matrix;
mod models;
mod novelty;
mod oddities;
mod records;
mod registry;
mod reports;
mod shared_cache;
mod sync;
mod tour;
mod views;
mod weights;
mod window;
