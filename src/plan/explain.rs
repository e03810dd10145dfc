//! Why: the ingredients that differ from the nearest earlier record.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lineage::record::Ingredient;

/// An ingredient that differs between two records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The ingredient's name.
    pub name: String,
    /// Its value in the earlier record; `None` if it was not one.
    pub before: Option<String>,
    /// Its value here; `None` if it is none any more.
    pub after: Option<String>,
}

/// Returns the ingredients that differ, in the order of their names.
pub fn difference(before: &[Ingredient], after: &[Ingredient]) -> Vec<Difference> {
    let mut names: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
    for ingredient in before {
        names.entry(&ingredient.name).or_default().0 = Some(&ingredient.value);
    }
    for ingredient in after {
        names.entry(&ingredient.name).or_default().1 = Some(&ingredient.value);
    }
    let differs = names.into_iter().filter(|(_, (before, after))| before != after);
    differs
        .map(|(name, (before, after))| Difference {
            name: name.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        })
        .collect()
}
