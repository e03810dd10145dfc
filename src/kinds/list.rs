//! The registry of all kinds: one line a kind.

use crate::kinds::{
    command, drift, evaluate, image, ingest, split, train, transform, validate, window,
};
use crate::stage::registry::Registry;

/// Returns every kind, in the order in which they are shown.
pub fn registry() -> Registry {
    Registry::new(vec![
        ingest::kind::KIND,
        validate::kind::KIND,
        window::kind::KIND,
        split::kind::KIND,
        drift::KIND,
        transform::kind::KIND,
        train::kind::KIND,
        evaluate::kind::KIND,
        image::KIND,
        command::kind::KIND,
    ])
}
