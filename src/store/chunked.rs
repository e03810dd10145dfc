//! A large content as chunks, cut where its bytes say so: one that was changed in places shares all
//! chunks but those of these places with what it was before, wherever they have moved to.
//!
//! How: FastCDC (Xia and others, "The Design of Fast Content-Defined Chunking for Data Deduplication
//! Based Storage Systems", 2020) rolls a hash over the bytes and cuts where it has certain bits. Every
//! chunk is a blob of its own; under the name of the whole lies the list of them. A list is not believed:
//! what is put together by one is checked against the name of the whole.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use fastcdc::v2020::FastCDC;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;

/// What a list begins with. It is of the family of compressed blobs, so that no content is mistaken for
/// one, and an earlier netsec says that a later one wrote it.
const MAGIC: &[u8; 8] = b"NSBLOBZ2";
/// Contents of so many bytes or more are kept as chunks.
pub const LARGE: u64 = 32 << 20;
/// The shortest a chunk may be that is not the last, in bytes.
const LEAST: usize = 128 << 10;
/// How long chunks are in the mean, in bytes.
const MEAN: usize = 256 << 10;
/// The longest a chunk may be, in bytes.
pub const MOST: usize = 1 << 20;
/// How long the entry of a chunk is in a stored list: its digest and its size, four bytes, the lowest
/// first.
const ENTRY: usize = 32 + 4;
/// So much of a content is held at a time, in bytes.
const WINDOW: usize = 16 << 20;

/// A chunk of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// The name of its blob.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u32,
}

/// The chunks of a content, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkList {
    /// One entry a chunk.
    pub chunks: Vec<ChunkEntry>,
}

impl ChunkList {
    /// Returns how many bytes the content has.
    pub fn length(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.size)).sum()
    }

    /// Returns the list as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for chunk in &self.chunks {
            bytes.extend(chunk.digest.as_bytes());
            bytes.extend(chunk.size.to_le_bytes());
        }
        bytes
    }

    /// Reads a stored list; `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (entries, []) = bytes.strip_prefix(MAGIC)?.as_chunks::<ENTRY>() else {
            return None;
        };
        let entry = |entry: &[u8; ENTRY]| {
            let (digest, size) = entry.split_first_chunk::<32>()?;
            let size = u32::from_le_bytes(*size.first_chunk()?);
            let is_chunk = (1..=MOST).contains(&(size as usize));
            is_chunk.then_some(ChunkEntry {
                digest: Digest::from_bytes(*digest),
                size,
            })
        };
        let chunks = entries.iter().map(entry).collect::<Option<_>>()?;
        Some(Self { chunks })
    }

    /// Returns whether a file of so many bytes may hold a list: most need not be opened to tell.
    pub fn may_have_size(size: u64) -> bool {
        let entries = size.saturating_sub(MAGIC.len() as u64);
        entries.is_multiple_of(ENTRY as u64) && entries / ENTRY as u64 >= LARGE / MOST as u64
    }

    /// Reads the list that a file of so many bytes holds; `None` if it holds something else.
    ///
    /// # Errors
    /// Reading failed.
    pub fn read(file: &File, size: u64) -> io::Result<Option<Self>> {
        let mut head = [0; MAGIC.len()];
        if !Self::may_have_size(size) {
            return Ok(None);
        }
        file.read_exact_at(&mut head, 0)?;
        if head != *MAGIC {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(size).expect("a list is short")];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Self::decode(&bytes))
    }
}

/// Why a content could not be cut.
#[derive(Debug)]
pub enum CutError<E> {
    /// It could not be read.
    Read(io::Error),
    /// A chunk could not be kept.
    Keep(E),
}

/// Cuts a content into chunks, and gives each away as it comes, several at once: `keep` returns the name
/// it is kept under. No more than a window of the content is in memory.
///
/// # Errors
/// Reading or keeping failed; `cancel` was raised.
pub fn cut<E: Send>(
    mut content: impl Read,
    keep: &(dyn Fn(&[u8]) -> Result<Digest, E> + Sync),
    cancel: &Cancel,
) -> Result<ChunkList, CutError<E>> {
    let mut list = ChunkList::default();
    let mut window = Vec::with_capacity(WINDOW);
    loop {
        if cancel.is_cancelled() {
            let stopped = io::Error::new(io::ErrorKind::Interrupted, "stopped");
            return Err(CutError::Read(stopped));
        }
        let missing = (WINDOW - window.len()) as u64;
        let read = (&mut content).take(missing).read_to_end(&mut window);
        let is_last = (read.map_err(CutError::Read)? as u64) < missing;
        let (chunks, used) = cut_window(&window, is_last, keep).map_err(CutError::Keep)?;
        list.chunks.extend(chunks);
        if is_last {
            return Ok(list);
        }
        window.drain(..used);
    }
}

