//! Floor 0: the words every floor speaks. Imports nothing of ours.

pub mod artifact;
pub mod cancel;
pub mod clock;
pub mod count;
pub mod digest;
pub mod directory;
pub mod disk;
pub mod hashing;
pub mod host;
pub mod name;
pub mod nearest;
pub mod outcome;
pub mod problem;
pub mod processes;
pub mod secret;
pub mod signing;
pub mod source;
pub mod stored;
pub mod syntax;
