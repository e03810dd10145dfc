//! What a plan that reuses everything rests on: while all of it stands, the next run need not plan
//! at all.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::digest::{Digest, FramedHasher};
use crate::base::disk::{self, DiskError, FileStamp, OpenFolder, PathEntry};
use crate::base::name::{RunId, StageId};
use crate::plan::files::{self, SourceFile};
use crate::store::local;

/// Version of the file; another one is ignored: it is only a memory.
const FORMAT: u32 = 2;

/// The ending of the files that say something of stages.
const STAGES: &str = "stages";

/// From so many files and blobs on, a second thread is worth its start.
const MANY: usize = 256;

/// What is asked of a run. Two runs of which the same is asked, in the same state of the workspace,
/// do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSpec<'a> {
    /// The pipeline file as the user named it.
    pub file: &'a str,
    /// Everything else, in a fixed order.
    pub terms: &'a [String],
}

/// A run after which everything was up to date, and all that this rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpToDateStamp {
    /// The run.
    pub run: RunId,
    /// The digest of the pipeline file.
    pub digest: Digest,
    /// The stages that were wanted, in the order of the file.
    pub stages: Vec<StageId>,
    /// Files that were read, by their way from the workspace: the pipeline's own and its sources,
    /// as the system told of them before they were read.
    pub files: Vec<(PathBuf, FileStamp)>,
    /// Sources of several files: how the pipeline names them, with the names of all files in them.
    pub groups: Vec<(String, Vec<String>)>,
    /// The blobs of all outputs, as they were when they were put. Kept apart, as a table of fixed
    /// width.
    #[serde(skip)]
    pub blobs: Vec<(Digest, FileStamp)>,
}

/// What there is to say of a stage that is up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpToDateStage {
    /// Its name.
    pub id: StageId,
    /// Its kind.
    pub kind: String,
    /// The run that made its outputs.
    pub made_by: RunId,
}

impl RunSpec<'_> {
    /// Returns where the standing of such a run is kept. The program itself is part of what is
    /// asked.
    fn path(&self, cache: &Path) -> PathBuf {
        let mut framed = FramedHasher::new("netsec 2026-11 standing 1");
        let program = std::env::current_exe()
            .ok()
            .and_then(|path| Some((disk::look(&path).ok()?, path)));
        if let Some((PathEntry::File(signature), path)) = program {
            framed
                .text(&path.to_string_lossy())
                .number(signature.size)
                .signed(signature.mtime_ns);
        }
        framed.text(self.file).list(self.terms.len());
        self.terms.iter().for_each(|term| {
            framed.text(term);
        });
        folder(cache).join(framed.finish().hex())
    }
}

/// The width of a row: a digest and four numbers.
const ROW: usize = 64;

fn row(bytes: &[u8]) -> (Digest, FileStamp) {
    let number = |at: usize| <[u8; 8]>::try_from(&bytes[at..at + 8]).expect("eight bytes");
    let digest = Digest::from_bytes(bytes[..32].try_into().expect("thirty-two bytes"));
    let (mtime_ns, ctime_ns) = (
        i64::from_le_bytes(number(40)),
        i64::from_le_bytes(number(48)),
    );
    let (size, inode) = (
        u64::from_le_bytes(number(32)),
        u64::from_le_bytes(number(56)),
    );
    (
        digest,
        FileStamp {
            size,
            mtime_ns,
            ctime_ns,
            inode,
        },
    )
}

fn folder(cache: &Path) -> PathBuf {
    cache.join("standing")
}

impl UpToDateStamp {
    /// Returns the standing that an earlier run of which the same is asked left, if all it rests on
    /// is as it was.
    pub fn recall(workspace: &Path, cache: &Path, asked: &RunSpec<'_>) -> Option<Self> {
        let bytes = disk::read(&asked.path(cache)).ok()?;
        let (check, body) = bytes.split_first_chunk::<32>()?;
        if Digest::of(body).as_bytes() != check {
            return None;
        }
        let (length, rest) = body.split_first_chunk::<8>()?;
        let (head, table) =
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let (format, mut standing): (u32, Self) = rmp_serde::from_slice(head).ok()?;
        standing.blobs = table.chunks_exact(ROW).map(row).collect();
        let (root, blobs) = (
            OpenFolder::open(workspace).ok()?,
            OpenFolder::open(&local::blobs(cache)).ok()?,
        );
        let files_stand = || {
            standing
                .files
                .iter()
                .all(|(path, seen)| root.signature(path) == Some(*seen))
        };
        let blobs_stand = || {
            standing
                .blobs
                .iter()
                .all(|(blob, seen)| blobs.signature(&local::place(blob)) == Some(*seen))
        };
        // Nearly all of the time goes into these looks: the two lists are gone through side by
        // side.
        let both_stand = || match standing.files.len().min(standing.blobs.len()) < MANY {
            true => files_stand() && blobs_stand(),
            false => std::thread::scope(|threads| {
                let blobs = threads.spawn(blobs_stand);
                files_stand() && blobs.join().unwrap_or(false)
            }),
        };
        let stands = format == FORMAT
            && both_stand()
            && standing
                .groups
                .iter()
                .all(|(text, names)| files::names(workspace, text).as_ref() == Some(names));
        stands.then_some(standing)
    }

