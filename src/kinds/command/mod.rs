//! `command`: programs, confined, and what supervises them.

pub mod kind;
pub mod order;
pub mod program;
pub mod sandbox;
pub mod supervisor;
