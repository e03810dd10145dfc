//! A program with all that it needs of the system, so that it runs in a folder that holds nothing else.
//!
//! How: what the running program has mapped is what it was linked to; started by the loader that comes
//! along, it finds the rest beside it. The library of mathematics comes along, too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::cancel::Cancel;
use crate::base::disk::{self, DiskError, PathEntry};
use crate::base::hashing::hash;
use crate::far::remote_runner::{BlobSource, GivenFile};

/// Where the libraries lie.
const LIBRARIES: &str = "lib";
/// What the program is called.
const PROGRAM: &str = "netsec";

/// A program, and how it is started.
#[derive(Clone, Debug)]
pub struct ProgramFiles {
    /// What it needs.
    pub files: Vec<GivenFile>,
    /// What its command line begins with.
    pub command: Vec<String>,
}

impl ProgramFiles {
    /// Gathers a program that needs the same libraries as the running one.
    ///
    /// # Errors
    /// The system does not tell what is mapped.
    pub fn of(program: &Path) -> Result<Self, DiskError> {
        let maps = disk::read(Path::new("/proc/self/maps"))?;
        let libraries = libraries(&String::from_utf8_lossy(&maps));
        let mut files = vec![given(PROGRAM.to_owned(), program)?];
        for (name, path) in &libraries {
            files.push(given(format!("{LIBRARIES}/{name}"), path)?);
        }
        let command = command(&libraries);
        Ok(Self { files, command })
    }
}

fn given(path: String, file: &Path) -> Result<GivenFile, DiskError> {
    let size = match disk::look(file)? {
        PathEntry::File(stamp) => stamp.size,
        PathEntry::Directory | PathEntry::Special => 0,
    };
    let digest = hash(file, size, &Cancel::new())?;
    Ok(GivenFile {
        path,
        source: BlobSource::File(file.to_owned(), digest),
        is_executable: true,
    })
}

/// How a program is started that needs these libraries.
fn command(libraries: &BTreeMap<String, PathBuf>) -> Vec<String> {
    let is_loader = |name: &&String| name.starts_with("ld-");
    match libraries.keys().find(is_loader) {
        Some(loader) => {
            let loader = format!("{LIBRARIES}/{loader}");
            let words = [&loader, "--library-path", LIBRARIES, "./netsec"];
            words.iter().map(|&word| word.to_owned()).collect()
        }
        None => vec![format!("./{PROGRAM}")],
    }
}

/// The libraries that a process has mapped, by their names.
fn libraries(maps: &str) -> BTreeMap<String, PathBuf> {
    let mut libraries = BTreeMap::new();
    for line in maps.lines() {
        // Address, permissions, offset, device, inode, path.
        let Some(at) = line.find('/') else {
            continue;
        };
        let path = Path::new(&line[at..]);
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let is_library = name.ends_with(".so") || name.contains(".so.");
        if is_library && !name.ends_with(" (deleted)") {
            libraries.insert(name.to_owned(), path.to_owned());
        }
    }
    libraries
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55e0-55e1 r-xp 00000000 fe:00 12 /usr/bin/netsec
7f00-7f01 r--p 00000000 fe:00 13 /usr/lib/x86_64-linux-gnu/libm.so.6
7f01-7f02 r-xp 00001000 fe:00 13 /usr/lib/x86_64-linux-gnu/libm.so.6
7f02-7f03 r-xp 00000000 fe:00 14 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
7f03-7f04 rw-p 00000000 00:00 0 [stack]
7f05-7f06 r--p 00000000 fe:00 15 /usr/lib/locale/C.utf8/LC_CTYPE
7f07-7f08 rw-s 00000000 00:01 16 /dev/shm/made.so (deleted)
";

    #[test]
    fn what_is_mapped_comes_along_and_the_loader_starts_it() {
        let libraries = libraries(MAPS);
        let names: Vec<&str> = libraries.keys().map(String::as_str).collect();
        assert_eq!(names, ["ld-linux-x86-64.so.2", "libm.so.6"]);
        let started = "lib/ld-linux-x86-64.so.2 --library-path lib ./netsec";
        assert_eq!(command(&libraries).join(" "), started);
    }

    #[test]
    fn a_program_that_needs_nothing_is_started_by_itself() {
        assert_eq!(command(&BTreeMap::new()), ["./netsec"]);
    }
}
