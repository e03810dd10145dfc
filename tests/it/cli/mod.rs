//! What people and scripts see: one file a command or a story.

mod cache;
mod crash;
mod daily;
mod init;
mod matrix;
mod models;
mod oddities;
mod reports;
mod tour;
mod views;
