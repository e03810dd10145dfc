//! Whether all that something was made of is still what the records say: blobs by their digests, files
//! by what they were when they were read.

use std::collections::BTreeSet;

use crate::app::workspace::{AppResult, Workspace};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::lineage::lineage_graph::LineageGraph;
use crate::plan::files;
use crate::store::blob::{Store, StoreError};

/// What a look at all that something was made of found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineageCheck {
    /// Artifacts that are what the records say.
    pub artifacts: usize,
    /// Files that are.
    pub files: usize,
    /// What is not, in words.
    pub faults: Vec<String>,
    /// What is not there any more, and can be made again or is kept elsewhere, in words.
    pub gone: Vec<String>,
}

impl Workspace {
    /// Checks all artifacts and files of a lineage.
    ///
    /// # Errors
    /// The disk failed.
    pub fn check_lineage(&self, graph: &LineageGraph) -> AppResult<LineageCheck> {
        let made: BTreeSet<Digest> = graph.made.keys().map(|edge| edge.artifact).collect();
        let mut check = LineageCheck::default();
        for (digest, name) in &graph.artifacts {
            if made.contains(digest) {
                self.check_artifact(digest, name, &mut check)?;
            } else {
                self.check_file(digest, name, &mut check);
            }
        }
        Ok(check)
    }

    fn check_artifact(
        &self,
        digest: &Digest,
        name: &str,
        check: &mut LineageCheck,
    ) -> AppResult<()> {
        match self.fetch(digest) {
            Ok(_) => check.artifacts += 1,
            Err(_) => match self.store().get(digest) {
                Err(StoreError::Missing(_)) => check.gone.push(format!(
                    "`{name}` ({}) is not in the cache any more: its pipeline makes it again",
                    digest.short()
                )),
                Err(StoreError::Disk(error)) => return Err(error.into()),
                _ => check.faults.push(format!(
                    "`{name}` ({}) is damaged: its bytes are not those that its digest names",
                    digest.short()
                )),
            },
        }
        Ok(())
    }

    fn check_file(&self, digest: &Digest, name: &str, check: &mut LineageCheck) {
        if disk::look(&self.root().join(name)).is_err() {
            check
                .gone
                .push(format!("`{name}` ({}) is not here", digest.short()));
            return;
        }
        match files::resolve(self.root(), name, &self.known()) {
            Ok(source) if source.digest == *digest => check.files += 1,
            Ok(source) => check.faults.push(format!(
                "`{name}` was changed since: it was {}, and is {}",
                digest.short(),
                source.digest.short()
            )),
            Err(error) => check.faults.push(format!("`{name}`: {error}")),
        }
    }
}
