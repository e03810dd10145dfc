//! Is this data fit for use.

pub mod drift;
pub mod ks;
pub mod schema;
