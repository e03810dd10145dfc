//! What a program needs beside itself: nothing if it is static, otherwise the loader that its head
//! names and the libraries that the loader finds.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::base::disk;

/// How a program is linked (ELF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramLinking {
    /// It needs nothing.
    Static,
    /// This loader has to be there.
    Dynamic(String),
}

/// The type of the part of a program that names its loader.
const INTERPRETER: u32 = 3;

/// Returns how a program of 64 bits is linked.
///
/// # Errors
/// It is no program.
pub fn linking(program: &[u8]) -> Result<ProgramLinking, String> {
    let odd = || "it is not a program for Linux (ELF of 64 bits)".to_owned();
    let number = |at: usize, width: usize| -> Option<u64> {
        let bytes = program.get(at..at.checked_add(width)?)?;
        let low = bytes.iter().rev();
        Some(low.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err(odd());
    }
    let table = number(32, 8).ok_or_else(odd)?;
    let (width, count) = (
        number(54, 2).ok_or_else(odd)?,
        number(56, 2).ok_or_else(odd)?,
    );
    for at in 0..count {
        let part = usize::try_from(table.saturating_add(at * width)).map_err(|_| odd())?;
        if number(part, 4).ok_or_else(odd)? != u64::from(INTERPRETER) {
            continue;
        }
        let place = |at: usize| usize::try_from(number(at, 8)?).ok();
        let name = place(part + 8)
            .zip(place(part + 32))
            .and_then(|(from, size)| program.get(from..from.checked_add(size)?))
            .and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(odd)?.trim_end_matches('\0');
        return Ok(ProgramLinking::Dynamic(name.to_owned()));
    }
    Ok(ProgramLinking::Static)
}

/// Returns the loader and the libraries of a program, by the paths at which it looks for them.
///
/// # Errors
/// The loader does not find one; a file cannot be read.
pub fn libraries(program: &Path, loader: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let listed = Command::new(loader)
        .arg("--list")
        .arg(program)
        .env_clear()
        .output()
        .map_err(|error| format!("`{loader}` cannot be started: {error}"))?;
    if !listed.status.success() {
        let why = String::from_utf8_lossy(&listed.stderr);
        return Err(format!(
            "`{loader}` does not find its libraries: {}",
            why.trim()
        ));
    }
    let mut found = BTreeMap::new();
    let mut take = |path: &str| -> Result<(), String> {
        let bytes = disk::read(Path::new(path)).map_err(|error| error.to_string())?;
        found.insert(path.to_owned(), bytes);
        Ok(())
    };
    take(loader)?;
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`
        let Some((_, place)) = line.split_once("=> ") else {
            continue;
        };
        match place.split_whitespace().next() {
            Some(path) if path.starts_with('/') => take(path)?,
            _ => return Err(format!("a library is not there: {}", line.trim())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_of_a_program_is_found() {
        let own = disk::read(&std::env::current_exe().unwrap()).unwrap();
        let Ok(ProgramLinking::Dynamic(loader)) = linking(&own) else {
            panic!("the tests are not static");
        };
        let found = libraries(&std::env::current_exe().unwrap(), &loader).unwrap();
        assert!(
            found.contains_key(&loader) && found.len() > 1,
            "{:?}",
            found.keys()
        );
        for odd in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01", &own[..100]] {
            assert!(linking(odd).is_err());
        }
    }
}
