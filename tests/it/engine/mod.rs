//! Stories over toy kinds.

mod faults;
mod files;
mod language;
mod limits;
mod memo;
mod refs;
mod reuse;
mod sharing;
mod standing;
