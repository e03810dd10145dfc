//! Stories over toy kinds.

mod faults;
mod files;
mod language;
mod refs;
mod reuse;
