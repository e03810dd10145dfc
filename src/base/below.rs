//! What lies below a folder that somebody else may have filled: opened and counted without being led out of it.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::base::disk::{Result, absolute, named, open};

/// Opens a file by its way from a folder, following no link that leads out of it; `None` if one does.
pub fn open_below(folder: &Path, way: &Path) -> Result<Option<File>> {
    let path = folder.join(way);
    let root = open(folder)?;
    let opened = |way: &Path| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        openat2(&root, way, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
    };
    let is_out = |error: &Errno| matches!(*error, Errno::XDEV | Errno::LOOP);
    match opened(way) {
        Ok(file) => Ok(Some(File::from(file))),
        // A link that names a place in the folder by its whole path counts as leading out, and does not: asked again by
        // the way it gives.
        Err(error) if is_out(&error) || error == Errno::NOSYS => {
            let (place, top) = (absolute(&path)?, absolute(folder)?);
            match place.strip_prefix(&top) {
                // Linux before 5.6.
                Ok(_) if error == Errno::NOSYS => open(&place).map(Some),
                Ok(inner) => match opened(inner) {
                    Err(error) if is_out(&error) => Ok(None),
                    file => named("open", &path, file.map(|file| Some(File::from(file))).map_err(Into::into)),
                },
                Err(_) => Ok(None),
            }
        }
        Err(error) => named("open", &path, Err(error.into())),
    }
}

/// Returns how many bytes the files below a directory say they have together; links are not followed, and what cannot be
/// looked at does not count.
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
