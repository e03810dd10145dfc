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
        /// Field separator of CSV [default: detected from the header]
        #[arg(long, value_name = "CHAR")]
        separator: Option<char>,
        /// Only types, what is missing, and levels like -1, 0, 1: no lists of values, bounds,
        /// uniqueness
        #[arg(long)]
        lenient: bool,
        /// Write to this file instead of standard output
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Show what a schema change means for data; exit code 1 if it is breaking
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

/// Work with quarantined rows.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Check quarantined rows against a schema and report which would pass now
    Replay {
        /// The schema file
        schema: String,
        /// The rows: `stage.port` of the latest run that has it, or the beginning of a digest
        #[arg(long, value_name = "TARGET", default_value = "validate.quarantine")]
        rows: String,
        /// Write the rows that pass to this file, as CSV or Parquet by its extension
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Work with external data.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Load a file of rows into a collection, one document per row
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
    /// Empty the collection first
    #[arg(long)]
    pub replace: bool,
    /// Seconds to wait for a server
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub timeout: f64,
    /// File with the CA certificates to verify the server with
    #[arg(long, value_name = "PATH")]
    pub tls_ca_file: Option<PathBuf>,
}

/// Write a starter pipeline and schema.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// A file, a folder or a glob of files: CSV, Parquet, NDJSON or Zeek logs, also compressed
    pub data: String,
    /// The test table, if it is a file of its own
    #[arg(long, value_name = "DATA")]
    pub test: Option<String>,
    /// The label column [default: a column with a usual name, or the last one]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// A label that is benign, `*` standing for anything, '' for rows without a label (may be
    /// repeated; all others are attacks)
    #[arg(long, value_name = "LABEL")]
    pub benign: Vec<String>,
    /// A label that says nothing, such as `Background`: its rows are left out (may be repeated)
    #[arg(long, value_name = "LABEL")]
    pub unknown: Vec<String>,
    /// Field separator of CSV [default: detected from the header]
    #[arg(long, value_name = "CHAR")]
    pub separator: Option<char>,
    /// The name of the pipeline [default: the file's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,
}
