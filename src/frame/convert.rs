//! Datasets in forms for people and other programs.

use std::collections::BTreeMap;

use crate::frame::codec;
use crate::frame::dataset::{DatasetIndex, INDEX};
use crate::frame::table::{Table, TableError};

/// Files by their path within an artifact.
pub type ArtifactFiles = [(String, Vec<u8>)];

/// Returns the whole table of a dataset; `None` if the files are something else.
///
/// # Errors
/// They look like a dataset and cannot be read as one.
pub fn dataset(files: &ArtifactFiles) -> Option<Result<Table, TableError>> {
    let (_, index) = files.iter().find(|(name, _)| name == INDEX)?;
    Some(whole(index, files))
}

fn whole(index: &[u8], files: &ArtifactFiles) -> Result<Table, TableError> {
    let index = DatasetIndex::decode(index)?;
    let by_name: BTreeMap<&str, &Vec<u8>> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes))
        .collect();
    let mut tables = vec![Table::of_none(&index.columns)?];
    for part in &index.parts {
        let bytes = by_name.get(part.file.as_str()).copied();
        let bytes =
            bytes.ok_or_else(|| TableError(format!("the part `{}` is missing", part.file)))?;
        tables.push(codec::decode(bytes.clone())?.shaped(&index.columns)?);
    }
    Table::stacked(&tables)
}

/// Returns a table as a file of the form that a name asks for: `.parquet`, or else CSV.
///
/// # Errors
/// A column cannot be written so.
pub fn file(table: &Table, name: &str) -> Result<Vec<u8>, TableError> {
    if name.ends_with(".parquet") {
        codec::encode(table)
    } else {
        codec::csv(table)
    }
}
