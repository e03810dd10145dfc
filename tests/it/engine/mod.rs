//! Stories over toy kinds.

mod faults;
mod files;
mod language;
mod limits;
mod refs;
mod reuse;
