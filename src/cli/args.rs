//! Flags and environment as typed values; looks nothing up.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cli::args_choose::OverrideArgs;
use crate::cli::args_data::{DataCommand, InitArgs, QuarantineCommand, SchemaAction};
use crate::cli::args_deploy::DeployCommand;
use crate::cli::args_image::ImageCommand;
use crate::cli::args_model::{
    ForgetArgs, ImpactArgs, KeysCommand, ModelCommand, PredictArgs, SweepCommand,
};
use crate::cli::args_remote::RemoteArgs;
use crate::cli::args_serve::ServeArgs;
use crate::cli::args_sync::SyncCommand;
use crate::cli::args_watch::ModelWatchArgs;
use crate::cli::args_whose::TargetScope;
use crate::cli::exit::TABLE;

/// From network-security data to a gated, explained, recorded detector.
///
/// A pipeline file lists stages and the data that flows between them. `netsec run` executes what
/// changed, reuses the rest, and records what made what.
#[derive(Debug, Parser)]
#[command(name = "netsec", version, after_help = TABLE, max_term_width = 100)]
pub struct Arguments {
    /// Work in this folder instead of the current one
    #[arg(
        short = 'C',
        long = "directory",
        global = true,
        value_name = "DIR",
        default_value = ".",
        hide_default_value = true
    )]
    pub directory: PathBuf,
    /// Subcommand
    #[command(subcommand)]
    pub command: CliCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run a pipeline: execute what changed, reuse the rest
    Run(RunArgs),
    /// Show what `run` would do, and why, without doing it
    Status(StatusArgs),
    /// Explain why a stage would run: which ingredient changed, from what to what
    Explain(ExplainArgs),
    /// List the runs of this workspace, latest first
    Runs(RunsArgs),
    /// Show what an artifact was made from, or with --downstream what was made from it
    Lineage(LineageArgs),
    /// Say why two runs differ: which stages, by what, and what that changed
    Diff(DiffArgs),
    /// Find the models that were trained on given rows, such as those of a deletion request
    Impact(ImpactArgs),
    /// Have rows forgotten, such as those of a deletion request, by models and by the cache
    Forget(ForgetArgs),
    /// Write an artifact to a file or to standard output
    Cat(CatArgs),
    /// Check a pipeline file and report every mistake with its location
    Check(CheckArgs),
    /// Draw a pipeline
    Graph(GraphArgs),
    /// Print the JSON Schema of pipeline files; infer and compare data schemas
    Schema(SchemaArgs),
    /// Check quarantined rows against a newer schema
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Inspect, compare, promote or export models
    #[command(subcommand, visible_alias = "models")]
    Model(ModelCommand),
    /// Make keys that sign models, and keys for the API of `serve`
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Score the rows of a file with a model
    Predict(PredictArgs),
    /// Make container images that serve a model, and send them to a registry
    #[command(subcommand)]
    Image(ImageCommand),
    /// Train on a schedule and put models in service, by GitHub Actions on AWS
    #[command(subcommand)]
    Deploy(DeployCommand),
    /// Answer requests for verdicts over HTTP
    Serve(Box<ServeArgs>),
    /// Show or plot the leaderboard of a hyperparameter search
    #[command(subcommand)]
    Sweep(SweepCommand),
    /// Load a file of rows into a MongoDB collection
    #[command(subcommand)]
    Data(DataCommand),
    /// Run a pipeline, and rerun it whenever a file or collection it reads changes
    Watch(WatchArgs),
    /// Cancel one stage of the run in progress; stages that do not depend on it continue
    Cancel(CancelArgs),
    /// Replay the events of a run
    Replay(ReplayArgs),
    /// Plot what ran when, on which worker, and what the run waited for
    Timeline(TimelineArgs),
    /// Inspect and maintain the cache
    Cache(CacheArgs),
    /// Share runs, what they made, and refs by a bucket (S3, GCS, Azure, a folder)
    #[command(subcommand)]
    Sync(SyncCommand),
    /// Export a run, with everything it made, to one file
    Export(ExportArgs),
    /// Import a run that was exported elsewhere
    Import(ImportArgs),
    /// Write a starter pipeline and schema for your own table
    Init(InitArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Carry out an action that another machine sent here; started by a run that has other machines
    #[command(hide = true)]
    Act {
        /// What is to be done
        task: PathBuf,
        /// The folder for what is made
        out: PathBuf,
    },
    /// Start programs for a run, and end what they leave behind; started by the run itself
    #[command(hide = true)]
    Supervise {
        /// What the programs may do
        sort: String,
    },
}

