//! Is what the cache holds what was put there, and can it be mended?

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use crate::app::artifacts::blobs;
use crate::app::run::{BegunRun, begin_run};
use crate::app::workspace::{AppResult, RunOptions, Workspace};
use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::lineage::audit::{audit, everything};
use crate::lineage::error::LedgerError;
use crate::lineage::follow::from_journals;
use crate::lineage::journal::{self, Journal, JournalHead};
use crate::lineage::record::ActionFlow;
use crate::lineage::sled;
use crate::store::away::AwayIndex;
use crate::store::blob::{Store, StoreError};

/// What `cache verify` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// How many blobs are sound.
    pub sound: usize,
    /// What is bad about blobs that records need, a line each.
    pub bad: Vec<String>,
    /// What is bad about blobs that no record needs, as a loss of power may leave them, a line
    /// each.
    pub unneeded: Vec<String>,
    /// What is wrong with the records themselves, a line each.
    pub records: Vec<String>,
    /// The blobs that are damaged.
    pub damaged: BTreeSet<Digest>,
    /// The pipelines and stages whose outputs are bad or missing.
    pub lost: Vec<(String, String)>,
}

impl Workspace {
    /// Checks that the records are there, and every blob of every record; reads every blob and checks
    /// it, unless only the records are asked about.
    ///
    /// # Errors
    /// Ledger or disk failed.
    pub fn verify(&self, only_records: bool) -> AppResult<Verification> {
        let store = self.store();
        let mut verified = Verification::default();
        // The records first: a blob is there before its record is. The database is given back
        // before the blobs are read.
        let actions = {
            let reading = self.reading_database()?;
            let database = reading.is_database.then_some(&reading.ledger);
            let (audited, flows) = rayon::join(
                || audit(&self.cache, database, reading.is_alone()),
                || -> Result<Vec<ActionFlow>, LedgerError> { reading.ledger.flows().collect() },
            );
            verified.records = audited?.lines();
            // Of packs that are damaged, the journals have all.
            match flows {
                Err(LedgerError::Database(_)) => from_journals(&self.cache)?.flows().collect(),
                flows => flows,
            }?
        };
        let mut there: HashSet<Digest> = HashSet::new();
        let away = AwayIndex::of(&self.cache).all().into_iter();
        let away: HashSet<Digest> = away.map(|blob| blob.digest).collect();
        for (digest, _) in store.list()? {
            if only_records {
                there.insert(digest);
                continue;
            }
            match store.verify(&digest) {
                Ok(()) => verified.sound += 1,
                // Removed since it was listed.
                Err(StoreError::Missing(_)) => continue,
                Err(StoreError::Corrupt { .. }) => {
                    verified.damaged.insert(digest);
                }
                Err(error) => verified.bad.push(error.to_string()),
            }
            there.insert(digest);
        }
        let is_away = |digest: &Digest| {
            let list = store.chunks(digest).unwrap_or_default();
            let mut chunks = list.iter().flat_map(|list| &list.chunks);
            away.contains(digest) || chunks.any(|chunk| away.contains(&chunk.digest))
        };
        let mut needed = HashSet::new();
        let mut missing = Vec::new();
        for record in &actions {
            for (name, digest) in blobs(&store, &record.outputs) {
                if !there.contains(&digest) && !is_away(&digest) {
                    missing.push((record, name, digest));
                } else if verified.damaged.contains(&digest) {
                    verified
                        .lost
                        .push((record.pipeline.clone(), record.stage.stem().to_owned()));
                }
                needed.insert(digest);
            }
        }
        for digest in &verified.damaged {
            let line = format!(
                "the blob {digest} is damaged: `{}`",
                store.path(digest).display()
            );
            if needed.contains(digest) {
                verified.bad.push(line)
            } else {
                verified.unneeded.push(line)
            }
        }
        if !missing.is_empty() {
            // Asked again: they may have been removed meanwhile.
            let ledger = self.reading()?.ledger;
            for (record, name, digest) in missing {
                if !ledger.is_swept(&digest)? {
                    let ActionFlow {
                        pipeline,
                        stage,
                        run,
                        ..
                    } = record;
                    verified
                        .lost
                        .push((pipeline.clone(), stage.stem().to_owned()));
                    verified.bad.push(format!(
                        "the blob {digest} is missing: `{stage}.{name}` of run {run}"
                    ));
                }
            }
        }
        Ok(verified)
    }

    /// Writes anew what is missing from the journals and stands in the database, and has the
    /// database built anew where it lacks what the journals hold. Returns what was done, a line
    /// each.
    ///
    /// # Errors
    /// `Busy`, `Stopped`; ledger or disk failed.
    pub fn mend_records(&self, terms: &RunOptions<'_>) -> AppResult<Vec<String>> {
        let _lock = self.lock(terms)?;
        let (mut ledger, mut done) = sled::open(&self.cache)?;
        let mut found = audit(&self.cache, Some(&ledger), true)?;
        if !found.packs.is_empty() {
            drop(ledger);
            let aside = sled::set_aside(&self.cache)?;
            done.push(format!(
                "damaged packs were moved to `{}`, and built from the journals",
                aside.display()
            ));
            (ledger, _) = sled::open(&self.cache)?;
            found = audit(&self.cache, Some(&ledger), true)?;
        }
        if !found.journals.is_empty() || found.only_in_database > 0 {
            let BegunRun { run, after } = begin_run(&self.cache, clock::SystemClock.now_ms())?;
            let journal = Journal::of(
                &self.cache,
                &run,
                JournalHead {
                    is_base: true,
                    after,
                },
            );
            let commits: Vec<Vec<u8>> = everything(&ledger)?
                .iter()
                .map(|entries| journal::encode(entries))
                .collect();
            let link = journal.append(&commits)?;
            done.push(format!(
                "all {} records were written to a journal of their own, {run}",
                link.commits
            ));
            journal.close();
            for (path, _) in &found.journals {
                done.extend(self.set_journal_aside(path)?);
            }
        }
        drop(ledger);
        if found.only_in_journals > 0 {
            let aside = sled::set_aside(&self.cache)?;
            done.push(format!(
                "the database was moved to `{}`, and built from the journals",
                aside.display()
            ));
            sled::open(&self.cache)?.0.flush()?;
        }
        Ok(done)
    }

    fn set_journal_aside(&self, path: &Path) -> AppResult<Option<String>> {
        let (true, Some(name)) = (disk::look(path).is_ok(), path.file_name()) else {
            return Ok(None);
        };
        disk::create_dirs(&self.cache.join("bad"))?;
        let aside = self.cache.join("bad").join(name);
        disk::rename(path, &aside)?;
        Ok(Some(format!(
            "a damaged journal was moved to `{}`",
            aside.display()
        )))
    }

    /// Moves the damaged blobs that were found out of the store.
    pub fn set_aside(&self, verified: &Verification) {
        let store = self.store();
        for digest in &verified.damaged {
            // Reading it finds it damaged and sets it aside.
            let _ = store.get(digest);
        }
    }
}
