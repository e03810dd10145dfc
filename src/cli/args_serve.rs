//! Flags of `serve`, and of the keys it asks for.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

/// Answer requests for verdicts over HTTP.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ServeArgs {
    /// Subcommand
    #[command(subcommand)]
    pub command: Option<ServeCommand>,
    /// The models, each as `ref:champion/NAME`, `stage.port` of the latest run that has it, or the
    /// beginning of a digest; `NAME=` before it chooses the name under which it answers
    #[arg(required_unless_present = "import", value_name = "MODEL")]
    pub models: Vec<String>,
    /// Serve a model that was exported as one file, instead of one of this workspace (may be repeated)
    #[arg(long, value_name = "[NAME=]FILE")]
    pub import: Vec<String>,
    /// The public key that has to have signed the files of `--import`
    #[arg(long, value_name = "FILE", requires = "import")]
    pub signed_by: Option<PathBuf>,
    /// Take the files of `--import` from anybody
    #[arg(long, requires = "import", conflicts_with = "signed_by")]
    pub unsigned: bool,
    /// Where to score rows
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where to show metrics and models to those who look after the server
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// The file of API keys, which `netsec keys api` writes
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Ask for no keys, even on an address that other machines reach
    #[arg(long, conflicts_with = "keys")]
    pub no_keys: bool,
    /// The chain of certificates, in PEM: answer over TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Who has to have signed the certificate of a client, in PEM: ask clients for one
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// The most bytes of a body, and of a line of a stream
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, value_parser = value_parser!(u32).range(1..=1 << 30))]
    pub max_body: u32,
    /// The most rows of a body
    #[arg(long, value_name = "ROWS", default_value_t = 10_000, value_parser = value_parser!(u32).range(1..))]
    pub max_rows: u32,
    /// How long a request may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub timeout: f64,
    /// How many requests are answered at a time; others are told to try again
    #[arg(long, value_name = "REQUESTS", default_value_t = 256, value_parser = value_parser!(u32).range(1..=1 << 20))]
    pub concurrency: u32,
    /// How many requests of a key are answered in a second; without keys, of all callers together
    #[arg(long, value_name = "REQUESTS", value_parser = value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How many threads answer requests; as many as there are cores if it is left out
    #[arg(long, value_name = "THREADS", value_parser = value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// How often to look whether a ref has moved
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub watch: f64,
    /// A challenger that answers beside a model, unseen; metrics tell how far the two agree
    #[arg(long, value_name = "[NAME=]MODEL")]
    pub shadow: Vec<String>,
    /// A challenger that answers a share of requests
    #[arg(long, value_name = "[NAME=]MODEL", requires = "canary_share")]
    pub canary: Vec<String>,
    /// The share of requests that a canary answers, from 0 to 1; those with the same `X-Canary-Key`,
    /// or else with the same API key, get the same model
    #[arg(long, value_name = "SHARE", requires = "canary")]
    pub canary_share: Option<f64>,
    /// Log what is asked and told to this folder
    #[arg(long, value_name = "FOLDER")]
    pub log: Option<PathBuf>,
    /// Leave a column out of the log (may be repeated)
    #[arg(long, value_name = "COLUMN", requires = "log")]
    pub log_without: Vec<String>,
    /// Begin a new file of the log after so many bytes, at most 512 MiB
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = value_parser!(u64).range(1..=512 << 20))]
    pub log_file: u64,
    /// The most bytes of closed files of the log that are kept; the oldest go first
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    pub log_keep: u64,
    /// Compare so many rows at a time with those that the model was trained on
    #[arg(long, value_name = "ROWS", value_parser = value_parser!(u32).range(1..))]
    pub drift_window: Option<u32>,
    /// How long to go on after the server has said that it is not ready any more
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub drain_delay: f64,
    /// How long requests in progress may take after that
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub drain: f64,
}

/// What else `serve` does.
#[derive(Debug, Subcommand)]
pub enum ServeCommand {
    /// Score the rows of a log again, and say which get another verdict; exit code 1 if any does
    Replay(ServeReplayArgs),
}

/// Score a log again.
#[derive(Args, Debug)]
pub struct ServeReplayArgs {
    /// The folder that `serve --log` wrote, or a file of it
    pub log: PathBuf,
    /// Write the rows with their verdicts as NDJSON to standard output, instead of scoring them again
    #[arg(long, conflicts_with = "json")]
    pub show: bool,
    /// Print the counts as JSON
    #[arg(long)]
    pub json: bool,
}

/// Make an API key.
#[derive(Args, Debug)]
pub struct ApiKeyArgs {
    /// What to call it in logs and metrics
    pub name: String,
    /// The file of keys; it keeps digests, from which no key can be told
    #[arg(long, value_name = "FILE", default_value = "serve-keys.json")]
    pub file: PathBuf,
    /// After how many days it ends
    #[arg(long, value_name = "DAYS")]
    pub expires: Option<u32>,
    /// A model that it may ask, by the name under which it answers; all of them if none is named (may
    /// be repeated)
    #[arg(long, value_name = "NAME")]
    pub model: Vec<String>,
    /// Let it read metrics and reload models, too
    #[arg(long)]
    pub admin: bool,
}
