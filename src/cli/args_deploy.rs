//! Flags of `deploy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Train on a schedule and put models in service, by GitHub Actions on AWS.
#[derive(Debug, Subcommand)]
pub enum DeployCommand {
    /// Write a workflow, a CloudFormation template and a rollout script for your own repository
    Init(DeployInitArgs),
}

/// Write the files of a deployment.
#[derive(Args, Debug)]
pub struct DeployInitArgs {
    /// The repository on GitHub, as OWNER/NAME
    #[arg(long, value_name = "OWNER/NAME")]
    pub repository: String,
    /// The account of AWS, as 12 digits
    #[arg(long, value_name = "DIGITS")]
    pub account: String,
    /// The region of AWS
    #[arg(long, value_name = "REGION")]
    pub region: String,
    /// The model whose champion is put in service: `NAME` of `champion/NAME`
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// The pipeline that trains it and moves `champion/NAME`
    #[arg(long, value_name = "FILE")]
    pub pipeline: String,
    /// The branch from which it is trained
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub branch: String,
    /// The netsec that the workflow is to run, for Linux on x86-64, instead of this one; it runs no other
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Replace files that are there already
    #[arg(long)]
    pub force: bool,
}
