//! Stories over toy kinds.

mod faults;
mod files;
mod refs;
mod reuse;
