//! A model that was made elsewhere, brought into the workspace by itself: what vouches for it was checked
//! before.

use crate::app::registry::check_word;
use crate::app::workspace::{AppError, AppResult, RunOptions, Workspace};
use crate::base::artifact::{Artifact, ContentRef};
use crate::base::clock::{self, Clock};
use crate::base::digest::{Digest, FramedHasher};
use crate::base::host::host;
use crate::base::name::{RefName, RunId, StageId};
use crate::lineage::record::{ActionRecord, ImportOrigin, Ingredient, LedgerEntry};
use crate::lineage::refs::{ManualEvidence, RefEvidence, RefMove};
use crate::plan::up_to_date;
use crate::store::blob::Store;

/// What the stage of a model is called that was made elsewhere.
pub const IMPORTED: &str = "imported";

/// What a model's own statement tells of it.
#[derive(Clone, Debug)]
pub struct ImportedModel {
    /// The file that it came in.
    pub file: String,
    /// The model's bytes.
    pub model: Vec<u8>,
    /// What is told of how it was made: kept with the record.
    pub told: Vec<Ingredient>,
    /// The key that signed its statement, if one was asked for.
    pub signer: Option<String>,
}

impl Workspace {
    /// Keeps a model that was made elsewhere, and points a ref at it: a model that no ref points at
    /// goes with the next sweep.
    ///
    /// # Errors
    /// No reason is given; the ref points there already; `Busy`, `Stopped`; store, ledger or disk
    /// failed.
    pub fn import_model(
        &self,
        imported: ImportedModel,
        name: &RefName,
        word: ManualEvidence,
        terms: &RunOptions<'_>,
    ) -> AppResult<RefMove> {
        check_word(&word)?;
        self.prepare()?;
        let _lock = self.lock(terms)?;
        let ledger = self.writing()?;
        let state = ledger.reference(name)?;
        let digest = Digest::of(&imported.model);
        if let Some(tombstone) = ledger.tombstone_of(&digest)? {
            let why = tombstone.tell();
            return Err(AppError::Usage(format!("`{}` {why}", imported.file)));
        }
        let store = self.store();
        let points_there = state.current() == Some(ContentRef::bytes(digest));
        if let (true, Some(last), false) = (
            points_there,
            state.moves.last(),
            store.has(&digest).unwrap_or(false),
        ) {
            // It was lost since: what the ref points at is there again.
            store.put(&imported.model)?;
            store.flush()?;
            return Ok(last.clone());
        }
        if points_there {
            return Err(AppError::Usage(format!(
                "`{name}` points at {} already",
                digest.short()
            )));
        }
        let now_ms = clock::SystemClock.now_ms();
        store.put(&imported.model)?;
        store.flush()?;
        let step = RefMove {
            name: name.clone(),
            from: state.current(),
            to: Some(ContentRef::bytes(digest)),
            evidence: RefEvidence::Manual(word),
            at_ms: now_ms,
        };
        up_to_date::forget(&self.cache)?;
        ledger.commit(&[
            LedgerEntry::Action(Box::new(record(imported, digest, now_ms))),
            LedgerEntry::Move(step.clone()),
        ])?;
        self.settle(&ledger)?;
        Ok(step)
    }
}

fn record(imported: ImportedModel, digest: Digest, now_ms: u64) -> ActionRecord {
    let mut framed = FramedHasher::new("netsec 2026-11 imported model 1");
    // Who vouches for it is part of what it is: one import says nothing of another.
    framed
        .digest(&digest)
        .text(imported.signer.as_deref().unwrap_or_default());
    for told in &imported.told {
        framed.text(&told.name).text(&told.value);
    }
    ActionRecord {
        key: framed.finish(),
        pipeline: imported.file,
        stage: StageId::parse(IMPORTED).expect("a plain word"),
        part: None,
        kind: "import".to_owned(),
        ingredients: imported.told,
        inputs: Vec::new(),
        outputs: vec![Artifact {
            port: "model".to_owned(),
            digest,
            size: imported.model.len() as u64,
            directory: false,
        }],
        moves: Vec::new(),
        notes: Vec::new(),
        rejects: false,
        run: RunId::new(now_ms, 0),
        started_ms: now_ms,
        seconds: 0.0,
        host: host(),
        netsec: env!("CARGO_PKG_VERSION").to_owned(),
        remote: None,
        imported: Some(ImportOrigin {
            at_ms: now_ms,
            signer: imported.signer,
            cache: None,
        }),
    }
}
