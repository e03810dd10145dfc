//! A finished action as it stands in a shared cache: what came of it, and who vouches for that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::artifact::Artifact;
use crate::base::digest::Digest;
use crate::base::signing::{Signature, SigningKey};
use crate::lineage::record::{ActionRecord, InputRecord, PortMove};

/// Version of the stored form. A newer one is a miss.
const FORMAT: u32 = 1;

/// What a signature is made over begins with this, so that one of something else does not serve.
const DOMAIN: &[u8] = b"netsec 2026-12 shared action 1\n";

/// What of an action's record is shared: not where it ran for, which is each workspace's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedAction {
    /// The key of the action.
    pub key: Digest,
    /// The class of machine that it was made on.
    pub class: String,
    /// The stage's kind.
    pub kind: String,
    /// What came out.
    pub outputs: Vec<Artifact>,
    /// Pointers it asked to be moved.
    pub moves: Vec<PortMove>,
    /// Lines for people.
    pub notes: Vec<String>,
    /// Whether it turned down what it was given to judge.
    pub rejects: bool,
    /// The parts it was made of, by name.
    pub parts: BTreeMap<String, Digest>,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// The machine it ran on.
    pub host: String,
    /// The version of netsec.
    pub netsec: String,
}

/// The stored form: the action as bytes, so that what is signed is what is read.
#[derive(Serialize, Deserialize)]
struct SealedAction {
    format: u32,
    action: Vec<u8>,
    /// Of the action's bytes: what was damaged on its way is noticed without a signature, too.
    digest: Digest,
    signature: Option<Signature>,
}

impl SharedAction {
    /// Takes what is shared of a record. The parts of a stage stand among its inputs, after those that
    /// have a port.
    pub fn of(record: &ActionRecord, class: &str, ports: &[&str]) -> Self {
        let is_part = |input: &&InputRecord| !ports.contains(&input.port.as_str());
        let part = |input: &InputRecord| Some((input.port.clone(), input.digest?));
        Self {
            key: record.key,
            class: class.to_owned(),
            kind: record.kind.clone(),
            outputs: record.outputs.clone(),
            moves: record.moves.clone(),
            notes: record.notes.clone(),
            rejects: record.rejects,
            parts: record
                .inputs
                .iter()
                .filter(is_part)
                .filter_map(part)
                .collect(),
            started_ms: record.started_ms,
            seconds: record.seconds,
            host: record.host.clone(),
            netsec: record.netsec.clone(),
        }
    }

    /// Returns it as it is stored, signed if there is a key.
    pub fn seal(&self, key: Option<&SigningKey>) -> Vec<u8> {
        let action = rmp_serde::to_vec_named(self).expect("plain data serialises");
        let signature = key.map(|key| key.sign(&[DOMAIN, &action].concat()));
        let sealed = SealedAction {
            format: FORMAT,
            digest: Digest::of(&action),
            action,
            signature,
        };
        rmp_serde::to_vec_named(&sealed).expect("plain data serialises")
    }

    /// Reads the stored form; returns with it the public key of who signed it.
    ///
    /// # Errors
    /// It is something else, of a newer format, or its signature is wrong.
    pub fn open(bytes: &[u8]) -> Result<(Self, Option<String>), String> {
        let sealed: SealedAction =
            rmp_serde::from_slice(bytes).map_err(|_| "it is no record of an action".to_owned())?;
        if sealed.format != FORMAT {
            return Err("its format is a newer one: update netsec".to_owned());
        }
        if Digest::of(&sealed.action) != sealed.digest {
            return Err("it is damaged".to_owned());
        }
        let signed = [DOMAIN, &sealed.action].concat();
        if let Some(signature) = &sealed.signature
            && !signature.is_of(&signed)
        {
            return Err("its signature is not one of its bytes".to_owned());
        }
        let action = rmp_serde::from_slice(&sealed.action)
            .map_err(|error| format!("it cannot be read: {error}"))?;
        Ok((action, sealed.signature.map(|signature| signature.key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action() -> SharedAction {
        SharedAction {
            key: Digest::of(b"key"),
            class: "a".to_owned(),
            kind: "train".to_owned(),
            outputs: Vec::new(),
            moves: Vec::new(),
            notes: vec!["a note".to_owned()],
            rejects: false,
            parts: BTreeMap::new(),
            started_ms: 1,
            seconds: 2.5,
            host: "h".to_owned(),
            netsec: "0".to_owned(),
        }
    }

    #[test]
    fn a_shared_action_reads_back_and_no_changed_byte_passes() {
        let key = SigningKey::of_seed(7);
        for key in [None, Some(&key)] {
            let sealed = action().seal(key);
            let (read, signer) = SharedAction::open(&sealed).unwrap();
            assert_eq!((read, signer), (action(), key.map(SigningKey::public)));
        }
        let sealed = action().seal(Some(&key));
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            let is_another = SharedAction::open(&bad).is_ok_and(|(read, _)| read != action());
            assert!(!is_another, "byte {at}");
        }
        assert!(SharedAction::open(b"").is_err());
    }
}
