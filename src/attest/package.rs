//! A model as one file: its bytes, its card, and a statement of what it was made of, in an envelope that
//! may be signed. What is read is checked, not believed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::attest::envelope::{DsseEnvelope, EnvelopeError, STATEMENT};
use crate::attest::keys::{AttestationKey, AttestationPublicKey};
use crate::attest::provenance::{ProvenanceStatement, card_subject, subject};
use crate::base::stored::{StoredDocument, StoredDocumentError};

/// What files of packages end with.
pub const EXTENSION: &str = "netsec-model";

/// A model as one file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "a model package")]
pub struct ModelPackage {
    /// The version of this form.
    pub format: u32,
    /// What the model is called.
    pub name: String,
    /// The model's bytes, in base64.
    model: String,
    /// Its card, in Markdown.
    pub card: String,
    /// What it was made of.
    pub provenance: DsseEnvelope,
}

impl StoredDocument for ModelPackage {
    const NAME: &'static str = "a model package";
    const FORMAT: u32 = 1;
}

/// A package that was opened: all of it agrees.
#[derive(Debug)]
pub struct OpenedPackage {
    /// What the model is called.
    pub name: String,
    /// The model's bytes.
    pub model: Vec<u8>,
    /// What it was made of.
    pub provenance: ProvenanceStatement,
    /// What the key that signed it goes by; none if no key was asked for.
    pub signer: Option<String>,
}

/// Why a package is refused.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It is something else, or of another format.
    #[error(transparent)]
    Document(#[from] StoredDocumentError),
    /// Its statement is not signed by the key.
    #[error("the statement of what the model was made of: {0}")]
    Envelope(#[from] EnvelopeError),
    /// Its statement cannot be read.
    #[error("the statement of what the model was made of cannot be read: {0}")]
    Statement(serde_json::Error),
    /// Its model is no base64.
    #[error("its model is not base64: it was changed, or not written whole")]
    Model,
    /// Its name would be obeyed by terminals.
    #[error("its name holds control characters")]
    Name,
    /// What it states is something else.
    #[error("its statement does not say what a model was made of")]
    OtherStatement,
    /// Its statement is about something else.
    #[error(
        "the model is not the one that its statement speaks of: one of the two was changed or exchanged"
    )]
    OtherModel,
    /// Its card is not the one that was packed.
    #[error("the card is not the one that its statement speaks of: it was changed since")]
    OtherCard,
}

impl ModelPackage {
    /// Packs a model; without a key its statement is not signed.
    ///
    /// # Panics
    /// Never: plain data serialises.
    pub fn pack(
        name: &str,
        model: &[u8],
        card: String,
        provenance: &ProvenanceStatement,
        key: Option<&AttestationKey>,
    ) -> Self {
        let payload = serde_json::to_vec(provenance).expect("plain data serialises");
        let envelope = match key {
            Some(key) => DsseEnvelope::seal(&payload, key, key.public().id()),
            None => DsseEnvelope {
                payload_type: STATEMENT.to_owned(),
                payload: STANDARD.encode(&payload),
                signatures: Vec::new(),
            },
        };
        Self {
            format: Self::FORMAT,
            name: name.to_owned(),
            model: STANDARD.encode(model),
            card,
            provenance: envelope,
        }
    }

    /// Reads a package and checks that its statement is about the model in it and, with a key, signed by
    /// it.
    ///
    /// # Errors
    /// It is something else, or does not agree.
    pub fn unpack(
        bytes: &[u8],
        key: Option<&AttestationPublicKey>,
    ) -> Result<OpenedPackage, PackageError> {
        let package = Self::decode(bytes)?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| EnvelopeError::Base64);
        let payload = match key {
            Some(key) => package.provenance.open(key)?,
            None if package.provenance.payload_type != STATEMENT => {
                return Err(EnvelopeError::PayloadType.into());
            }
            None => decode(&package.provenance.payload)?,
        };
        let provenance: ProvenanceStatement =
            serde_json::from_slice(&payload).map_err(PackageError::Statement)?;
        let model = STANDARD
            .decode(&package.model)
            .map_err(|_| PackageError::Model)?;
        let is_told = provenance.subject == [subject(&package.name, &model)];
        if package.name.contains(char::is_control) {
            return Err(PackageError::Name);
        }
        if !provenance.is_provenance() {
            return Err(PackageError::OtherStatement);
        }
        if !is_told {
            return Err(PackageError::OtherModel);
        }
        if provenance.predicate.run_details.byproducts != [card_subject(&package.card)] {
            return Err(PackageError::OtherCard);
        }
        Ok(OpenedPackage {
            name: package.name,
            model,
            provenance,
            signer: key.map(AttestationPublicKey::id),
        })
    }
}
