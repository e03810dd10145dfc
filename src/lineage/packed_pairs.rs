//! Packs of pairs, the oldest first, and above them the pairs that came since, in a database that
//! stays small.
//!
//! How: what is written goes to the database. When that has grown it is written out as a pack, together
//! with the latest packs as long as they are not many times larger, and is emptied: so that there are few
//! packs, each pair is written few times, and whoever only reads needs the packs and the end of the
//! journals. Which packs count is told by a list.
//!
//! The invariant: a pair is in the database or in a pack of the list, and of several the latest holds. The
//! list is written when the pack has lasted, and the database is emptied after that.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::lineage::error::{DatabaseError, LedgerError};
use crate::lineage::key_value::{KeyValue, KeyValueChange, KeyValuePair, KeyValueRange};
use crate::lineage::record_pack::{self, RecordPack};

/// The folder of packs in that of the cache.
pub(crate) const PACKS: &str = "packs";

/// From so much on, the database is packed while a run goes on.
const MANY: PairVolume = PairVolume {
    pairs: 8_192,
    bytes: 16 << 20,
};
/// From so much on, at the end: what is not packed is what readers find in journals.
const SOME: PairVolume = PairVolume {
    pairs: 256,
    bytes: 128 << 10,
};
/// A pack is written anew with what came after it, unless it is so many times larger.
const TIMES: u64 = 8;
/// The first line of the list: its format.
const LIST: &str = "netsec-packs-1";
/// So often a list is read again whose packs were replaced meanwhile.
const TRIES: usize = 10;

/// Packs that are open, the oldest first.
pub(crate) type OpenPacks = Vec<Arc<RecordPack>>;

/// Pairs of which most are in packs.
pub(crate) struct PackedPairs {
    /// What came after the packs.
    top: Box<dyn KeyValue>,
    packs: RwLock<OpenPacks>,
    /// Where packs are written; none where nothing is written out.
    folder: Option<PathBuf>,
    /// What the database holds and what was written to it since it was emptied, told too often rather
    /// than too seldom.
    written: Mutex<PairVolume>,
}

/// How much some pairs are.
#[derive(Clone, Copy, Debug, Default)]
struct PairVolume {
    pairs: usize,
    bytes: usize,
}

impl PairVolume {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.pairs += 1;
        self.bytes += key.len() + value.len();
    }

    fn reaches(self, other: Self) -> bool {
        self.pairs >= other.pairs || self.bytes >= other.bytes
    }
}

impl PackedPairs {
    /// Puts a database above the packs of a folder; what it holds already counts as written.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) fn writing(
        top: Box<dyn KeyValue>,
        packs: OpenPacks,
        folder: PathBuf,
    ) -> Result<Self, DatabaseError> {
        let mut written = PairVolume::default();
        for pair in top.range(&[]) {
            let (key, value) = pair?;
            written.add(&key, &value);
        }
        Ok(Self {
            top,
            packs: RwLock::new(packs),
            folder: Some(folder),
            written: Mutex::new(written),
        })
    }

    /// Puts pairs in memory above packs: nothing is written out.
    pub(crate) fn reading(top: Box<dyn KeyValue>, packs: OpenPacks) -> Self {
        Self {
            top,
            packs: RwLock::new(packs),
            folder: None,
            written: Mutex::default(),
        }
    }

    fn packs(&self) -> OpenPacks {
        let packs = self.packs.read().unwrap_or_else(PoisonError::into_inner);
        packs.clone()
    }

    /// Writes the database out, and empties it.
    fn pack(&self, folder: &Path) -> Result<(), LedgerError> {
        let top = self.top.scan(&[])?;
        let packs = self.packs();
        let mut count = top.len() as u64;
        let mut kept = packs.len();
        while kept > 0 && packs[kept - 1].count() < TIMES * count {
            kept -= 1;
            count += packs[kept].count();
        }
        let (stay, go) = packs.split_at(kept);
        let above = Box::new(top.iter().cloned().map(Ok));
        let merged = MergedPairs::of(above, go, &[]);
        let now = add_pack(folder, stay, count, merged)?;
        let digest = now.last().map(|pack| pack.digest());
        *self.packs.write().unwrap_or_else(PoisonError::into_inner) = now;
        let none = top.into_iter().map(|(key, _)| (key, None));
        self.top.write(none.collect())?;
        *self.written() = PairVolume::default();
        for gone in go.iter().filter(|gone| Some(gone.digest()) != digest) {
            // One that stays is removed when the folder is opened again.
            let _ = disk::remove_file(&record_pack::path(folder, &gone.digest()));
        }
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, PairVolume> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the database out if it holds so much.
    fn pack_if(&self, most: PairVolume) -> Result<(), DatabaseError> {
        let written = *self.written();
        match &self.folder {
            Some(folder) if written.reaches(most) => {
                let packed = self.pack(folder);
                packed.map_err(|error| DatabaseError(error.to_string()))
            }
            _ => Ok(()),
        }
    }
}

