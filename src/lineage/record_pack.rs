//! A pack: many pairs of a ledger in one file that is never changed, for readers that take no lock.
//!
//! How: the pairs lie in the order of their keys in blocks of some kilobytes, each compressed with a
//! dictionary that the pack begins with (records are much alike, and a block alone is short). Behind
//! the blocks come an index, the least key of each block, and a filter that tells of most keys that
//! are not there without a look at a block. The last bytes say where these lie. What is looked for
//! costs one block; the rest of the file is not read.
//!
//! The invariant: a check of 8 bytes in the index vouches for each block, and the digest that the file
//! is named by for index, filter and dictionary. What is damaged is an error, never other pairs.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zstd::bulk::{Compressor, Decompressor};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::lineage::error::{DatabaseError, LedgerError};
use crate::lineage::key_filter::KeyFilter;
use crate::lineage::key_value::KeyValuePair;

/// What a pack begins with: its format.
const MAGIC: &[u8] = b"netsec-pack-1\n";
/// A block is closed when its pairs take so many bytes.
const BLOCK: usize = 4096;
/// A block is never longer than this: one pair may be long, such as the stages of a run.
const LONGEST: usize = 1 << 30;
/// So long is the dictionary at most, in bytes.
const DICTIONARY: usize = 32 << 10;
/// So much of the pairs is looked at for it, in bytes.
const LOOKED_AT: usize = 2 << 20;
/// So many pairs at most give a piece of the dictionary.
const SAMPLES: usize = 256;
const LEVEL: i32 = 3;
/// What stands at the end of the file: four lengths, and the digest of all but the blocks.
const FOOTER: usize = 4 * 8 + 32;
/// Longer blocks are not remembered, in bytes.
const MOST_REMEMBERED: usize = 64 << 10;
/// So many blocks are remembered when they have been read.
const REMEMBERED: usize = 256;

/// A pack that is open.
pub(crate) struct RecordPack {
    digest: Digest,
    path: PathBuf,
    file: File,
    blocks: Vec<BlockPlace>,
    filter: KeyFilter,
    pairs: u64,
    reader: Mutex<BlockReader>,
}

/// Where a block lies, and what is known of it without reading it.
struct BlockPlace {
    /// No key before it is as great, and none in it is less.
    least: Vec<u8>,
    at: u64,
    stored: usize,
    raw: usize,
    check: [u8; 8],
}

struct BlockReader {
    decompressor: Decompressor<'static>,
    remembered: Vec<Option<(usize, Arc<Vec<u8>>)>>,
}

impl RecordPack {
    /// Writes a pack of pairs, in the order of their keys and each key once, into a folder; `most` is how
    /// many there are at most. Returns the digest that it is named by.
    ///
    /// # Errors
    /// What the pairs come from, or the disk, failed.
    pub(crate) fn write(
        folder: &Path,
        most: usize,
        mut pairs: impl Iterator<Item = Result<KeyValuePair, DatabaseError>>,
    ) -> Result<Digest, LedgerError> {
        disk::create_dirs(folder)?;
        let begun = disk::begin(&folder.join("new"))?;
        let failed = |cause| DiskError {
            verb: "write",
            path: begun.path().to_owned(),
            cause,
        };
        // The dictionary comes from the first of them: records, if there are any.
        let (mut first, mut bytes) = (Vec::new(), 0);
        while bytes < LOOKED_AT
            && let Some(pair) = pairs.next()
        {
            let pair = pair?;
            bytes += pair.0.len() + pair.1.len();
            first.push(pair);
        }
        let mut writer =
            PackWriter::begin(BufWriter::new(begun.as_file()), &first, most).map_err(failed)?;
        for pair in first {
            writer.add(pair).map_err(failed)?;
        }
        for pair in pairs {
            writer.add(pair?).map_err(failed)?;
        }
        let digest = writer.finish().map_err(failed)?;
        begun.as_file().sync_data().map_err(failed)?;
        disk::settle(begun, &path(folder, &digest))?;
        Ok(digest)
    }

