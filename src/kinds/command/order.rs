//! What a supervisor is asked to carry out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::kinds::command::sandbox::Confinement;

/// A program and what it is given.
#[derive(Serialize, Deserialize)]
pub struct ProgramOrder {
    /// Its name or path, and its arguments.
    pub run: Vec<String>,
    /// The folder it works in.
    pub folder: PathBuf,
    /// All its environment.
    pub env: Vec<(String, String)>,
    /// What it is kept from, if it is.
    pub confinement: Option<Confinement>,
    /// The files that take its output and its errors if they are long.
    pub spools: [PathBuf; 2],
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
    /// How much memory it may take, in bytes.
    pub memory: Option<u64>,
    /// How much it may write, in bytes.
    pub disk: Option<u64>,
    /// How many processes it may have at once.
    pub processes: Option<u64>,
}
