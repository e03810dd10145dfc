//! Ed25519 signatures (RFC 8032): who vouches for what comes from outside.

use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::base::digest::hex;
use crate::base::disk::{self, DiskError};

/// What public keys are written with.
const PREFIX: &str = "ed25519:";

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads a private key from a file: PKCS#8 in DER, as `openssl genpkey -algorithm ed25519
    /// -outform DER` writes it.
    ///
    /// # Errors
    /// The file cannot be read, or is no such key.
    pub fn load(path: &Path) -> Result<Self, DiskError> {
        let bytes = disk::read(path)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes).map_err(|_| {
            let why = "it is not a private key: `netsec keys signing FILE` makes one";
            DiskError {
                verb: "use",
                path: path.to_owned(),
                cause: std::io::Error::other(why),
            }
        })?;
        Ok(Self(pair))
    }

    /// Makes a new key as `load` reads it: PKCS#8 in DER; nothing if the system has no random bytes.
    pub fn new_document() -> Option<Vec<u8>> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok()?;
        Some(document.as_ref().to_vec())
    }

    /// Makes one for a test.
    #[cfg(test)]
    pub(crate) fn of_seed(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed has 32 bytes"))
    }

    /// Returns the public key, as it is written under `trust`.
    pub fn public(&self) -> String {
        format!("{PREFIX}{}", hex(self.0.public_key().as_ref()))
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature {
            key: self.public(),
            signature: hex(self.0.sign(message).as_ref()),
        }
    }
}

/// A signature with the public key it was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The public key, as it is written under `trust`.
    pub key: String,
    signature: String,
}

impl Signature {
    /// Returns whether it is a signature of the message by its key.
    pub fn is_of(&self, message: &[u8]) -> bool {
        let (Some(key), Some(signature)) = (key_bytes(&self.key), bytes(&self.signature)) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, key)
            .verify(message, &signature)
            .is_ok()
    }
}

/// Returns 32 bytes that nobody can guess; none if the system has none.
pub fn random_bytes() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.is_ok().then_some(bytes)
}

/// Returns whether a text is a public key.
pub fn is_public_key(text: &str) -> bool {
    key_bytes(text).is_some()
}

fn key_bytes(text: &str) -> Option<Vec<u8>> {
    bytes(text.strip_prefix(PREFIX)?).filter(|bytes| bytes.len() == 32)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let is_plain = text.len().is_multiple_of(2)
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_plain.then(|| {
        (0..text.len() / 2)
            .map_while(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok())
            .collect()
    })
}
