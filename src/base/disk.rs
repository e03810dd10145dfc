//! The only door to the file system: whole-file reads, atomic writes, walks; errors name path and
//! verb.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;

/// A file of at least this size is not read into memory to be copied, in bytes.
pub const LARGE: u64 = 1 << 20;

/// What is little to leave in a scratch folder: so many files of so many bytes.
const LITTLE_FILES: usize = 8;
const LITTLE_BYTES: u64 = 1 << 14;

/// An operation on the disk that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {verb} `{}`: {cause}", path.display())]
pub struct DiskError {
    /// What was tried, such as `read`.
    pub verb: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

impl DiskError {
    /// Returns whether the path does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(
            self.cause.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    }
}

pub(crate) type DiskResult<T> = std::result::Result<T, DiskError>;

pub(crate) fn named<T>(verb: &'static str, path: &Path, result: io::Result<T>) -> DiskResult<T> {
    result.map_err(|cause| DiskError {
        verb,
        path: path.to_owned(),
        cause,
    })
}

/// What the system tells of a file without reading it. While it stays the same, so do the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of the content, in nanoseconds since the Unix epoch.
    pub mtime_ns: i64,
    /// Time of the last change of the file's entry, in nanoseconds; it cannot be set back by
    /// `touch`.
    pub ctime_ns: i64,
    /// The file's number on its device.
    pub inode: u64,
}

/// A file changed less than this before it was read may change again without its times telling.
const RACY_NS: i64 = 100_000_000;

impl FileStamp {
    /// Returns whether every change made from `now_ns` on shows in the times: they have moved on
    /// since the last one.
    pub fn is_settled(&self, now_ns: i64) -> bool {
        now_ns.saturating_sub(self.ctime_ns.max(self.mtime_ns)) > RACY_NS
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEntry {
    /// A regular file.
    File(FileStamp),
    /// A directory.
    Directory,
    /// A socket, a pipe, a device.
    Special,
}

/// Tells what stands at `path`, following links.
pub fn look(path: &Path) -> DiskResult<PathEntry> {
    let meta = named("look at", path, fs::metadata(path))?;
    Ok(if meta.is_file() {
        PathEntry::File(FileStamp {
            size: meta.size(),
            mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
        })
    } else if meta.is_dir() {
        PathEntry::Directory
    } else {
        PathEntry::Special
    })
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// A folder held open, to look at many files below it: each look then has a short way to go.
pub struct OpenFolder(File);

impl OpenFolder {
    /// Opens a folder.
    pub fn open(path: &Path) -> DiskResult<Self> {
        open(path).map(Self)
    }

    /// Returns what the system tells of a regular file, given its way from the folder; `None` if
    /// there is none.
    pub fn signature(&self, path: &Path) -> Option<FileStamp> {
        let stat = rustix::fs::statat(&self.0, path, rustix::fs::AtFlags::empty()).ok()?;
        rustix::fs::FileType::from_raw_mode(stat.st_mode)
            .is_file()
            .then(|| FileStamp {
                size: stat.st_size.unsigned_abs(),
                mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
                ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
                inode: stat.st_ino,
            })
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> DiskResult<Vec<u8>> {
    named("read", path, fs::read(path))
}

/// Reads a whole file that has at most so many bytes; what goes on is an error, however long it is.
pub fn read_bounded(path: &Path, most: usize) -> DiskResult<Vec<u8>> {
    let bytes = read_start(path, most as u64 + 1)?;
    match bytes.len() > most {
        true => named(
            "read",
            path,
            Err(io::Error::other(format!("it is longer than {most} bytes"))),
        ),
        false => Ok(bytes),
    }
}

/// Opens a file for reading.
pub fn open(path: &Path) -> DiskResult<File> {
    named("open", path, File::open(path))
}

/// Reads the first bytes of a file, at most so many.
pub fn read_start(path: &Path, bytes: u64) -> DiskResult<Vec<u8>> {
    let mut start = Vec::new();
    named(
        "read",
        path,
        open(path)?
            .take(bytes)
            .read_to_end(&mut start)
            .map(|_| start),
    )
}

/// Reads the last bytes of a file, at most so many.
pub fn read_end(path: &Path, bytes: u64) -> DiskResult<Vec<u8>> {
    let mut file = open(path)?;
    let mut end = Vec::new();
    let read = file.metadata().and_then(|meta| {
        file.seek(io::SeekFrom::Start(meta.len().saturating_sub(bytes)))?;
        file.take(bytes).read_to_end(&mut end)
    });
    named("read", path, read.map(|_| end))
}

/// Copies a file's bytes over another file; by reference where the file system can.
pub fn copy(from: &Path, to: &Path) -> DiskResult<u64> {
    named("copy", from, fs::copy(from, to))
}

/// Returns whether a path is a link.
pub fn is_link(path: &Path) -> DiskResult<bool> {
    named(
        "look at",
        path,
        fs::symlink_metadata(path).map(|meta| meta.is_symlink()),
    )
}

/// Returns whether a path is a file that may be run.
pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Creates an empty file to write to.
#[expect(clippy::disallowed_methods, reason = "this is the disk door")]
pub fn create(path: &Path) -> DiskResult<File> {
    named("create", path, File::create(path))
}

/// Creates a directory and those above it.
pub fn create_dirs(path: &Path) -> DiskResult<()> {
    named("create", path, fs::create_dir_all(path))
}

/// Creates a directory, and those above it, that only their owner may enter; those that are there stay
/// as they are.
pub fn create_private_dirs(path: &Path) -> DiskResult<()> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    named("create", path, made)
}

/// Opens a file to append to; one that is made for that only its owner may read.
pub fn append_private(path: &Path) -> DiskResult<File> {
    let opened = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    named("append to", path, opened)
}

/// Writes a file that only its owner may read, and that appears whole or not at all: a temporary
/// neighbour, flushed, then renamed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> DiskResult<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = named(
        "create a file beside",
        path,
        tempfile::NamedTempFile::new_in(folder),
    )?;
    named("write", path, temporary.write_all(bytes))?;
    named("flush", path, temporary.as_file().sync_data())?;
    named(
        "rename to",
        path,
        temporary.persist(path).map(|_| ()).map_err(|e| e.error),
    )
}

/// Returns where a file that is to appear whole is put: behind a link, what it names. `None` for a
/// device or a pipe.
pub fn whole_place(path: &Path) -> Option<PathBuf> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => fs::canonicalize(path).ok(),
        Ok(_) => None,
        Err(_) => Some(path.to_owned()),
    }
}

