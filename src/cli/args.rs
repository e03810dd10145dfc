//! Flags and environment as typed values; looks nothing up.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cli::args_data::{DataCommand, InitArgs, QuarantineCommand, SchemaAction};
use crate::cli::args_model::{ModelCommand, PredictArgs, SweepCommand};
use crate::cli::args_whose::TargetScope;
use crate::cli::exit::TABLE;

/// From network-security data to a gated, explained, recorded detector.
///
/// A pipeline file names stages and what flows between them. `netsec run` carries it out, skips
/// whatever is unchanged, and records what made what.
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
    /// What to do
    #[command(subcommand)]
    pub command: CliCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Carry a pipeline out: run what changed, reuse the rest
    Run(RunArgs),
    /// Say what `run` would do, and why, without doing it
    Status(StatusArgs),
    /// Say why a stage would run: which ingredient changed, from what to what
    Explain(ExplainArgs),
    /// List the runs of this workspace, the latest first
    Runs(RunsArgs),
    /// Say what an artifact was made of, or with --downstream what was made of it
    Lineage(LineageArgs),
    /// Write an artifact to a file or the standard output
    Cat(CatArgs),
    /// Check a pipeline file: all mistakes at once, each with its place
    Check(CheckArgs),
    /// Draw a pipeline
    Graph(GraphArgs),
    /// Print the JSON Schema of pipelines; propose schemas of data and compare them
    Schema(SchemaArgs),
    /// Check rows that were set aside against a newer schema
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Show a model, or say why it says what it says
    #[command(subcommand)]
    Model(ModelCommand),
    /// Score the rows of a file with a model
    Predict(PredictArgs),
    /// Show or draw the leaderboard of a search
    #[command(subcommand)]
    Sweep(SweepCommand),
    /// Load a file of rows into a collection of MongoDB
    #[command(subcommand)]
    Data(DataCommand),
    /// Run a pipeline, and again whenever a file or a collection it reads changes
    Watch(WatchArgs),
    /// End one stage of the run that is under way; what does not depend on it goes on
    Cancel(CancelArgs),
    /// Show the events of a run again
    Replay(ReplayArgs),
    /// Draw what ran when, on which worker, and what the run waited for
    Timeline(TimelineArgs),
    /// Look after the cache
    Cache(CacheArgs),
    /// Write a run, with all it made, to one file
    Export(ExportArgs),
    /// Take in a run that was exported elsewhere
    Import(ImportArgs),
    /// Write a starter pipeline and schema for a table of your own
    Init(InitArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Start programs for a run, and end what they leave behind; started by the run itself
    #[command(hide = true)]
    Supervise {
        /// What the programs may do
        sort: String,
    },
}

/// What is chosen for a pipeline from outside.
#[derive(Args, Clone, Debug, Default)]
pub struct OverrideArgs {
    /// Take the parameters and the seed of this profile of the file
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Take parameters from this YAML, JSON or TOML file (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub params: Vec<String>,
    /// Set a parameter of the file's `params:` (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// Which part of a pipeline is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct SelectionArgs {
    /// Just this stage; what it needs must be up to date (may be repeated)
    #[arg(long, value_name = "STAGE")]
    pub only: Vec<String>,
    /// This stage and all that depends on it (may be repeated)
    #[arg(long, value_name = "STAGE")]
    pub from: Vec<String>,
    /// This stage and all it needs (may be repeated)
    #[arg(long, value_name = "STAGE")]
    pub until: Vec<String>,
    /// What to choose for it
    #[command(flatten)]
    pub choose: OverrideArgs,
    /// Run the stages even if a record would serve
    #[arg(long)]
    pub force: bool,
    /// Read every input file again, even if its times say it is unchanged
    #[arg(long)]
    pub rehash: bool,
    /// Read sources outside of files, such as a collection, as a whole again, and say what their
    /// increments had missed
    #[arg(long)]
    pub full: bool,
}

/// Carry a pipeline out.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The pipeline file
    pub file: String,
    /// Which part of it
    #[command(flatten)]
    pub part: SelectionArgs,
    /// Run at most this many stages at once [default: one a core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Use this many threads inside stages; results do not depend on it [default: one a core]
    #[arg(long, value_name = "N", env = "RAYON_NUM_THREADS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Begin nothing more after this many stages have failed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_failures: Option<u32>,
    /// Go on with all that does not depend on what failed, whatever number fails: this is so unless
    /// `--max-failures` is given
    #[arg(long, conflicts_with = "max_failures")]
    pub keep_going: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object about the run when it is over, however it ends
    #[arg(long)]
    pub json: bool,
    /// Say nothing while all goes well: only warnings and what failed
    #[arg(short, long)]
    pub quiet: bool,
    /// How to tell what happens
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Fail at once if another run holds the workspace, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,
}

