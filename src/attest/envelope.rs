//! DSSE envelopes (Dead Simple Signing Envelope, version 1.0.2): a payload, what it is, and signatures
//! of both together.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::attest::keys::{AttestationKey, AttestationPublicKey};

/// What the payload of a statement is called.
pub const STATEMENT: &str = "application/vnd.in-toto+json";

/// More signatures of one envelope are not looked at.
const MOST_SIGNATURES: usize = 16;

/// A payload with signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DsseEnvelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload, in base64.
    pub payload: String,
    /// The signatures.
    pub signatures: Vec<DsseSignature>,
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DsseSignature {
    /// What the key goes by; it may be left out.
    #[serde(default)]
    pub keyid: String,
    /// The signature, in base64.
    pub sig: String,
}

/// Why an envelope is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Its bytes are no base64.
    #[error("its payload is not base64")]
    Base64,
    /// It holds something else.
    #[error("it holds no in-toto statement")]
    PayloadType,
    /// No signature is of the key.
    #[error("it is not signed by this key, or was changed since")]
    Signature,
}

impl DsseEnvelope {
    /// Puts a statement into an envelope and signs it. `keyid` is what the key goes by.
    pub fn seal(payload: &[u8], key: &AttestationKey, keyid: String) -> Self {
        let signature = key.sign(&authenticated(STATEMENT, payload));
        Self {
            payload_type: STATEMENT.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![DsseSignature {
                keyid,
                sig: STANDARD.encode(signature),
            }],
        }
    }

    /// Returns the payload if a signature is of this key.
    ///
    /// # Errors
    /// None is; it is something else.
    pub fn open(&self, key: &AttestationPublicKey) -> Result<Vec<u8>, EnvelopeError> {
        if self.payload_type != STATEMENT {
            return Err(EnvelopeError::PayloadType);
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| EnvelopeError::Base64);
        let payload = decode(&self.payload)?;
        let message = authenticated(&self.payload_type, &payload);
        for signature in self.signatures.iter().take(MOST_SIGNATURES) {
            // One that cannot be read is none; another may be of the key.
            let is_of_key = decode(&signature.sig).is_ok_and(|sig| key.verifies(&message, &sig));
            if is_of_key {
                return Ok(payload);
            }
        }
        Err(EnvelopeError::Signature)
    }
}

/// What is signed: the payload with its length and type before it, so that neither can be taken for
/// the other (the pre-authentication encoding of DSSE).
fn authenticated(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_as_the_specification_writes_it() {
        assert_eq!(
            authenticated("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_changed_envelope_is_refused() {
        let key = AttestationKey::from_bytes(&[7; 32]).unwrap();
        let envelope = DsseEnvelope::seal(b"{}", &key, key.public().id());
        assert_eq!(envelope.open(&key.public()).unwrap(), b"{}");
        let mut changed = envelope.clone();
        changed.payload = STANDARD.encode(b"[]");
        assert_eq!(changed.open(&key.public()), Err(EnvelopeError::Signature));
        let mut changed = envelope.clone();
        changed.payload_type = "text/plain".to_owned();
        assert_eq!(changed.open(&key.public()), Err(EnvelopeError::PayloadType));
        let mut changed = envelope;
        changed.signatures[0].sig = "?".to_owned();
        assert_eq!(changed.open(&key.public()), Err(EnvelopeError::Signature));
    }
}
