//! What a table has to be: schema files, their rules and conditions, and what came of a check.
//!
//! [`types::Schema`] is what a schema file says,
//! [`report::ValidationReport`] what a table is by it. Where tables come
//! from and what becomes of rows that break a rule is not known here.

pub mod check;
pub mod diff;
pub mod expression;
pub mod expression_types;
pub mod json_schema;
pub mod parse;
pub mod reader;
pub mod replay;
pub mod report;
pub mod rules;
pub mod types;
