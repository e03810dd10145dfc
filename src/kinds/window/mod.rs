//! `window`: features of a row over those that came before it.

pub mod kind;
pub mod work;
