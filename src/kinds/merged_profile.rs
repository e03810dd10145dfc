//! The profile of a whole table, put together from those of its parts.

use crate::base::digest::Digest;
use crate::profile::columns::Profile;
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::sub_action::{BlobRef, SubAction};

/// One of so many profiles, on average, ends a group.
const GROUP: u8 = 8;

/// Puts the profiles of parts together, first in groups that are kept: where they end is told by
/// the profiles themselves, so that one more part changes one group.
pub(crate) fn together(
    word: &str,
    kept: &[BlobRef],
    context: &StageContext<'_>,
) -> Result<Profile, StageError> {
    let read = |kept: &BlobRef| {
        Profile::decode(&context.memo.fetch(&kept.digest)?).map_err(StageError::Lost)
    };
    let merged = |kept: &[BlobRef]| {
        Ok(Profile::merged(
            &kept
                .iter()
                .map(read)
                .collect::<Result<Vec<_>, StageError>>()?,
        ))
    };
    if kept.len() <= usize::from(GROUP) {
        return merged(kept);
    }
    let groups: Vec<&[BlobRef]> = kept
        .split_inclusive(|kept| kept.digest.as_bytes()[0] % GROUP == 0)
        .collect();
    let part = |(at, group): (usize, &&[BlobRef])| {
        let members: Vec<Digest> = group.iter().map(|kept| kept.digest).collect();
        SubAction::new("merge", format!("{word}-group-{}", at + 1))
            .with("of", &members)
            .reads(members)
    };
    let parts: Vec<SubAction> = groups.iter().enumerate().map(part).collect();
    let kept = context
        .memo
        .keep(&parts, &|at, _| Ok(vec![merged(groups[at])?.encode()]))?;
    merged(&kept.iter().map(|kept| kept[0]).collect::<Vec<_>>())
}
