//! `netsec deploy`.

use crate::app::workspace::{AppError, Workspace};
use crate::attest::keys::sha256_hex;
use crate::base::disk;
use crate::cli::args_deploy::{DeployCommand, DeployInitArgs};
use crate::cli::exit::Exit;
use crate::cli::image::program_file;
use crate::cli::init::write_new;
use crate::cli::out;
use crate::scaffold::deployment::{DeploymentNames, deployment_files};

/// Writes the files of a deployment.
///
/// # Errors
/// A name is not of the right form; the pipeline or the program is not there; a file is there already; the
/// disk failed.
pub fn run(workspace: &Workspace, command: &DeployCommand) -> Result<Exit, AppError> {
    let DeployCommand::Init(args) = command;
    init(workspace, args)
}

fn init(workspace: &Workspace, args: &DeployInitArgs) -> Result<Exit, AppError> {
    let program = disk::read(&program_file(workspace, args.program.as_deref())?)?;
    let names = DeploymentNames {
        repository: args.repository.clone(),
        branch: args.branch.clone(),
        account: args.account.clone(),
        region: args.region.clone(),
        model: args.model.clone(),
        pipeline: args.pipeline.clone(),
        program: sha256_hex(&program),
    };
    let files = deployment_files(&names).map_err(|error| AppError::Usage(error.to_string()))?;
    if !workspace.root().join(&args.pipeline).is_file() {
        return Err(AppError::Usage(format!(
            "--pipeline: there is no `{}` here: run this at the root of the repository, with the pipeline that trains the model",
            args.pipeline
        )));
    }
    write_new(workspace, &files, args.force)?;
    out::say(&format!(
        "the workflow runs the netsec with the SHA-256 {}, and no other",
        names.program
    ));
    out::say(
        "next: choose rows that every image has to answer, in docs/deploy/golden.json; then make the stack. docs/deploy.md of netsec has the commands",
    );
    Ok(Exit::Done)
}
