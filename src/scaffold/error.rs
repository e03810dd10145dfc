//! Why no starter files can be proposed.

use crate::frame::table::TableError;

/// Why no starter files can be proposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaffoldError {
    /// The name of the pipeline cannot be one.
    #[error("--name: {0}")]
    Name(String),
    /// A file of rows cannot be read.
    #[error("{0}")]
    File(String),
    /// The column of labels cannot be told, or is not there.
    #[error("{0}")]
    Target(String),
    /// It cannot be told which labels are benign; or what was said of them is not so.
    #[error("{0}")]
    Labels(String),
    /// Every column would be left out.
    #[error("no column is left to learn from: {0}")]
    NothingLeft(String),
    /// The table cannot be looked at.
    #[error(transparent)]
    Table(#[from] TableError),
}