    /// Opens the pack of a folder that is named by a digest.
    ///
    /// # Errors
    /// It is not there; it is damaged; the disk failed.
    pub(crate) fn open(folder: &Path, digest: &Digest) -> Result<Self, DiskError> {
        let path = path(folder, digest);
        let file = disk::open(&path)?;
        let failed = |cause| DiskError {
            verb: "read",
            path: path.clone(),
            cause,
        };
        let ends = read_ends(&file, digest).map_err(failed)?;
        let blocks = parse_index(&ends.index).ok_or_else(|| failed(damaged("its index")))?;
        let decompressor = Decompressor::with_dictionary(&ends.dictionary).map_err(failed)?;
        Ok(Self {
            digest: *digest,
            file,
            blocks,
            filter: KeyFilter::of_bytes(ends.filter),
            pairs: ends.pairs,
            reader: Mutex::new(BlockReader {
                decompressor,
                remembered: vec![None; REMEMBERED],
            }),
            path,
        })
    }

    /// Returns the digest that it is named by.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns how many pairs it holds.
    pub(crate) fn count(&self) -> u64 {
        self.pairs
    }

    /// Returns a value.
    ///
    /// # Errors
    /// The block is damaged; the disk failed.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        let Some(at) = self.block_of(key) else {
            return Ok(None);
        };
        if !self.filter.may_have(key) {
            return Ok(None);
        }
        let block = self.block(at, true)?;
        let mut pairs = BlockPairs::of(&block);
        while let Some(value) = pairs.next_value() {
            if pairs.key.as_slice() == key {
                return Ok(Some(value.to_vec()));
            }
        }
        Ok(None)
    }

    /// Returns the pairs whose key begins with `prefix`, in order.
    pub(crate) fn range(self: Arc<Self>, prefix: &[u8]) -> PackRange {
        let first = self.block_of(prefix).unwrap_or_default();
        let is_there = self.filter.may_have_prefix(prefix);
        PackRange {
            next: if is_there { first } else { self.blocks.len() },
            pack: self,
            prefix: prefix.to_vec(),
            found: Vec::new().into_iter(),
        }
    }

    /// Checks every block.
    ///
    /// # Errors
    /// One is damaged; the disk failed.
    pub(crate) fn verify(&self) -> Result<(), DatabaseError> {
        (0..self.blocks.len()).try_for_each(|at| self.stored(at).map(drop))
    }

    /// Returns the last block whose least key is not greater.
    fn block_of(&self, key: &[u8]) -> Option<usize> {
        let greater = self
            .blocks
            .partition_point(|block| block.least.as_slice() <= key);
        greater.checked_sub(1)
    }

    fn stored(&self, at: usize) -> Result<Vec<u8>, DatabaseError> {
        let place = &self.blocks[at];
        let mut stored = vec![0; place.stored];
        let read = self.file.read_exact_at(&mut stored, place.at);
        read.map_err(|error| self.failed(&error))?;
        match check_of(&stored) == place.check {
            true => Ok(stored),
            false => Err(self.failed(&damaged("a block"))),
        }
    }

    fn block(&self, at: usize, remember: bool) -> Result<Arc<Vec<u8>>, DatabaseError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, block)) = &reader.remembered[at % REMEMBERED]
            && *held == at
        {
            return Ok(Arc::clone(block));
        }
        let stored = self.stored(at)?;
        let block = reader.decompressor.decompress(&stored, self.blocks[at].raw);
        let block = Arc::new(block.map_err(|error| self.failed(&error))?);
        if remember && block.len() <= MOST_REMEMBERED {
            reader.remembered[at % REMEMBERED] = Some((at, Arc::clone(&block)));
        }
        Ok(block)
    }

    fn failed(&self, error: &io::Error) -> DatabaseError {
        DatabaseError(format!(
            "`{}`: {error}; `netsec cache verify --repair` builds it from the journals",
            self.path.display()
        ))
    }
}

/// The pairs of a pack whose keys have a prefix.
pub(crate) struct PackRange {
    pack: Arc<RecordPack>,
    prefix: Vec<u8>,
    /// The next block.
    next: usize,
    found: std::vec::IntoIter<KeyValuePair>,
}

