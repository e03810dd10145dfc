//! A run's use of a shared cache: what is believed, what is published, and when it is left alone.
//!
//! How: a record is asked for by the key of an action and used only if it is of that key and of this
//! class of machine and, where the pipeline trusts certain keys, signed by one of them. Whatever is
//! wrong with it makes it a miss; so does whatever is wrong with the cache itself, which after a few
//! failures in a row is left alone for the rest of the run. No run fails because of it.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::base::digest::Digest;
use crate::base::signing::SigningKey;
use crate::far::breaker::CircuitBreaker;
use crate::far::bring::{bring_outputs, manifest};
use crate::far::remote_cache::{RecordName, RemoteCache, RemoteError, RemoteResult, WantedBlob};
use crate::far::shared_action::SharedAction;
use crate::store::blob::Store;

/// How a run uses a shared cache.
pub struct SharingTerms {
    /// The class of machine whose results are used, and which what is published here is of.
    pub class: String,
    /// Whether results are published.
    pub publishes: bool,
    /// The public keys whose signatures count; if there are any, what none of them signed is not used.
    pub trust: Vec<String>,
    /// The key that signs what is published.
    pub key: Option<SigningKey>,
    /// Whether a question that is not answered is an error, and not a miss.
    pub required: bool,
}

/// What a shared cache has for an action.
#[derive(Debug)]
pub enum SharedLookup {
    /// Nothing.
    Nothing,
    /// A record that is not used, and why.
    Refused(String),
    /// A record that serves.
    Found(Box<FoundAction>),
    /// No answer, where there has to be one.
    Unanswered(String),
}

/// A record that serves.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundAction {
    /// What came of the action.
    pub action: SharedAction,
    /// The public key that it is signed with.
    pub signer: Option<String>,
}

/// A shared cache as a run uses it.
pub struct SharedCache {
    remote: Box<dyn RemoteCache>,
    terms: SharingTerms,
    breaker: CircuitBreaker,
    /// All failures, and why the last one was.
    unanswered: Mutex<(usize, String)>,
}

impl SharedCache {
    /// Makes it.
    pub fn new(remote: Box<dyn RemoteCache>, terms: SharingTerms) -> Self {
        Self {
            remote,
            terms,
            breaker: CircuitBreaker::default(),
            unanswered: Mutex::default(),
        }
    }

    /// Returns where it is.
    pub fn address(&self) -> &str {
        self.remote.address()
    }

    /// Returns the class of machine.
    pub fn class(&self) -> &str {
        &self.terms.class
    }

    /// Returns whether results are published.
    pub fn publishes(&self) -> bool {
        self.terms.publishes && !self.breaker.is_open()
    }

    /// Returns what is to be told since this was asked last.
    pub fn take_news(&self) -> Vec<String> {
        self.breaker.take_news()
    }

    /// Returns what is to be told when nothing more is asked.
    pub fn last_news(&self) -> Vec<String> {
        let mut news = self.take_news();
        let (count, why) = &*self
            .unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *count > 0 && !self.breaker.is_open() {
            let plural = if *count == 1 { "question" } else { "questions" };
            news.push(format!(
                "{count} {plural} to the shared cache `{}` failed, and what it might have was made here: {why}",
                self.address()
            ));
        }
        news
    }

    /// Asks for the record of an action.
    pub fn find(&self, key: &Digest) -> SharedLookup {
        if self.breaker.is_open() {
            return self.unanswered("it is left alone since it failed before");
        }
        let name = RecordName {
            class: &self.terms.class,
            key,
        };
        match self.heard(self.remote.record(name)) {
            Ok(Some(bytes)) => match self.checked(key, &bytes) {
                Ok(found) => SharedLookup::Found(Box::new(found)),
                Err(why) => SharedLookup::Refused(why),
            },
            Ok(None) => SharedLookup::Nothing,
            Err(error) => self.unanswered(&error.to_string()),
        }
    }

    /// What a question without an answer is.
    fn unanswered(&self, why: &str) -> SharedLookup {
        match self.terms.required {
            true => SharedLookup::Unanswered(format!(
                "the shared cache `{}` gives no answer, and the pipeline says `remote: {{ required: true }}`: {why}",
                self.address()
            )),
            false => SharedLookup::Nothing,
        }
    }

    fn checked(&self, key: &Digest, bytes: &[u8]) -> Result<FoundAction, String> {
        let (action, signer) = SharedAction::open(bytes)?;
        if action.key != *key {
            return Err("it is the record of another action".to_owned());
        }
        if action.class != self.terms.class {
            return Err(format!(
                "it was made on a machine of another class, `{}`",
                action.class
            ));
        }
        let is_trusted = |signer: &String| self.terms.trust.contains(signer);
        match &signer {
            _ if self.terms.trust.is_empty() => {}
            Some(signer) if is_trusted(signer) => {}
            Some(signer) => {
                return Err(format!(
                    "it is signed by {signer}, which is not among `trust`"
                ));
            }
            None => return Err("it is not signed, and the pipeline has keys in `trust`".to_owned()),
        }
        Ok(FoundAction { action, signer })
    }

    /// Brings all that an action made into a store.
    ///
    /// # Errors
    /// Something is gone or was changed, and then the record is worth nothing; the cache failed.
    pub fn bring(&self, action: &SharedAction, store: &dyn Store) -> RemoteResult<()> {
        let fetch = |blobs: &[WantedBlob], store: &dyn Store| self.remote.fetch(blobs, store);
        self.heard(bring_outputs(&action.outputs, store, &fetch, &|_| {
            Ok(false)
        }))
    }

    /// Publishes what came of an action: blobs first, then the record that speaks of them.
    ///
    /// # Errors
    /// Something that it made is not in the store; the cache failed.
    pub fn publish(&self, action: &SharedAction, store: &dyn Store) -> RemoteResult<u64> {
        let mut blobs: Vec<Digest> = Vec::new();
        for output in &action.outputs {
            blobs.push(output.digest);
            if output.directory {
                let manifest = manifest(store, &output.digest)?;
                blobs.extend(manifest.files.iter().map(|file| file.digest));
            }
        }
        blobs.sort();
        blobs.dedup();
        // What another server keeps would have to be brought first.
        if blobs.iter().any(|digest| is_away(digest, store)) {
            return Ok(0);
        }
        let name = RecordName {
            class: &self.terms.class,
            key: &action.key,
        };
        let record = action.seal(self.terms.key.as_ref());
        self.heard(self.remote.publish(name, record, &blobs, store))
    }

    /// Takes note of whether the cache answers: what is gone or wrong is an answer, too.
    fn heard<T>(&self, answer: RemoteResult<T>) -> RemoteResult<T> {
        match &answer {
            Err(RemoteError::Failed(why)) => {
                let mut unanswered = self
                    .unanswered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *unanswered = (unanswered.0 + 1, why.clone());
                drop(unanswered);
                if self.breaker.failed() {
                    self.leave_alone(why);
                }
            }
            Err(RemoteError::Denied(why)) => self.leave_alone(why),
            _ => self.breaker.succeeded(),
        }
        answer
    }

    fn leave_alone(&self, why: &str) {
        if self.breaker.open() {
            self.breaker.tell(format!(
                "the shared cache `{}` is left alone for the rest of this run, and what it might have is made here: {why}",
                self.address()
            ));
        }
    }
}

fn is_away(digest: &Digest, store: &dyn Store) -> bool {
    let list = store.chunks(digest).unwrap_or_default();
    let mut chunks = list.iter().flat_map(|list| &list.chunks);
    store.away(digest).is_some() || chunks.any(|chunk| store.away(&chunk.digest).is_some())
}
