//! Where a model stands that answers: it is swapped whole, while requests go on with the one they
//! began with.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::base::digest::Digest;
use crate::serve::served_model::ServedModel;

/// Says what a model is now and brings its bytes.
pub trait ModelSource: Send + Sync {
    /// Returns the digest of the model that is to answer now.
    ///
    /// # Errors
    /// It is not known, in words for the operator.
    fn current(&self) -> Result<Digest, String>;

    /// Returns the bytes of a model.
    ///
    /// # Errors
    /// They are not there, damaged, or not signed as they should be, in words for the operator.
    fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, String>;
}

/// What came of a look at a model's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is the one that answers already.
    Same,
    /// Another one answers now: its digest.
    Swapped(Digest),
    /// The one that answers was kept, because of this.
    Kept(String),
}

/// A name under which a model answers.
pub struct ModelSlot {
    /// The name.
    pub name: String,
    /// What was named on the command line.
    pub target: String,
    /// A challenger that answers beside, unseen.
    pub shadow: Option<Arc<ModelSlot>>,
    /// A challenger that answers a share of requests.
    pub canary: Option<CanaryRule>,
    source: Box<dyn ModelSource>,
    current: ArcSwap<ServedModel>,
    /// Why the last look left everything as it was, so that it is told once.
    kept: Mutex<Option<KeptReason>>,
}

/// A challenger that answers a share of requests.
pub struct CanaryRule {
    /// The challenger.
    pub slot: Arc<ModelSlot>,
    /// The share, from 0 to 1.
    pub share: f64,
}

/// Why a model was kept.
struct KeptReason {
    /// The model that was refused, if it came so far.
    refused: Option<Digest>,
    why: String,
}

/// Who asks for a look at a model's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadBy {
    /// The server itself, again and again: what was refused is not tried again, nor told again.
    Watch,
    /// A person.
    Request,
}

impl ModelSlot {
    /// Loads the model that is to answer.
    ///
    /// # Errors
    /// It cannot be served.
    pub fn open(
        name: String,
        target: String,
        source: Box<dyn ModelSource>,
        now_ms: u64,
    ) -> Result<Self, String> {
        let digest = source.current()?;
        let model = ServedModel::load(digest, &source.bytes(&digest)?, now_ms)?;
        Ok(Self {
            name,
            target,
            shadow: None,
            canary: None,
            source,
            current: ArcSwap::from_pointee(model),
            kept: Mutex::new(None),
        })
    }

    /// Returns the model that answers.
    pub fn current(&self) -> Arc<ServedModel> {
        self.current.load_full()
    }

    /// Returns the model that answers whoever has this key: the same for the same key, for as long as
    /// neither moves.
    pub fn model_for(&self, key: &str) -> Arc<ServedModel> {
        match &self.canary {
            Some(canary) if share_of(&self.name, key) < canary.share => canary.slot.current(),
            _ => self.current(),
        }
    }

    /// Returns the model of a digest that begins so, if it answers here now.
    pub fn of_version(&self, version: &str) -> Option<Arc<ServedModel>> {
        let canary = self.canary.as_ref().map(|canary| canary.slot.current());
        let mut models = [Some(self.current()), canary].into_iter().flatten();
        models.find(|model| model.is_version(version))
    }

    /// Returns this and what stands beside it.
    pub fn with_beside(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        let canary = self.canary.as_ref().map(|canary| &canary.slot);
        [Some(self), self.shadow.as_ref(), canary]
            .into_iter()
            .flatten()
    }

    /// Looks whether another model is to answer, and lets it.
    pub fn reload(&self, by: ReloadBy, now_ms: u64) -> Reload {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.take().filter(|_| by == ReloadBy::Watch);
        let reason = match self.source.current() {
            Err(why) => KeptReason { refused: None, why },
            Ok(digest) if digest == self.current.load().digest => return Reload::Same,
            Ok(digest) if before.as_ref().and_then(|kept| kept.refused) == Some(digest) => {
                *kept = before;
                return Reload::Same;
            }
            Ok(digest) => match self.source.bytes(&digest) {
                // What is not there now may be there later: it is looked for again.
                Err(why) => KeptReason { refused: None, why },
                Ok(bytes) => match ServedModel::load(digest, &bytes, now_ms) {
                    Ok(model) => {
                        self.current.store(Arc::new(model));
                        return Reload::Swapped(digest);
                    }
                    Err(why) => KeptReason {
                        refused: Some(digest),
                        why,
                    },
                },
            },
        };
        let is_told = before.is_some_and(|before| before.why == reason.why);
        let why = reason.why.clone();
        *kept = Some(reason);
        match is_told {
            true => Reload::Same,
            false => Reload::Kept(why),
        }
    }
}

/// Returns where a key stands between 0 and 1; keys stand evenly, elsewhere for each name.
fn share_of(name: &str, key: &str) -> f64 {
    let digest = Digest::of_parts(&[name.as_bytes(), key.as_bytes()]);
    // 53 bits are as many as a number has.
    (digest.head() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_keys_is_that_share() {
        let below = |share: f64| {
            let keys = (0..20_000).map(|key| key.to_string());
            keys.filter(|key| share_of("m", key) < share).count() as f64 / 20_000.0
        };
        assert_eq!((below(0.0), below(1.0)), (0.0, 1.0));
        for share in [0.05, 0.5] {
            assert!((below(share) - share).abs() < 0.015, "{share}");
        }
    }
}
