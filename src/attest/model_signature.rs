//! The OpenSSF model signature (model-signing 1.x): a Sigstore bundle over the digests of all files of
//! an exported model, so that `model_signing verify key` tells whether one was changed, added or taken
//! away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attest::envelope::{DsseEnvelope, EnvelopeError};
use crate::attest::keys::{AttestationKey, AttestationPublicKey, sha256, sha256_hex};
use crate::attest::statement::{InTotoStatement, STATEMENT_TYPE, StatementSubject};

/// The file in an exported model that holds the signature.
pub const SIGNATURE_FILE: &str = "model.sig";

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PREDICATE: &str = "https://model_signing/signature/v1.0";

/// A Sigstore bundle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigstoreBundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: DsseEnvelope,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    public_key: PublicKeyHint,
    #[serde(default)]
    tlog_entries: Vec<serde_json::Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PublicKeyHint {
    #[serde(default)]
    hint: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct SignedFiles {
    serialization: FileSerialization,
    resources: Vec<SignedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileSerialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    ignore_paths: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SignedFile {
    name: String,
    digest: String,
    algorithm: String,
}

/// What is wrong with an exported model.
#[derive(Debug, thiserror::Error)]
pub enum ModelSignatureError {
    /// The signature is no bundle.
    #[error("`{SIGNATURE_FILE}` is no model signature: {0}")]
    NoBundle(serde_json::Error),
    /// The key did not sign it.
    #[error("`{SIGNATURE_FILE}`: {0}")]
    Envelope(#[from] EnvelopeError),
    /// It signs something else, or in another form.
    #[error("`{SIGNATURE_FILE}` signs something else than the SHA-256 of files")]
    OtherForm,
    /// A file is signed twice.
    #[error("`{0}` is signed twice, with one digest or another")]
    Twice(String),
    /// A file is not what was signed.
    #[error("`{0}` was changed after the model was signed")]
    Changed(String),
    /// A file was not there.
    #[error("`{0}` was not there when the model was signed")]
    Added(String),
    /// A file is not there any more.
    #[error("`{0}` was signed and is missing")]
    Missing(String),
}

/// Signs the files of an exported model: their paths with their bytes.
///
/// # Panics
/// Never: plain data serialises.
pub fn sign_files(name: &str, files: &[(String, Vec<u8>)], key: &AttestationKey) -> Vec<u8> {
    let sorted: BTreeMap<&str, &[u8]> = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect();
    let digests: Vec<[u8; 32]> = sorted.values().map(|bytes| sha256(bytes)).collect();
    let resource = |(path, bytes): (&&str, &&[u8])| SignedFile {
        name: (*path).to_owned(),
        digest: sha256_hex(bytes),
        algorithm: "sha256".to_owned(),
    };
    let subject = StatementSubject {
        name: name.to_owned(),
        digest: [("sha256".to_owned(), sha256_hex(&digests.concat()))].into(),
    };
    let predicate = SignedFiles {
        serialization: FileSerialization {
            method: "files".to_owned(),
            hash_type: "sha256".to_owned(),
            allow_symlinks: false,
            // Where the signature itself stands.
            ignore_paths: vec![SIGNATURE_FILE.to_owned()],
        },
        resources: sorted.iter().map(resource).collect(),
    };
    let statement = InTotoStatement::of(subject, PREDICATE, predicate);
    let payload = serde_json::to_vec(&statement).expect("plain data serialises");
    let bundle = SigstoreBundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: VerificationMaterial {
            public_key: PublicKeyHint {
                hint: key.public().id(),
            },
            tlog_entries: Vec::new(),
        },
        // The specification leaves the name of the key to the hint.
        dsse_envelope: DsseEnvelope::seal(&payload, key, String::new()),
    };
    serde_json::to_vec_pretty(&bundle).expect("plain data serialises")
}

/// Checks the files of an exported model against their signature.
///
/// # Errors
/// The signature is not of the key; the first file that is not as it was signed, by name.
pub fn verify_files(
    signature: &[u8],
    files: &[(String, Vec<u8>)],
    key: &AttestationPublicKey,
) -> Result<usize, ModelSignatureError> {
    let bundle: SigstoreBundle =
        serde_json::from_slice(signature).map_err(ModelSignatureError::NoBundle)?;
    let payload = bundle.dsse_envelope.open(key)?;
    let statement: InTotoStatement<SignedFiles> =
        serde_json::from_slice(&payload).map_err(ModelSignatureError::NoBundle)?;
    let form = &statement.predicate.serialization;
    let is_known = statement.statement_type == STATEMENT_TYPE
        && statement.predicate_type == PREDICATE
        && (form.method.as_str(), form.hash_type.as_str()) == ("files", "sha256");
    if !is_known {
        return Err(ModelSignatureError::OtherForm);
    }
    let mut signed = BTreeMap::new();
    for file in statement.predicate.resources {
        if signed.insert(file.name.clone(), file.digest).is_some() {
            return Err(ModelSignatureError::Twice(file.name));
        }
    }
    let count = signed.len();
    for (path, bytes) in files {
        match signed.remove(path) {
            Some(digest) if digest == sha256_hex(bytes) => {}
            Some(_) => return Err(ModelSignatureError::Changed(path.clone())),
            None => return Err(ModelSignatureError::Added(path.clone())),
        }
    }
    match signed.into_keys().next() {
        Some(path) => Err(ModelSignatureError::Missing(path)),
        None => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_added_or_removed_is_named() {
        let key = AttestationKey::from_bytes(&[7; 32]).unwrap();
        let files = |names: &[&str]| -> Vec<(String, Vec<u8>)> {
            names
                .iter()
                .map(|name| ((*name).to_owned(), name.as_bytes().to_vec()))
                .collect()
        };
        let signature = sign_files("model", &files(&["b", "a"]), &key);
        let verify = |files: &[(String, Vec<u8>)]| verify_files(&signature, files, &key.public());
        assert_eq!(verify(&files(&["a", "b"])).unwrap(), 2);
        let told = |files: &[(String, Vec<u8>)]| verify(files).unwrap_err().to_string();
        assert!(told(&files(&["a"])).contains("`b` was signed and is missing"));
        assert!(told(&files(&["a", "b", "c"])).contains("`c` was not there"));
        let mut changed = files(&["a", "b"]);
        changed[0].1.push(0);
        assert!(told(&changed).contains("`a` was changed"));
        let other = AttestationKey::from_bytes(&[8; 32]).unwrap().public();
        assert!(verify_files(&signature, &files(&["a", "b"]), &other).is_err());
    }
}
