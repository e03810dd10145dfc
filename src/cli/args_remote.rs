//! Flags that say which shared cache and which other machines a run uses, and how.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::stage::remote::{RemoteDownload, RemoteMode};

/// Which shared cache and which other machines a run uses.
#[derive(Args, Clone, Debug, Default)]
pub struct RemoteArgs {
    /// Use this shared cache instead of the one that the pipeline file names: s3://BUCKET/PREFIX,
    /// gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, file:///FOLDER, grpc://HOST:PORT/INSTANCE or
    /// grpcs://HOST:PORT/INSTANCE [default: NETSEC_REMOTE_CACHE]
    #[arg(long, value_name = "URL")]
    pub remote_cache: Option<String>,
    /// Take results from the shared cache, take and publish them, or leave it alone [default:
    /// NETSEC_REMOTE_MODE, or what the pipeline file says, or read]
    #[arg(long, value_name = "MODE")]
    pub remote_mode: Option<RemoteModeArg>,
    /// Sign what is published with this private key (Ed25519), as `netsec keys signing` makes
    /// one [default: NETSEC_SIGNING_KEY]
    #[arg(long, value_name = "FILE")]
    pub remote_sign: Option<PathBuf>,
    /// Have stages and their parts carried out by the machines of this server of the Remote
    /// Execution API instead of the one that the pipeline file names: grpc://HOST:PORT/INSTANCE or
    /// grpcs://HOST:PORT/INSTANCE; `off` for none [default: NETSEC_REMOTE_EXECUTE]
    #[arg(long, value_name = "URL")]
    pub remote_execute: Option<String>,
    /// Have those machines carry out at most so many actions at once [default: what the pipeline
    /// file says, or 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub remote_jobs: Option<u16>,
    /// Bring all that those machines make, or leave on the server what nobody here reads, but for
    /// files of less than 1 MiB [default: what the pipeline file says, or all]
    #[arg(long, value_name = "WHAT")]
    pub remote_download: Option<RemoteDownloadArg>,
}

/// What of what other machines make is brought here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RemoteDownloadArg {
    /// All of it
    All,
    /// What is read here, and what is small
    Needed,
}

impl From<RemoteDownloadArg> for RemoteDownload {
    fn from(download: RemoteDownloadArg) -> Self {
        match download {
            RemoteDownloadArg::All => Self::All,
            RemoteDownloadArg::Needed => Self::Needed,
        }
    }
}

/// What is done with a shared cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RemoteModeArg {
    /// Results are taken from it
    Read,
    /// Results are taken from it, and published in it
    ReadWrite,
    /// Neither
    Off,
}

impl From<RemoteModeArg> for RemoteMode {
    fn from(mode: RemoteModeArg) -> Self {
        match mode {
            RemoteModeArg::Read => Self::Read,
            RemoteModeArg::ReadWrite => Self::ReadWrite,
            RemoteModeArg::Off => Self::Off,
        }
    }
}
