//! Flags that choose parameters of a pipeline from outside.

use clap::Args;

/// What is chosen for a pipeline from outside.
#[derive(Args, Clone, Debug, Default)]
pub struct OverrideArgs {
    /// Use the parameters and seed of this profile of the pipeline file
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Read parameters from this YAML, JSON or TOML file (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub params: Vec<String>,
    /// Set a parameter declared under `params:` (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}
