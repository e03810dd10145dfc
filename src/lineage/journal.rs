//! A run's records as a file that only grows: what others read while the run holds the database,
//! and what the database is rebuilt from.
//!
//! After the format's line come frames: a length (8 bytes, little-endian), a chain (32 bytes) and a
//! body. The first frame is the head, each further one a commit. The chain of a frame is the digest
//! of the chain before it and of its body, so that a commit that is gone or changed is missed by
//! all after it; and the head names the chain that the journal before ended with, so that a journal
//! that is cut or gone is missed by the next one.
//!
//! A journal that is closed, and not short, is compressed with zstd as a whole: the same frames, behind
//! another line.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::base::name::RunId;
use crate::lineage::record::LedgerEntry;
use crate::lineage::tail::{JournalLink, JournalTail};

/// The ending of journals in the folder of runs.
pub const ENDING: &str = "records";

/// What journals begin with, up to the digit that is the format's version.
const FAMILY: &[u8] = b"netsec-journal-";
/// The line of this format.
const MAGIC: &[u8] = b"netsec-journal-2\n";
/// The line of one that is compressed: then come the length of its frames, eight bytes, the lowest
/// first, and a zstd frame of them.
const PACKED_MAGIC: &[u8] = b"netsec-journal-3\n";
/// Journals shorter than this are not compressed, in bytes.
const SHORT: u64 = 16 << 10;
/// So many times longer than its bytes a compressed journal may be: what says more is damaged.
const DENSEST: u64 = 1000;
/// zstd's usual level: journals are written once.
const LEVEL: i32 = 3;
/// The line of the format before: no head, and in place of the chain the first 8 bytes of the
/// body's digest.
const FIRST_MAGIC: &[u8] = b"netsec-journal-1\n";
/// How many bytes of a digest the first format has.
const FIRST_CHECK: usize = 8;

/// What a journal's first frame holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// Whether it holds everything that was recorded before, so that no earlier journal is needed.
    pub is_base: bool,
    /// The journal before.
    pub after: Option<JournalLink>,
}

/// A journal being written. The file is made with the first commit.
#[derive(Debug)]
pub struct Journal {
    cache: PathBuf,
    path: PathBuf,
    run: RunId,
    head: JournalHead,
    state: Mutex<JournalState>,
}

#[derive(Debug, Default)]
struct JournalState {
    file: Option<File>,
    commits: u64,
    chain: Option<Digest>,
}

impl Journal {
    /// Makes the journal of a run in a cache folder.
    pub fn of(cache: &Path, run: &RunId, head: JournalHead) -> Self {
        let path = path(&cache.join("runs"), run);
        Self {
            cache: cache.to_owned(),
            path,
            run: run.clone(),
            head,
            state: Mutex::default(),
        }
    }

    /// Appends encoded commits in a single write, flushed, and has the tail file say so. Returns
    /// how far the journal goes then.
    ///
    /// # Errors
    /// The disk failed.
    pub fn append(&self, bodies: &[Vec<u8>]) -> Result<JournalLink, DiskError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frames = Vec::new();
        let mut chain = match state.chain {
            Some(chain) => chain,
            None => {
                frames.extend_from_slice(MAGIC);
                let head = rmp_serde::to_vec_named(&self.head).expect("plain data serialises");
                add_frame(&mut frames, &Digest::of(MAGIC), &head)
            }
        };
        for body in bodies {
            chain = add_frame(&mut frames, &chain, body);
        }
        let failed = |verb| {
            move |cause| DiskError {
                verb,
                path: self.path.clone(),
                cause,
            }
        };
        let file = match &mut state.file {
            Some(file) => file,
            none => none.insert(disk::append(&self.path)?),
        };
        file.write_all(&frames).map_err(failed("append to"))?;
        file.sync_data().map_err(failed("flush"))?;
        state.chain = Some(chain);
        state.commits += bodies.len() as u64;
        let link = JournalLink {
            run: self.run.clone(),
            commits: state.commits,
            chain: Some(chain),
        };
        // If it cannot be written, it says less than it could; the commit stands.
        let _ = self.tail(Some(link.clone()), true).save(&self.cache);
        Ok(link)
    }

    /// Says in the tail file that the journal ends here. It is only a memory: what goes wrong costs
    /// time later, nothing else.
    pub fn close(&self) {
        let _ = self.tail(self.end(), false).save(&self.cache);
        let is_written = self.state.lock().is_ok_and(|state| state.file.is_some());
        // Of what holds everything the head has to be seen at once.
        if is_written && !self.head.is_base {
            // As it is, it says the same.
            let _ = compact(&self.path);
        }
    }

    fn tail(&self, link: Option<JournalLink>, is_open: bool) -> JournalTail {
        JournalTail {
            latest: Some(self.run.clone()),
            link,
            is_open,
        }
    }

    /// Returns how far the last journal goes: this one, or the one before if nothing was committed.
    fn end(&self) -> Option<JournalLink> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.chain {
            Some(_) => Some(JournalLink {
                run: self.run.clone(),
                commits: state.commits,
                chain: state.chain,
            }),
            None => self.head.after.clone(),
        }
    }
}

