//! Any bytes as a file from outside: the first byte chooses which.

#![no_main]

mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let (_, _, read) = readers::READERS[usize::from(*which) % readers::READERS.len()];
    read(bytes);
});
