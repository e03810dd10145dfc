//! Data to text; no terminal, no socket.

pub mod console;
pub mod graph;
pub mod jsonl;
pub mod problem;
pub mod table;
pub mod timeline;