impl Iterator for PackRange {
    type Item = Result<KeyValuePair, DatabaseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(pair) = self.found.next() {
                return Some(Ok(pair));
            }
            let place = self.pack.blocks.get(self.next)?;
            if place.least > self.prefix && !place.least.starts_with(&self.prefix) {
                return None;
            }
            let block = match self.pack.block(self.next, self.prefix.len() > 1) {
                Ok(block) => block,
                Err(error) => {
                    self.next = self.pack.blocks.len();
                    return Some(Err(error));
                }
            };
            self.next += 1;
            let mut found = Vec::new();
            let mut pairs = BlockPairs::of(&block);
            while let Some(value) = pairs.next_value() {
                if pairs.key.starts_with(&self.prefix) {
                    found.push((pairs.key.clone(), value.to_vec()));
                }
            }
            self.found = found.into_iter();
        }
    }
}

/// Returns where a pack lies.
pub(crate) fn path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{digest}.pack"))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is damaged"))
}

fn check_of(bytes: &[u8]) -> [u8; 8] {
    let digest = Digest::of(bytes);
    *digest.as_bytes().first_chunk().expect("a digest is longer")
}

/// A pack that is being written.
struct PackWriter<W: Write> {
    to: W,
    compressor: Compressor<'static>,
    dictionary: Vec<u8>,
    index: Vec<u8>,
    filter: KeyFilter,
    pairs: u64,
    /// The block that is being filled, its least key, and the last key in it.
    block: Vec<u8>,
    least: Vec<u8>,
    before: Vec<u8>,
}

impl<W: Write> PackWriter<W> {
    fn begin(mut to: W, first: &[KeyValuePair], most: usize) -> io::Result<Self> {
        let dictionary = dictionary_of(first);
        to.write_all(MAGIC)?;
        Ok(Self {
            to,
            compressor: Compressor::with_dictionary(LEVEL, &dictionary)?,
            dictionary,
            index: Vec::new(),
            filter: KeyFilter::for_keys(most),
            pairs: 0,
            block: Vec::new(),
            least: Vec::new(),
            before: Vec::new(),
        })
    }

    fn add(&mut self, (key, value): KeyValuePair) -> io::Result<()> {
        if !self.block.is_empty() && self.block.len() + value.len() > BLOCK {
            self.close_block()?;
        }
        // A block can be read by itself: the first key in it is whole.
        let shared = match self.block.is_empty() {
            true => {
                // As short as it may be: greater than all keys before it.
                let told = shared(&self.before, &key) + 1;
                self.least = key[..key.len().min(told)].to_vec();
                0
            }
            false => shared(&self.before, &key),
        };
        add_number(&mut self.block, shared);
        add_bytes(&mut self.block, &key[shared..]);
        add_bytes(&mut self.block, &value);
        self.filter.add(&key);
        self.pairs += 1;
        self.before = key;
        Ok(())
    }

    fn close_block(&mut self) -> io::Result<()> {
        let stored = self.compressor.compress(&self.block)?;
        add_bytes(&mut self.index, &self.least);
        add_number(&mut self.index, stored.len());
        add_number(&mut self.index, self.block.len());
        self.index.extend_from_slice(&check_of(&stored));
        self.block.clear();
        self.to.write_all(&stored)
    }

    fn finish(mut self) -> io::Result<Digest> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        let filter = self.filter.into_bytes();
        let lengths = [self.dictionary.len(), self.index.len(), filter.len()];
        let lengths = lengths.map(|length| length as u64);
        let mut ends = [self.dictionary, self.index, filter].concat();
        for length in lengths.into_iter().chain([self.pairs]) {
            ends.extend_from_slice(&length.to_le_bytes());
        }
        let digest = Digest::of(&ends);
        self.to.write_all(&ends)?;
        self.to.write_all(digest.as_bytes())?;
        self.to.flush()?;
        Ok(digest)
    }
}

