//! Flags of the commands that look at models and searches, and use them.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::args_choose::OverrideArgs;
use crate::cli::args_serve::ApiKeyArgs;
use crate::cli::args_whose::TargetScope;
use crate::model::metrics::CHOICES;

/// Inspect, compare, promote or export models.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// List every name that points at a model, and what it points at
    List(ListModelArgs),
    /// Show a model, its metrics and its feature importance
    Show(ShowModelArgs),
    /// Say how two models differ: learner, hyperparameters, features, data, figures
    Diff(DiffModelArgs),
    /// Measure permutation importance: how much worse a model is when a column is shuffled
    Importance(ImportanceArgs),
    /// Export a model as ONNX, MLflow or a model card
    Export(ExportModelArgs),
    /// Explain each prediction by column: exact SHAP values for trees (TreeSHAP) and linear models,
    /// otherwise sampled Shapley values with their error
    Explain(ExplainModelArgs),
    /// Point a ref at a model by hand, whatever the gate said of it; the reason stands in its
    /// history
    Promote(PromoteArgs),
    /// Point a ref back at what it pointed at before its last move
    Rollback(RollbackArgs),
    /// Take a ref out of use: it points at nothing, and keeps its model and its history
    Archive(ArchiveModelArgs),
    /// Show where a ref has pointed: when it moved, by which run or whose word
    History(HistoryArgs),
    /// Check a model: an exported folder or file against its signature, or one of this workspace
    /// with all that it was made of; exit code 1 if something was changed, 4 if a signature is
    /// wrong
    Verify(VerifyModelArgs),
    /// Bring in a model that was exported as one file, and point a ref at it
    Import(ImportModelArgs),
}

/// Make keys that sign models, and keys for the API of `serve`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make an API key for `serve`, and print it: it is kept as a digest, and cannot be shown again
    Api(ApiKeyArgs),
    /// Make a pair of keys (ECDSA P-256): NAME.pem signs, NAME.pub.pem checks
    New {
        /// Where to write them, without the endings
        #[arg(short, long, value_name = "NAME", default_value = "netsec")]
        output: String,
    },
    /// Make a key (Ed25519) that signs runs and shared results, and print its public half, for `trust`
    /// in pipeline files; of a key that is there, print that
    Signing {
        /// The file of the private key
        file: PathBuf,
    },
}