/// Opens a device or a pipe to write to it.
pub fn write_into(path: &Path) -> DiskResult<File> {
    named(
        "open to write to",
        path,
        File::options().write(true).open(path),
    )
}

/// Begins a file of the user's beside where it is to be: what is there stays until it is settled.
pub fn begin(path: &Path) -> DiskResult<tempfile::NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let all = fs::Permissions::from_mode(0o666);
    named(
        "create a file beside",
        path,
        tempfile::Builder::new()
            .permissions(all)
            .tempfile_in(folder),
    )
}

/// Writes a file that others may read as far as the user lets them: it appears whole or not at all, and
/// lasts.
pub fn write_lasting(path: &Path, bytes: &[u8]) -> DiskResult<()> {
    let mut begun = begin(path)?;
    named("write", path, begun.write_all(bytes))?;
    named("flush", path, begun.as_file().sync_data())?;
    settle(begun, path)
}

/// Writes a file of the user's, and the folders on its way: it appears whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> DiskResult<()> {
    create_dirs(path.parent().unwrap_or(Path::new(".")))?;
    let Some(place) = whole_place(path) else {
        return named("write", path, write_into(path)?.write_all(bytes));
    };
    let mut begun = begin(&place)?;
    named("write", path, begun.write_all(bytes))?;
    settle(begun, &place)
}

/// Writes a new file that only its owner may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> DiskResult<()> {
    create_dirs(path.parent().unwrap_or(Path::new(".")))?;
    let opened = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let written = opened.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    named("write", path, written)
}

