//! Ingredients of an action and the key they make; the key format and its history.

use std::collections::BTreeMap;

use crate::base::artifact::ContentRef;
use crate::base::digest::{Digest, FramedHasher};
use crate::lineage::record::Ingredient;
use crate::stage::error::StageError;
use crate::stage::param::{Value, Values};

/// The key format. A change of any byte fed below is a new format, and every cached result is made
/// again once.
///
/// 1: kind, version, seed, parameters, inputs.
const DOMAIN: &str = "netsec 2026-11 action key 1";

/// All that determines an action's result.
#[derive(Clone, Debug)]
pub struct Ingredients {
    /// The stage's kind.
    pub kind: String,
    /// The kind's version.
    pub version: u32,
    /// The seed, if the kind draws random numbers.
    pub seed: Option<u64>,
    /// The parameters with their defaults, without secrets.
    pub with: BTreeMap<String, Value>,
    /// What flows in, by port; `None` for a pointer that points at nothing.
    pub inputs: BTreeMap<String, Option<ContentRef>>,
    /// What the stage saw outside, if it looks; or why it could not.
    pub seen: Option<Result<String, StageError>>,
}

/// The ingredient that tells what a stage saw outside.
pub const OUTSIDE: &str = "outside";

impl Ingredients {
    /// Leaves out what must not be part of a key.
    pub fn with_values(values: &Values) -> BTreeMap<String, Value> {
        values
            .0
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.public()?)))
            .collect()
    }

    /// Returns what flows into a port; `None` if nothing does.
    pub fn content(&self, port: &str) -> Option<ContentRef> {
        self.inputs.get(port).copied().flatten()
    }

    /// Returns the digest of what flows into a port; `None` if nothing does.
    pub fn digest(&self, port: &str) -> Option<Digest> {
        self.content(port).map(|content| content.digest)
    }

    /// Returns the action key.
    pub fn key(&self) -> Digest {
        let mut framed = FramedHasher::new(DOMAIN);
        framed.text(&self.kind).number(u64::from(self.version));
        framed
            .flag(self.seed.is_some())
            .number(self.seed.unwrap_or_default());
        framed.map(self.with.len());
        for (name, value) in &self.with {
            framed.text(name);
            value.feed(&mut framed);
        }
        framed.map(self.inputs.len());
        for (port, content) in &self.inputs {
            framed.text(port).flag(content.is_some());
            if let Some(content) = content {
                framed.flag(content.directory).digest(&content.digest);
            }
        }
        // Kinds that do not look have the keys they had before others could.
        match &self.seen {
            Some(Ok(seen)) => {
                framed.text(OUTSIDE).text(seen);
            }
            Some(Err(_)) => {
                framed.text("blind");
            }
            None => {}
        }
        framed.finish()
    }

    /// Returns the ingredients as they are recorded and explained: a name and a text each.
    pub fn listed(&self) -> Vec<Ingredient> {
        let one = |name: String, value: String| Ingredient { name, value };
        let mut list = vec![
            one("kind".to_owned(), self.kind.clone()),
            one("version".to_owned(), self.version.to_string()),
        ];
        list.extend(
            self.seed
                .map(|seed| one("seed".to_owned(), seed.to_string())),
        );
        list.extend(
            self.with
                .iter()
                .map(|(name, value)| one(format!("with.{name}"), value.to_string())),
        );
        list.extend(self.inputs.iter().map(|(port, content)| {
            let value =
                content.map_or_else(|| "nothing".to_owned(), |content| content.digest.hex());
            one(format!("input.{port}"), value)
        }));
        list.extend(self.seen.as_ref().map(|seen| match seen {
            Ok(seen) => one(OUTSIDE.to_owned(), seen.clone()),
            Err(error) => one(OUTSIDE.to_owned(), format!("cannot be seen: {error}")),
        }));
        list
    }
}
