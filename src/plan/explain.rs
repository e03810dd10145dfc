//! Why: the ingredients that differ from the nearest earlier record, and the files in which two
//! directories differ.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::digest::Digest;
use crate::lineage::record::Ingredient;
use crate::store::manifest::Manifest;

/// An ingredient that differs between two records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IngredientDifference {
    /// The ingredient's name.
    pub name: String,
    /// Its value in the earlier record; `None` if it was not one.
    pub before: Option<String>,
    /// Its value here; `None` if it is none any more.
    pub after: Option<String>,
}

/// Returns the ingredients that differ, in the order of their names.
pub fn difference(before: &[Ingredient], after: &[Ingredient]) -> Vec<IngredientDifference> {
    let mut names: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
    for ingredient in before {
        names.entry(&ingredient.name).or_default().0 = Some(&ingredient.value);
    }
    for ingredient in after {
        names.entry(&ingredient.name).or_default().1 = Some(&ingredient.value);
    }
    let differs = names
        .into_iter()
        .filter(|(_, (before, after))| before != after);
    differs
        .map(|(name, (before, after))| IngredientDifference {
            name: name.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        })
        .collect()
}

/// A file that differs between two directories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path within the directory.
    pub path: String,
    /// Its size in bytes in the earlier one; `None` if it is new.
    pub before: Option<u64>,
    /// Its size in bytes in the later one; `None` if it is gone.
    pub after: Option<u64>,
}

/// Returns the files that differ, in the order of their paths.
pub fn changed_files(before: &Manifest, after: &Manifest) -> Vec<FileChange> {
    type Side = Option<(Digest, u64)>;
    let mut sides: BTreeMap<&str, (Side, Side)> = BTreeMap::new();
    for file in &before.files {
        sides.entry(&file.path).or_default().0 = Some((file.digest, file.size));
    }
    for file in &after.files {
        sides.entry(&file.path).or_default().1 = Some((file.digest, file.size));
    }
    let differs = sides
        .into_iter()
        .filter(|(_, (before, after))| before.map(|b| b.0) != after.map(|a| a.0));
    let change = |(path, (before, after)): (&str, (Side, Side))| FileChange {
        path: path.to_owned(),
        before: before.map(|(_, size)| size),
        after: after.map(|(_, size)| size),
    };
    differs.map(change).collect()
}
