//! Whether all that something was made of is still what the records say: blobs by their digests, files
//! by what they were when they were read.

use crate::app::workspace::{AppError, AppResult, Workspace};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::lineage::lineage_graph::LineageGraph;
use crate::plan::files::{self, FilesError};
use crate::store::blob::StoreError;

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
    /// Checks all artifacts and files of the lineage of an artifact, which has to be there itself.
    ///
    /// # Errors
    /// The disk failed.
    pub fn check_lineage(&self, graph: &LineageGraph, of: &Digest) -> AppResult<LineageCheck> {
        let made = graph.made_artifacts();
        let mut check = LineageCheck::default();
        for (digest, name) in &graph.artifacts {
            if made.contains(digest) || digest == of {
                self.check_artifact(digest, name, digest == of, &mut check)?;
            }
        }
        for (digest, name) in graph.sources.iter().filter(|(digest, _)| digest != of) {
            self.check_file(digest, name, &mut check);
        }
        Ok(check)
    }

    fn check_artifact(
        &self,
        digest: &Digest,
        name: &str,
        is_needed: bool,
        check: &mut LineageCheck,
    ) -> AppResult<()> {
        let short = digest.short();
        let set_aside = self.cache.join("bad").join(digest.hex());
        match self.fetch(digest) {
            Ok(_) => check.artifacts += 1,
            // A look before may have set it aside.
            Err(AppError::Store(StoreError::Missing(_))) if disk::look(&set_aside).is_ok() => {
                check.faults.push(damaged(name, &short));
            }
            Err(AppError::Store(StoreError::Missing(_))) if is_needed => {
                check
                    .faults
                    .push(format!("`{name}` ({short}) is not in the cache any more"));
            }
            Err(AppError::Store(StoreError::Missing(_))) => check.gone.push(format!(
                "`{name}` ({short}) is not in the cache any more, and was not checked"
            )),
            Err(AppError::Store(StoreError::Corrupt { .. })) => {
                check.faults.push(damaged(name, &short));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn check_file(&self, digest: &Digest, name: &str, check: &mut LineageCheck) {
        match files::resolve(self.root(), name, &self.known()) {
            Ok(source) if source.digest == *digest => check.files += 1,
            Ok(source) => check.faults.push(format!(
                "`{name}` was changed since: it was {}, and is {}",
                digest.short(),
                source.digest.short()
            )),
            Err(FilesError::Missing(_) | FilesError::NoMatch(_)) => {
                check.gone.push(format!(
                    "`{name}` ({}) is not here, and was not checked",
                    digest.short()
                ));
            }
            Err(error) => check.faults.push(format!("`{name}`: {error}")),
        }
    }
}

fn damaged(name: &str, digest: &str) -> String {
    format!("`{name}` ({digest}) is damaged: its bytes are not those that its digest names")
}
