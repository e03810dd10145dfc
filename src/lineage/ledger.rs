//! The ledger: records written and found again, over any pairs.
//!
//! How: a commit is *entered*: its pairs go to `pending.pairs`, where whoever asks finds them first.
//! Then it is *kept*: its body is appended to the journal and flushed, and its pairs wait in
//! `pending.kept` for the database, which follows in large batches. A pair leaves `pending` when the
//! database has just that value. The database also holds a mark, how far it follows the journals: what
//! lies beyond is replayed when it is opened.
//!
//! The invariant: whatever is answered is in `pending` or in the database, and whatever is kept is in
//! the journal, so that the database can be lost at any moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::base::digest::Digest;
use crate::base::name::{RefName, RunId, StageId};
use crate::lineage::error::{DatabaseError, LedgerError};
use crate::lineage::journal::{self, Journal};
use crate::lineage::key_value::{KeyValue, KeyValuePair, MemoryKeyValue};
use crate::lineage::packed_pairs::{OpenPacks, PackedPairs};
use crate::lineage::record::{ActionFlow, ActionRecord, FORMAT, LedgerEntry, RunRecord, StageRun};
use crate::lineage::refs::{RefMove, RefState};
use crate::lineage::tables::{
    ACTION, MADE, MARK, META, REF, RUN, STAGES, SWEPT, TOMBSTONE, USED, claim, decode, digest,
    encode, join, latest,
};
use crate::lineage::tail::JournalLink;
use crate::lineage::tombstone::Tombstone;

type LedgerResult<T> = std::result::Result<T, LedgerError>;

/// Where records are kept.
///
/// A commit is *entered*, from when on it is seen by whoever asks this ledger, and then *kept*:
/// written to the journal and flushed. Many entered commits are kept at once. The database follows
/// in batches.
pub struct Ledger {
    pairs: Box<dyn KeyValue>,
    journal: Option<Journal>,
    pending: Mutex<PendingCommits>,
    is_new: bool,
}

