//! What a pipeline file says about a cache that others share, and about other machines.

use std::collections::BTreeMap;
use std::time::Duration;

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
        /// The machines that stages may be sent to: a server of the Remote Execution API
        /// (`grpc://HOST:PORT/INSTANCE`, or `grpcs://` with TLS) that carries actions out.
        execute: Option<String>, in ParamType::Text;
        /// How many actions those machines may have at once.
        jobs: usize = "16", in ParamType::Int(1, 4096);
        /// Whether what those machines make is brought here (`all`), or stays on the server until somebody
        /// here reads it (`needed`), but for files of less than 1 MiB.
        download: String = "all", in ParamType::Choice(&RemoteDownload::WORDS);
        /// Whether this machine, too, makes parts that others could make.
        here: bool = "true", in ParamType::Bool;
        /// Whether a stage fails that the cache cannot be asked about, or that machines were to carry out and
        /// cannot, instead of being carried out here without.
        required: bool = "false", in ParamType::Bool;
        /// What a machine has to be, as the server calls it, such as `OSFamily: linux`.
        properties: BTreeMap<String, String> = "{}", in ParamType::Map(&ParamType::Text);
        /// An action that no machine has taken after so many seconds is carried out here.
        queue_seconds: f64 = "300.0", in ParamType::Float(1.0, 1e6);
    }
}

/// What of a kind's work other machines may carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteWork {
    /// Nothing: it looks outside, decides where refs point, or is over at once.
    Never,
    /// Parts of it.
    Parts,
    /// The whole.
    Whole,
    /// The whole, where the pipeline file asks for it: other machines may lack what it starts.
    Asked,
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

/// What of what other machines make is brought here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemoteDownload {
    /// All of it.
    #[default]
    All,
    /// What is small, and what is read here.
    Needed,
}

impl RemoteDownload {
    /// The words for them.
    pub const WORDS: [&str; 2] = ["all", "needed"];

    /// Returns what a word means.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "all" => Some(Self::All),
            "needed" => Some(Self::Needed),
            _ => None,
        }
    }
}

/// The shared cache and the machines that a pipeline file names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteSettings {
    /// The address of the cache.
    pub cache: Option<String>,
    /// What is done with it.
    pub mode: RemoteMode,
    /// The address of the server that gives actions to machines.
    pub execute: Option<String>,
    /// How many actions those machines may have at once.
    pub jobs: usize,
    /// What of what those machines make is brought here.
    pub download: RemoteDownload,
    /// Whether this machine, too, makes parts that others could make.
    pub here: bool,
    /// Whether a stage fails where cache or machines do.
    pub required: bool,
    /// What a machine has to be.
    pub properties: BTreeMap<String, String>,
    /// How long an action may wait for a machine.
    pub queue_limit: Duration,
}

impl RemoteSettings {
    /// Takes checked values.
    pub fn of(values: &Values) -> Self {
        let params = RemoteParams::of(values);
        Self {
            cache: params.cache,
            mode: RemoteMode::parse(&params.mode).unwrap_or_default(),
            execute: params.execute,
            jobs: params.jobs,
            download: RemoteDownload::parse(&params.download).unwrap_or_default(),
            here: params.here,
            required: params.required,
            properties: params.properties,
            queue_limit: Duration::try_from_secs_f64(params.queue_seconds).unwrap_or_default(),
        }
    }
}
