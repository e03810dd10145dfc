//! `netsec image`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::attest::package::EXTENSION;
use crate::base::count::counted;
use crate::base::disk;
use crate::base::secret::Secret;
use crate::base::stored::StoredDocument;
use crate::cli::args_image::{ImageBuildArgs, ImageCommand, ImagePushArgs};
use crate::cli::exit::Exit;
use crate::cli::model_export::{check_new, packed};
use crate::cli::out;
use crate::cli::serve::named;
use crate::image::layout::{ImageContents, ImageDescriptor, image, is_model_name};
use crate::image::program::{ProgramLinking, libraries, linking};
use crate::image::registry::{ImageReference, RegistryError, RegistryUser, push};

/// The longest password, in bytes: those of ECR have some thousand.
const PASSWORD: u64 = 1 << 16;

/// Makes an image, or sends one away.
///
/// # Errors
/// The model or the program is not there or not as it should be; the registry does not take the image.
pub fn run(workspace: &Workspace, command: &ImageCommand) -> Result<Exit, AppError> {
    match command {
        ImageCommand::Build(args) => build(workspace, args),
        ImageCommand::Push(args) => send(workspace, args),
    }
}

fn build(workspace: &Workspace, args: &ImageBuildArgs) -> Result<Exit, AppError> {
    let folder = workspace.root().join(&args.output);
    check_new(&folder, &args.output)?;
    let name = args.name.clone().unwrap_or_else(|| named(&args.model).0);
    if !is_model_name(&name) {
        return Err(AppError::Usage(format!(
            "`{name}` is not a name for a model: choose one of letters, digits, `.`, `_` and `-` with `--name`"
        )));
    }
    let (package, facts) = packed(workspace, &args.whose.name(&args.model))?;
    let path = program_file(workspace, args.program.as_deref())?;
    let program = disk::read(&path)?;
    let odd = |why: String| AppError::Data(format!("`{}`: {why}", path.display()));
    let libraries = match linking(&program).map_err(odd)? {
        ProgramLinking::Static => BTreeMap::new(),
        ProgramLinking::Dynamic(loader) => libraries(&path, &loader).map_err(odd)?,
    };
    let beside = libraries.len();
    let mut labels = facts;
    labels.insert("netsec.model.name".to_owned(), name.clone());
    let version = env!("CARGO_PKG_VERSION").to_owned();
    labels.insert("org.opencontainers.image.version".to_owned(), version);
    let made = image(&ImageContents {
        program,
        libraries,
        file: format!("{name}.{EXTENSION}"),
        name,
        model: package.encode(),
        labels,
        tag: args.tag.clone(),
    });
    let made = made.map_err(|error| AppError::Data(error.to_string()))?;
    for (path, bytes) in &made.files {
        disk::write_whole(&folder.join(path), bytes)?;
    }
    if args.json {
        out::json(&json!({"digest": made.digest, "libraries": beside}))?;
        return Ok(Exit::Done);
    }
    let program = match beside {
        0 => "a static program".to_owned(),
        files => format!("the program, with {files} files that it needs beside it"),
    };
    out::say(&format!(
        "`{}` is the image {}: {program}, and the model `{}`",
        args.output.display(),
        made.digest,
        args.model
    ));
    Ok(Exit::Done)
}

/// Returns the netsec that is meant: the one that is named, or this one.
pub(crate) fn program_file(
    workspace: &Workspace,
    named: Option<&Path>,
) -> Result<PathBuf, AppError> {
    match named {
        Some(path) => Ok(workspace.root().join(path)),
        None => std::env::current_exe()
            .map_err(|error| AppError::Data(format!("this program is not found: {error}"))),
    }
}

/// The index of a layout, as far as it is needed.
#[derive(Deserialize)]
struct LayoutIndex {
    manifests: Vec<ImageDescriptor>,
}

fn send(workspace: &Workspace, args: &ImagePushArgs) -> Result<Exit, AppError> {
    let to = ImageReference::parse(&args.to).map_err(told)?;
    let folder = workspace.root().join(&args.folder);
    let odd = |why: &str| AppError::Usage(format!("`{}` {why}", args.folder.display()));
    let index = disk::read(&folder.join("index.json"))
        .map_err(|_| odd("is not an image: `netsec image build` makes one"))?;
    let index: LayoutIndex =
        serde_json::from_slice(&index).map_err(|_| odd("has an index that cannot be read"))?;
    let [manifest] = index.manifests.as_slice() else {
        return Err(odd("holds not one image"));
    };
    let user = args.user.as_deref().map(password).transpose()?;
    let read = |digest: &str| blob(&folder, digest);
    let sent = push(&to, &manifest.digest, &read, user.as_ref(), args.move_tag).map_err(told)?;
    let place = format!("{}/{}@{}", to.host, to.repository, sent.digest);
    if args.json {
        out::json(&json!({
            "image": place, "digest": sent.digest, "sent": sent.sent, "there": sent.there, "bytes": sent.bytes,
        }))?;
        return Ok(Exit::Done);
    }
    out::data(format!("{place}\n").as_bytes())?;
    out::say(&format!(
        "sent {} ({} bytes); {} there already",
        counted(sent.sent, "blob"),
        sent.bytes,
        match sent.there {
            1 => "1 was".to_owned(),
            there => format!("{there} were"),
        }
    ));
    Ok(Exit::Done)
}

fn blob(folder: &Path, digest: &str) -> Result<Vec<u8>, RegistryError> {
    let name = digest.strip_prefix("sha256:").unwrap_or_default();
    if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(RegistryError::Layout("a digest is not SHA-256".to_owned()));
    }
    let path = folder.join("blobs/sha256").join(name);
    disk::read(&path).map_err(|error| RegistryError::Layout(error.to_string()))
}

fn password(name: &str) -> Result<RegistryUser, AppError> {
    let mut text = String::new();
    let read = std::io::stdin().take(PASSWORD).read_to_string(&mut text);
    match (read, text.trim_end().is_empty()) {
        (Ok(_), false) => Ok(RegistryUser {
            name: name.to_owned(),
            password: Secret::new(text.trim_end().to_owned()),
        }),
        _ => Err(AppError::Usage(
            "there is no password on the standard input".to_owned(),
        )),
    }
}

fn told(error: RegistryError) -> AppError {
    match error {
        RegistryError::Reference(_) | RegistryError::TagTaken { .. } => {
            AppError::Usage(error.to_string())
        }
        error => AppError::Data(error.to_string()),
    }
}