/// Appends a frame; returns its chain.
fn add_frame(frames: &mut Vec<u8>, before: &Digest, body: &[u8]) -> Digest {
    let chain = next(before, body);
    frames.extend_from_slice(&(body.len() as u64).to_le_bytes());
    frames.extend_from_slice(chain.as_bytes());
    frames.extend_from_slice(body);
    chain
}

fn next(before: &Digest, body: &[u8]) -> Digest {
    Digest::of_parts(&[before.as_bytes(), body])
}

/// Returns a commit's body.
pub fn encode(entries: &[LedgerEntry]) -> Vec<u8> {
    rmp_serde::to_vec_named(entries).expect("plain data serialises")
}

/// Reads a commit's body.
///
/// # Errors
/// What is wrong with it.
pub fn decode(body: &[u8]) -> Result<Vec<LedgerEntry>, String> {
    let mut rest = rmp_serde::Deserializer::new(body);
    let entries =
        Vec::deserialize(&mut rest).map_err(|error| format!("a record cannot be read: {error}"))?;
    match rest.get_ref() {
        [] => Ok(entries),
        more => Err(format!("{} bytes follow the last record", more.len())),
    }
}

/// A journal that was read, up to the first frame that is not whole.
#[derive(Debug)]
pub struct JournalText {
    /// Its head.
    pub head: JournalHead,
    /// Its commits.
    pub commits: Vec<Vec<LedgerEntry>>,
    /// How it ends.
    pub end: JournalEnd,
    /// The chain after each number of commits, from none on.
    chains: Vec<Digest>,
}

/// How a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalEnd {
    /// After a commit.
    Whole,
    /// In the middle of a frame: it is being written, was when the process was killed, or was cut.
    Torn,
    /// What follows is not what was written.
    Damaged(String),
}

impl JournalText {
    fn new() -> Self {
        Self {
            head: JournalHead::default(),
            commits: Vec::new(),
            end: JournalEnd::Whole,
            chains: Vec::new(),
        }
    }

    fn ended(end: JournalEnd) -> Self {
        Self { end, ..Self::new() }
    }

    /// Returns the chain after so many commits; `None` if there are fewer.
    pub fn chain(&self, commits: u64) -> Option<Digest> {
        self.chains.get(usize::try_from(commits).ok()?).copied()
    }

    /// Returns whether it goes at least as far as a link says, by the same commits. A link to none,
    /// without a chain, was written of one whose run was killed before its head was there.
    pub fn reaches(&self, link: &JournalLink) -> bool {
        if link.commits == 0 && link.chain.is_none() {
            return true;
        }
        let found = self.chain(link.commits);
        found.is_some() && (link.chain.is_none() || link.chain == found)
    }

    /// Returns how far it goes.
    pub fn link(&self, run: &RunId) -> JournalLink {
        JournalLink {
            run: run.clone(),
            commits: self.commits.len() as u64,
            chain: self.chains.last().copied(),
        }
    }
}

/// Reads a journal. What is wrong with it is told in how it ends.
///
/// # Errors
/// The disk failed; the journal is of a later format.
pub fn read(path: &Path) -> Result<JournalText, DiskError> {
    read_beyond(path, 0)
}

