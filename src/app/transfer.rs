//! A run as one file: its records and all blobs they speak of, to be taken into another workspace.
//!
//! What comes from elsewhere is checked, not believed: the archive is whole, every name in it is
//! one, every blob of every record is there and no other. That its records are *true* nobody can
//! check. So they are marked, what ran here is never replaced by them, and a ref moves by them only
//! if a trusted key signed the archive.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::app::archive::{ArchiveReader, ArchiveWriter, FrameTag, odd};
use crate::app::artifacts::{blobs, manifest};
use crate::app::workspace::{AppError, AppResult, RunOptions, Workspace};
use crate::base::cancel::Cancel;
use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::name::{RunId, check_word};
use crate::base::signing::SigningKey;
use crate::lineage::journal;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{ActionRecord, ImportOrigin, LedgerEntry, RunRecord};
use crate::plan::up_to_date;
use crate::store::blob::Store;
use crate::store::local::LocalStore;

/// The longest name of a pipeline file, a host or a version that is taken in, in bytes.
const NAME: usize = 4096;

/// So far may the clocks of two machines be apart, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// The longest that an action or a run may have taken, in seconds: thirty years.
const LONGEST: f64 = 1e9;

/// What was written or read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TransferSummary {
    /// The run.
    pub run: String,
    /// How many actions it is made of.
    pub actions: usize,
    /// How many of them ran here already.
    pub known: usize,
    /// How many blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The public key it is signed with.
    pub signer: Option<String>,
}

/// What of a run is carried elsewhere.
pub(crate) struct ExportedRun {
    /// How many actions it is made of.
    actions: usize,
    /// Their records and its own, as in a journal.
    pub(crate) records: Vec<u8>,
    /// The blobs that they speak of, in order.
    pub(crate) blobs: Vec<Digest>,
}

impl Workspace {
    /// Writes a run, with every action it is made of and their outputs, to a file, signed if there
    /// is a key. Files from outside are no part of it.
    ///
    /// # Errors
    /// There is no such run; a blob is missing or damaged; the disk failed.
    pub fn export(
        &self,
        run: &RunId,
        to: &Path,
        key: Option<&SigningKey>,
    ) -> AppResult<TransferSummary> {
        // What stayed on a server is told, and not fetched.
        let store = self.tiered(Arc::new(self.store()), None);
        let exported = self.exported(run)?;
        let mut carried = TransferSummary {
            run: run.to_string(),
            actions: exported.actions,
            signer: key.map(SigningKey::public),
            ..TransferSummary::default()
        };
        let mut archive = ArchiveWriter::create(to)?;
        archive.add(FrameTag::Records, &exported.records)?;
        for digest in exported.blobs {
            let body = store.get(&digest)?;
            archive.add(FrameTag::Blob, &body)?;
            carried.blobs += 1;
            carried.bytes += body.len() as u64;
        }
        archive.seal(key)?;
        Ok(carried)
    }

    /// Returns what of a run is carried elsewhere. The records are given back before blobs are read, so
    /// that no run has to wait for that.
    pub(crate) fn exported(&self, run: &RunId) -> AppResult<ExportedRun> {
        let store = self.store();
        let (record, mut entries) = self.exported_records(run)?;
        let mut digests = BTreeSet::new();
        for entry in &entries {
            if let LedgerEntry::Action(action) = entry {
                digests.extend(
                    blobs(&store, &action.outputs)
                        .into_iter()
                        .map(|(_, digest)| digest),
                );
            }
        }
        let actions = entries.len();
        entries.push(LedgerEntry::Run(Box::new(RunRecord {
            unchanged_since: None,
            ..record
        })));
        Ok(ExportedRun {
            actions,
            records: journal::encode(&entries),
            blobs: digests.into_iter().collect(),
        })
    }

    /// Returns the record of a run, and those of every action it is made of.
    fn exported_records(&self, run: &RunId) -> AppResult<(RunRecord, Vec<LedgerEntry>)> {
        let reading = self.reading()?;
        let record = reading.ledger.run(run)?.ok_or_else(|| {
            AppError::Usage(format!("there is no run `{run}`: see `netsec runs`"))
        })?;
        let own: BTreeSet<Digest> = record.stages.iter().filter_map(|stage| stage.key).collect();
        let mut open = own.iter().copied().collect();
        let mut seen = BTreeSet::new();
        let mut entries = Vec::new();
        collect(&reading.ledger, &mut open, &mut seen, &mut entries)?;
        // Parts of a stage's work, and others that made the same bytes, are no loss where a sweep took
        // what they made.
        let store = self.store();
        entries.retain(|entry| match entry {
            LedgerEntry::Action(action) if !own.contains(&action.key) => {
                blobs(&store, &action.outputs)
                    .iter()
                    .all(|(_, digest)| store.has(digest).unwrap_or(false))
            }
            _ => true,
        });
        Ok((record, entries))
    }

