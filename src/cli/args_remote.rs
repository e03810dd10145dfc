//! Flags that say which shared cache a run uses, and how.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::stage::remote::RemoteMode;

/// Which shared cache a run uses.
#[derive(Args, Clone, Debug, Default)]
pub struct RemoteArgs {
    /// Use this shared cache instead of the one that the pipeline file names: s3://BUCKET/PREFIX,
    /// gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, file:///FOLDER, grpc://HOST:PORT/INSTANCE or
    /// grpcs://HOST:PORT/INSTANCE
    #[arg(
        long,
        value_name = "URL",
        env = "NETSEC_REMOTE_CACHE",
        hide_env_values = true
    )]
    pub remote_cache: Option<String>,
    /// Take results from the shared cache, take and publish them, or leave it alone [default: what the
    /// pipeline file says, or read]
    #[arg(
        long,
        value_name = "MODE",
        env = "NETSEC_REMOTE_MODE",
        hide_env_values = true
    )]
    pub remote_mode: Option<RemoteModeArg>,
    /// Sign what is published with this private key (Ed25519, PKCS#8 in DER)
    #[arg(
        long,
        value_name = "FILE",
        env = "NETSEC_SIGNING_KEY",
        hide_env_values = true
    )]
    pub remote_sign: Option<PathBuf>,
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