    /// Leaves what there is to say of its stages, for whoever asks before anything changes. Kept apart:
    /// a run has no need of it.
    ///
    /// # Errors
    /// The disk failed; then it takes a plan to say it, and nothing else is lost.
    pub fn leave_stages(
        &self,
        cache: &Path,
        asked: &RunSpec<'_>,
        stages: &[UpToDateStage],
    ) -> Result<(), DiskError> {
        let bytes = rmp_serde::to_vec(&(FORMAT, &self.run, stages)).expect("plain data serialises");
        let path = asked.path(cache).with_extension(STAGES);
        disk::write_atomic(
            &path,
            &[Digest::of(&bytes).as_bytes().as_slice(), &bytes].concat(),
        )
    }

    /// Returns what was left to say of its stages.
    pub fn recall_stages(&self, cache: &Path, asked: &RunSpec<'_>) -> Option<Vec<UpToDateStage>> {
        let bytes = disk::read(&asked.path(cache).with_extension(STAGES)).ok()?;
        let (check, body) = bytes.split_first_chunk::<32>()?;
        if Digest::of(body).as_bytes() != check {
            return None;
        }
        let (format, run, stages): (u32, RunId, _) = rmp_serde::from_slice(body).ok()?;
        (format == FORMAT && run == self.run).then_some(stages)
    }

    /// Leaves the standing for the next run of which the same is asked.
    ///
    /// # Errors
    /// The disk failed; then the next run plans, and nothing else is lost.
    pub fn leave(&self, cache: &Path, asked: &RunSpec<'_>) -> Result<(), DiskError> {
        disk::create_dirs(&folder(cache))?;
        let head = rmp_serde::to_vec(&(FORMAT, self)).expect("plain data serialises");
        let mut bytes = (head.len() as u64).to_le_bytes().to_vec();
        bytes.extend(head);
        for (digest, signature) in &self.blobs {
            let FileStamp {
                size,
                mtime_ns,
                ctime_ns,
                inode,
            } = signature;
            bytes.extend_from_slice(digest.as_bytes());
            let numbers = [
                size.to_le_bytes(),
                mtime_ns.to_le_bytes(),
                ctime_ns.to_le_bytes(),
                inode.to_le_bytes(),
            ];
            bytes.extend(numbers.as_flattened());
        }
        disk::write_atomic(
            &asked.path(cache),
            &[Digest::of(&bytes).as_bytes().as_slice(), &bytes].concat(),
        )
    }

    /// Adds a source. Returns false if a change of it might not show: it was changed too short a
    /// time before it was read.
    pub fn rest_on(
        &mut self,
        workspace: &Path,
        text: &str,
        source: &SourceFile,
        before_ns: i64,
    ) -> bool {
        if source.directory {
            self.groups.push((
                text.to_owned(),
                source.parts.iter().map(|part| part.name.clone()).collect(),
            ));
        }
        let inner = |path: &Path| path.strip_prefix(workspace).unwrap_or(path).to_owned();
        self.files.extend(
            source
                .parts
                .iter()
                .map(|part| (inner(&part.path), part.signature)),
        );
        source
            .parts
            .iter()
            .all(|part| part.signature.is_settled(before_ns))
    }
}

/// Forgets every standing: what is recorded is about to change. For good when it returns.
///
/// # Errors
/// The disk failed; then nothing may be changed.
pub fn forget(cache: &Path) -> Result<(), DiskError> {
    if disk::look(&folder(cache)).is_err() {
        return Ok(());
    }
    disk::remove_dir(&folder(cache))?;
    disk::sync_dir(cache)
}