    /// Takes a run from a file: what it made can be reused here. Refs are not moved, now or by what
    /// is reused, unless the file is signed by a key that the pipeline trusts.
    ///
    /// # Errors
    /// The file is no such file, is not whole, or holds what no run is made of: then nothing is
    /// recorded. `Busy`, `Stopped`; ledger or disk failed.
    pub fn import(&self, from: &Path, terms: &RunOptions<'_>) -> AppResult<TransferSummary> {
        self.prepare()?;
        let _lock = self.lock(terms)?;
        let store = self.store();
        let (mut carried, records) = self.take_in(from, &store)?;
        let ledger = self.writing()?;
        let imported = Some(ImportOrigin {
            at_ms: clock::SystemClock.now_ms(),
            signer: carried.signer.clone(),
            cache: None,
        });
        let mut entries = Vec::new();
        for mut action in records.actions {
            carried.actions += 1;
            // What ran here stays what is known of it; so does what somebody signed, if nobody
            // signed this.
            let is_better =
                |known: &ImportOrigin| known.signer.is_some() && carried.signer.is_none();
            let known = ledger.action(&action.key)?;
            if known.is_some_and(|known| known.imported.as_ref().is_none_or(is_better)) {
                carried.known += 1;
                continue;
            }
            action.imported.clone_from(&imported);
            entries.push(LedgerEntry::Action(Box::new(action)));
        }
        if ledger.run(&records.run.run)?.is_none() {
            entries.push(LedgerEntry::Run(Box::new(RunRecord {
                imported,
                ..records.run
            })));
        }
        up_to_date::forget(&self.cache)?;
        store.flush()?;
        if !entries.is_empty() {
            ledger.commit(&entries)?;
        }
        self.settle(&ledger)?;
        Ok(carried)
    }

    /// Refuses what would bring rows back that were forgotten.
    fn refuse_forgotten(&self, records: &CarriedRecords) -> AppResult<()> {
        for tombstone in self.reading()?.ledger.tombstones()? {
            let mut actions = records.actions.iter();
            if let Some(action) = actions.find(|action| tombstone.actions.contains(&action.key)) {
                return Err(AppError::Data(format!(
                    "what `{}` made in it {}",
                    action.stage,
                    tombstone.tell_made()
                )));
            }
        }
        Ok(())
    }

    /// Reads the whole file, keeps its blobs, and returns its records.
    fn take_in(
        &self,
        from: &Path,
        store: &LocalStore,
    ) -> AppResult<(TransferSummary, CarriedRecords)> {
        let mut archive = ArchiveReader::open(from)?;
        let first = archive.next()?;
        if first.tag != FrameTag::Records {
            return Err(odd(from, "it is damaged: it does not begin with records").into());
        }
        let entries = journal::decode(&archive.body(&first)?).map_err(|why| odd(from, &why))?;
        let latest_ms = clock::SystemClock.now_ms().saturating_add(DAY_MS);
        let records = CarriedRecords::of(entries, latest_ms).map_err(|why| odd(from, &why))?;
        self.refuse_forgotten(&records)?;
        let mut carried = TransferSummary {
            run: records.run.run.to_string(),
            ..TransferSummary::default()
        };
        let mut there = BTreeSet::new();
        loop {
            let frame = archive.next()?;
            match frame.tag {
                FrameTag::Records => {
                    return Err(odd(from, "it is damaged: records stand among its blobs").into());
                }
                FrameTag::Seal => {
                    carried.signer = archive.seal(&frame)?;
                    break;
                }
                FrameTag::Blob => {
                    let mut copy = disk::temporary(&self.cache.join("tmp"))?;
                    archive.copy(&frame, copy.as_file_mut())?;
                    let (digest, _) = store.take(&copy.into_temp_path(), &Cancel::new())?;
                    there.insert(digest);
                    carried.blobs += 1;
                    carried.bytes += frame.length;
                }
            }
        }
        records
            .check_blobs(store, &there)
            .map_err(|why| odd(from, &why))?;
        Ok((carried, records))
    }
}

/// Collects actions and all that what flowed into them was made by.
fn collect(
    ledger: &Ledger,
    open: &mut Vec<Digest>,
    seen: &mut BTreeSet<Digest>,
    entries: &mut Vec<LedgerEntry>,
) -> AppResult<()> {
    while let Some(key) = open.pop() {
        if !seen.insert(key) {
            continue;
        }
        let Some(action) = ledger.action(&key)? else {
            continue;
        };
        for digest in action.inputs.iter().filter_map(|input| input.digest) {
            open.extend(ledger.makers(&digest)?);
        }
        entries.push(LedgerEntry::Action(Box::new(action)));
    }
    Ok(())
}

/// The records of an archive, with nothing in them but names and plain text.
struct CarriedRecords {
    actions: Vec<ActionRecord>,
    run: RunRecord,
}

