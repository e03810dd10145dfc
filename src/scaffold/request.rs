//! What a first pipeline is made of.

/// Files that were read, each with its name.
pub type NamedFiles = Vec<(String, Vec<u8>)>;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct InitRequest {
    /// The name of the pipeline.
    pub name: String,
    /// The way to the rows to learn from: a file, a folder or a glob.
    pub data: String,
    /// Its files, with their names.
    pub files: NamedFiles,
    /// The way to the rows to judge by, where they are given, and their files.
    pub test: Option<(String, NamedFiles)>,
    /// The column of labels.
    pub target: Option<String>,
    /// Labels that are benign; the empty one stands for none.
    pub benign: Vec<String>,
    /// Labels that say nothing.
    pub unknown: Vec<String>,
    /// What separates the fields of CSV.
    pub separator: Option<u8>,
}

/// A column about which something has to be said.
#[derive(Clone, Debug)]
pub(crate) struct JudgedColumn {
    pub(crate) name: String,
    pub(crate) is_dropped: bool,
    /// Why, for a comment in the file.
    pub(crate) why: String,
    pub(crate) note: Option<String>,
    /// The type of a column that counts from 1970.
    pub(crate) epoch: Option<&'static str>,
}
