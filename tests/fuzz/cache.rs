//! Any bytes as a file of the cache: the first byte chooses which.

#![no_main]

use libfuzzer_sys::fuzz_target;
use netsec::event::Event;
use netsec::lineage::journal;
use netsec::store::manifest::Manifest;
use netsec::store::packed;

/// How long a compressed blob says it is, in bytes.
const LENGTH: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 4 {
        0 => {
            if let Ok(manifest) = Manifest::decode(bytes) {
                let manifest = Manifest::new(manifest.files);
                assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Ok(&manifest));
            }
        }
        1 => {
            if let Ok(entries) = journal::decode(bytes) {
                assert_eq!(journal::decode(&journal::encode(&entries)).as_ref(), Ok(&entries));
            }
        }
        2 => drop(serde_json::from_slice::<Event>(bytes)),
        _ => {
            let blob = [b"NSBLOBZ1".as_slice(), &LENGTH.to_le_bytes(), bytes].concat();
            let size = blob.len() as u64;
            assert!(packed::content(blob.as_slice(), size).map_or(0, |content| content.len() as u64) <= LENGTH);
        }
    }
});