impl CarriedRecords {
    /// Sorts the records of an archive and checks what they say. Nothing in them may have begun
    /// after `latest_ms`, in milliseconds since the Unix epoch.
    fn of(entries: Vec<LedgerEntry>, latest_ms: u64) -> std::result::Result<Self, String> {
        let (mut actions, mut runs) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                LedgerEntry::Action(action) => {
                    check_times(action.started_ms, [action.seconds], latest_ms)?;
                    actions.push(checked_action(*action)?);
                }
                LedgerEntry::Run(run) => {
                    if run.run > RunId::new(latest_ms, 0) {
                        return Err(
                            "its run has the name of a day that has not come: one of the clocks is wrong".to_owned()
                        );
                    }
                    let stages = run.stages.iter().map(|stage| stage.seconds);
                    check_times(run.started_ms, stages.chain([run.seconds]), latest_ms)?;
                    runs.push(checked_run(*run)?);
                }
                LedgerEntry::Move(_) | LedgerEntry::Swept(_) | LedgerEntry::Forgotten(_) => {
                    return Err("it holds records that do not belong to a run".to_owned());
                }
            }
        }
        match (runs.pop(), runs.is_empty()) {
            (Some(run), true) => Ok(Self { actions, run }),
            _ => Err("it does not hold one run".to_owned()),
        }
    }

    /// Checks that the archive held every blob that its records speak of, and no other.
    fn check_blobs(
        &self,
        store: &LocalStore,
        there: &BTreeSet<Digest>,
    ) -> std::result::Result<(), String> {
        let mut wanted = BTreeSet::new();
        for output in self.actions.iter().flat_map(|action| &action.outputs) {
            wanted.insert(output.digest);
            if output.directory && there.contains(&output.digest) {
                let listed = manifest(store, &output.digest).ok_or_else(|| {
                    format!("the list of the files of `{}` cannot be read", output.port)
                })?;
                wanted.extend(listed.files.iter().map(|file| file.digest));
            }
        }
        match (
            wanted.difference(there).next(),
            there.difference(&wanted).next(),
        ) {
            (Some(missing), _) => Err(format!(
                "it is not whole: the blob {} that its records name is missing",
                missing.short()
            )),
            (None, Some(extra)) => Err(format!(
                "it holds the blob {} that no record of it names",
                extra.short()
            )),
            (None, None) => Ok(()),
        }
    }
}

fn checked_action(mut action: ActionRecord) -> std::result::Result<ActionRecord, String> {
    for text in [&action.pipeline, &action.kind, &action.host, &action.netsec]
        .into_iter()
        .chain(&action.part)
    {
        check_text(text)?;
    }
    for output in &action.outputs {
        check_text(&output.port)?;
    }
    for wish in &action.moves {
        check_word(&wish.port)?;
    }
    for input in &action.inputs {
        check_text(&input.port)?;
        check_text(&input.text)?;
    }
    for ingredient in &mut action.ingredients {
        check_text(&ingredient.name)?;
        ingredient.value = plain(&ingredient.value);
    }
    action.notes.iter_mut().for_each(|note| *note = plain(note));
    Ok(action)
}

fn checked_run(mut run: RunRecord) -> std::result::Result<RunRecord, String> {
    for text in [&run.pipeline, &run.host, &run.netsec] {
        check_text(text)?;
    }
    for failure in run
        .stages
        .iter_mut()
        .filter_map(|stage| stage.error.as_mut())
    {
        failure.message = plain(&failure.message);
    }
    Ok(run)
}

/// Refuses what began later than `latest_ms`, or took no time that a clock could measure.
fn check_times(
    started_ms: u64,
    seconds: impl IntoIterator<Item = f64>,
    latest_ms: u64,
) -> std::result::Result<(), String> {
    if started_ms > latest_ms {
        return Err(
            "a record in it began on a day that has not come: one of the clocks is wrong"
                .to_owned(),
        );
    }
    match seconds
        .into_iter()
        .find(|seconds| !(0.0..=LONGEST).contains(seconds))
    {
        Some(odd) => Err(format!(
            "a record in it took {odd} seconds, which no action does"
        )),
        None => Ok(()),
    }
}

/// Returns whether a character could do something to a terminal, or turns the direction of what
/// follows and so shows a name as another one.
fn is_mark(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// Refuses a name with such a character.
fn check_text(text: &str) -> std::result::Result<(), String> {
    match text.len() > NAME || text.chars().any(is_mark) {
        true => Err(format!(
            "a name in it is not valid: {:?}",
            text.chars().take(60).collect::<String>()
        )),
        false => Ok(()),
    }
}

/// Text for people without such characters.
fn plain(text: &str) -> String {
    let plain = |c: char| {
        if is_mark(c) && !matches!(c, '\n' | '\t') {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(plain).collect()
}
