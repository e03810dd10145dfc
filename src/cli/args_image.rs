//! Flags of `image`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args_whose::TargetScope;

/// Make container images that serve a model, and send them to a registry.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Make an image (OCI image layout) of this program and a model, without a daemon
    Build(ImageBuildArgs),
    /// Send an image to a registry; print REPOSITORY@DIGEST
    Push(ImagePushArgs),
}

/// Make an image.
#[derive(Args, Debug)]
pub struct ImageBuildArgs {
    /// The model: `ref:champion/NAME`, `stage.port` of the latest run that has it, or the beginning of a
    /// digest
    pub model: String,
    /// Pipeline or run
    #[command(flatten)]
    pub whose: TargetScope,
    /// The folder to write the image to; it is new or empty
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// The name under which the model answers, instead of the last part of what was named
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The netsec that is to serve it, instead of this one; a static one needs no libraries beside it
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// The tag in the folder's index
    #[arg(long, value_name = "TAG", default_value = "latest")]
    pub tag: String,
    /// Print the digests as JSON
    #[arg(long)]
    pub json: bool,
}

/// Send an image to a registry.
#[derive(Args, Debug)]
pub struct ImagePushArgs {
    /// The folder that `image build` wrote
    pub folder: PathBuf,
    /// Where to, as HOST/REPOSITORY:TAG
    pub to: String,
    /// The user of the registry; for ECR it is AWS
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    pub user: Option<String>,
    /// Read the password from the standard input, as from `aws ecr get-login-password`
    #[arg(long, requires = "user")]
    pub password_stdin: bool,
    /// Let the tag point at this image, if it points at another one
    #[arg(long)]
    pub move_tag: bool,
    /// Print what was sent as JSON
    #[arg(long)]
    pub json: bool,
}
