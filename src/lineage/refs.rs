//! Refs: named pointers that move, and the history of every one.
//!
//! A move names what the ref has to point at for it to be right, so that of two who move it at once
//! one is refused; and its evidence, an action that was recorded or a person who says why. Moves are
//! never forgotten: where a ref pointed at any time, and by whose word, can be told.

use serde::{Deserialize, Serialize};

use crate::base::artifact::ContentRef;
use crate::base::digest::Digest;
use crate::base::name::RefName;

/// A move of a ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefMove {
    /// The ref.
    pub name: RefName,
    /// What it has to point at for the move to be right.
    pub from: Option<ContentRef>,
    /// What it points at afterwards; nothing if it was archived.
    pub to: Option<ContentRef>,
    /// Why it moved.
    pub evidence: RefEvidence,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Why a ref moved. An action is stored as its key alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RefEvidence {
    /// The key of the action that asked for it.
    Action(Digest),
    /// A person decided it.
    Manual(ManualEvidence),
}

impl RefEvidence {
    /// Returns the key of the action, if one asked for it.
    pub fn action(&self) -> Option<Digest> {
        match self {
            Self::Action(key) => Some(*key),
            Self::Manual(_) => None,
        }
    }
}

/// A person's word for a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualEvidence {
    /// Who decided it.
    pub who: String,
    /// Why.
    pub why: String,
    /// The signed statement of what was promoted, if there is one: a blob of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Digest>,
}

impl ManualEvidence {
    /// Returns whether it says who and why.
    pub fn is_whole(&self) -> bool {
        !self.why.trim().is_empty() && !self.who.trim().is_empty()
    }
}

/// A ref and how it came to point where it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefState {
    /// Every move, the latest last.
    pub moves: Vec<RefMove>,
}

impl RefState {
    /// Returns what the ref points at.
    pub fn current(&self) -> Option<ContentRef> {
        self.moves.last().and_then(|last| last.to)
    }

    /// Returns the signed statements that stand in its history.
    pub fn attestations(&self) -> impl Iterator<Item = Digest> {
        let words = self.moves.iter().filter_map(|step| match &step.evidence {
            RefEvidence::Manual(word) => Some(word),
            RefEvidence::Action(_) => None,
        });
        words.filter_map(|word| word.attestation)
    }

    /// Returns what the ref pointed at then, in milliseconds since the Unix epoch.
    pub fn at(&self, at_ms: u64) -> Option<ContentRef> {
        let before = self.moves.iter().rev().find(|step| step.at_ms <= at_ms);
        before.and_then(|step| step.to)
    }

    /// Returns the word of the last person who moved the ref after this time, in milliseconds since
    /// the Unix epoch.
    pub fn moved_by_hand_since(&self, at_ms: u64) -> Option<&ManualEvidence> {
        let later = self
            .moves
            .iter()
            .rev()
            .take_while(|step| step.at_ms > at_ms);
        later
            .filter_map(|step| match &step.evidence {
                RefEvidence::Manual(word) => Some(word),
                RefEvidence::Action(_) => None,
            })
            .next()
    }

    /// Returns the content of this digest as the ref pointed at it; bytes if it never did.
    pub fn content(&self, digest: Digest) -> ContentRef {
        let targets = self.moves.iter().filter_map(|step| step.to);
        let mut known = targets.filter(|content| content.digest == digest);
        known.next().unwrap_or(ContentRef::bytes(digest))
    }

    /// Returns what a challenger is to be compared with: what the ref points at, or, if that
    /// already is the challenger, what it pointed at before.
    pub fn baseline_of(&self, challenger: Option<Digest>) -> Option<ContentRef> {
        let last = self.moves.last()?;
        let current = last.to?;
        match Some(current.digest) == challenger {
            true => last.from,
            false => Some(current),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(byte: u8, directory: bool) -> ContentRef {
        ContentRef {
            digest: Digest::of(&[byte]),
            directory,
        }
    }

    fn step(
        from: Option<ContentRef>,
        to: impl Into<Option<ContentRef>>,
        evidence: RefEvidence,
        at_ms: u64,
    ) -> RefMove {
        let name = RefName::new("champion/x").expect("a name");
        RefMove {
            name,
            from,
            to: to.into(),
            evidence,
            at_ms,
        }
    }

    #[test]
    fn a_move_by_an_action_is_stored_as_it_always_was() {
        let by_action = step(
            None,
            content(1, false),
            RefEvidence::Action(Digest::of(b"k")),
            5,
        );
        let stored = serde_json::to_value(&by_action).expect("plain data serialises");
        assert_eq!(stored["to"], Digest::of(&[1]).hex());
        assert_eq!(stored["evidence"], Digest::of(b"k").hex());
        let manual = ManualEvidence {
            who: "someone".to_owned(),
            why: "the other one fails on IPv6".to_owned(),
            attestation: None,
        };
        let by_hand = step(
            Some(content(1, false)),
            content(2, true),
            RefEvidence::Manual(manual),
            9,
        );
        for step in [by_action, by_hand] {
            let bytes = rmp_serde::to_vec_named(&step).expect("plain data serialises");
            let read: RefMove = rmp_serde::from_slice(&bytes).expect("it was just written");
            assert_eq!(read, step);
        }
    }

    #[test]
    fn a_ref_knows_where_it_pointed() {
        let by = |key: &[u8]| RefEvidence::Action(Digest::of(key));
        let state = RefState {
            moves: vec![
                step(None, content(1, false), by(b"a"), 5),
                step(Some(content(1, false)), content(2, true), by(b"b"), 9),
            ],
        };
        assert_eq!(state.at(4), None);
        assert_eq!(state.at(8), Some(content(1, false)));
        assert_eq!(state.current(), Some(content(2, true)));
        let baseline = state.baseline_of(Some(Digest::of(&[2])));
        assert_eq!(baseline, Some(content(1, false)));
        let baseline = state.baseline_of(Some(Digest::of(&[3])));
        assert_eq!(baseline, Some(content(2, true)));
        let mut archived = state.clone();
        archived
            .moves
            .push(step(state.current(), None, by(b"c"), 12));
        assert_eq!(
            (archived.current(), archived.at(11)),
            (None, state.current())
        );
        assert_eq!(archived.baseline_of(Some(Digest::of(&[2]))), None);
    }
}
