//! Which keys are surely not in a pack: a Bloom filter (Bloom, 1970) over the first bytes of its keys.
//!
//! The first 33 bytes of a key are a table and a digest: what is looked for begins with as many, be it
//! a record or all that has to do with an artifact.

/// So many bytes of a key count.
const COUNTED: usize = 33;
/// Bits a key: with seven probes, one key in a hundred that is not there is taken for one that may be.
const BITS: usize = 10;
const PROBES: u64 = 7;

/// The filter of a pack.
pub(crate) struct KeyFilter {
    bits: Vec<u8>,
}

impl KeyFilter {
    /// An empty filter that has room for so many keys.
    pub(crate) fn for_keys(count: usize) -> Self {
        Self {
            bits: vec![0; count * BITS / 8 + 8],
        }
    }

    /// The filter that was kept as these bytes.
    pub(crate) fn of_bytes(bits: Vec<u8>) -> Self {
        Self { bits }
    }

    /// Returns its bytes.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bits
    }

    /// Adds a key.
    pub(crate) fn add(&mut self, key: &[u8]) {
        let count = self.bits.len() as u64 * 8;
        for bit in places(key, count) {
            self.bits[(bit / 8) as usize] |= 1 << (bit % 8);
        }
    }

    /// Returns whether a key may be there.
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        let count = self.bits.len() as u64 * 8;
        let is_set = |bit: u64| self.bits[(bit / 8) as usize] & 1 << (bit % 8) != 0;
        count == 0 || places(key, count).all(is_set)
    }

    /// Returns whether a key that begins so may be there. Of a prefix that is shorter than what counts
    /// it cannot be told.
    pub(crate) fn may_have_prefix(&self, prefix: &[u8]) -> bool {
        prefix.len() < COUNTED || self.may_have(prefix)
    }
}

/// The places of a key's bits: two hashes, and sums of them (Kirsch and Mitzenmacher, 2006).
fn places(key: &[u8], count: u64) -> impl Iterator<Item = u64> {
    let one = hash(&key[..key.len().min(COUNTED)]);
    let other = one.rotate_left(32) | 1;
    (0..PROBES).map(move |probe| one.wrapping_add(probe.wrapping_mul(other)) % count)
}

/// FNV-1a, finished as in splitmix64.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ (hash >> 27)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_were_added_are_never_missed_and_few_others_are_taken_for_them() {
        let key = |number: u32| [b"a".as_slice(), &number.to_le_bytes().repeat(9)].concat();
        let mut filter = KeyFilter::for_keys(1000);
        (0..1000).for_each(|number| filter.add(&key(number)));
        let filter = KeyFilter::of_bytes(filter.into_bytes());
        assert!((0..1000).all(|number| filter.may_have(&key(number))));
        assert!(filter.may_have_prefix(&key(7)[..COUNTED]) && filter.may_have_prefix(b"x"));
        let wrong = (1000..11_000).filter(|number| filter.may_have(&key(*number)));
        assert!(wrong.count() < 250, "about one in a hundred");
    }
}
