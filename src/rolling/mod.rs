//! Features over the past: what came before a row, for its host or pair, one concept a file.

pub mod definition;
pub mod key_window;
pub mod reader;
pub mod sliding;
pub mod stream;