/// How to tell what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Bars on a terminal, lines elsewhere
    Text,
    /// One JSON object a line, on the standard error
    Json,
}

/// Say what `run` would do.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The pipeline file
    pub file: String,
    /// Which part of it
    #[command(flatten)]
    pub part: SelectionArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Say why a stage would run.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The stage
    pub stage: String,
    /// The pipeline file
    #[arg(short, long, default_value = "pipelines/default.yaml")]
    pub file: String,
    /// What to choose for it
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
    /// Take this run off the list; what it made goes with the next `netsec cache gc`, unless
    /// something else needs it
    #[arg(long, value_name = "RUN")]
    pub remove: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Say what an artifact was made of.
#[derive(Args, Debug)]
pub struct LineageArgs {
    /// `stage.port` of the latest run that has it, `ref:NAME`, a file, or the beginning of a digest
    pub target: String,
    /// Whose
    #[command(flatten)]
    pub whose: TargetScope,
    /// Say what was made of it instead
    #[arg(long)]
    pub downstream: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Write an artifact.
#[derive(Args, Debug)]
pub struct CatArgs {
    /// `stage.port` of the latest run that has it, `ref:NAME`, or the beginning of a digest
    pub target: String,
    /// Whose
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
    /// What to choose for it
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
    /// What to choose for it
    #[command(flatten)]
    pub choose: OverrideArgs,
    /// As what
    #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
    pub format: GraphFormat,
}

/// As what a pipeline is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// A page of its own, with what a run would do
    Html,
    /// For scripts
    Json,
}

/// Print the schema of pipeline files, or look after schemas of data.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SchemaArgs {
    /// As what
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub format: SchemaFormat,
    /// What else
    #[command(subcommand)]
    pub action: Option<SchemaAction>,
}

/// As what the schema is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// JSON Schema of pipeline files, for editors and validators
    Json,
    /// JSON Schema of schema files
    Data,
    /// The reference page, for people
    Markdown,
}

/// Look after the cache.
#[derive(Args, Debug)]
pub struct CacheArgs {
    /// How
    #[command(subcommand)]
    pub action: CacheAction,
}

/// Run a pipeline whenever it changes.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The pipeline file
    pub file: String,
    /// Which part of it
    #[command(flatten)]
    pub part: SelectionArgs,
    /// End after this many runs
    #[arg(long, value_name = "N")]
    pub rounds: Option<u64>,
}

/// End a stage.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// The stage; of one with several instances, all of them
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
    /// As what
    #[arg(long, value_name = "FORMAT", default_value = "html")]
    pub format: TimelineFormat,
    /// Write it here instead of the standard output
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
}

/// As what a timeline is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimelineFormat {
    /// A page of its own
    Html,
    /// For other pages
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
    /// Sign it with a private key: Ed25519, PKCS#8 in DER, as `openssl genpkey -algorithm ed25519
    /// -outform DER` makes one. Whoever lists the public key under `trust` in a pipeline lets the
    /// run decide where refs point
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Take in a run.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How to look after the cache.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Read every blob and check it; exit code 1 if anything is bad or missing
    Verify {
        /// Set aside what is damaged and run the stages that made what is bad or missing
        #[arg(long)]
        repair: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what can go: blobs that no ref and no kept run needs; with --apply, remove it
    Gc {
        /// Keep what the latest runs of each pipeline made
        #[arg(long, value_name = "N", default_value_t = 5)]
        keep_runs: usize,
        /// Keep what runs of the last days made, too
        #[arg(long, value_name = "DAYS")]
        keep_days: Option<u32>,
        /// Keep at most this much, such as 500M or 20G: older runs are given up first, what refs
        /// point at never
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
        /// Remove it
        #[arg(long)]
        apply: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Count what the cache holds
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
