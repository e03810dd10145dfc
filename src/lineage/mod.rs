//! What made what.

pub mod audit;
pub mod error;
pub mod journal;
pub mod ledger;
pub mod pairs;
pub mod query;
pub mod record;
pub mod sled;
pub mod tail;
