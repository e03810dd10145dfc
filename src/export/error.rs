//! Why a model cannot be written in another form.

/// Why a model cannot be written in another form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// A column has a name that the form has taken.
    #[error("a column `{0}` is called as something in the file is: rename it")]
    TakenName(String),
    /// The form cannot say what a step does.
    #[error("ONNX has no operator for {0}")]
    NoOperator(&'static str),
    /// Text that is missing cannot be told.
    #[error(
        "ONNX has no missing text but the empty one, which `na` of `ingest` does not name: name it there, and train again"
    )]
    NoMissingText,
    /// A step asks for a column that is not there.
    #[error("there is no column `{0}`")]
    NoColumn(String),
}
