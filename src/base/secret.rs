//! Secret: a value that cannot be printed, serialised or hashed.

use std::fmt;

/// Text that may be used but not shown. Its `Debug` form is a mark; it has no `Display`,
/// `Serialize` or `Hash`.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// Secrets that are parts of this one.
    parts: Vec<Secret>,
}

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: String) -> Self {
        Self {
            text,
            parts: Vec::new(),
        }
    }

    /// Wraps a secret text that was put together with other secrets.
    pub fn composed(text: String, parts: Vec<Secret>) -> Self {
        Self { text, parts }
    }

    /// Returns this secret and those that are parts of it.
    pub fn all(&self) -> Vec<&Secret> {
        std::iter::once(self).chain(&self.parts).collect()
    }

    /// Returns whether the secret stands in `bytes`.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let needle = self.text.as_bytes();
        !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
    }

    /// Returns the text itself: for handing it to whom it is meant for, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Replaces each occurrence of the secret in `bytes` by `***`.
    pub fn scrub(&self, bytes: &[u8]) -> Vec<u8> {
        let needle = self.text.as_bytes();
        if needle.is_empty() {
            return bytes.to_vec();
        }
        let mut clean = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            if rest.starts_with(needle) {
                clean.extend_from_slice(b"***");
                rest = &rest[needle.len()..];
            } else {
                clean.push(rest[0]);
                rest = &rest[1..];
            }
        }
        clean
    }
}

/// What is not needed any more is wiped, so that it is not to be found in memory that was given
/// back.
impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.fill(0);
        // Seen by nobody, but the compiler cannot know.
        std::hint::black_box(&bytes);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_as_a_mark() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(
            secret.scrub(b"user hunter2, again hunter2"),
            b"user ***, again ***"
        );
    }
}
