//! What the benchmarks measure and speak with.

use std::path::Path;

use netsec::base::disk;

/// Writes a text, and the folders on its way.
pub(crate) fn write(path: &Path, text: &str) {
    disk::write_plain(path, text.as_bytes()).expect("it can be written");
}

/// The processor time of all children so far, in seconds: the kernel counts hundredths.
pub(crate) fn children_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
