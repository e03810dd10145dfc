//! A run as one file: its records and all blobs they speak of, to be taken into another workspace.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;

use crate::app::artifacts::blobs;
use crate::app::workspace::{AppError, Reading, Result, Terms, Workspace};
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::base::name::RunId;
use crate::lineage::journal;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{Entry, RunRecord};
use crate::plan::standing;
use crate::store::blob::Store;
use crate::store::local::Local;

/// What such a file begins with; the digit is the format's version. After it: frames of a length (8 bytes,
/// little-endian), the digest of the body (32 bytes) and the body. The first body holds the records, as in a journal;
/// each further one is a blob.
const MAGIC: &[u8] = b"netsec-run-1\n";

/// What was written or read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Carried {
    /// The run.
    pub run: String,
    /// How many actions it is made of.
    pub actions: usize,
    /// How many blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Workspace {
    /// Writes a run, with every action it is made of and their outputs, to a file. Files from outside are no part of it.
    ///
    /// # Errors
    /// There is no such run; a blob is missing or damaged; the disk failed.
    pub fn export(&self, run: &RunId, to: &Path) -> Result<Carried> {
        let Reading { ledger, .. } = &self.reading()?;
        let record =
            ledger.run(run)?.ok_or_else(|| AppError::Usage(format!("there is no run `{run}`: see `netsec runs`")))?;
        let store = self.store();
        let mut entries = Vec::new();
        let (mut open, mut seen) = (record.stages.iter().filter_map(|stage| stage.key).collect(), BTreeSet::new());
        collect(ledger, &mut open, &mut seen, &mut entries)?;
        let mut digests = BTreeSet::new();
        for entry in &entries {
            if let Entry::Action(action) = entry {
                digests.extend(blobs(&store, &action.outputs).into_iter().map(|(_, digest)| digest));
            }
        }
        let mut carried = Carried { run: run.to_string(), actions: entries.len(), ..Carried::default() };
        entries.push(Entry::Run(Box::new(RunRecord { unchanged_since: None, ..record })));
        let mut bytes = MAGIC.to_vec();
        frame(&mut bytes, &journal::encode(&entries));
        let mut file = disk::create(to)?;
        let failed = |cause| DiskError { verb: "write", path: to.to_owned(), cause };
        file.write_all(&bytes).map_err(failed)?;
        for digest in digests {
            let body = store.get(&digest)?;
            bytes.clear();
            frame(&mut bytes, &body);
            file.write_all(&bytes).map_err(failed)?;
            carried.blobs += 1;
            carried.bytes += body.len() as u64;
        }
        file.sync_all().map_err(failed)?;
        Ok(carried)
    }

    /// Takes a run from a file: what it made can be reused here as if it had run here. Pointers are not moved.
    ///
    /// # Errors
    /// The file is no such file, is torn or damaged: then nothing is recorded. `Busy`, `Stopped`; ledger or disk failed.
    pub fn import(&self, from: &Path, terms: &Terms<'_>) -> Result<Carried> {
        self.prepare()?;
        let _lock = self.lock(terms)?;
        let store = self.store();
        let (entries, mut carried) = take_in(from, &store)?;
        let ledger = self.writing()?;
        for entry in &entries {
            match entry {
                Entry::Action(_) => carried.actions += 1,
                Entry::Run(record) => carried.run = record.run.to_string(),
                Entry::Move(_) | Entry::Swept(_) => return Err(odd(from, "it holds records that no run is made of")),
            }
        }
        standing::forget(&self.cache)?;
        store.flush()?;
        ledger.commit(&entries)?;
        ledger.flush()?;
        Ok(carried)
    }
}

/// Collects actions and all that what flowed into them was made by.
fn collect(
    ledger: &Ledger,
    open: &mut Vec<Digest>,
    seen: &mut BTreeSet<Digest>,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    while let Some(key) = open.pop() {
        if !seen.insert(key) {
            continue;
        }
        let Some(action) = ledger.action(&key)? else { continue };
        for digest in action.inputs.iter().filter_map(|input| input.digest) {
            open.extend(ledger.makers(&digest)?);
        }
        entries.push(Entry::Action(Box::new(action)));
    }
    Ok(())
}

fn frame(bytes: &mut Vec<u8>, body: &[u8]) {
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(Digest::of(body).as_bytes());
    bytes.extend_from_slice(body);
}

fn odd(path: &Path, why: &str) -> AppError {
    let cause = std::io::Error::other(why.to_owned());
    DiskError { verb: "take in", path: path.to_owned(), cause }.into()
}

/// Reads the whole file, keeps its blobs, and returns its records.
fn take_in(from: &Path, store: &Local) -> Result<(Vec<Entry>, Carried)> {
    let mut file = disk::open(from)?;
    let failed = |cause| DiskError { verb: "read", path: from.to_owned(), cause };
    let mut left = file.metadata().map_err(failed)?.len();
    let mut head = vec![0; MAGIC.len()];
    if left < MAGIC.len() as u64 || file.read_exact(&mut head).is_err() || head != MAGIC {
        return Err(odd(from, "it is no exported run of this version of netsec"));
    }
    left -= MAGIC.len() as u64;
    let (mut entries, mut carried) = (None, Carried::default());
    while left > 0 {
        let mut head = [0; 40];
        if left < 40 || file.read_exact(&mut head).is_err() {
            return Err(odd(from, "it ends in the middle"));
        }
        left -= 40;
        let (length, digest) = head.split_at(8);
        let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
        let mut body = Vec::new();
        // Read no more than there is, whatever the length says.
        if length > left || (&mut file).take(length).read_to_end(&mut body).map_err(failed)? as u64 != length {
            return Err(odd(from, "it ends in the middle"));
        }
        left -= length;
        if Digest::of(&body).as_bytes() != digest {
            return Err(odd(from, "it is damaged"));
        }
        match entries {
            None => entries = Some(journal::decode(&body).map_err(|why| odd(from, &why))?),
            Some(_) => {
                store.put(&body)?;
                carried.blobs += 1;
                carried.bytes += length;
            }
        }
    }
    Ok((entries.ok_or_else(|| odd(from, "it holds no records"))?, carried))
}