/// Which part of a pipeline is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct SelectionArgs {
    /// Run only this stage; its inputs must be up to date (may be repeated)
    #[arg(long, value_name = "STAGE")]
    pub only: Vec<String>,
    /// Run this stage and everything downstream of it (may be repeated)
    #[arg(long, value_name = "STAGE")]
    pub from: Vec<String>,
    /// Run this stage and everything upstream of it (may be repeated)
    #[arg(long, value_name = "STAGE")]
    pub until: Vec<String>,
    /// Overrides
    #[command(flatten)]
    pub choose: OverrideArgs,
    /// Run the stages even if they are up to date
    #[arg(long)]
    pub force: bool,
    /// Rehash every input file, even if its modification time is unchanged
    #[arg(long)]
    pub rehash: bool,
    /// Re-read external sources, such as collections, in full, and report rows that incremental
    /// reads missed
    #[arg(long)]
    pub full: bool,
}

/// Run a pipeline.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The pipeline file
    pub file: String,
    /// Selection of stages
    #[command(flatten)]
    pub part: SelectionArgs,
    /// Run at most this many stages at once [default: number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Use this many threads inside stages; results do not depend on it [default: number of cores]
    #[arg(long, value_name = "N", env = "RAYON_NUM_THREADS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Stop starting stages after this many failures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_failures: Option<u32>,
    /// Keep running stages that do not depend on a failed one, however many fail (the default)
    #[arg(long, conflicts_with = "max_failures")]
    pub keep_going: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object about the run when it has ended, however it ended
    #[arg(long)]
    pub json: bool,
    /// Print only warnings and failures
    #[arg(short, long)]
    pub quiet: bool,
    /// Format of progress output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Fail immediately if another run holds the workspace, instead of waiting
    #[arg(long)]
    pub no_wait: bool,
    /// Shared cache
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Format of progress output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Progress bars on a terminal, lines elsewhere
    Text,
    /// One JSON object per line, on standard error
    Json,
}

/// Show what `run` would do.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The pipeline file
    pub file: String,
    /// Selection of stages
    #[command(flatten)]
    pub part: SelectionArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Explain why a stage would run.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The stage
    pub stage: String,
    /// The pipeline file
    #[arg(short, long, default_value = "pipelines/default.yaml")]
    pub file: String,
    /// Overrides
    #[command(flatten)]
    pub choose: OverrideArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// List the runs.
#[derive(Args, Debug)]
pub struct RunsArgs {
    /// List at most this many
    #[arg(short = 'n', long, default_value_t = 20)]
    pub most: usize,
    /// List only runs that used or made this: a file, `stage.port`, `ref:NAME`, or the beginning of a
    /// digest
    #[arg(long, value_name = "TARGET", conflicts_with = "remove")]
    pub using: Option<String>,
    /// Remove this run from the list; what it made is removed by the next `netsec cache gc`, unless
    /// something else needs it
    #[arg(long, value_name = "RUN")]
    pub remove: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Show what an artifact was made from.
#[derive(Args, Debug)]
pub struct LineageArgs {
    /// `stage.port` of the latest run that has it, `ref:NAME`, a file, or the beginning of a digest
    pub target: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// Show what was made from it instead
    #[arg(long)]
    pub downstream: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "tree")]
    pub format: LineageFormat,
    /// Print JSON: the same as `--format json`
    #[arg(long)]
    pub json: bool,
    /// Send OpenLineage events to a collector, such as http://localhost:5000, instead; its key is taken
    /// from OPENLINEAGE_API_KEY
    #[arg(long, value_name = "URL", conflicts_with_all = ["format", "json"])]
    pub send: Option<String>,
}

/// How lineage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LineageFormat {
    /// A tree for people
    Tree,
    /// The tree as JSON
    Json,
    /// A drawing in Graphviz's language
    Dot,
    /// A Mermaid flowchart
    Mermaid,
    /// W3C PROV-JSON
    Prov,
    /// OpenLineage events, one a line
    Openlineage,
}

/// Compare two runs.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// The earlier run
    pub before: String,
    /// The later run
    pub after: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Write an artifact.
#[derive(Args, Debug)]
pub struct CatArgs {
    /// `stage.port` of the latest run that has it, `ref:NAME`, or the beginning of a digest
    pub target: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// Write it here: a directory as one, a dataset as one table if the path ends with `.csv` or
    /// `.parquet`. Without it, a dataset is written as CSV
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
}

/// Check a pipeline file.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The pipeline file
    pub file: String,
    /// Overrides
    #[command(flatten)]
    pub choose: OverrideArgs,
    /// Print the problems as JSON
    #[arg(long)]
    pub json: bool,
}

/// Draw a pipeline.
#[derive(Args, Debug)]
pub struct GraphArgs {
    /// The pipeline file
    pub file: String,
    /// Overrides
    #[command(flatten)]
    pub choose: OverrideArgs,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
    pub format: GraphFormat,
}

