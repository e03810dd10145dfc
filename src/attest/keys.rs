//! Keys that sign statements: ECDSA on P-256 with SHA-256. Signatures are deterministic (RFC 6979): the
//! same statement and key give the same bytes.

use std::fmt;

use p256::SecretKey;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
};
use sha2::{Digest as _, Sha256};

use crate::base::digest::hex;

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no private key.
    #[error("not a private key of P-256 in PEM (PKCS#8): `netsec keys new` makes one")]
    Private,
    /// It is no public key.
    #[error(
        "not a public key of P-256 in PEM: `netsec keys new` writes it beside the private one, as NAME.pub.pem"
    )]
    Public,
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// A private key.
pub struct AttestationKey(SigningKey);

impl fmt::Debug for AttestationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttestationKey(…)")
    }
}

impl AttestationKey {
    /// Makes a key of 32 random bytes.
    ///
    /// # Errors
    /// They are no valid key, which happens about once in 2³² times.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = SecretKey::from_slice(bytes).map_err(|_| KeyError::Random)?;
        Ok(Self(SigningKey::from(secret)))
    }

    /// Reads a private key in PEM.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = SigningKey::from_pkcs8_pem(text).map_err(|_| KeyError::Private)?;
        Ok(Self(key))
    }

    /// Returns it in PEM, which nobody else may read.
    ///
    /// # Panics
    /// Never: every key can be written.
    pub fn to_pem(&self) -> String {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF);
        pem.expect("every key can be written").to_string()
    }

    /// Returns the public key.
    pub fn public(&self) -> AttestationPublicKey {
        AttestationPublicKey(*self.0.verifying_key())
    }

    /// Signs a message: a signature in DER.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttestationPublicKey(VerifyingKey);

impl AttestationPublicKey {
    /// Reads a public key in PEM.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(text).map_err(|_| KeyError::Public)?;
        Ok(Self(key))
    }

    /// Returns it in PEM.
    ///
    /// # Panics
    /// Never: every key can be written.
    pub fn to_pem(&self) -> String {
        let pem = self.0.to_public_key_pem(LineEnding::LF);
        pem.expect("every key can be written")
    }

    /// Returns what it goes by in envelopes: the SHA-256 of its PEM, in hexadecimal.
    pub fn id(&self) -> String {
        sha256_hex(self.to_pem().as_bytes())
    }

    /// Returns whether a signature in DER is that of a message by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_der(signature);
        signature.is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// The SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_verifies_what_it_signed_and_nothing_else() {
        let key = AttestationKey::from_bytes(&[7; 32]).unwrap();
        let again = AttestationKey::from_pem(&key.to_pem()).unwrap();
        let signature = key.sign(b"message");
        assert_eq!(
            signature,
            again.sign(b"message"),
            "the same bytes every time"
        );
        let public = AttestationPublicKey::from_pem(&key.public().to_pem()).unwrap();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        assert!(!public.verifies(b"message", &signature[1..]));
        let other = AttestationKey::from_bytes(&[8; 32]).unwrap().public();
        assert!(!other.verifies(b"message", &signature));
        assert_eq!(
            AttestationKey::from_bytes(&[0; 32]).unwrap_err(),
            KeyError::Random
        );
        assert!(AttestationKey::from_pem(&public.to_pem()).is_err());
        assert!(AttestationPublicKey::from_pem("x").is_err());
    }
}