/// Pieces of pairs: what records share is found in them.
fn dictionary_of(pairs: &[KeyValuePair]) -> Vec<u8> {
    let step = pairs.len() / SAMPLES + 1;
    let mut dictionary = Vec::new();
    for (key, value) in pairs.iter().step_by(step) {
        dictionary.extend_from_slice(key);
        dictionary.extend_from_slice(&value[..value.len().min(2048)]);
        if dictionary.len() >= DICTIONARY {
            break;
        }
    }
    dictionary.truncate(DICTIONARY);
    dictionary
}

fn shared(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Appends a number, seven bits a byte, the lowest first.
fn add_number(bytes: &mut Vec<u8>, number: usize) {
    let mut rest = number as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// Appends bytes, after a number that says how many there are.
fn add_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    add_number(to, bytes.len());
    to.extend_from_slice(bytes);
}

/// Takes such a number off.
fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return usize::try_from(number).ok();
        }
    }
    None
}

/// Takes so many bytes off as a number before them says.
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_number(bytes)?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// The pairs of a block, one after the other.
struct BlockPairs<'a> {
    rest: &'a [u8],
    /// The key of the last value that was returned.
    key: Vec<u8>,
}

impl<'a> BlockPairs<'a> {
    fn of(block: &'a [u8]) -> Self {
        Self {
            rest: block,
            key: Vec::new(),
        }
    }

    fn next_value(&mut self) -> Option<&'a [u8]> {
        let shared = take_number(&mut self.rest)?;
        let own = take_bytes(&mut self.rest)?;
        self.key.truncate(shared);
        self.key.extend_from_slice(own);
        take_bytes(&mut self.rest)
    }
}

/// What lies before and behind the blocks.
struct PackEnds {
    dictionary: Vec<u8>,
    index: Vec<u8>,
    filter: Vec<u8>,
    pairs: u64,
}

fn read_ends(mut file: &File, digest: &Digest) -> io::Result<PackEnds> {
    let whole = file.seek(SeekFrom::End(0))?;
    let least = (MAGIC.len() + FOOTER) as u64;
    if whole < least {
        return Err(damaged("it is too short, and"));
    }
    let mut magic = [0; MAGIC.len()];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(damaged("its first line"));
    }
    let mut footer = [0; FOOTER];
    file.seek(SeekFrom::Start(whole - FOOTER as u64))?;
    file.read_exact(&mut footer)?;
    let number = |at: usize| {
        let bytes = footer[8 * at..8 * at + 8]
            .first_chunk()
            .expect("eight bytes");
        u64::from_le_bytes(*bytes)
    };
    let lengths = [number(0), number(1), number(2)];
    let length = lengths
        .iter()
        .try_fold(0_u64, |sum, length| sum.checked_add(*length));
    let Some(length) = length.filter(|length| *length <= whole - least) else {
        return Err(damaged("its last line"));
    };
    let mut ends = vec![0; length as usize];
    file.seek(SeekFrom::Start(whole - FOOTER as u64 - length))?;
    file.read_exact(&mut ends)?;
    let mut hashed = ends.clone();
    hashed.extend_from_slice(&footer[..FOOTER - 32]);
    if Digest::of(&hashed) != *digest || footer[FOOTER - 32..] != *digest.as_bytes() {
        return Err(damaged("its index"));
    }
    let filter = ends.split_off((lengths[0] + lengths[1]) as usize);
    let index = ends.split_off(lengths[0] as usize);
    Ok(PackEnds {
        dictionary: ends,
        index,
        filter,
        pairs: number(3),
    })
}

fn parse_index(mut index: &[u8]) -> Option<Vec<BlockPlace>> {
    let mut blocks = Vec::new();
    let mut at = MAGIC.len() as u64;
    while !index.is_empty() {
        let least = take_bytes(&mut index)?.to_vec();
        let stored = take_number(&mut index)?;
        let raw = take_number(&mut index).filter(|raw| *raw <= LONGEST)?;
        let (check, rest) = index.split_first_chunk::<8>()?;
        index = rest;
        blocks.push(BlockPlace {
            least,
            at,
            stored,
            raw,
            check: *check,
        });
        at += stored as u64;
    }
    Some(blocks)
}