/// Puts a file that was begun where it is to be.
pub fn settle(begun: tempfile::NamedTempFile, path: &Path) -> DiskResult<()> {
    named(
        "rename to",
        path,
        begun.persist(path).map(|_| ()).map_err(|e| e.error),
    )
}

/// Writes a file in place: for scratch folders, where nobody else looks and nothing must last.
#[expect(clippy::disallowed_methods, reason = "this is the disk door")]
pub fn write_plain(path: &Path, bytes: &[u8]) -> DiskResult<()> {
    if let Some(folder) = path.parent() {
        create_dirs(folder)?;
    }
    named("write", path, fs::write(path, bytes))
}

/// Writes over a small file in place, or makes it: for what may be lost. It is not emptied first,
/// since some file systems write what was emptied to the disk at once.
pub fn overwrite(path: &Path, bytes: &[u8]) -> DiskResult<()> {
    let opened = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    named(
        "write",
        path,
        opened.and_then(|file| put_over(&file, bytes)),
    )
}

fn put_over(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)?;
    if file.metadata()?.len() == bytes.len() as u64 {
        Ok(())
    } else {
        file.set_len(bytes.len() as u64)
    }
}

/// Writes a file that may be read and run, and not written: an input may be a program.
pub fn write_input(path: &Path, bytes: &[u8]) -> DiskResult<()> {
    named("write", path, begin_input(path)?.write_all(bytes))
}

/// Makes such a file, and the folders on its way.
fn begin_input(path: &Path) -> DiskResult<File> {
    let create = || {
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o555)
            .open(path)
    };
    let made = match create() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            create_dirs(path.parent().unwrap_or(Path::new(".")))?;
            create()
        }
        made => made,
    };
    named("write", path, made)
}

/// Writes what a reader gives to a file that may be read and run, and not written; returns its
/// digest, or why reading failed.
pub fn copy_reader(from: impl Read, to: &Path) -> DiskResult<io::Result<Digest>> {
    let file = begin_input(to)?;
    let mut hasher = blake3::Hasher::new();
    let (mut from, mut file) = (from, &file);
    let mut buffer = vec![0; 1 << 17];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error)),
        };
        hasher.update(&buffer[..read]);
        named("write", to, file.write_all(&buffer[..read]))?;
    }
}

/// Makes a file readable and not writable.
pub fn make_read_only(path: &Path) -> DiskResult<()> {
    named(
        "protect",
        path,
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)),
    )
}

/// Flushes a directory's entries, so that a rename inside it lasts.
pub fn sync_dir(path: &Path) -> DiskResult<()> {
    named(
        "flush",
        path,
        File::open(path).and_then(|dir| dir.sync_all()),
    )
}

/// Flushes a file that was written under another name.
pub fn sync_file(path: &Path) -> DiskResult<()> {
    named(
        "flush",
        path,
        File::open(path).and_then(|file| file.sync_data()),
    )
}

/// Flushes everything on the file system a directory is on.
pub fn sync_file_system(path: &Path) -> DiskResult<()> {
    named(
        "flush the file system of",
        path,
        File::open(path).and_then(|dir| Ok(rustix::fs::syncfs(&dir)?)),
    )
}

/// Makes a temporary file in a folder, and the folder if need be.
pub fn temporary(folder: &Path) -> DiskResult<tempfile::NamedTempFile> {
    let made = match tempfile::NamedTempFile::new_in(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            create_dirs(folder)?;
            tempfile::NamedTempFile::new_in(folder)
        }
        made => made,
    };
    named("create a file in", folder, made)
}

/// Creates a directory that is not there in one that is.
pub fn create_dir(path: &Path) -> DiskResult<()> {
    named("create", path, fs::create_dir(path))
}

/// Returns the size of a regular file that has one name; `None` for a link, or a file that goes by
/// other names too.
pub fn sole_size(path: &Path) -> DiskResult<Option<u64>> {
    let meta = named("look at", path, fs::symlink_metadata(path))?;
    Ok((meta.is_file() && meta.nlink() == 1).then(|| meta.size()))
}

