//! How many threads compute.

/// Computes with so many threads instead of one a core; called before anything is computed.
pub(crate) fn use_threads(threads: Option<u16>) {
    if let Some(threads) = threads {
        // Fails only if the pool is there already, which it is not.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global();
    }
}
