//! The tables of a ledger: which pairs there are, and how keys and values are written.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::digest::Digest;
use crate::base::name::StageId;
use crate::lineage::error::{DatabaseError, LedgerError};
use crate::lineage::key_value::KeyValue;
use crate::lineage::record::{ActionRecord, FORMAT, RunRecord, StageRun};
use crate::lineage::refs::RefState;
use crate::lineage::tail::JournalLink;

// What the first byte of a pair's key means.
pub(crate) const ACTION: u8 = b'a';
pub(crate) const MADE: u8 = b'm';
pub(crate) const USED: u8 = b'u';
pub(crate) const RUN: u8 = b'r';
pub(crate) const STAGES: u8 = b's';
pub(crate) const LATEST: u8 = b'l';
pub(crate) const REF: u8 = b'f';
pub(crate) const SWEPT: u8 = b'x';
pub(crate) const TOMBSTONE: u8 = b't';
/// What two ledgers of the same records agree in.
pub(crate) const TABLES: [u8; 8] = [ACTION, MADE, USED, RUN, STAGES, REF, SWEPT, TOMBSTONE];
pub(crate) const META: &[u8] = b"v";
pub(crate) const MARK: &[u8] = b"w";

/// Writes down in a database that it is a ledger's, for good.
///
/// # Errors
/// The database failed.
pub(crate) fn claim(pairs: &dyn KeyValue) -> Result<(), DatabaseError> {
    pairs.write(vec![(META.to_vec(), Some(encode(&FORMAT)))])?;
    pairs.flush()
}

/// Returns how far a database by itself follows the journals.
///
/// # Errors
/// The database failed or the mark cannot be read.
pub(crate) fn mark_of(pairs: &dyn KeyValue) -> Result<Option<JournalLink>, LedgerError> {
    pairs.get(MARK)?.map(|bytes| decode(&bytes)).transpose()
}

/// Returns a value of a table as this version writes it: an older one may have left out fields that
/// came later. What cannot be read stays as it is.
pub(crate) fn as_written_now(table: u8, value: &[u8]) -> Vec<u8> {
    fn again<T: Serialize + DeserializeOwned>(value: &[u8]) -> Option<Vec<u8>> {
        decode::<T>(value).ok().map(|read| encode(&read))
    }
    let written = match table {
        ACTION => again::<ActionRecord>(value),
        RUN => again::<RunRecord>(value),
        STAGES => again::<Vec<StageRun>>(value),
        REF => again::<RefState>(value),
        _ => None,
    };
    written.unwrap_or_else(|| value.to_vec())
}

/// Returns the key of a pair: its table, and what follows.
pub(crate) fn join(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![table];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// Returns the key of the pair that tells what last served a stage.
pub(crate) fn latest(pipeline: &str, stage: &StageId) -> Vec<u8> {
    join(
        LATEST,
        &[pipeline.as_bytes(), b"\0", stage.as_str().as_bytes()],
    )
}

/// Reads a digest.
pub(crate) fn digest(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest::from_bytes)
}

/// Writes a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("plain data serialises")
}

/// Reads a value.
///
/// # Errors
/// It is none of this type.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LedgerError> {
    rmp_serde::from_slice(bytes).map_err(|error| LedgerError::Unreadable(error.to_string()))
}
