//! Flags of `serve`, and of the keys it asks for.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Answer requests for verdicts over HTTP.
#[derive(Args, Debug)]
pub struct ServeArgs {
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
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    pub max_body: usize,
    /// The most rows of a body
    #[arg(long, value_name = "ROWS", default_value_t = 10_000)]
    pub max_rows: usize,
    /// How long a request may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub timeout: f64,
    /// How many requests are answered at a time; others are told to try again
    #[arg(long, value_name = "REQUESTS", default_value_t = 256)]
    pub concurrency: usize,
    /// How many requests of a key are answered in a second; without keys, of all callers together
    #[arg(long, value_name = "REQUESTS")]
    pub rate: Option<u32>,
    /// How many threads answer requests; as many as there are cores if it is left out
    #[arg(long, value_name = "THREADS")]
    pub workers: Option<usize>,
    /// How often to look whether a ref has moved
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub watch: f64,
    /// How long to go on after the server has said that it is not ready any more
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub drain_delay: f64,
    /// How long requests in progress may take after that
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub drain: f64,
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