impl KeyValue for PackedPairs {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        // The database first: what leaves it meanwhile is in a pack before it does.
        if let Some(value) = self.top.get(key)? {
            return Ok(Some(value));
        }
        for pack in self.packs().iter().rev() {
            if let Some(value) = pack.get(key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn range<'a>(&'a self, prefix: &[u8]) -> KeyValueRange<'a> {
        let top = self.top.scan(prefix);
        let above: KeyValueRange<'a> = match top {
            Ok(pairs) => Box::new(pairs.into_iter().map(Ok)),
            Err(error) => Box::new(std::iter::once(Err(error))),
        };
        Box::new(MergedPairs::of(above, &self.packs(), prefix))
    }

    fn recent(&self) -> Result<Vec<KeyValuePair>, DatabaseError> {
        self.top.scan(&[])
    }

    fn write(&self, changes: Vec<KeyValueChange>) -> Result<(), DatabaseError> {
        let mut more = *self.written();
        for (key, value) in &changes {
            more.add(key, value.as_deref().unwrap_or_default());
        }
        self.top.write(changes)?;
        *self.written() = more;
        if self.pack_if(MANY).is_err() {
            // What is written is there. It is tried again after as much more, and told when all is
            // flushed.
            *self.written() = PairVolume::default();
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DatabaseError> {
        let packed = self.pack_if(SOME);
        self.top.flush()?;
        packed
    }
}

/// Pairs of several sources in the order of their keys; of those with the same key the first source's.
struct MergedPairs<'a> {
    sources: Vec<std::iter::Peekable<KeyValueRange<'a>>>,
}

impl<'a> MergedPairs<'a> {
    /// What lies above packs, and the packs.
    fn of(above: KeyValueRange<'a>, packs: &[Arc<RecordPack>], prefix: &[u8]) -> Self {
        let mut sources = vec![above.peekable()];
        for pack in packs.iter().rev() {
            let range: KeyValueRange<'a> = Box::new(Arc::clone(pack).range(prefix));
            sources.push(range.peekable());
        }
        Self { sources }
    }
}

impl Iterator for MergedPairs<'_> {
    type Item = Result<KeyValuePair, DatabaseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<(usize, Vec<u8>)> = None;
        for (at, source) in self.sources.iter_mut().enumerate() {
            match source.peek() {
                Some(Ok((key, _))) if least.as_ref().is_none_or(|(_, found)| key < found) => {
                    least = Some((at, key.clone()));
                }
                Some(Err(_)) => return source.next(),
                Some(Ok(_)) | None => {}
            }
        }
        let (first, key) = least?;
        let found = self.sources[first].next();
        for source in &mut self.sources[first + 1..] {
            source.next_if(|pair| matches!(pair, Ok((other, _)) if *other == key));
        }
        found
    }
}

/// Removes what the list does not name: packs that were replaced, or not finished, when a process was
/// killed. The caller holds the workspace's lock.
pub(crate) fn remove_unlisted(folder: &Path, packs: &OpenPacks) -> Result<(), DiskError> {
    let mut named: Vec<PathBuf> = vec![folder.join("list")];
    let listed = packs
        .iter()
        .map(|pack| record_pack::path(folder, &pack.digest()));
    named.extend(listed);
    for path in disk::list(folder)?
        .iter()
        .filter(|path| !named.contains(path))
    {
        disk::remove_file(path)?;
    }
    Ok(())
}

/// Returns whether packs could not be opened because they are damaged or gone, and not because they
/// cannot be read by this user, or now.
pub(crate) fn is_damage(error: &DiskError) -> bool {
    error.is_missing() || error.cause.kind() == std::io::ErrorKind::InvalidData
}

/// Writes a pack of at most so many pairs that comes after others, and the list. Returns all packs.
///
/// # Errors
/// What the pairs come from, or the disk, failed.
pub(crate) fn add_pack(
    folder: &Path,
    others: &[Arc<RecordPack>],
    most: u64,
    pairs: impl Iterator<Item = Result<KeyValuePair, DatabaseError>>,
) -> Result<OpenPacks, LedgerError> {
    let digest = RecordPack::write(folder, most as usize, pairs)?;
    let mut packs = others.to_vec();
    packs.push(Arc::new(RecordPack::open(folder, &digest)?));
    disk::sync_dir(folder)?;
    save_list(folder, &packs)?;
    Ok(packs)
}

/// Opens the packs of a folder; without a list there are none.
///
/// # Errors
/// The list or a pack is damaged or missing; the disk failed.
pub(crate) fn open_packs(folder: &Path) -> Result<OpenPacks, DiskError> {
    let mut opened = open_listed(folder);
    for _ in 1..TRIES {
        match &opened {
            // It was replaced since the list was read.
            Err(error) if error.is_missing() => opened = open_listed(folder),
            _ => break,
        }
    }
    opened
}

