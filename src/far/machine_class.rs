//! The class of this machine: machines of one class give the same bytes for the same action.
//!
//! How: instead of guessing from the processor and the system's library, what the arithmetic gives for
//! some thousand questions is hashed.

use crate::base::digest::StreamHasher;

/// Returns the class of a machine whose arithmetic gives this, such as `x86_64-linux-1f0a33c2b7d1e8a4`.
pub fn machine_class(arithmetic: &[f64]) -> String {
    let mut hasher = StreamHasher::default();
    for value in arithmetic {
        hasher.update(&value.to_bits().to_le_bytes());
    }
    let digest = hasher.finish();
    let (arch, system) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("{arch}-{system}-{}", &digest.hex()[..16])
}
