//! Shared caches in which the user lets pipeline files publish: a list in the user's own configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::app::workspace::AppError;
use crate::base::disk;
use crate::cli::load::environment;

/// Version of the stored form.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct AllowedRemotes {
    format: u32,
    publish: BTreeSet<String>,
}

/// Returns whether the user allowed publishing there.
///
/// # Errors
/// The list cannot be read.
pub fn contains(url: &str) -> Result<bool, AppError> {
    Ok(read()?.contains(trimmed(url)))
}

/// Allows publishing there; returns whether it was not allowed before.
///
/// # Errors
/// The list cannot be read or written.
pub fn allow(url: &str) -> Result<bool, AppError> {
    let mut urls = read()?;
    let is_new = urls.insert(trimmed(url).to_owned());
    write(urls)?;
    Ok(is_new)
}

/// Allows it no more; returns whether it was allowed.
///
/// # Errors
/// The list cannot be read or written.
pub fn forbid(url: &str) -> Result<bool, AppError> {
    let mut urls = read()?;
    let was_there = urls.remove(trimmed(url));
    write(urls)?;
    Ok(was_there)
}

fn trimmed(url: &str) -> &str {
    url.trim_end_matches('/')
}

fn path() -> Result<PathBuf, AppError> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let folder = set("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")));
    let folder = folder.ok_or_else(|| {
        AppError::Usage("where your own configuration is, is not known: set HOME".to_owned())
    })?;
    Ok(folder.join("netsec").join("remotes.json"))
}

fn read() -> Result<BTreeSet<String>, AppError> {
    let Ok(path) = path() else {
        return Ok(BTreeSet::new());
    };
    let bytes = match disk::read(&path) {
        Err(error) if error.is_missing() => return Ok(BTreeSet::new()),
        bytes => bytes?,
    };
    let list: Option<AllowedRemotes> = serde_json::from_slice(&bytes).ok();
    match list.filter(|list| list.format == FORMAT) {
        Some(list) => Ok(list.publish),
        None => Err(AppError::Data(format!(
            "`{}` is no list of shared caches of this version: remove it and allow them again",
            path.display()
        ))),
    }
}

fn write(publish: BTreeSet<String>) -> Result<(), AppError> {
    let path = path()?;
    let list = AllowedRemotes {
        format: FORMAT,
        publish,
    };
    if let Some(folder) = path.parent() {
        disk::create_dirs(folder)?;
    }
    let bytes = serde_json::to_vec_pretty(&list).expect("plain data serialises");
    Ok(disk::write_atomic(&path, &bytes)?)
}