/// Reads a journal as `read` does; the first `known` commits are checked, and stay empty.
///
/// # Errors
/// As for `read`.
pub fn read_beyond(path: &Path, known: u64) -> Result<JournalText, DiskError> {
    let bytes = disk::read(path)?;
    let line = &bytes[..bytes.len().min(MAGIC.len())];
    if line == MAGIC || line == FIRST_MAGIC {
        let is_first = line == FIRST_MAGIC;
        return Ok(read_frames(&bytes[MAGIC.len()..], is_first, known));
    }
    if line == PACKED_MAGIC {
        let Some(frames) = unpack(&bytes[MAGIC.len()..]) else {
            return Ok(JournalText::ended(JournalEnd::Damaged(
                "it cannot be unpacked".to_owned(),
            )));
        };
        let mut text = read_frames(&frames.bytes, false, known);
        if !frames.is_whole {
            text.end = JournalEnd::Damaged("it cannot be unpacked to its end".to_owned());
        }
        return Ok(text);
    }
    if [MAGIC, PACKED_MAGIC, FIRST_MAGIC]
        .iter()
        .any(|magic| magic.starts_with(line))
    {
        return Ok(JournalText::ended(JournalEnd::Torn));
    }
    if is_later(&bytes) {
        let cause = io::Error::other("it was written by a later netsec: use that");
        return Err(DiskError {
            verb: "read",
            path: path.to_owned(),
            cause,
        });
    }
    Ok(JournalText::ended(JournalEnd::Damaged(
        "it does not begin like a journal".to_owned(),
    )))
}

/// Returns whether a journal is whole and holds everything that was recorded before it.
pub(crate) fn is_base(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = disk::open(path).map(|file| file.take(HEAD_BYTES).read_to_end(&mut start));
    let frames = start
        .strip_prefix(MAGIC)
        .filter(|_| matches!(read, Ok(Ok(_))));
    let head = frames.and_then(|frames| take_frame(frames, 32));
    let head = head.and_then(|head| rmp_serde::from_slice::<JournalHead>(head.body).ok());
    // Few are, and only those are read to their end.
    head.is_some_and(|head| head.is_base)
        && self::read(path).is_ok_and(|text| text.end == JournalEnd::Whole)
}

/// Compresses a journal that is closed, unless it is short or was compressed before.
///
/// # Errors
/// The disk failed.
pub fn compact(path: &Path) -> Result<(), DiskError> {
    let bytes = disk::read(path)?;
    let Some(frames) = bytes
        .strip_prefix(MAGIC)
        .filter(|frames| frames.len() as u64 >= SHORT)
    else {
        return Ok(());
    };
    let failed = |cause| DiskError {
        verb: "compress",
        path: path.to_owned(),
        cause,
    };
    let mut packed = PACKED_MAGIC.to_vec();
    packed.extend_from_slice(&(frames.len() as u64).to_le_bytes());
    packed.extend_from_slice(&zstd::bulk::compress(frames, LEVEL).map_err(failed)?);
    let is_read_again = unpack(&packed[PACKED_MAGIC.len()..])
        .is_some_and(|unpacked| unpacked.is_whole && unpacked.bytes == frames);
    match is_read_again {
        true => disk::write_lasting(path, &packed),
        false => Ok(()),
    }
}

/// Frames that were compressed, as far as they can be read.
struct UnpackedFrames {
    bytes: Vec<u8>,
    is_whole: bool,
}

/// `None` if it is damaged at its beginning, or speaks of more bytes than it can hold.
fn unpack(packed: &[u8]) -> Option<UnpackedFrames> {
    let (length, stored) = packed.split_first_chunk::<8>()?;
    let length = u64::from_le_bytes(*length);
    if length > DENSEST * stored.len() as u64 {
        return None;
    }
    // One more, if there is one, is too many.
    let bytes = unpack_some(packed, length.saturating_add(1));
    Some(UnpackedFrames {
        is_whole: bytes.len() as u64 == length,
        bytes,
    })
}

/// Unpacks the first bytes, as many of them as can be read.
fn unpack_some(packed: &[u8], most: u64) -> Vec<u8> {
    let stored = packed.get(8..).unwrap_or_default();
    let mut bytes = Vec::new();
    if let Ok(decoder) = zstd::stream::read::Decoder::new(stored) {
        // What comes before an error is there.
        let _ = decoder.take(most).read_to_end(&mut bytes);
    }
    bytes
}

/// A journal's line and head are shorter than this.
const HEAD_BYTES: u64 = 1024;

