//! Is this data fit for use.

pub mod distinct;
pub mod domain_classifier;
pub mod drift;
pub mod drift_page;
pub mod expression;
pub mod expression_types;
pub mod giveaway;
pub mod infer;
pub mod labels;
pub mod leakage;
pub mod nature;
pub mod profile;
pub mod report;
pub mod rules;
pub mod schema;
pub mod schema_diff;
pub mod schema_json;
pub mod schema_reader;
pub mod schema_types;
pub mod separation;
pub mod units;
