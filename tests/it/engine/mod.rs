//! Stories over toy kinds.

mod away;
mod faults;
mod files;
mod language;
mod large;
mod left;
mod limits;
mod memo;
mod refs;
mod reuse;
mod sharing;
mod standing;
