//! Runs and refs to a bucket, and from one.
//!
//! How: blobs first, then the run that names them, then the ref that points at what the run made: whoever
//! reads a ref finds all that is behind it, wherever a sync was cut off, and the next one goes on from
//! there.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::app::artifacts::FoundTarget;
use crate::app::transfer::TransferSummary;
use crate::app::workspace::{AppError, RunOptions, Workspace};
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::base::name::{RefName, RunId};
use crate::base::signing::SigningKey;
use crate::bucket::error::BucketError;
use crate::bucket::objects::Bucket;
use crate::far::remote_cache::WantedBlob;
use crate::lineage::refs::ManualEvidence;
use crate::store::blob::{Store, StoreError};
use crate::sync::shared_ref::SharedRef;
use crate::sync::shared_run::SharedRun;

/// Why something was not taken there or back.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The workspace failed.
    #[error("{0}")]
    App(AppError),
    /// There is none of that name in the bucket.
    #[error("there is no {what} `{name}` in the bucket: `netsec sync list` tells what there is")]
    Nothing {
        /// A run or a ref.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The ref points elsewhere, where this side never saw it.
    #[error(
        "`{name}` points at {there} there and at {here} here, and neither side has seen the other's: pull or push what is \
         right with `--force`"
    )]
    Diverged {
        /// The ref.
        name: String,
        /// The digest here.
        here: String,
        /// The digest in the bucket.
        there: String,
    },
    /// Somebody else moved it meanwhile.
    #[error("`{0}` was moved in the bucket meanwhile: say it again")]
    Moved(String),
}

impl From<AppError> for SyncError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

impl From<DiskError> for SyncError {
    fn from(error: DiskError) -> Self {
        Self::App(error.into())
    }
}

/// What was taken there or back.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SyncSummary {
    /// The run or the ref.
    pub name: String,
    /// Blobs that it has.
    pub blobs: usize,
    /// Blobs that had to be sent or brought.
    pub moved: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Whether anything is other than it was.
    pub changed: bool,
}

/// Takes a run to a bucket.
///
/// # Errors
/// There is no such run, or something that it made is lost; the bucket failed.
pub fn push_run(
    workspace: &Workspace,
    bucket: &Bucket,
    run: &RunId,
    key: Option<&SigningKey>,
    told: &mut dyn FnMut(usize, usize),
) -> Result<SyncSummary, SyncError> {
    let shared = SharedRun::of(workspace.exported(run)?, key);
    let store = workspace.tiered(Arc::new(workspace.store()), None);
    // What is lost here, or stayed on a server, is told, whether or not the bucket has it.
    for digest in &shared.blobs {
        if store.away(digest).is_some() || !store.has(digest)? {
            store.get(digest)?;
        }
    }
    let count = shared.blobs.len();
    let (moved, bytes) =
        bucket.send_blobs::<SyncError>(&shared.blobs, &store, &mut |done| told(done, count))?;
    let changed = bucket.create(&SharedRun::name(&run.to_string()), shared.encode())?;
    Ok(SyncSummary {
        name: run.to_string(),
        blobs: count,
        moved,
        bytes,
        changed,
    })
}

/// Takes a run from a bucket.
///
/// # Errors
/// It is not there, or not whole; the bucket, the ledger or the disk failed.
pub fn pull_run(
    workspace: &Workspace,
    bucket: &Bucket,
    run: &str,
    terms: &RunOptions<'_>,
) -> Result<(SyncSummary, TransferSummary), SyncError> {
    let name = SharedRun::name(run);
    let found = bucket.get(&name)?.ok_or_else(|| SyncError::Nothing {
        what: "run",
        name: run.to_owned(),
    })?;
    let shared = SharedRun::decode(&name, &found.0)?;
    workspace.prepare()?;
    let store = workspace.store();
    let mut missing = Vec::new();
    let distinct: BTreeSet<&Digest> = shared.blobs.iter().collect();
    for digest in distinct {
        if !store.has(digest)? {
            // How large it is, the run does not tell.
            missing.push(WantedBlob {
                digest: *digest,
                most: u64::MAX,
            });
        }
    }
    let scratch = workspace.cache.join("tmp");
    let bytes = bucket.bring_blobs::<SyncError>(&missing, &scratch, &store, terms.cancel)?;
    let archive = disk::temporary(&scratch)?.into_temp_path();
    shared.write_archive(&archive, &|digest| Ok(store.get(digest)?))?;
    let taken = workspace.import(&archive, terms)?;
    let summary = SyncSummary {
        name: run.to_owned(),
        blobs: shared.blobs.len(),
        moved: missing.len(),
        bytes,
        changed: taken.known < taken.actions,
    };
    Ok((summary, taken))
}

