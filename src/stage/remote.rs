//! What a pipeline file says about a cache that others share.

use crate::stage::declare::params;
use crate::stage::param::{ParamType, Values};

params! {
    /// What may stand under a file's `remote`.
    pub struct RemoteParams {
        /// The shared cache: a bucket (`s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
        /// `az://CONTAINER/PREFIX`, `file:///FOLDER`), or a server of the Remote Execution API
        /// (`grpc://HOST:PORT/INSTANCE`, or `grpcs://` with TLS).
        cache: Option<String>, in ParamType::Text;
        /// Whether results are taken from it (`read`), taken and published (`read-write`), or neither
        /// (`off`).
        mode: String = "read", in ParamType::Choice(&RemoteMode::WORDS);
    }
}

/// What is done with a shared cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemoteMode {
    /// Results are taken from it.
    #[default]
    Read,
    /// Results are taken from it, and published in it.
    ReadWrite,
    /// Nothing.
    Off,
}

impl RemoteMode {
    /// The words for them.
    pub const WORDS: [&str; 3] = ["read", "read-write", "off"];

    /// Returns the mode that a word means.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "read-write" => Some(Self::ReadWrite),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// The shared cache that a pipeline file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteSettings {
    /// Its address.
    pub cache: Option<String>,
    /// What is done with it.
    pub mode: RemoteMode,
}

impl RemoteSettings {
    /// Takes checked values.
    pub fn of(values: &Values) -> Self {
        let params = RemoteParams::of(values);
        Self {
            cache: params.cache,
            mode: RemoteMode::parse(&params.mode).unwrap_or_default(),
        }
    }
}
