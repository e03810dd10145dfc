//! Pairs of bytes in order: what a ledger needs of a database, and the pairs in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::lineage::error::DatabaseError;

/// A change of one pair: the new value, or none to remove it.
pub type KeyValueChange = (Vec<u8>, Option<Vec<u8>>);

/// A key and its value.
pub type KeyValuePair = (Vec<u8>, Vec<u8>);

/// Pairs that are read one after the other.
pub type KeyValueRange<'a> =
    Box<dyn Iterator<Item = Result<KeyValuePair, DatabaseError>> + Send + 'a>;

/// A map from bytes to bytes.
pub trait KeyValue: Send + Sync {
    /// Returns a value.
    ///
    /// # Errors
    /// What the database says.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError>;

    /// Returns every pair whose key begins with `prefix`, in order, one after the other.
    fn range<'a>(&'a self, prefix: &[u8]) -> KeyValueRange<'a>;

    /// Returns every pair whose key begins with `prefix`, in order.
    ///
    /// # Errors
    /// What the database says.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<KeyValuePair>, DatabaseError> {
        self.range(prefix).collect()
    }

    /// Returns the pairs that came after those that were written out for good, in order: all, where
    /// nothing is.
    ///
    /// # Errors
    /// What the database says.
    fn recent(&self) -> Result<Vec<KeyValuePair>, DatabaseError> {
        self.scan(&[])
    }

    /// Makes all changes or none.
    ///
    /// # Errors
    /// What the database says.
    fn write(&self, changes: Vec<KeyValueChange>) -> Result<(), DatabaseError>;

    /// Makes all that was written last.
    ///
    /// # Errors
    /// What the database says.
    fn flush(&self) -> Result<(), DatabaseError>;
}

/// Pairs in memory.
#[derive(Debug, Default)]
pub struct MemoryKeyValue(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl KeyValue for MemoryKeyValue {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned())
    }

    fn range<'a>(&'a self, prefix: &[u8]) -> KeyValueRange<'a> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = map
            .range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix));
        let found: Vec<KeyValuePair> = from
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Box::new(found.into_iter().map(Ok))
    }

    fn write(&self, changes: Vec<KeyValueChange>) -> Result<(), DatabaseError> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DatabaseError> {
        Ok(())
    }
}
