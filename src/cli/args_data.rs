//! Flags of the commands that look after data and its schemas.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What is done about schemas of data.
#[derive(Debug, Subcommand)]
pub enum SchemaAction {
    /// Propose a schema for a file of rows
    Infer {
        /// A file, a folder or a glob of files: CSV, Parquet, NDJSON or Zeek logs, also compressed
        data: String,
        /// What separates the fields of CSV [default: told by the header]
        #[arg(long, value_name = "CHAR")]
        separator: Option<char>,
        /// Only types, what is missing, and levels like -1, 0, 1: no lists of values, bounds,
        /// uniqueness
        #[arg(long)]
        lenient: bool,
        /// Write it here instead of to the standard output
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Say what a change of a schema means for data; exit code 1 if it breaks some
    Diff {
        /// The old schema file
        old: String,
        /// The new schema file
        new: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Look after rows that were set aside.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Check rows that were set aside against a schema: which would go on now?
    Replay {
        /// The schema file
        schema: String,
        /// The rows: `stage.port` of the latest run that has it, or the beginning of a digest
        #[arg(long, value_name = "TARGET", default_value = "validate.quarantine")]
        rows: String,
        /// Write the rows that keep the schema here, as CSV or Parquet by the name's end
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Look after data outside.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Load a file of rows into a collection, one document a row
    Push(PushArgs),
}

/// Load a file of rows into a collection.
#[derive(Args, Debug)]
pub struct PushArgs {
    /// The file: CSV, Parquet or NDJSON, also compressed
    pub file: String,
    /// The address: `mongodb://…`; `${env.NAME}` stands for an environment variable, so that no
    /// password need be written
    #[arg(long, value_name = "URI")]
    pub to: String,
    /// The database
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// The collection
    #[arg(long, value_name = "NAME")]
    pub collection: String,
    /// Remove what is in the collection before
    #[arg(long)]
    pub replace: bool,
    /// How many seconds to look for a server
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub timeout: f64,
    /// A file with the certificates of the authority that vouches for the server
    #[arg(long, value_name = "PATH")]
    pub tls_ca_file: Option<PathBuf>,
}

/// Write a starter pipeline and schema.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// A file, a folder or a glob of files: CSV, Parquet, NDJSON or Zeek logs, also compressed
    pub data: String,
    /// The rows to judge by, where they are given as a table of their own
    #[arg(long, value_name = "DATA")]
    pub test: Option<String>,
    /// The column of labels [default: the last column, or one that is called so]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// A label that is benign, `*` standing for anything, '' for rows without a label (may be
    /// repeated; all others are attacks)
    #[arg(long, value_name = "LABEL")]
    pub benign: Vec<String>,
    /// A label that says nothing, such as `Background`: its rows are left out (may be repeated)
    #[arg(long, value_name = "LABEL")]
    pub unknown: Vec<String>,
    /// What separates the fields of CSV [default: told by the header]
    #[arg(long, value_name = "CHAR")]
    pub separator: Option<char>,
    /// The name of the pipeline [default: the file's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}
