//! The registry of all kinds: one line a kind.

use crate::kinds::{command, drift, evaluate, ingest, split, train, transform, validate};
use crate::stage::registry::Registry;

/// Returns every kind, in the order in which they are shown.
pub fn registry() -> Registry {
    Registry::new(vec![
        ingest::KIND,
        validate::KIND,
        split::KIND,
        drift::KIND,
        transform::KIND,
        train::KIND,
        evaluate::KIND,
        command::KIND,
    ])
}