/// Returns whether this is a journal of a format to come, and not one of this format whose line was
/// damaged: then its head does not follow from it.
fn is_later(bytes: &[u8]) -> bool {
    let Some((line, rest)) = bytes.split_at_checked(MAGIC.len()) else {
        return false;
    };
    let is_of_family = line.starts_with(FAMILY) && line.ends_with(b"\n");
    is_of_family
        && take_frame(rest, 32)
            .is_some_and(|head| next(&Digest::of(line), head.body).as_bytes() == head.check)
}

fn read_frames(mut rest: &[u8], is_first: bool, known: u64) -> JournalText {
    let mut text = JournalText::new();
    let mut chain = Digest::of(if is_first { FIRST_MAGIC } else { MAGIC });
    if is_first {
        text.chains.push(chain);
    }
    while !rest.is_empty() {
        let Some(JournalFrame { check, body, after }) =
            take_frame(rest, if is_first { FIRST_CHECK } else { 32 })
        else {
            text.end = JournalEnd::Torn;
            return text;
        };
        chain = next(&chain, body);
        let is_sound = match is_first {
            true => Digest::of(body).as_bytes()[..FIRST_CHECK] == *check,
            false => chain.as_bytes() == check,
        };
        if !is_sound {
            text.end = JournalEnd::Damaged("its bytes are not those that were written".to_owned());
            return text;
        }
        let is_head = text.chains.is_empty();
        let read = match is_head {
            true => rmp_serde::from_slice(body)
                .map(|head| text.head = head)
                .map_err(|error| error.to_string()),
            false if (text.commits.len() as u64) < known => {
                text.commits.push(Vec::new());
                Ok(())
            }
            false => decode(body).map(|entries| text.commits.push(entries)),
        };
        if let Err(why) = read {
            text.end = JournalEnd::Damaged(why);
            return text;
        }
        text.chains.push(chain);
        rest = after;
    }
    text
}

/// A frame as it lies in a file.
struct JournalFrame<'a> {
    check: &'a [u8],
    body: &'a [u8],
    /// What follows it.
    after: &'a [u8],
}

/// Takes a frame with so long a check off; `None` if the bytes end before it does.
fn take_frame(bytes: &[u8], check: usize) -> Option<JournalFrame<'_>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_at_checked(check)?;
    let (body, after) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some(JournalFrame { check, body, after })
}

/// Returns where the journal of a run lies in the folder of runs.
pub fn path(runs: &Path, run: &RunId) -> PathBuf {
    runs.join(format!("{run}.{ENDING}"))
}

/// Lists the journals in the folder of runs with their runs, the earliest first.
///
/// # Errors
/// The disk failed.
pub fn list(runs: &Path) -> Result<Vec<(RunId, PathBuf)>, DiskError> {
    Ok(files(runs)?
        .into_iter()
        .filter_map(|(run, path)| Some((run?, path)))
        .collect())
}

/// Lists the files that look like journals in the folder of runs; one whose name is not that of a
/// run has none.
///
/// # Errors
/// The disk failed.
pub fn files(runs: &Path) -> Result<Vec<(Option<RunId>, PathBuf)>, DiskError> {
    let mut files = disk::list(runs)?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
    let run = |path: &Path| RunId::parse(path.file_stem()?.to_str()?);
    Ok(files.into_iter().map(|path| (run(&path), path)).collect())
}

/// Returns how far the last journal goes, as the next one is to say: what the tail file says, or
/// what is found, whichever is further.
///
/// # Errors
/// The disk failed; the journal is of a later format.
pub fn last_link(cache: &Path, tail: &JournalTail) -> Result<Option<JournalLink>, DiskError> {
    if tail.link.is_some() && !tail.is_open {
        return Ok(tail.link.clone());
    }
    let Some((run, text)) = last_with_head(cache)? else {
        return Ok(tail.link.clone());
    };
    let told = tail.link.as_ref();
    let is_beyond =
        told.is_none_or(|told| told.run < run || (told.run == run && text.reaches(told)));
    Ok(if is_beyond {
        Some(text.link(&run))
    } else {
        tail.link.clone()
    })
}

/// Returns the last journal of which a head can be read. One without was begun by a run that was
/// killed before it had told anything: there is nothing in it to vouch for.
fn last_with_head(cache: &Path) -> Result<Option<(RunId, JournalText)>, DiskError> {
    for (run, path) in list(&cache.join("runs"))?.into_iter().rev() {
        let text = read(&path)?;
        if !text.chains.is_empty() {
            return Ok(Some((run, text)));
        }
    }
    Ok(None)
}
