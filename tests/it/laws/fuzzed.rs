//! A short run of each of the fuzzer's readers: changes of good files, the same ones every time.

#[path = "../../fuzz/readers.rs"]
mod readers;

/// How many changed files each reader is given.
const TRIES: u64 = 6000;

/// Changes that a number decides: bytes flipped, set to odd values, cut out, doubled, moved to the
/// end.
fn changed(good: &[u8], seed: u64) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below.max(1)
    };
    for _ in 0..=next(4) {
        let at = next(bytes.len());
        let end = (at + 1 + next(12)).min(bytes.len());
        match next(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << next(8),
            1 if at < bytes.len() => {
                bytes[at] = [0, 0x7f, 0x80, 0xff, b'"', b'\n', b'{', b'('][next(8)]
            }
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn every_reader_takes_or_refuses_changes_of_good_files() {
    for (name, good, read) in readers::READERS {
        let tries = if matches!(name, "archive") {
            TRIES / 20
        } else {
            TRIES
        };
        for seed in 0..tries {
            let bytes = changed(good, seed);
            let taken = std::panic::catch_unwind(|| read(&bytes));
            assert!(
                taken.is_ok(),
                "{name}, change {seed}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}