/// Opens a file to append to, creating it if need be.
pub fn append(path: &Path) -> DiskResult<File> {
    named(
        "append to",
        path,
        File::options().append(true).create(true).open(path),
    )
}

/// Appends to a file: returns when it is safe from a loss of power.
pub fn append_lasting(path: &Path, bytes: &[u8]) -> DiskResult<()> {
    let mut file = append(path)?;
    named("append to", path, file.write_all(bytes))?;
    named("flush", path, file.sync_data())
}

/// Moves a file or directory; a file that was there is replaced.
#[expect(clippy::disallowed_methods, reason = "this is the disk door")]
pub fn rename(from: &Path, to: &Path) -> DiskResult<()> {
    named("rename", from, fs::rename(from, to))
}

/// Removes a file.
pub fn remove_file(path: &Path) -> DiskResult<()> {
    named("remove", path, fs::remove_file(path))
}

/// Removes a file, or a directory with all that is in it, read-only folders too; success if there
/// is none.
pub fn remove_dir(path: &Path) -> DiskResult<()> {
    let remove = || match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(cause) => Err(cause),
    };
    match remove() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            named("remove", path, remove())
        }
        result => named("remove", path, result),
    }
}

/// Returns whether a directory holds hardly anything: a few small files, one folder deep.
pub fn is_little(path: &Path) -> bool {
    let folder = |path: &Path, deeper: &dyn Fn(&Path) -> bool| {
        let entries: Vec<_> = fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .take(LITTLE_FILES + 1)
            .collect();
        entries.len() <= LITTLE_FILES
            && entries.iter().all(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => deeper(&entry.path()),
                meta => meta.is_ok_and(|meta| meta.len() <= LITTLE_BYTES),
            })
    };
    folder(path, &|inner| folder(inner, &|_| false))
}

/// Gives back the right to change a folder and those below it, as far as that is possible.
fn open_up(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
        list(path)
            .unwrap_or_default()
            .iter()
            .for_each(|inner| open_up(inner));
    }
}

/// Returns the path from the root of the file system, with links resolved.
pub fn absolute(path: &Path) -> DiskResult<PathBuf> {
    named("find", path, fs::canonicalize(path))
}

/// Lists the names in a directory, in order; a directory that does not exist is empty.
pub fn list(path: &Path) -> DiskResult<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => named("list", path, entries)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(named("list", path, entry)?.path());
    }
    // All in one directory: their bytes order them as their names do.
    paths.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(paths)
}

/// Lists every regular file below a directory with its path relative to it, in order. Links are
/// followed for files and refused for directories, so that a loop of links cannot hang the walk;
/// special files are refused.
pub fn walk(root: &Path) -> DiskResult<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for path in list(&folder)? {
            let link = is_link(&path)?;
            match look(&path)? {
                PathEntry::File(_) => files.push((relative(root, &path)?, path)),
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
    files.sort();
    Ok(files)
}

/// Returns the path of what lies below a directory, relative to it.
pub(crate) fn relative(root: &Path, path: &Path) -> DiskResult<String> {
    let inner = path.strip_prefix(root).unwrap_or(path).to_str();
    let text = inner.ok_or_else(|| io::Error::other("the name is not UTF-8"));
    named("use", path, text.map(str::to_owned))
}

/// A file locked for this process until it is dropped.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Takes the lock if nobody holds it; `None` if somebody does.
    pub fn try_take(path: &Path) -> DiskResult<Option<Self>> {
        let file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(cause)) => named("lock", path, Err(cause)),
        }
    }

    /// Returns the lock's file for a process that is to hold the lock too, until both have let it
    /// go or this one gives it back.
    pub fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// Replaces what the lock's file says of its holder.
    pub fn describe(&mut self, path: &Path, text: &str) -> DiskResult<()> {
        named("write", path, put_over(&self.0, text.as_bytes()))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child between its fork and its exec still has it open.
        let _ = self.0.unlock();
    }
}

fn open_lock(path: &Path) -> DiskResult<File> {
    named(
        "open",
        path,
        File::options()
            .write(true)
            .read(true)
            .create(true)
            .truncate(false)
            .open(path),
    )
}
