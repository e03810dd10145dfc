//! What lies behind an input that differs: the files of two directories, or the bytes of two
//! artifacts.

use crate::app::artifacts::manifest;
use crate::app::workspace::{LoadedPipeline, Workspace};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::pipeline::check::InputOrigin;
use crate::plan::explain::{FileChange, IngredientDifference, changed_files};
use crate::plan::files;
use crate::store::blob::Store;
use crate::store::manifest::Manifest;

/// Artifacts larger than this are not read to be compared, in bytes.
const LARGE: u64 = 1 << 28;

/// Files by their path within a directory.
pub type DirectoryFiles = Vec<(String, Vec<u8>)>;

/// What lies behind a difference, as far as it is still known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DifferenceDetail {
    /// The files in which two directories differ, and both directories whole if they are artifacts
    /// and not very large.
    Files(Vec<FileChange>, Option<Box<[DirectoryFiles; 2]>>),
    /// The bytes of an artifact, before and after.
    Bytes(Vec<u8>, Vec<u8>),
    /// No more than the difference tells: it is no input, one side is gone, or it is very large.
    Nothing,
}

impl Workspace {
    /// Looks behind a difference of a stage's ingredients.
    pub fn behind(
        &self,
        loaded: &LoadedPipeline,
        stage: usize,
        difference: &IngredientDifference,
    ) -> DifferenceDetail {
        self.sides(loaded, stage, difference)
            .unwrap_or(DifferenceDetail::Nothing)
    }

    fn sides(
        &self,
        loaded: &LoadedPipeline,
        stage: usize,
        difference: &IngredientDifference,
    ) -> Option<DifferenceDetail> {
        let port = difference.name.strip_prefix("input.")?;
        let digest = |value: &Option<String>| value.as_deref().and_then(Digest::parse);
        let (before, after) = (digest(&difference.before)?, digest(&difference.after)?);
        let input = loaded.pipeline.stages[stage]
            .inputs
            .iter()
            .find(|input| input.port == port)?;
        let store = self.store();
        let source = match &input.from {
            InputOrigin::File(text) => Some(files::resolve(self.root(), text, &self.known()).ok()?),
            InputOrigin::Stage(..) | InputOrigin::Ref(..) => None,
        };
        let bytes = |digest: &Digest| {
            (store.size(digest)? <= LARGE)
                .then(|| store.get(digest).ok())
                .flatten()
        };
        let old = bytes(&before)?;
        if let Ok(old) = Manifest::decode(&old) {
            let new = match &source {
                Some(source) => source.manifest(),
                None => manifest(&store, &after)?,
            };
            let whole = |of: &Manifest, digest: &Digest| {
                (source.is_none() && of.size() <= LARGE)
                    .then(|| self.fetch(digest).ok())
                    .flatten()
            };
            let both = whole(&old, &before)
                .zip(whole(&new, &after))
                .map(|(old, new)| Box::new([old, new]));
            return Some(DifferenceDetail::Files(changed_files(&old, &new), both));
        }
        let new = match &source {
            Some(source) if source.directory || source.size > LARGE => return None,
            Some(source) => disk::read(&source.parts.first()?.path).ok()?,
            None => bytes(&after)?,
        };
        Some(DifferenceDetail::Bytes(old, new))
    }
}