/// Output format of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// A standalone HTML page that also shows what a run would do
    Html,
    /// For scripts
    Json,
}

/// Print the schema of pipeline files, or work with data schemas.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SchemaArgs {
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub format: SchemaFormat,
    /// Action
    #[command(subcommand)]
    pub action: Option<SchemaAction>,
}

/// Output format of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// JSON Schema of pipeline files, for editors and validators
    Json,
    /// JSON Schema of schema files
    Data,
    /// The reference page, for people
    Markdown,
    /// JSON Schema of `ingest.report`
    Ingest,
    /// JSON Schema of `validate.report`
    Validation,
    /// JSON Schema of `split.leakage`
    Leakage,
    /// JSON Schema of `drift.report`
    Drift,
    /// JSON Schema of `train.metrics`
    Leaderboard,
    /// JSON Schema of `evaluate.decision`
    Decision,
}

/// Inspect and maintain the cache.
#[derive(Args, Debug)]
pub struct CacheArgs {
    /// Action
    #[command(subcommand)]
    pub action: CacheAction,
}

/// Run a pipeline whenever it changes.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The pipeline file
    pub file: String,
    /// Selection of stages
    #[command(flatten)]
    pub part: SelectionArgs,
    /// Stop after this many runs
    #[arg(long, value_name = "N")]
    pub rounds: Option<u64>,
    /// When a model is to be trained anew
    #[command(flatten)]
    pub model: ModelWatchArgs,
}

/// Cancel a stage.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// The stage; all instances of it if there are several
    pub stage: String,
}

/// Show a run's events again.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The run, as `netsec runs` names it [default: the latest]
    pub run: Option<String>,
    /// Print the events as they were recorded, one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Draw what ran when.
#[derive(Args, Debug)]
pub struct TimelineArgs {
    /// The run, as `netsec runs` names it [default: the latest]
    pub run: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "html")]
    pub format: TimelineFormat,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
}

/// Output format of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimelineFormat {
    /// A standalone HTML page
    Html,
    /// To embed in other pages
    Svg,
    /// For scripts
    Json,
}

/// Write a run to a file.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The file to write
    pub output: PathBuf,
    /// The run, as `netsec runs` names it [default: the latest]
    #[arg(long)]
    pub run: Option<String>,
    /// Sign it with a private key (Ed25519), as `netsec keys signing` makes one: the public key
    /// under `trust` in a pipeline lets the run decide where refs point
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Import a run.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Read and check every blob and record; exit code 1 if anything is damaged or missing
    Verify {
        /// Move damaged blobs aside and rerun the stages that made what is damaged or missing
        #[arg(long)]
        repair: bool,
        /// Check the records and that every blob is there, without reading blobs
        #[arg(long)]
        records: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List blobs that no ref and no kept run needs; with --apply, remove them
    Gc {
        /// Keep what the latest N successful runs of each pipeline made
        #[arg(long, value_name = "N", default_value_t = 5)]
        keep_runs: usize,
        /// Also keep what the runs of the last DAYS days made
        #[arg(long, value_name = "DAYS")]
        keep_days: Option<u32>,
        /// Keep at most this much, such as 500M or 20G: older runs are dropped first, what refs
        /// point at never
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
        /// Remove them
        #[arg(long)]
        apply: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make some stages again that were taken from a shared cache, and compare to the bit
    Audit {
        /// The pipeline file
        file: String,
        /// How many stages, drawn by chance
        #[arg(long, value_name = "N", default_value_t = 3)]
        sample: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let pipeline files that name this shared cache publish results in it
    Allow {
        /// The address, as the pipeline files name it
        url: String,
        /// Let them no more
        #[arg(long)]
        remove: bool,
    },
    /// Bring what of an output stayed on a server (`remote: { download: needed }`)
    Fetch {
        /// Outputs, as `netsec cat` takes them
        #[arg(required = true)]
        targets: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show how much the cache holds
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Reads a size in bytes, such as `500M`; the letters stand for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let text = text.trim_end_matches(['B', 'b', 'i']);
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, letter)) if letter.is_ascii_alphabetic() => {
            let shift = "KMGT"
                .find(letter.to_ascii_uppercase())
                .ok_or("the letters are K, M, G and T")?;
            (&text[..at], 10 * (shift as u32 + 1))
        }
        _ => (text, 0),
    };
    let number: u64 = digits
        .trim()
        .parse()
        .map_err(|_| "write a whole number of bytes, or one with K, M, G or T")?;
    number
        .checked_shl(shift)
        .filter(|size| size >> shift == number)
        .ok_or_else(|| "that is too much".to_owned())
}

/// Print a completion script.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}
