//! Flags of the commands that look at models and searches, and use them.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::args_whose::TargetScope;
use crate::kinds::predict::METRICS;

/// Look at a model.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Show what a model is, how good it was and which features count
    Show {
        /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the
        /// beginning of a digest
        target: String,
        /// Whose
        #[command(flatten)]
        whose: TargetScope,
        /// Print JSON, the model itself included
        #[arg(long)]
        json: bool,
    },
    /// Say how much worse a model is when the cells of a column are shuffled (permutation
    /// importance)
    Importance {
        /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the
        /// beginning of a digest
        target: String,
        /// Whose
        #[command(flatten)]
        whose: TargetScope,
        /// Rows with labels: CSV, Parquet or NDJSON, also compressed
        data: String,
        /// What is measured, as in `select` of `train`
        #[arg(long, default_value = "f1", value_parser = PossibleValuesParser::new(METRICS))]
        metric: String,
        /// How often each column is shuffled
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
        repeats: u32,
        /// What the shuffling begins with
        #[arg(long, value_name = "N", default_value_t = 42)]
        seed: u64,
        /// What separates the fields of CSV
        #[arg(long, default_value_t = ',')]
        separator: char,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a model for other programs or for people
    Export {
        /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the
        /// beginning of a digest
        target: String,
        /// Whose
        #[command(flatten)]
        whose: TargetScope,
        /// Write here: `NAME.onnx` is an ONNX file, `NAME.md` a model card, another name a folder
        /// for MLflow with both
        #[arg(short, long, value_name = "PATH")]
        output: PathBuf,
    },
    /// Say of every row what each column adds to the prediction: exactly for trees (TreeSHAP) and
    /// linear models, otherwise by sampled Shapley values with their error
    Explain {
        /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the
        /// beginning of a digest
        target: String,
        /// Whose
        #[command(flatten)]
        whose: TargetScope,
        /// The rows: CSV, Parquet or NDJSON, also compressed
        data: String,
        /// Write here, as CSV or Parquet by the name's end
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Rows that others are compared with, for models that are neither trees nor linear
        /// [default: the rows themselves]
        #[arg(long, value_name = "FILE")]
        background: Option<String>,
        /// Tell the parts that a column was made into, such as those of `onehot`, one by one
        #[arg(long)]
        by_feature: bool,
        /// How many orders of columns are drawn for each row, where values are sampled
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100_000))]
        samples: u32,
        /// What sampling begins with
        #[arg(long, value_name = "N", default_value_t = 42)]
        seed: u64,
        /// What separates the fields of CSV
        #[arg(long, default_value_t = ',')]
        separator: char,
    },
}

/// Score the rows of a file.
#[derive(Args, Debug)]
pub struct PredictArgs {
    /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning
    /// of a digest
    pub model: String,
    /// Whose
    #[command(flatten)]
    pub whose: TargetScope,
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
pub enum SweepCommand {
    /// Show the leaderboard of a search
    Show {
        /// The leaderboard: `stage.port` of the latest run that has it, or the beginning of a
        /// digest
        #[arg(default_value = "train.metrics")]
        target: String,
        /// Whose
        #[command(flatten)]
        whose: TargetScope,
        /// How many trials to show
        #[arg(long, value_name = "N", default_value_t = 20)]
        top: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Draw the score of every trial against each hyperparameter, as SVG
    Plot {
        /// The leaderboard: `stage.port` of the latest run that has it, or the beginning of a
        /// digest
        #[arg(default_value = "train.metrics")]
        target: String,
        /// Whose
        #[command(flatten)]
        whose: TargetScope,
        /// Write here instead of to the standard output
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Print JSON: the points that are drawn
        #[arg(long)]
        json: bool,
    },
}
