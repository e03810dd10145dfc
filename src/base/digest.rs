//! Digest (32 bytes, hex, short form, strict parse) and the framed hasher that makes them.

use std::{fmt, io};

use serde::de::{Error as DeError, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The BLAKE3 digest of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Returns the digest of all that a reader gives.
    ///
    /// # Errors
    /// Reading failed.
    pub fn of_reader(reader: impl io::Read) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(Self(*hasher.finalize().as_bytes()))
    }

    /// Returns the digest whose 32 bytes these are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hashes pieces of bytes as if they stood in one.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// Returns its first eight bytes as a number.
    pub fn head(&self) -> u64 {
        u64::from_le_bytes(
            self.as_bytes()[..8]
                .try_into()
                .expect("a digest has 32 bytes"),
        )
    }

    /// Returns the 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// Returns the first twelve hexadecimal digits: enough for people, never used to look things
    /// up.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// Reads 64 lower-case hexadecimal digits and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let pairs: &[[u8; 2]; 32] = pairs.try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

/// Hashes bytes as they come.
#[derive(Default)]
pub struct StreamHasher(blake3::Hasher);

impl StreamHasher {
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all that came.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DigestVisitor)
    }
}

/// Reads a digest without a copy of its text: records hold many.
struct DigestVisitor;

impl Visitor<'_> for DigestVisitor {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 lower-case hexadecimal digits")
    }

    fn visit_str<E: DeError>(self, text: &str) -> Result<Digest, E> {
        Digest::parse(text).ok_or_else(|| E::custom("a digest is 64 lower-case hexadecimal digits"))
    }
}

/// Hashes a sequence of typed fields so that no two different sequences feed the same bytes.
///
/// Each field is a tag byte, then its length or its fixed width, then its bytes; numbers are
/// little-endian. The domain separates this use of BLAKE3 from every other (`derive_key` mode,
/// BLAKE3 paper, section 2.3).
pub struct FramedHasher(blake3::Hasher);

impl FramedHasher {
    /// Starts a hash in `domain`.
    pub fn new(domain: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(domain))
    }

    /// Adds a piece of text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.sized(b't', text.as_bytes())
    }

    /// Adds a whole number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(b"n").update(&number.to_le_bytes());
        self
    }

    /// Adds a signed whole number.
    pub fn signed(&mut self, number: i64) -> &mut Self {
        self.0.update(b"i").update(&number.to_le_bytes());
        self
    }

    /// Adds a float by its bits; `-0.0` is taken as `0.0` and every NaN as the same one.
    pub fn float(&mut self, float: f64) -> &mut Self {
        let one = if float == 0.0 { 0.0 } else { float };
        let one = if one.is_nan() { f64::NAN } else { one };
        self.0.update(b"f").update(&one.to_bits().to_le_bytes());
        self
    }

    /// Adds a truth value.
    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.update(&[b'b', u8::from(flag)]);
        self
    }

    /// Adds a digest.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.0.update(b"d").update(digest.as_bytes());
        self
    }

    /// Opens a list of `length` fields that follow.
    pub fn list(&mut self, length: usize) -> &mut Self {
        self.0.update(b"l").update(&(length as u64).to_le_bytes());
        self
    }

    /// Opens a map of `length` pairs that follow, a text and a field each, in the order of the
    /// texts.
    pub fn map(&mut self, length: usize) -> &mut Self {
        self.0.update(b"m").update(&(length as u64).to_le_bytes());
        self
    }

    /// Returns the digest of all that was added.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    fn sized(&mut self, tag: u8, bytes: &[u8]) -> &mut Self {
        self.0
            .update(&[tag])
            .update(&(bytes.len() as u64).to_le_bytes())
            .update(bytes);
        self
    }
}

/// Returns bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_strictly() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.hex(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
        assert_eq!(Digest::parse(&digest.hex()), Some(digest));
        assert_eq!(Digest::parse(&digest.hex().to_uppercase()), None);
        assert_eq!(Digest::parse(&digest.hex()[1..]), None);
    }

    #[test]
    fn moving_a_character_between_fields_changes_the_digest() {
        let hash = |fields: &[&str]| {
            let mut framed = FramedHasher::new("test");
            fields.iter().for_each(|field| {
                framed.text(field);
            });
            framed.finish()
        };
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["ab"]), hash(&["a", "b"]));
    }
}
