//! Which run was the latest, and how far the journals go: kept in one small file, so that the next
//! run need not look through those of all before it, and so that the last journal, which no later
//! one vouches for, is missed when it is gone.
//!
//! It is written after each commit has lasted: it may say less than the journals hold, never more.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::base::name::RunId;

/// The first line of the file: its format.
const MAGIC: &str = "netsec-latest-2";

/// How far a journal goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLink {
    /// The run whose journal it is.
    pub run: RunId,
    /// How many commits it holds.
    pub commits: u64,
    /// The chain of the last of them; not known of what older versions wrote down.
    #[serde(default)]
    pub chain: Option<Digest>,
}

impl JournalLink {
    /// Returns whether all that another goes to lies within this, by the order of runs.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        (&other.run, other.commits) <= (&self.run, self.commits)
    }

    /// Returns it as a line of text; `None` without a chain.
    pub(crate) fn line(&self) -> Option<String> {
        let chain = self.chain?;
        Some(format!("{} {} {chain}", self.run, self.commits))
    }

    /// Reads such a line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (run, commits, chain) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            run: RunId::parse(run)?,
            commits: commits.parse().ok()?,
            chain: Some(Digest::parse(chain)?),
        })
    }
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalTail {
    /// The latest name that was given to a run.
    pub latest: Option<RunId>,
    /// How far the last journal goes, if there is one.
    pub link: Option<JournalLink>,
    /// Whether it may go further: a run is going on, or was killed.
    pub is_open: bool,
}

fn place(cache: &Path) -> PathBuf {
    cache.join("latest")
}

impl JournalTail {
    /// Reads the file; one that is missing or damaged says nothing.
    pub fn load(cache: &Path) -> Self {
        let text = disk::read(&place(cache))
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        parse(&text).unwrap_or_default()
    }

    /// Writes the file. It is only a memory, and is not flushed.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save(&self, cache: &Path) -> Result<(), DiskError> {
        let mut text = format!("{MAGIC}\n");
        if let Some(latest) = &self.latest {
            let state = if self.is_open { "open" } else { "closed" };
            text.push_str(&format!("{latest} {state}\n"));
        }
        if let Some(line) = self.link.as_ref().and_then(JournalLink::line) {
            text.push_str(&format!("{line}\n"));
        }
        text.push_str(&format!("{}\n", Digest::of(text.as_bytes())));
        disk::overwrite(&place(cache), text.as_bytes())
    }
}

fn parse(text: &str) -> Option<JournalTail> {
    let body = text.strip_suffix('\n')?;
    let (body, check) = body.rsplit_once('\n')?;
    let body = format!("{body}\n");
    if Digest::of(body.as_bytes()) != Digest::parse(check)? {
        return None;
    }
    let mut lines = body.lines();
    if lines.next() != Some(MAGIC) {
        return None;
    }
    let (latest, state) = lines.next()?.split_once(' ')?;
    Some(JournalTail {
        latest: RunId::parse(latest),
        link: lines.next().and_then(JournalLink::parse),
        is_open: state == "open",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_what_was_damaged_says_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = RunId::new(1, 2);
        let link = JournalLink {
            run: run.clone(),
            commits: 3,
            chain: Some(Digest::of(b"x")),
        };
        for (link, is_open) in [
            (None, true),
            (Some(link.clone()), true),
            (Some(link), false),
        ] {
            let tail = JournalTail {
                latest: Some(run.clone()),
                link,
                is_open,
            };
            tail.save(folder.path()).expect("it is saved");
            assert_eq!(JournalTail::load(folder.path()), tail);
            let bytes = disk::read(&place(folder.path())).expect("it is there");
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 1;
                disk::overwrite(&place(folder.path()), &bad).expect("it is written");
                assert_eq!(
                    JournalTail::load(folder.path()),
                    JournalTail::default(),
                    "byte {at}"
                );
            }
        }
    }
}