/// Check a model.
#[derive(Args, Debug)]
pub struct VerifyModelArgs {
    /// A folder or file that `model export` wrote, or a model of this workspace:
    /// `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning of a
    /// digest
    pub target: String,
    /// The public key that has to have signed it
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// Import a model.
#[derive(Args, Debug)]
pub struct ImportModelArgs {
    /// The file, which `netsec model export -o NAME.netsec-model` wrote
    pub file: PathBuf,
    /// The public key that has to have signed it
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Take it from anybody
    #[arg(long, conflicts_with = "key")]
    pub unsigned: bool,
    /// The ref to point at it, such as champion/phishing
    #[arg(long, value_name = "REF")]
    pub to: String,
    /// Who decides, and why
    #[command(flatten)]
    pub word: ManualWordArgs,
}

/// List models.
#[derive(Args, Debug)]
pub struct ListModelArgs {
    /// List archived names, too
    #[arg(long)]
    pub all: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Compare two models.
#[derive(Args, Debug)]
pub struct DiffModelArgs {
    /// A model: `ref:champion/NAME`, `RUN:stage.port`, `stage.port` of the latest run that has it,
    /// or the beginning of a digest
    pub before: String,
    /// Another
    pub after: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Promote a model by hand.
#[derive(Args, Debug)]
pub struct PromoteArgs {
    /// The model: `stage.port` of the latest run that has it, or the beginning of a digest
    pub target: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// The ref to move, such as champion/phishing
    #[arg(long, value_name = "REF")]
    pub to: String,
    /// Keep a statement of what the model was made of with the history, signed with a private key
    /// of `netsec keys new`; `model verify REF --key` checks it
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Who decides, and why
    #[command(flatten)]
    pub word: ManualWordArgs,
}

/// Roll a ref back.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// The ref, such as champion/phishing
    pub name: String,
    /// Who decides, and why
    #[command(flatten)]
    pub word: ManualWordArgs,
}

/// Take a ref out of use.
#[derive(Args, Debug)]
pub struct ArchiveModelArgs {
    /// The ref, such as champion/phishing
    pub name: String,
    /// Who decides, and why
    #[command(flatten)]
    pub word: ManualWordArgs,
}

/// Who decides, and why.
#[derive(Args, Debug)]
pub struct ManualWordArgs {
    /// Why; it stands in the history of the ref
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Who decides; without it, the user
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// Show the history of a ref.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// The ref, such as champion/phishing
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Show a model.
#[derive(Args, Debug)]
pub struct ShowModelArgs {
    /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning
    /// of a digest
    pub target: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// Print JSON, including the model itself
    #[arg(long)]
    pub json: bool,
}

/// Measure permutation importance.
#[derive(Args, Debug)]
pub struct ImportanceArgs {
    /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning
    /// of a digest
    pub target: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// Rows with labels: CSV, Parquet or NDJSON, also compressed
    pub data: String,
    /// Metric, as in `select` of `train`
    #[arg(long, default_value = "f1", value_parser = PossibleValuesParser::new(CHOICES))]
    pub metric: String,
    /// Number of shuffles per column
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub repeats: u32,
    /// Seed of the shuffling
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Compute with this many threads; results do not depend on it [default: number of cores]
    #[arg(long, value_name = "N", env = "RAYON_NUM_THREADS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Field separator of CSV
    #[arg(long, default_value_t = ',')]
    pub separator: char,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Export a model.
#[derive(Args, Debug)]
pub struct ExportModelArgs {
    /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning
    /// of a digest
    pub target: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// Output path: `NAME.onnx` for ONNX, `NAME.md` for a model card, `NAME.cdx.json` for a bill of
    /// materials (CycloneDX), `NAME.netsec-model` for one file that `model import` takes, any other
    /// name for an MLflow folder with ONNX and card
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// Sign it with a private key of `netsec keys new`: a folder gets a signature of all files, a
    /// statement of what the model was made of and a bill of materials; a `.netsec-model` a signed
    /// statement
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
}

/// Explain each prediction.
#[derive(Args, Debug)]
pub struct ExplainModelArgs {
    /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning
    /// of a digest
    pub target: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// The rows: CSV, Parquet or NDJSON, also compressed
    pub data: String,
    /// Output file, as CSV or Parquet by its extension
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Background rows, for models that are neither trees nor linear [default: the rows themselves]
    #[arg(long, value_name = "FILE")]
    pub background: Option<String>,
    /// Report the features made from a column, such as those of `onehot`, separately
    #[arg(long)]
    pub by_feature: bool,
    /// Number of sampled permutations per row
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(2..=100_000)
    )]
    pub samples: u32,
    /// Seed of the sampling
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Compute with this many threads; results do not depend on it [default: number of cores]
    #[arg(long, value_name = "N", env = "RAYON_NUM_THREADS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Field separator of CSV
    #[arg(long, default_value_t = ',')]
    pub separator: char,
}

/// Find the models that were trained on rows.
#[derive(Args, Debug)]
pub struct ImpactArgs {
    /// The rows: CSV, Parquet or NDJSON, also compressed, with the columns that models use
    #[arg(long, value_name = "FILE")]
    pub rows: String,
    /// Field separator of CSV
    #[arg(long, default_value_t = ',')]
    pub separator: char,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Have rows forgotten.
#[derive(Args, Debug)]
pub struct ForgetArgs {
    /// The rows: CSV, Parquet or NDJSON, also compressed, with the columns that models use
    #[arg(long, value_name = "FILE")]
    pub rows: String,
    /// Field separator of CSV
    #[arg(long, default_value_t = ',')]
    pub separator: char,
    /// Do it, instead of telling what it takes
    #[arg(long, requires = "why")]
    pub apply: bool,
    /// Why; it stands in the tombstone, and in the history of the refs that are moved
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Who decides; without it, the user
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// What is chosen for the pipelines that run again
    #[command(flatten)]
    pub choose: OverrideArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Score the rows of a file.
#[derive(Args, Debug)]
pub struct PredictArgs {
    /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning
    /// of a digest
    pub model: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// The rows: CSV, Parquet or NDJSON, also compressed
    pub data: String,
    /// Output file, as CSV or Parquet by its extension, instead of CSV on standard output
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Field separator of CSV
    #[arg(long, default_value_t = ',')]
    pub separator: char,
    /// Compute with this many threads; results do not depend on it [default: number of cores]
    #[arg(long, value_name = "N", env = "RAYON_NUM_THREADS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Print the counts as JSON, where the rows go to a file
    #[arg(long, requires = "output")]
    pub json: bool,
}

/// Inspect a hyperparameter search.
#[derive(Debug, Subcommand)]
pub enum SweepCommand {
    /// Show the leaderboard
    Show {
        /// The leaderboard: `stage.port` of the latest run that has it, or the beginning of a
        /// digest
        #[arg(default_value = "train.metrics")]
        target: String,
        /// Pipeline or run
        #[command(flatten)]
        whose: TargetScope,
        /// Number of trials to show
        #[arg(long, value_name = "N", default_value_t = 20)]
        top: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Plot the score of every trial against each hyperparameter, as SVG
    Plot {
        /// The leaderboard: `stage.port` of the latest run that has it, or the beginning of a
        /// digest
        #[arg(default_value = "train.metrics")]
        target: String,
        /// Pipeline or run
        #[command(flatten)]
        whose: TargetScope,
        /// Write to this file instead of standard output
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Print the plotted points as JSON
        #[arg(long)]
        json: bool,
    },
}
