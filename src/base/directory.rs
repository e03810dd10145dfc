//! What lies below a folder that somebody else may have filled: opened and counted without being
//! led out of it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::base::artifact::EntryForm;
use crate::base::disk::{self, DiskResult, PathEntry, absolute, is_link, named, open};

/// Opens a file by its way from a folder, following no link that leads out of it; `None` if one
/// does.
pub fn open_below(folder: &Path, way: &Path) -> DiskResult<Option<File>> {
    let path = folder.join(way);
    let root = open(folder)?;
    let opened = |way: &Path| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        openat2(
            &root,
            way,
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )
    };
    let is_out = |error: &Errno| matches!(*error, Errno::XDEV | Errno::LOOP);
    match opened(way) {
        Ok(file) => Ok(Some(File::from(file))),
        // A link that names a place in the folder by its whole path counts as leading out, and does
        // not: asked again by the way it gives.
        Err(error) if is_out(&error) || error == Errno::NOSYS => {
            let (place, top) = (absolute(&path)?, absolute(folder)?);
            match place.strip_prefix(&top) {
                // Linux before 5.6.
                Ok(_) if error == Errno::NOSYS => open(&place).map(Some),
                Ok(inner) => match opened(inner) {
                    Err(error) if is_out(&error) => Ok(None),
                    file => named(
                        "open",
                        &path,
                        file.map(|file| Some(File::from(file))).map_err(Into::into),
                    ),
                },
                Err(_) => Ok(None),
            }
        }
        Err(error) => named("open", &path, Err(error.into())),
    }
}

/// Returns how many bytes the files below a directory say they have together; links are not
/// followed, and what cannot be looked at does not count.
pub fn size_below(root: &Path) -> u64 {
    let (mut bytes, mut open) = (0_u64, vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                Ok(meta) if meta.is_file() => bytes = bytes.saturating_add(meta.len()),
                _ => {}
            }
        }
    }
    bytes
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path in the directory, with `/`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it is; of a link, one that stays in the directory.
    pub form: EntryForm,
    /// What is kept of an entry that is no file: where a link leads, and nothing of a folder.
    pub text: Option<String>,
}

/// Lists everything below a directory that a program made, in order: files, empty folders, and
/// links that stay in it. Other links stand for the files they lead to.
pub fn tree(root: &Path) -> DiskResult<Vec<TreeEntry>> {
    let (mut entries, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        let inner = disk::list(&folder)?;
        if inner.is_empty() && folder != root {
            entries.push(entry(
                root,
                folder.clone(),
                EntryForm::Folder,
                Some(String::new()),
            )?);
        }
        for path in inner {
            let link = is_link(&path)?;
            if link && let Some(target) = link_target(root, &path)? {
                entries.push(entry(root, path, EntryForm::Link, Some(target))?);
                continue;
            }
            match disk::look(&path)? {
                PathEntry::File(_) => {
                    let form = if disk::is_executable(&path) {
                        EntryForm::Executable
                    } else {
                        EntryForm::Plain
                    };
                    entries.push(entry(root, path, form, None)?);
                }
                PathEntry::Directory if !link => open.push(path),
                _ => {
                    return named(
                        "use",
                        &path,
                        Err(io::Error::other("neither a file nor a plain directory")),
                    );
                }
            }
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn entry(
    root: &Path,
    path: PathBuf,
    form: EntryForm,
    text: Option<String>,
) -> DiskResult<TreeEntry> {
    Ok(TreeEntry {
        name: disk::relative(root, &path)?,
        path,
        form,
        text,
    })
}

/// Returns where a link leads, if that is text and stays below the root by its words alone.
fn link_target(root: &Path, path: &Path) -> DiskResult<Option<String>> {
    let target = named("read", path, fs::read_link(path))?;
    let name = path.strip_prefix(root).unwrap_or(path);
    Ok(target
        .to_str()
        .filter(|target| stays_below(name, target))
        .map(str::to_owned))
}

/// Returns whether a link of this name in a directory, to this target, stays in the directory.
pub fn stays_below(name: &Path, target: &str) -> bool {
    let mut depth = name.components().count().saturating_sub(1);
    for part in Path::new(target).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    !target.is_empty()
}

/// Makes an entry of a directory that is no file: a link, which has to stay in it, or a folder.
pub fn make_entry(root: &Path, name: &str, form: EntryForm, bytes: &[u8]) -> DiskResult<()> {
    let path = root.join(name);
    if form == EntryForm::Folder {
        return disk::create_dirs(&path);
    }
    let target = std::str::from_utf8(bytes)
        .ok()
        .filter(|target| stays_below(Path::new(name), target));
    let target = named(
        "use",
        &path,
        target.ok_or_else(|| io::Error::other("a link that leads out of its directory")),
    )?;
    disk::create_dirs(path.parent().unwrap_or(root))?;
    named("create", &path, std::os::unix::fs::symlink(target, &path))
}

/// Makes a file one that may be run.
pub fn make_executable(path: &Path) -> DiskResult<()> {
    named(
        "protect",
        path,
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
    )
}