/// Takes a ref to a bucket, with the run that made what it points at.
///
/// # Errors
/// It points at nothing, or the bucket's points at something that this workspace never saw; as for
/// `push_run`.
pub fn push_ref(
    workspace: &Workspace,
    bucket: &Bucket,
    name: &RefName,
    key: Option<&SigningKey>,
    force: bool,
    told: &mut dyn FnMut(usize, usize),
) -> Result<SyncSummary, SyncError> {
    let (digest, run, state) = {
        let ledger = workspace.reading()?.ledger;
        let state = ledger.reference(name).map_err(AppError::from)?;
        let nothing = || {
            AppError::Usage(format!(
                "`{name}` points at nothing: see `netsec model list`"
            ))
        };
        let digest = state.current().ok_or_else(nothing)?.digest;
        let makers = ledger.makers(&digest).map_err(AppError::from)?;
        let mut run = None;
        for maker in makers {
            let action = ledger.action(&maker).map_err(AppError::from)?;
            run = run.or(action.map(|action| action.run));
        }
        let none = || AppError::Usage(format!("no run made what `{name}` points at"));
        (digest, run.ok_or_else(none)?, state)
    };
    let shared = SharedRef::of(name, digest, &run.to_string(), &state);
    let path = SharedRef::path(&shared.name);
    let standing = bucket.get(&path)?;
    let there = match &standing {
        Some((bytes, _)) => Some(SharedRef::decode(&path, bytes)?),
        None => None,
    };
    if let Some(there) = &there
        && !force
        && !shared.has_seen(&there.digest)
    {
        return Err(diverged(name, &digest, &there.digest));
    }
    let mut summary = push_run(workspace, bucket, &run, key, told)?;
    summary.name = name.to_string();
    summary.changed = there.as_ref() != Some(&shared);
    let written = match standing {
        _ if !summary.changed => true,
        None => bucket.create(&path, shared.encode())?,
        Some((_, seen)) => bucket.replace(&path, shared.encode(), seen)?,
    };
    match written {
        true => Ok(summary),
        false => Err(SyncError::Moved(name.to_string())),
    }
}

fn diverged(name: &RefName, here: &Digest, there: &Digest) -> SyncError {
    SyncError::Diverged {
        name: name.to_string(),
        here: here.short(),
        there: there.short(),
    }
}

/// Returns the names of the runs of a bucket, and its refs.
///
/// # Errors
/// A ref cannot be read; the bucket failed.
pub fn list(bucket: &Bucket) -> Result<(Vec<String>, Vec<SharedRef>), SyncError> {
    let names = |folder: &str| -> Result<Vec<String>, SyncError> {
        let names = bucket.list(folder)?.into_iter();
        let name = |name: String| name.strip_prefix(&format!("{folder}/")).map(str::to_owned);
        Ok(names.filter_map(name).collect())
    };
    let mut refs = Vec::new();
    for name in names(SharedRef::FOLDER)? {
        let path = SharedRef::path(&name);
        if let Some((bytes, _)) = bucket.get(&path)? {
            refs.push(SharedRef::decode(&path, &bytes)?);
        }
    }
    Ok((names(SharedRun::FOLDER)?, refs))
}

/// Takes a ref from a bucket, with the run that made what it points at.
///
/// # Errors
/// It is not there, or this workspace's points at something that the bucket's never did; as for `pull_run`
/// and `Workspace::promote`.
pub fn pull_ref(
    workspace: &Workspace,
    bucket: &Bucket,
    name: &RefName,
    word: ManualEvidence,
    force: bool,
    terms: &RunOptions<'_>,
) -> Result<SyncSummary, SyncError> {
    let path = SharedRef::path(&name.to_string());
    let (bytes, _) = bucket.get(&path)?.ok_or_else(|| SyncError::Nothing {
        what: "ref",
        name: name.to_string(),
    })?;
    let there = SharedRef::decode(&path, &bytes)?;
    let state = workspace.reading()?.ledger.reference(name);
    let here = state.map_err(AppError::from)?.current().map(|to| to.digest);
    if let Some(here) = here
        && !force
        && here != there.digest
        && !there.has_seen(&here)
    {
        return Err(diverged(name, &here, &there.digest));
    }
    let (mut summary, _) = pull_run(workspace, bucket, &there.run, terms)?;
    summary.name = name.to_string();
    summary.changed = here != Some(there.digest);
    if summary.changed {
        let found = FoundTarget {
            digest: there.digest,
            name: name.to_string(),
            run: None,
        };
        workspace.promote(name, &found, word, None, terms)?;
    }
    Ok(summary)
}
