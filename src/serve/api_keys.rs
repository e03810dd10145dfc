//! API keys: random, kept as digests, compared in constant time.
//!
//! A key has 256 random bits, so a fast hash is enough: there is nothing to guess (passwords need a
//! slow one). All keys are compared, whichever fits.

use std::path::Path;

use serde::{Deserialize, Serialize};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::base::digest::{Digest, hex};
use crate::base::disk;
use crate::base::signing::random_bytes;

/// Version of the file. A newer one is refused.
const FORMAT: u32 = 1;

/// What keys begin with, so that one that was let slip is found.
const PREFIX: &str = "netsec_";

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// What it is called in logs and metrics.
    pub name: String,
    /// The BLAKE3 digest of the key.
    pub blake3: Digest,
    /// When it ends, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// The models that it may ask; all of them if it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Whether it may also read metrics and reload models.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
}

/// A file of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyFile {
    format: u32,
    /// The keys.
    pub keys: Vec<ApiKey>,
}

impl Default for ApiKeyFile {
    fn default() -> Self {
        Self {
            format: FORMAT,
            keys: Vec::new(),
        }
    }
}

impl ApiKeyFile {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// It cannot be read, or is none, in words.
    pub fn load(path: &Path) -> Result<Self, String> {
        let bytes = disk::read(path).map_err(|error| error.to_string())?;
        let odd = |why: String| format!("`{}` is not a file of API keys: {why}", path.display());
        let file: Self = serde_json::from_slice(&bytes).map_err(|error| odd(error.to_string()))?;
        if file.format != FORMAT {
            return Err(odd(format!(
                "it has the format {}, this netsec reads {FORMAT}",
                file.format
            )));
        }
        Ok(file)
    }

    /// Returns the file as it is written.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data serialises");
        bytes.push(b'\n');
        bytes
    }

    /// Returns which of the keys this is; none of those that have ended.
    pub fn find(&self, given: &str, now_ms: u64) -> Option<&ApiKey> {
        let digest = Digest::of(given.as_bytes());
        let mut found = u32::MAX;
        for (at, key) in (0..).zip(&self.keys) {
            let fits: Choice = key.blake3.as_bytes().ct_eq(digest.as_bytes());
            found.conditional_assign(&at, fits);
        }
        let key = self.keys.get(found as usize)?;
        let is_over = key.expires_ms.is_some_and(|end| now_ms >= end);
        (!is_over).then_some(key)
    }
}

impl ApiKey {
    /// Makes a key; returns it as it is given to whoever uses it, and what is kept.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate(name: &str) -> Result<(String, Self), String> {
        let none = || "the system gives no random numbers".to_owned();
        let random = random_bytes().ok_or_else(none)?;
        let secret = format!("{PREFIX}{}", hex(&random));
        let key = Self {
            name: name.to_owned(),
            blake3: Digest::of(secret.as_bytes()),
            expires_ms: None,
            models: Vec::new(),
            admin: false,
        };
        Ok((secret, key))
    }

    /// Returns whether it may ask a model.
    pub fn may_ask(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|name| name == model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_itself_alone_until_it_ends() {
        let mut file = ApiKeyFile::default();
        let (first, kept) = ApiKey::generate("first").unwrap();
        file.keys.push(kept);
        let (second, mut kept) = ApiKey::generate("second").unwrap();
        kept.expires_ms = Some(1_000);
        kept.models = vec!["phishing".to_owned()];
        file.keys.push(kept);
        assert_ne!(first, second);
        assert_eq!(file.find(&first, 5_000).unwrap().name, "first");
        assert_eq!(file.find(&second, 999).unwrap().name, "second");
        assert_eq!(file.find(&second, 1_000), None);
        assert_eq!(file.find("", 0), None);
        assert_eq!(file.find(&first[..first.len() - 1], 0), None);
        let text = String::from_utf8(file.encode()).unwrap();
        assert!(!text.contains(&first), "the key itself is not kept");
        assert!(file.keys[1].may_ask("phishing") && !file.keys[1].may_ask("other"));
    }
}