/// Cuts what is certain to be cut there whatever follows; returns how many bytes that is.
fn cut_window<E: Send>(
    window: &[u8],
    is_last: bool,
    keep: &(dyn Fn(&[u8]) -> Result<Digest, E> + Sync),
) -> Result<(Vec<ChunkEntry>, usize), E> {
    let cutter = FastCDC::new(window, LEAST, MEAN, MOST);
    let kept = Mutex::new(Vec::new());
    let mut start = 0;
    // This thread cuts, while others name and write.
    rayon::in_place_scope(|scope| {
        let (kept, mut place) = (&kept, 0_usize);
        while start < window.len() && (is_last || window.len() - start >= MOST) {
            let (_, end) = cutter.cut(start, window.len() - start);
            let chunk = &window[start..end];
            scope.spawn(move |_| {
                let entry = keep(chunk).map(|digest| ChunkEntry {
                    digest,
                    size: u32::try_from(chunk.len()).expect("a chunk is short"),
                });
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push((place, entry));
            });
            (start, place) = (end, place + 1);
        }
    });
    let mut kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    kept.sort_by_key(|(place, _)| *place);
    let chunks = kept.into_iter().map(|(_, entry)| entry);
    Ok((chunks.collect::<Result<_, _>>()?, start))
}

/// Reads a content chunk by chunk.
pub struct ChunkReader<'a, F> {
    list: std::slice::Iter<'a, ChunkEntry>,
    read: F,
    /// What of the current chunk has not been given yet.
    rest: io::Cursor<Vec<u8>>,
}

impl<'a, F: FnMut(&ChunkEntry) -> io::Result<Vec<u8>>> ChunkReader<'a, F> {
    /// Makes it; `read` returns the bytes of a chunk.
    pub fn new(list: &'a ChunkList, read: F) -> Self {
        Self {
            list: list.chunks.iter(),
            read,
            rest: io::Cursor::default(),
        }
    }
}

impl<F: FnMut(&ChunkEntry) -> io::Result<Vec<u8>>> Read for ChunkReader<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let given = self.rest.read(buffer)?;
            if given > 0 || buffer.is_empty() {
                return Ok(given);
            }
            let Some(chunk) = self.list.next() else {
                return Ok(0);
            };
            let bytes = (self.read)(chunk)?;
            if bytes.len() != chunk.size as usize {
                let odd = "a chunk has not as many bytes as its list says";
                return Err(io::Error::new(io::ErrorKind::InvalidData, odd));
            }
            self.rest = io::Cursor::new(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u64, bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.finalize_xof().fill(&mut noise);
        noise
    }

    /// Cuts a content and adds its chunks to a shelf; returns how many bytes were new there.
    fn shelve(content: &[u8], shelf: &Mutex<BTreeMap<Digest, Vec<u8>>>) -> (ChunkList, usize) {
        let new = Mutex::new(0);
        let keep = |chunk: &[u8]| {
            let digest = Digest::of(chunk);
            let known = shelf.lock().unwrap().insert(digest, chunk.to_vec());
            *new.lock().unwrap() += known.map_or(chunk.len(), |_| 0);
            Ok::<_, io::Error>(digest)
        };
        let list = cut(content, &keep, &Cancel::new()).unwrap();
        (list, new.into_inner().unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Whatever is cut comes back, and where it is cut depends neither on how it is read nor on
        /// what stands before it.
        #[test]
        fn what_is_cut_comes_back_and_what_is_changed_in_places_is_shared(
            seed in any::<u64>(),
            bytes in 33_000_000_usize..40_000_000,
            at in 0.0..1.0_f64,
            inserted in 0_usize..400_000,
        ) {
            let content = noise(seed, bytes);
            let shelf = Mutex::new(BTreeMap::new());
            let (list, new) = shelve(&content, &shelf);
            prop_assert_eq!(new, bytes);
            prop_assert_eq!(list.length(), bytes as u64);
            prop_assert_eq!(ChunkList::decode(&list.encode()), Some(list.clone()));
            prop_assert!(ChunkList::may_have_size(list.encode().len() as u64));
            let mut back = Vec::new();
            let read = |chunk: &ChunkEntry| Ok(shelf.lock().unwrap()[&chunk.digest].clone());
            ChunkReader::new(&list, read).read_to_end(&mut back).unwrap();
            prop_assert!(back == content);
            let at = (at * bytes as f64) as usize;
            let middle = noise(!seed, inserted);
            let changed = [&content[..at], &middle, &content[at..]].concat();
            let (_, new) = shelve(&changed, &shelf);
            prop_assert!(new <= inserted + 4 * MOST, "{new} bytes for {inserted}");
        }
    }

    #[test]
    fn what_is_no_list_is_told() {
        let list = ChunkList {
            chunks: vec![ChunkEntry {
                digest: Digest::of(b"a"),
                size: 7,
            }],
        };
        let stored = list.encode();
        for cut in 0..stored.len() {
            let shorter = ChunkList::decode(&stored[..cut]);
            assert!(shorter.is_none() || cut == MAGIC.len(), "{cut}");
        }
        for size in [0, MOST as u32 + 1] {
            let mut odd = list.clone();
            odd.chunks[0].size = size;
            assert_eq!(ChunkList::decode(&odd.encode()), None);
        }
    }

    #[test]
    fn a_content_of_one_byte_over_and_over_is_cut_too() {
        let shelf = Mutex::default();
        let (list, new) = shelve(&vec![0; 40_000_000], &shelf);
        assert_eq!(list.length(), 40_000_000);
        assert!(new < 2 * MOST);
    }
}
