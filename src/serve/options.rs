//! What a server is told: where it listens, what it serves, and what it refuses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::serve::log_writer::PredictionLogOptions;

/// What a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// The most bytes of a body, and of a line of a stream.
    pub body: usize,
    /// The most rows of a body.
    pub rows: usize,
    /// How long it may take to be read and answered.
    pub time: Duration,
    /// How many requests are answered at a time; others are sent away.
    pub at_once: usize,
    /// How many large bodies are read at a time; others wait.
    pub heavy_at_once: usize,
    /// How many requests of a key are answered in a second; no limit if there is none.
    pub per_second: Option<u32>,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTimes {
    /// How long it goes on after it says that it is not ready any more.
    pub delay: Duration,
    /// How long requests in progress may take after that.
    pub most: Duration,
}

/// The certificate of a server, and whose it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain of certificates, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
    /// Who has to have signed the certificates of clients, in PEM, if they need one.
    pub client_authority: Option<PathBuf>,
}

/// How a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Where rows are scored.
    pub listen: SocketAddr,
    /// Where metrics are read and models are looked at.
    pub admin: Option<SocketAddr>,
    /// The file of API keys.
    pub keys: Option<PathBuf>,
    /// Whether it may listen on a public address without keys.
    pub without_keys: bool,
    /// The certificate.
    pub tls: Option<TlsFiles>,
    /// What a request may take.
    pub limits: RequestLimits,
    /// How it ends.
    pub drain: DrainTimes,
    /// How often it looks whether a ref has moved.
    pub watch: Duration,
    /// Where predictions are logged, if they are.
    pub log: Option<PredictionLogOptions>,
    /// How many rows are compared with those of training at a time, if they are.
    pub drift_window: Option<usize>,
}

impl ServeOptions {
    /// Refuses what would leave models open to anybody.
    ///
    /// # Errors
    /// An address is not of this machine alone, and there are no keys.
    pub fn check(&self) -> Result<(), String> {
        let mut addresses = [Some(self.listen), self.admin].into_iter().flatten();
        let public = addresses.find(|address| !address.ip().is_loopback());
        match public {
            Some(public) if self.keys.is_none() && !self.without_keys => Err(format!(
                "{public} can be reached from other machines, and there are no keys: name a file of them with \
                 `--keys` (`netsec keys api NAME` makes one), or say `--no-keys` if something in front of it asks for them"
            )),
            _ => Ok(()),
        }
    }
}
