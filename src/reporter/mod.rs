//! Data to text; no terminal, no socket.

pub mod console;
pub mod graph;
pub mod jsonl;
pub mod lineage_drawing;
pub mod openlineage;
pub mod problem;
pub mod prov;
pub mod table;
pub mod timeline;
