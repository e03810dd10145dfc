//! Flags of `sync`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Share runs, what they made, and refs by a bucket.
#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// Take runs and refs to a bucket: what is there already is not sent again
    Push(SyncPushArgs),
    /// Take runs and refs from a bucket
    Pull(SyncPullArgs),
    /// List the runs and refs of a bucket
    List(SyncListArgs),
}

/// Which bucket.
#[derive(Args, Debug)]
pub struct BucketArgs {
    /// The bucket: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER; keys come
    /// from the environment, as for other programs (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, …)
    pub url: String,
}

/// Take runs and refs to a bucket.
#[derive(Args, Debug)]
pub struct SyncPushArgs {
    /// Bucket
    #[command(flatten)]
    pub bucket: BucketArgs,
    /// A run; without any, and without a ref, the latest (may be repeated)
    #[arg(long = "run", value_name = "RUN")]
    pub runs: Vec<String>,
    /// A ref, such as champion/phishing, with the run that made what it points at (may be repeated)
    #[arg(long = "ref", value_name = "REF")]
    pub refs: Vec<String>,
    /// Sign the runs with this private key (Ed25519), as `netsec export --sign` does
    #[arg(long, value_name = "FILE")]
    pub sign: Option<PathBuf>,
    /// Move a ref in the bucket even if it points at something that this workspace never saw
    #[arg(long, requires = "refs")]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Take runs and refs from a bucket.
#[derive(Args, Debug)]
pub struct SyncPullArgs {
    /// Bucket
    #[command(flatten)]
    pub bucket: BucketArgs,
    /// A run (may be repeated)
    #[arg(long = "run", value_name = "RUN", required_unless_present = "refs")]
    pub runs: Vec<String>,
    /// A ref, such as champion/phishing, with the run that made what it points at (may be repeated)
    #[arg(long = "ref", value_name = "REF", requires = "why")]
    pub refs: Vec<String>,
    /// Why the refs are to move here; it stands in their history
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Who decides; without it, the user
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Move a ref even if it points at something that the bucket's never did
    #[arg(long, requires = "refs")]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// List a bucket.
#[derive(Args, Debug)]
pub struct SyncListArgs {
    /// Bucket
    #[command(flatten)]
    pub bucket: BucketArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
