//! How a cell of text is read.

/// What stands for a missing cell where nothing else is said.
pub const MISSING: [&str; 7] = ["", "na", "NA", "N/A", "nan", "NaN", "null"];

/// Types of numbers that count from 1970, with the digits of the parts of a second.
pub const EPOCHS: [(&str, u32); 3] = [("epoch_s", 0), ("epoch_ms", 3), ("epoch_us", 6)];
