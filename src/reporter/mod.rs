//! Data to text; no terminal, no socket.

pub mod console;
pub mod jsonl;
pub mod problem;
pub mod table;
