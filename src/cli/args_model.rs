//! Flags of the commands that look at models and searches, and use them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Look at a model.
#[derive(Debug, Subcommand)]
pub enum Model {
    /// Show what a model is, how good it was and which features count
    Show {
        /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning of a digest
        target: String,
        /// Print JSON, the model itself included
        #[arg(long)]
        json: bool,
    },
    /// Say of every row what each feature adds to the prediction (TreeSHAP, exact)
    Explain {
        /// The model, one made of trees
        target: String,
        /// The rows: CSV, Parquet or NDJSON, also compressed
        data: String,
        /// Write here, as CSV or Parquet by the name's end
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// What separates the fields of CSV
        #[arg(long, default_value_t = ',')]
        separator: char,
    },
}

/// Score the rows of a file.
#[derive(Args, Debug)]
pub struct Predict {
    /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning of a digest
    pub model: String,
    /// The rows: CSV, Parquet or NDJSON, also compressed
    pub data: String,
    /// Write here, as CSV or Parquet by the name's end, instead of to the standard output as CSV
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// What separates the fields of CSV
    #[arg(long, default_value_t = ',')]
    pub separator: char,
    /// Print the counts as JSON, where the rows go to a file
    #[arg(long, requires = "output")]
    pub json: bool,
}

/// Look at a search.
#[derive(Debug, Subcommand)]
pub enum Sweep {
    /// Show the leaderboard of a search
    Show {
        /// The leaderboard: `stage.port` of the latest run that has it, or the beginning of a digest
        #[arg(default_value = "train.metrics")]
        target: String,
        /// How many trials to show
        #[arg(long, value_name = "N", default_value_t = 20)]
        top: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Draw the score of every trial against each hyperparameter, as SVG
    Plot {
        /// The leaderboard: `stage.port` of the latest run that has it, or the beginning of a digest
        #[arg(default_value = "train.metrics")]
        target: String,
        /// Write here instead of to the standard output
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Print JSON: the points that are drawn
        #[arg(long)]
        json: bool,
    },
}