/// What is entered and not in the database yet.
#[derive(Default)]
struct PendingCommits {
    /// The pairs as they will be.
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The commits that are not kept, in their order.
    entered: Vec<EnteredCommit>,
    /// How many commits were ever entered.
    count: u64,
    /// The pairs that are kept in the journal and wait for the database.
    kept: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// From so many pairs on, what is kept goes to the database: in large batches, for it is slow with
/// small ones.
const BATCH: usize = 8_192;

/// So many records are decoded at a time.
const AT_ONCE: usize = 2_048;

/// A commit between being entered and being kept.
pub struct EnteredCommit {
    body: Vec<u8>,
    changes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Ledger {
    /// Opens a ledger on a database.
    ///
    /// # Errors
    /// `TooNew`; `Database`.
    pub fn open(pairs: Box<dyn KeyValue>) -> LedgerResult<Self> {
        let mut ledger = Self {
            pairs,
            journal: None,
            pending: Mutex::default(),
            is_new: false,
        };
        match ledger.read::<u32>(META)? {
            Some(found) if found > FORMAT => return Err(LedgerError::TooNew { found }),
            found => ledger.is_new = found.is_none(),
        }
        Ok(ledger)
    }

    /// Returns the pairs themselves.
    pub(crate) fn pairs(&self) -> &dyn KeyValue {
        self.pairs.as_ref()
    }

    /// Writes down that the database is a ledger, for good: one that is found without this has lost
    /// all it held.
    ///
    /// # Errors
    /// The database failed.
    pub fn claim(&self) -> LedgerResult<()> {
        if !self.is_new {
            return Ok(());
        }
        Ok(claim(self.pairs.as_ref())?)
    }

    /// Returns whether the database was empty when it was opened.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Opens an empty ledger in memory.
    ///
    /// # Panics
    /// Never: memory does not fail.
    pub fn in_memory() -> Self {
        Self::open(Box::new(MemoryKeyValue::default())).expect("memory does not fail")
    }

    /// Opens a ledger on packs; what is written stays in memory.
    ///
    /// # Errors
    /// `TooNew`; a pack is damaged.
    pub(crate) fn over_packs(packs: OpenPacks) -> LedgerResult<Self> {
        let top = Box::new(MemoryKeyValue::default());
        Self::open(Box::new(PackedPairs::reading(top, packs)))
    }

    /// Says, for whoever comes after, that nothing more is recorded here.
    pub fn close_journal(&self) {
        self.journal.as_ref().inspect(|journal| journal.close());
    }

    /// Makes every commit from now on go to `journal` too.
    #[must_use]
    pub fn with_journal(mut self, journal: Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Records entries: all of them or none, for good when it returns.
    ///
    /// # Errors
    /// `Moved` if a pointer is not where a move expects it; otherwise what failed.
    pub fn commit(&self, entries: &[LedgerEntry]) -> LedgerResult<()> {
        self.enter(entries)?;
        self.keep(self.take().0)
    }

    /// Takes entries in, all of them or none: they are seen from now on, and lost if the process
    /// ends before they are kept. Returns the number of the commit, counted from one.
    ///
    /// # Errors
    /// `Moved` if a pointer is not where a move expects it; the database failed.
    pub fn enter(&self, entries: &[LedgerEntry]) -> LedgerResult<u64> {
        let changes = self.changes(entries)?;
        let body = if self.journal.is_some() {
            journal::encode(entries)
        } else {
            Vec::new()
        };
        let mut pending = self.pending();
        pending.pairs.extend(changes.clone());
        pending.entered.push(EnteredCommit { body, changes });
        pending.count += 1;
        Ok(pending.count)
    }

    /// Takes out what is entered, to be kept, and the number of its last commit. What it speaks of
    /// has to last before it is.
    pub fn take(&self) -> (Vec<EnteredCommit>, u64) {
        let mut pending = self.pending();
        (std::mem::take(&mut pending.entered), pending.count)
    }

    /// Makes commits last: in the journal, flushed. The database follows.
    ///
    /// # Errors
    /// The disk or the database failed.
    pub fn keep(&self, commits: Vec<EnteredCommit>) -> LedgerResult<()> {
        if commits.is_empty() {
            return Ok(());
        }
        let (bodies, changes): (Vec<_>, Vec<_>) = commits
            .into_iter()
            .map(|commit| (commit.body, commit.changes))
            .unzip();
        let mark: Option<JournalLink> = self
            .journal
            .as_ref()
            .map(|journal| journal.append(&bodies))
            .transpose()?;
        let mut pending = self.pending();
        pending.kept.extend(changes.into_iter().flatten());
        pending
            .kept
            .extend(mark.iter().map(|mark| (MARK.to_vec(), encode(mark))));
        match mark {
            None => self.follow(&mut pending),
            // What is in the journal is kept: a database that fails here is told of when it is
            // flushed.
            Some(_) if pending.kept.len() >= BATCH => {
                let _ = self.follow(&mut pending);
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// Hands what is kept over to the database.
    fn follow(&self, pending: &mut PendingCommits) -> LedgerResult<()> {
        self.write(pending.kept.clone())?;
        let kept = std::mem::take(&mut pending.kept);
        for (key, value) in &kept {
            if pending.pairs.get(key) == Some(value) {
                pending.pairs.remove(key);
            }
        }
        Ok(())
    }

    /// Records a commit of a journal again and notes that the database has followed so far; a move
    /// of a pointer that no longer applies is left out.
    ///
    /// # Errors
    /// The database failed.
    pub fn replay(&self, entries: &[LedgerEntry], mark: &JournalLink) -> LedgerResult<()> {
        let mut changes = match self.changes(entries) {
            Err(LedgerError::Moved { .. }) => {
                let rest = entries
                    .iter()
                    .filter(|entry| !matches!(entry, LedgerEntry::Move(_)));
                self.changes(&rest.cloned().collect::<Vec<LedgerEntry>>())?
            }
            changes => changes?,
        };
        changes.insert(MARK.to_vec(), encode(mark));
        self.write(changes)
    }

    /// Brings the database to what is kept and makes it last; it can do without, but then has to
    /// follow the journals when it is opened.
    ///
    /// # Errors
    /// The database failed.
    pub fn flush(&self) -> LedgerResult<()> {
        self.follow(&mut self.pending())?;
        self.pairs.flush().map_err(LedgerError::Database)
    }

    /// Returns how far the database follows the journals; `None` if it never followed one.
    ///
    /// # Errors
    /// The database failed or the mark cannot be read.
    pub fn mark(&self) -> LedgerResult<Option<JournalLink>> {
        self.read(MARK)
    }

    /// Returns what a commit changes. Entries see what those before them in the same commit change.
    fn changes(&self, entries: &[LedgerEntry]) -> LedgerResult<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut changes: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut refs: BTreeMap<RefName, RefState> = BTreeMap::new();
        for entry in entries {
            match entry {
                LedgerEntry::Action(record) => {
                    let key = record.key.as_bytes();
                    changes.insert(join(ACTION, &[key]), encode(record));
                    if record.part.is_none() {
                        let pair = latest(&record.pipeline, &record.stage);
                        // What came from elsewhere does not take the place of what ran here.
                        if record.imported.is_none() || self.peek(&changes, &pair)?.is_none() {
                            changes.insert(pair, key.to_vec());
                        }
                    }
                    let made = record
                        .outputs
                        .iter()
                        .map(|output| join(MADE, &[output.digest.as_bytes(), key]));
                    let used = record.inputs.iter().filter_map(|input| input.digest);
                    let used = used.map(|digest| join(USED, &[digest.as_bytes(), key]));
                    changes.extend(made.chain(used).map(|pair| (pair, Vec::new())));
                }
                LedgerEntry::Run(record) => self.run_changes(record, &mut changes)?,
                LedgerEntry::Move(step) => self.step(&mut refs, step)?,
                LedgerEntry::Swept(digests) => {
                    changes.extend(
                        digests
                            .iter()
                            .map(|digest| (join(SWEPT, &[digest.as_bytes()]), Vec::new())),
                    );
                }
                LedgerEntry::Forgotten(tombstone) => {
                    let value = encode(tombstone);
                    let order = tombstone.at_ms.to_be_bytes();
                    let key = join(TOMBSTONE, &[&order, Digest::of(&value).as_bytes()]);
                    changes.insert(key, value);
                }
            }
        }
        changes.extend(
            refs.iter()
                .map(|(name, state)| (join(REF, &[name.as_str().as_bytes()]), encode(state))),
        );
        Ok(changes)
    }

    /// A run that has ended stays ended; of the keys that served its stages, only those that are
    /// new are written, so that a rerun of ten thousand stages that changes nothing has nothing to
    /// write here.
    fn run_changes(
        &self,
        record: &RunRecord,
        changes: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> LedgerResult<()> {
        let pair = join(RUN, &[record.run.as_str().as_bytes()]);
        let before: Option<RunRecord> = self
            .peek(changes, &pair)?
            .map(|bytes| decode(&bytes))
            .transpose()?;
        if record.outcome.is_some() || before.is_none_or(|before| before.outcome.is_none()) {
            changes.insert(
                pair,
                encode(&RunRecord {
                    stages: Vec::new(),
                    ..record.clone()
                }),
            );
            if !record.stages.is_empty() {
                changes.insert(
                    join(STAGES, &[record.run.as_str().as_bytes()]),
                    encode(&record.stages),
                );
            }
        }
        for stage in record.stages.iter().filter(|_| record.imported.is_none()) {
            if let Some(key) = stage.key.filter(|_| stage.outcome.is_success()) {
                let pair = latest(&record.pipeline, &stage.id);
                if self.peek(changes, &pair)?.as_deref() != Some(key.as_bytes().as_slice()) {
                    changes.insert(pair, key.as_bytes().to_vec());
                }
            }
        }
        Ok(())
    }

    /// Returns a value as it will be after `changes`.
    fn peek(
        &self,
        changes: &BTreeMap<Vec<u8>, Vec<u8>>,
        key: &[u8],
    ) -> LedgerResult<Option<Vec<u8>>> {
        match changes.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None => self.get(key),
        }
    }

    fn step(&self, refs: &mut BTreeMap<RefName, RefState>, step: &RefMove) -> LedgerResult<()> {
        if !refs.contains_key(&step.name) {
            refs.insert(step.name.clone(), self.reference(&step.name)?);
        }
        let state = refs.get_mut(&step.name).expect("just inserted");
        // A journal that was written anew tells again of moves that another one told of.
        if state.moves.contains(step) {
            return Ok(());
        }
        if state.current() == step.from {
            state.moves.push(step.clone());
            return Ok(());
        }
        Err(LedgerError::Moved {
            name: step.name.clone(),
            found: state.current(),
            expected: step.from,
        })
    }

    /// Returns the record of an action.
    ///
    /// # Errors
    /// The database failed or the record cannot be read.
    pub fn action(&self, key: &Digest) -> LedgerResult<Option<ActionRecord>> {
        self.read(&join(ACTION, &[key.as_bytes()]))
    }

    /// Returns what flowed into an action and out of it.
    ///
    /// # Errors
    /// The database failed or the record cannot be read.
    pub fn flow(&self, key: &Digest) -> LedgerResult<Option<ActionFlow>> {
        self.read(&join(ACTION, &[key.as_bytes()]))
    }

    /// Returns what flowed into every action and out of it, in the order of their keys, one after the
    /// other.
    pub fn flows(&self) -> impl Iterator<Item = LedgerResult<ActionFlow>> {
        let mut pairs = self.range(&[ACTION]);
        let mut read =
            move || -> Vec<LedgerResult<KeyValuePair>> { pairs.by_ref().take(AT_ONCE).collect() };
        let mut next = read();
        // Decoding takes longer than reading: some are decoded at a time, shared among threads, while
        // the next are read.
        let some = move || {
            let some = std::mem::take(&mut next);
            if some.is_empty() {
                return None;
            }
            let flow = |pair: LedgerResult<KeyValuePair>| decode(&pair?.1);
            let flows = || some.into_par_iter().map(flow).collect();
            let (flows, read): (Vec<LedgerResult<ActionFlow>>, _) = rayon::join(flows, &mut read);
            next = read;
            Some(flows)
        };
        std::iter::from_fn(some).flatten()
    }

    /// Returns the key of the action that last served a stage.
    ///
    /// # Errors
    /// The database failed.
    pub fn latest(&self, pipeline: &str, stage: &StageId) -> LedgerResult<Option<Digest>> {
        let bytes = self.get(&latest(pipeline, stage))?;
        Ok(bytes.and_then(|bytes| digest(&bytes)))
    }

    /// Returns a run with how each of its stages ended.
    ///
    /// # Errors
    /// The database failed or the record cannot be read.
    pub fn run(&self, run: &RunId) -> LedgerResult<Option<RunRecord>> {
        let Some(mut record) = self.read::<RunRecord>(&join(RUN, &[run.as_str().as_bytes()]))?
        else {
            return Ok(None);
        };
        if record.stages.is_empty() {
            record.stages = self.stages(record.unchanged_since.as_ref().unwrap_or(run))?;
            if record.unchanged_since.is_some() {
                record.stages.iter_mut().for_each(StageRun::reuse);
            }
        }
        Ok(Some(record))
    }

    /// Returns how the stages of a run ended, if it is recorded with this run itself.
    pub(crate) fn stages(&self, run: &RunId) -> LedgerResult<Vec<StageRun>> {
        Ok(self
            .read(&join(STAGES, &[run.as_str().as_bytes()]))?
            .unwrap_or_default())
    }

    /// Returns all runs, the latest last, without their stages.
    ///
    /// # Errors
    /// The database failed or a record cannot be read.
    pub fn runs(&self) -> LedgerResult<Vec<RunRecord>> {
        self.scan(&[RUN])?
            .into_iter()
            .map(|(_, value)| decode(&value))
            .collect()
    }

    /// Returns all action records, in the order of their keys.
    ///
    /// # Errors
    /// The database failed or a record cannot be read.
    pub fn actions(&self) -> LedgerResult<Vec<ActionRecord>> {
        self.scan(&[ACTION])?
            .into_iter()
            .map(|(_, value)| decode(&value))
            .collect()
    }

    /// Returns a pointer; one that was never set has no moves.
    ///
    /// # Errors
    /// The database failed or the record cannot be read.
    pub fn reference(&self, name: &RefName) -> LedgerResult<RefState> {
        Ok(self
            .read(&join(REF, &[name.as_str().as_bytes()]))?
            .unwrap_or_default())
    }

    /// Returns every pointer with its name.
    ///
    /// # Errors
    /// The database failed or a record cannot be read.
    pub fn references(&self) -> LedgerResult<Vec<(String, RefState)>> {
        let pairs = self.scan(&[REF])?.into_iter();
        pairs
            .map(|(key, value)| {
                Ok((
                    String::from_utf8_lossy(&key[1..]).into_owned(),
                    decode(&value)?,
                ))
            })
            .collect()
    }

    /// Returns whether a blob was removed because nothing kept needed it. It may have been made
    /// again since.
    ///
    /// # Errors
    /// The database failed.
    pub fn is_swept(&self, digest: &Digest) -> LedgerResult<bool> {
        Ok(self.get(&join(SWEPT, &[digest.as_bytes()]))?.is_some())
    }

    /// Returns every blob that was removed because nothing kept needed it.
    pub(crate) fn swept(&self) -> LedgerResult<Vec<Digest>> {
        Ok(self
            .scan(&[SWEPT])?
            .iter()
            .filter_map(|(key, _)| digest(&key[1..]))
            .collect())
    }

    /// Returns what was forgotten, the latest last.
    ///
    /// # Errors
    /// The database failed or a record cannot be read.
    pub fn tombstones(&self) -> LedgerResult<Vec<Tombstone>> {
        let pairs = self.scan(&[TOMBSTONE])?.into_iter();
        pairs.map(|(_, value)| decode(&value)).collect()
    }

    /// Returns the tombstone of a model, if rows that it was trained on were forgotten.
    ///
    /// # Errors
    /// The database failed or a record cannot be read.
    pub fn tombstone_of(&self, model: &Digest) -> LedgerResult<Option<Tombstone>> {
        let mut tombstones = self.tombstones()?.into_iter();
        Ok(tombstones.find(|tombstone| tombstone.models.contains(model)))
    }

    /// Says why what is gone was forgotten, to follow its name, if it was.
    ///
    /// # Errors
    /// The database failed or a record cannot be read.
    pub fn forgotten(&self, digest: &Digest) -> LedgerResult<Option<String>> {
        if let Some(tombstone) = self.tombstone_of(digest)? {
            return Ok(Some(tombstone.tell()));
        }
        let makers = self.makers(digest)?;
        let mut tombstones = self.tombstones()?.into_iter();
        let has_maker =
            |tombstone: &Tombstone| makers.iter().any(|key| tombstone.actions.contains(key));
        Ok(tombstones
            .find(has_maker)
            .map(|tombstone| tombstone.tell_made()))
    }

    /// Returns the keys of the actions that made an artifact.
    ///
    /// # Errors
    /// The database failed.
    pub fn makers(&self, artifact: &Digest) -> LedgerResult<Vec<Digest>> {
        self.seconds(MADE, artifact)
    }

    /// Returns the keys of the actions that an artifact or file flowed into.
    ///
    /// # Errors
    /// The database failed.
    pub fn users(&self, artifact: &Digest) -> LedgerResult<Vec<Digest>> {
        self.seconds(USED, artifact)
    }

    /// Returns every artifact, file or action key the ledger knows whose digest begins with
    /// `prefix`.
    ///
    /// # Errors
    /// The database failed.
    pub fn starting_with(&self, prefix: &str) -> LedgerResult<Vec<Digest>> {
        let whole: Vec<u8> = (0..prefix.len() / 2)
            .map_while(|i| u8::from_str_radix(prefix.get(2 * i..2 * i + 2)?, 16).ok())
            .collect();
        let mut found = std::collections::BTreeSet::new();
        for table in [MADE, USED, ACTION] {
            for (key, _) in self.scan(&join(table, &[&whole]))? {
                found.extend(digest(&key[1..33]).filter(|digest| digest.hex().starts_with(prefix)));
            }
        }
        Ok(found.into_iter().collect())
    }

    fn seconds(&self, table: u8, first: &Digest) -> LedgerResult<Vec<Digest>> {
        let pairs = self.scan(&join(table, &[first.as_bytes()]))?;
        Ok(pairs
            .iter()
            .filter_map(|(key, _)| digest(&key[33..]))
            .collect())
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> LedgerResult<Option<T>> {
        self.get(key)?.map(|bytes| decode(&bytes)).transpose()
    }

    fn get(&self, key: &[u8]) -> LedgerResult<Option<Vec<u8>>> {
        if let Some(value) = self.pending().pairs.get(key) {
            return Ok(Some(value.clone()));
        }
        self.pairs.get(key).map_err(LedgerError::Database)
    }

    fn scan(&self, prefix: &[u8]) -> LedgerResult<Vec<KeyValuePair>> {
        self.range(prefix).collect()
    }

    /// Returns the pairs whose key begins with `prefix`, in order, one after the other.
    fn range(
        &self,
        prefix: &[u8],
    ) -> Box<dyn Iterator<Item = LedgerResult<KeyValuePair>> + Send + '_> {
        let entered: Vec<KeyValuePair> = {
            let pending = self.pending();
            let from = pending.pairs.range(prefix.to_vec()..);
            from.take_while(|(key, _)| key.starts_with(prefix))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        let kept = self.pairs.range(prefix);
        if entered.is_empty() {
            return Box::new(kept.map(|pair| pair.map_err(LedgerError::Database)));
        }
        let kept: Result<BTreeMap<Vec<u8>, Vec<u8>>, DatabaseError> = kept.collect();
        match kept {
            Ok(mut all) => {
                all.extend(entered);
                Box::new(all.into_iter().map(Ok))
            }
            Err(error) => Box::new(std::iter::once(Err(error.into()))),
        }
    }

    fn write(&self, changes: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> LedgerResult<()> {
        let changes = changes
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        self.pairs.write(changes).map_err(LedgerError::Database)
    }

    fn pending(&self) -> MutexGuard<'_, PendingCommits> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
