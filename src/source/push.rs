//! A file of rows → documents of a collection.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;
use crate::frame::cell::{Cell, MISSING};
use crate::frame::table::{ColumnType, Table, TableError};
use crate::source::documents::document;
use crate::source::files::{Options, read};
use crate::source::mongodb::{Collection, push as insert};

/// Where a file's rows go.
#[derive(Clone, Debug)]
pub struct PushTarget {
    /// The address of the server.
    pub uri: Secret,
    /// The database.
    pub database: String,
    /// The collection.
    pub collection: String,
    /// How long to look for a server.
    pub timeout: Duration,
    /// The certificates of the authority that vouches for the server.
    pub tls_ca_file: Option<PathBuf>,
    /// Whether what is in the collection is removed before.
    pub replaces: bool,
}

/// Loads every row as a document, in the order of the file; missing cells are null. Returns how
/// many there are.
///
/// # Errors
/// The file cannot be read; the server does not answer or refuses.
pub fn push(bytes: Vec<u8>, target: &PushTarget) -> Result<u64, String> {
    let table = read(bytes, &Options::plain(&MISSING)).map_err(|error| error.0)?;
    let documents = rows(&table)
        .map_err(|error| error.0)?
        .into_iter()
        .map(document)
        .collect::<Vec<_>>();
    let collection = Collection {
        uri: target.uri.clone(),
        database: target.database.clone(),
        collection: target.collection.clone(),
        filter: Default::default(),
        projection: Default::default(),
        timeout: target.timeout,
        tls_ca_file: target.tls_ca_file.clone(),
    };
    insert(&collection, &documents, target.replaces).map_err(|error| format!("MongoDB: {error}"))
}

fn rows(table: &Table) -> Result<Vec<Vec<(String, Cell)>>, TableError> {
    let mut rows: Vec<Vec<(String, Cell)>> = vec![Vec::new(); table.height()];
    for (name, kind) in table.columns()? {
        let missing = table.missing(&name)?;
        let fields: Vec<Cell> = match kind {
            ColumnType::Int => table.ints(&name)?.into_iter().map(Cell::Int).collect(),
            ColumnType::Float => table.numbers(&name)?.into_iter().map(Cell::Float).collect(),
            ColumnType::Bool => table
                .numbers(&name)?
                .into_iter()
                .map(|flag| Cell::Bool(flag == 1.0))
                .collect(),
            ColumnType::Time => table
                .times(&name)?
                .into_iter()
                .map(|ms| Cell::Time(ms.unwrap_or_default()))
                .collect(),
            _ => table
                .texts(&name)?
                .into_iter()
                .map(|text| Cell::Text(text.unwrap_or_default()))
                .collect(),
        };
        for ((row, field), missing) in rows.iter_mut().zip(fields).zip(missing) {
            row.push((name.clone(), if missing { Cell::Missing } else { field }));
        }
    }
    Ok(rows)
}
