//! `netsec keys`, and keys that other commands are given.

use std::path::Path;

use crate::app::workspace::{AppError, Workspace};
use crate::attest::keys::{AttestationKey, AttestationPublicKey, KeyError};
use crate::base::clock::{Clock, SystemClock};
use crate::base::disk;
use crate::base::signing::{SigningKey, random_bytes};
use crate::cli::args_model::KeysCommand;
use crate::cli::args_serve::ApiKeyArgs;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::image::layout::is_model_name;
use crate::serve::api_keys::{ApiKey, ApiKeyFile};

/// Makes keys.
///
/// # Errors
/// A file is there already; the disk failed.
pub fn keys(workspace: &Workspace, command: &KeysCommand) -> Result<Exit, AppError> {
    match command {
        KeysCommand::New { output } => new_pair(workspace, output),
        KeysCommand::Api(args) => new_api_key(workspace, args),
        KeysCommand::Signing { file } => signing_key(workspace, file),
    }
}

/// Makes an API key, prints it, and adds its digest to the file.
fn new_api_key(workspace: &Workspace, args: &ApiKeyArgs) -> Result<Exit, AppError> {
    let path = workspace.root().join(&args.file);
    let mut file = match disk::look(&path) {
        Ok(_) => ApiKeyFile::load(&path).map_err(AppError::Data)?,
        Err(_) => ApiKeyFile::default(),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if args.name.is_empty() || !args.name.chars().all(is_plain) {
        return Err(AppError::Usage(format!(
            "`{}` is not a name for a key: use letters, digits, `-`, `_` and `.`",
            args.name
        )));
    }
    if let Some(odd) = args.model.iter().find(|name| !is_model_name(name)) {
        return Err(AppError::Usage(format!(
            "`--model {odd}` is not a name under which a model can answer: it is the NAME of `ref:champion/NAME`"
        )));
    }
    if file.keys.iter().any(|key| key.name == args.name) {
        return Err(AppError::Usage(format!(
            "there is a key `{}` in `{}` already: take it out of the file, or choose another name",
            args.name,
            args.file.display()
        )));
    }
    let (secret, mut key) = ApiKey::generate(&args.name).map_err(AppError::Data)?;
    let day_ms = 24 * 60 * 60 * 1000;
    key.expires_ms = args
        .expires
        .map(|days| SystemClock.now_ms() + u64::from(days) * day_ms);
    key.models.clone_from(&args.model);
    key.admin = args.admin;
    file.keys.push(key);
    disk::write_whole(&path, &file.encode())?;
    out::data(format!("{secret}\n").as_bytes())?;
    out::say(&format!(
        "this is the key `{}`; `{}` keeps its digest alone, so it cannot be shown again",
        args.name,
        args.file.display()
    ));
    Ok(Exit::Done)
}

fn new_pair(workspace: &Workspace, output: &str) -> Result<Exit, AppError> {
    let name = Path::new(output).file_name().and_then(|name| name.to_str());
    if name.is_none_or(|name| name.is_empty() || name.contains(char::is_control)) {
        return Err(AppError::Usage(
            "`-o` needs the name of a file, such as `-o keys/team`".to_owned(),
        ));
    }
    let private = workspace.root().join(format!("{output}.pem"));
    let public = workspace.root().join(format!("{output}.pub.pem"));
    for path in [&private, &public] {
        if disk::look(path).is_ok() {
            return Err(AppError::Usage(format!(
                "`{}` is there already: a key is never written over; name another",
                path.display()
            )));
        }
    }
    let key = random_bytes()
        .and_then(|bytes| AttestationKey::from_bytes(&bytes).ok())
        .ok_or_else(|| AppError::Data(KeyError::Random.to_string()))?;
    disk::write_private(&private, key.to_pem().as_bytes())?;
    disk::write_whole(&public, key.public().to_pem().as_bytes())?;
    out::say(&format!(
        "wrote `{output}.pem`, the private key: keep it secret; and `{output}.pub.pem`, the public key, which verifies (key {})",
        &key.public().id()[..12]
    ));
    Ok(Exit::Done)
}

/// Makes a key that signs runs and shared results unless it is there, and prints its public half.
fn signing_key(workspace: &Workspace, file: &Path) -> Result<Exit, AppError> {
    let path = workspace.root().join(file);
    if disk::look(&path).is_err_and(|error| error.is_missing()) {
        let document = SigningKey::new_document()
            .ok_or_else(|| AppError::Data(KeyError::Random.to_string()))?;
        disk::write_private(&path, &document)?;
        out::say(&format!(
            "wrote `{}`, the private key: keep it secret; its public half, for `trust` in pipeline files:",
            file.display()
        ));
    }
    let key = SigningKey::load(&path)?;
    out::data(format!("{}\n", key.public()).as_bytes())?;
    Ok(Exit::Done)
}

/// Returns the key that has to have signed what comes from outside; none if it may come from anybody.
/// `flag` is how the key is named.
///
/// # Errors
/// Neither is said; the key cannot be read.
pub fn wanted_signer(
    workspace: &Workspace,
    key: Option<&Path>,
    unsigned: bool,
    flag: &str,
) -> Result<Option<AttestationPublicKey>, AppError> {
    match (key, unsigned) {
        (Some(key), _) => public_key(workspace, key).map(Some),
        (None, true) => Ok(None),
        (None, false) => Err(AppError::Usage(format!(
            "say whose signature is asked for (`{flag} FILE.pub.pem`), or `--unsigned` to take it from anybody"
        ))),
    }
}

/// Reads a private key.
///
/// # Errors
/// The file cannot be read, or is none.
pub fn private_key(workspace: &Workspace, path: &Path) -> Result<AttestationKey, AppError> {
    let text = key_text(workspace, path)?;
    AttestationKey::from_pem(&text)
        .map_err(|why| AppError::Usage(format!("`{}`: {why}", path.display())))
}

/// Reads a public key.
///
/// # Errors
/// The file cannot be read, or is none.
pub fn public_key(workspace: &Workspace, path: &Path) -> Result<AttestationPublicKey, AppError> {
    let text = key_text(workspace, path)?;
    AttestationPublicKey::from_pem(&text)
        .map_err(|why| AppError::Usage(format!("`{}`: {why}", path.display())))
}

fn key_text(workspace: &Workspace, path: &Path) -> Result<String, AppError> {
    const MOST: usize = 1 << 16;
    let bytes = disk::read_bounded(&workspace.root().join(path), MOST)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