fn open_listed(folder: &Path) -> Result<OpenPacks, DiskError> {
    let path = folder.join("list");
    let text = match disk::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let Some(digests) = parse_list(&text) else {
        let why = "it is damaged, or was written by another netsec";
        let cause = std::io::Error::new(std::io::ErrorKind::InvalidData, why);
        let verb = "read";
        return Err(DiskError { verb, path, cause });
    };
    let open = |digest| RecordPack::open(folder, digest).map(Arc::new);
    digests.iter().map(open).collect()
}

fn parse_list(bytes: &[u8]) -> Option<Vec<Digest>> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (body, check) = text.rsplit_once('\n')?;
    if Digest::of(body.as_bytes()) != Digest::parse(check)? {
        return None;
    }
    let mut lines = body.lines();
    let digests = (lines.next() == Some(LIST)).then(|| lines.map(Digest::parse));
    digests?.collect()
}

fn save_list(folder: &Path, packs: &[Arc<RecordPack>]) -> Result<(), DiskError> {
    let mut text = LIST.to_owned();
    for pack in packs {
        text.push_str(&format!("\n{}", pack.digest()));
    }
    let check = Digest::of(text.as_bytes());
    disk::write_lasting(
        &folder.join("list"),
        format!("{text}\n{check}\n").as_bytes(),
    )?;
    disk::sync_dir(folder)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::lineage::key_value::MemoryKeyValue;

    /// Keys of a few tables, of which many are alike and some short.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let digest = (0..40_u8).prop_map(|n| Digest::of(&[n]).as_bytes().to_vec());
        let table = prop::sample::select(vec![b'a', b'm', b'r']);
        (table, digest, 0..40_usize, any::<bool>()).prop_map(|(table, digest, cut, is_long)| {
            let twice = [digest.clone(), digest].concat();
            let end = if is_long { twice.len() } else { cut };
            [vec![table], twice[..end].to_vec()].concat()
        })
    }

    fn changes() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
        let value = prop::collection::vec(any::<u8>(), 0..3000);
        prop::collection::vec((key(), value), 1..60)
    }

    fn written(folder: &Path, packs: OpenPacks) -> PackedPairs {
        let top = Box::new(MemoryKeyValue::default());
        PackedPairs::writing(top, packs, folder.to_owned()).expect("memory does not fail")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn packs_answer_as_one_map_does(batches in prop::collection::vec((changes(), any::<bool>()), 1..8)) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let pairs = written(folder.path(), Vec::new());
            let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for (batch, packed) in batches {
                let changes = batch.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
                pairs.write(changes.collect()).expect("it is written");
                model.extend(batch);
                if packed {
                    pairs.pack(folder.path()).expect("it is packed");
                }
            }
            pairs.pack(folder.path()).expect("it is packed");
            let opened = written(folder.path(), open_packs(folder.path()).expect("packs"));
            let whole: Vec<KeyValuePair> = model.clone().into_iter().collect();
            for held in [&pairs, &opened] {
                prop_assert_eq!(&held.scan(&[]).expect("a scan"), &whole);
                for (key, value) in &model {
                    prop_assert_eq!(held.get(key).expect("a value"), Some(value.clone()));
                    for length in [1, 20, 33, key.len()] {
                        let prefix = &key[..length.min(key.len())];
                        let expected = model.range(prefix.to_vec()..);
                        let expected = expected.take_while(|(key, _)| key.starts_with(prefix));
                        let expected: Vec<KeyValuePair> =
                            expected.map(|(key, value)| (key.clone(), value.clone())).collect();
                        prop_assert_eq!(held.scan(prefix).expect("a scan"), expected);
                    }
                }
                prop_assert_eq!(held.get(b"none").expect("a value"), None);
            }
            let named = disk::list(folder.path()).expect("a folder").len();
            prop_assert_eq!(named, 1 + opened.packs().len(), "what was replaced is gone");
        }

        #[test]
        fn a_pack_of_which_a_byte_changed_says_nothing_else(
            batch in changes(),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let pairs = written(folder.path(), Vec::new());
            let model: BTreeMap<Vec<u8>, Vec<u8>> = batch.into_iter().collect();
            let changes = model.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
            pairs.write(changes.collect()).expect("it is written");
            pairs.pack(folder.path()).expect("it is packed");
            for path in disk::list(folder.path()).expect("a folder") {
                let bytes = disk::read(&path).expect("a file");
                let mut changed = bytes.clone();
                let at = at.index(bytes.len());
                changed[at] ^= 1 << bit;
                disk::write_atomic(&path, &changed).expect("it is written");
                let Ok(packs) = open_packs(folder.path()) else {
                    disk::write_atomic(&path, &bytes).expect("it is written");
                    continue;
                };
                let opened = written(folder.path(), packs.clone());
                let is_sound = packs.iter().all(|pack| pack.verify().is_ok());
                prop_assert!(!is_sound, "{} {at}", path.display());
                for (key, value) in &model {
                    if let Ok(found) = opened.get(key) {
                        prop_assert_eq!(found, Some(value.clone()));
                    }
                }
                disk::write_atomic(&path, &bytes).expect("it is written");
            }
        }
    }
}
