//! A collection of MongoDB → a dataset: all of it, or what is new since the last time.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::secret::Secret;
use crate::frame::build::TypeConflict;
use crate::frame::codec;
use crate::frame::dataset::{DatasetIndex, INDEX};
use crate::frame::table::{ColumnType, TableError};
use crate::kinds::dataset::{DatasetWriter, PartKeys, read_kept};
use crate::source::documents::{
    DocumentFields, DocumentKey, DocumentReading, SentDocument, cut, join, key_of, key_text, order,
    read_key, rows, split,
};
use crate::source::mongodb::{Collection, CollectionRange, MongoError, moment, parse};
use crate::stage::context::StageContext;
use crate::stage::declare::params;
use crate::stage::error::StageError;
use crate::stage::io::Outputs;
use crate::stage::kind::OutsideSource;
use crate::stage::param::{ParamError, ParamStep, ParamType};
use crate::stage::sub_action::{BlobRef, SubAction};

/// A collection is calm when nothing has changed in it for so long.
const CALM: Duration = Duration::from_millis(500);

/// The name of the documents behind a part, among the files of the dataset.
fn raw_name(at: usize) -> String {
    format!("raw-{at:06}.bson")
}

/// What the documents of a part became.
#[derive(Debug, Serialize, Deserialize)]
struct DocumentsSummary {
    rows: u64,
    columns: Vec<(String, ColumnType)>,
    tally: Vec<TypeConflict>,
    dropped: Vec<String>,
}

params! {
    /// A collection.
    pub(crate) struct CollectionParams {
        /// The address, such as `${env.NETSEC_MONGODB_URI}`; it is part of no key and shown
        /// nowhere.
        uri: Result<Secret, String> = required;
        /// The database.
        database: String = required;
        /// The collection.
        collection: String = required;
        /// Which documents are meant, as MongoDB Extended JSON: `'{"at": {"$gte": {"$date":
        /// "2026-01-01T00:00:00Z"}}}'`.
        filter: String = "'{}'";
        /// Which fields are taken, as MongoDB Extended JSON: `'{"payload": 0}'`.
        projection: String = "'{}'";
        /// How new documents are told from those that are known; without it all of them are read in
        /// every run. What was deleted, or changed without that field, shows with `--full`.
        incremental: Option<IncrementalParams>;
        /// Whether `_id` becomes a column.
        keep_id: bool = "false";
        /// How long to look for a server.
        timeout_seconds: f64 = "5", in ParamType::Float(0.01, 3600.0);
        /// A file with the certificates of the authority that vouches for the server.
        tls_ca_file: Option<String>;
    }
}

params! {
    /// How new documents are told from those that are known.
    pub(crate) struct IncrementalParams {
        /// `_id` where documents are only added and their ids grow, or a field that grows with each
        /// change.
        by: String = required;
    }
}

/// A collection as a pipeline names it.
pub(crate) struct CollectionSource {
    uri: Result<Secret, String>,
    asked: Collection,
    by: Option<String>,
    keeps_id: bool,
}

/// Reads a document that is written as JSON.
fn document(text: &str, path: [&str; 2], faults: &mut Vec<ParamError>) -> DocumentFields {
    parse(text).unwrap_or_else(|MongoError(message)| {
        faults.push(ParamError {
            path: path.map(ParamStep::key).to_vec(),
            message,
            help: None,
        });
        DocumentFields::new()
    })
}

impl CollectionSource {
    /// Takes the parameters; `path` leads to them.
    pub(crate) fn new(params: CollectionParams, path: &str) -> Result<Self, Vec<ParamError>> {
        let mut faults = Vec::new();
        let filter = document(&params.filter, [path, "filter"], &mut faults);
        let projection = document(&params.projection, [path, "projection"], &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let uri = params.uri.clone();
        Ok(Self {
            asked: Collection {
                uri: uri.unwrap_or_else(|_| Secret::new(String::new())),
                database: params.database,
                collection: params.collection,
                filter,
                projection,
                timeout: Duration::from_secs_f64(params.timeout_seconds),
                tls_ca_file: params.tls_ca_file.map(PathBuf::from),
            },
            uri: params.uri,
            by: params.incremental.map(|incremental| incremental.by),
            keeps_id: params.keep_id,
        })
    }

    /// Returns the collection if its address is known.
    pub(crate) fn collection(&self) -> Result<&Collection, StageError> {
        match &self.uri {
            Ok(_) => Ok(&self.asked),
            Err(name) => Err(StageError::unset(name)),
        }
    }
}

fn failed(MongoError(message): MongoError) -> StageError {
    StageError::Failed(format!("MongoDB: {message}"))
}

impl OutsideSource for CollectionSource {
    fn look(&self) -> Result<String, StageError> {
        let collection = self.collection()?;
        let Some(by) = &self.by else {
            return Ok(moment());
        };
        let greatest = collection
            .connect()
            .and_then(|session| session.greatest(by))
            .map_err(failed)?;
        Ok(greatest
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), key_text))
    }

    fn wait(&self, is_over: &dyn Fn() -> bool) -> Result<bool, StageError> {
        let session = self.collection()?.connect().map_err(failed)?;
        session.wait_for_change(CALM, is_over).map_err(failed)
    }
}

/// A part that is there from before.
struct KnownPart {
    first: DocumentKey,
    last: DocumentKey,
    raw: BlobRef,
}

/// What is known from before.
struct EarlierRead {
    mark: DocumentKey,
    parts: Vec<KnownPart>,
    rows: u64,
}

/// Parts as they are made.
struct MadeParts<'a> {
    source: &'a CollectionSource,
    reading: &'a DocumentReading,
    drop: &'a [String],
    context: &'a StageContext<'a>,
    pending: VecDeque<SentDocument>,
    made: Vec<(BlobRef, DocumentsSummary, BlobRef, PartKeys)>,
    rows: u64,
}

/// Reads the collection and gives the dataset at a port. Returns its index, and the columns whose
/// cells do not fit together.
///
/// # Errors
/// The server does not answer or refuses; a document cannot be read.
pub(crate) fn pull(
    source: &CollectionSource,
    reading: DocumentReading,
    drop: &[String],
    (outputs, port): (&mut Outputs, &str),
    context: &StageContext<'_>,
) -> Result<(DatasetIndex, BTreeMap<String, TypeConflict>), StageError> {
    let session = source.collection()?.connect().map_err(failed)?;
    let reading = DocumentReading {
        keeps_id: source.keeps_id,
        ..reading
    };
    let earlier = source.by.as_ref().and_then(|_| before(context));
    let seen = context.seen.and_then(read_key);
    let mut parts = MadeParts {
        source,
        reading: &reading,
        drop,
        context,
        pending: VecDeque::new(),
        made: Vec::new(),
        rows: 0,
    };
    let resumed = match (&source.by, earlier, seen) {
        (Some(by), Some(before), Some(seen)) if !context.full => {
            let range = match by.as_str() {
                "_id" => CollectionRange::Ids(before.mark.clone(), seen),
                field => CollectionRange::Values(field.to_owned(), before.mark.clone(), seen),
            };
            let mut changed = Vec::new();
            let mut gather = |batch: Vec<SentDocument>| {
                changed.extend(batch);
                context.check()
            };
            let is_new = !matches!(&range, CollectionRange::Ids(after, up_to) if after == up_to);
            let resumed = if is_new {
                session.read(&range, &mut gather).map_err(failed)??
            } else {
                0
            };
            let count = changed.len();
            parts.refresh(&before, changed)?;
            outputs.note(format!(
                "{count} documents are new or changed since the last time"
            ));
            if source.asked.filter.is_empty() {
                let there = session.count().map_err(failed)?;
                if there != parts.rows {
                    outputs.note(format!(
                        "the collection has {there} documents and the dataset {}: some were deleted, or came in meanwhile; `--full` \
                         reads all again",
                        parts.rows
                    ));
                }
            }
            resumed
        }
        (_, earlier, _) => {
            let resumed = session
                .read(&CollectionRange::All, &mut |batch| parts.take(batch))
                .map_err(failed)??;
            parts.finish()?;
            if let Some(before) = earlier {
                compare(&before, &parts, outputs)?;
            }
            resumed
        }
    };
    if resumed > 0 {
        outputs.note(format!(
            "the connection broke off {resumed} times and was taken up again"
        ));
    }
    parts.give(outputs, port)
}

/// Reads what an earlier action left.
fn before(context: &StageContext<'_>) -> Option<EarlierRead> {
    let input = (context.earlier)("data")?;
    let member = |name: &str| input.files.iter().find(|file| file.name == name);
    let index = DatasetIndex::decode(&member(INDEX)?.content.bytes().ok()?).ok()?;
    let mark = read_key(index.mark.as_ref()?.as_str()?)?;
    let known = |(at, part): (usize, &crate::frame::dataset::DatasetPart)| {
        let raw = member(&raw_name(at))?;
        let (first, last) = part.keys.as_ref()?;
        let (first, last) = (read_key(first)?, read_key(last)?);
        Some(KnownPart {
            first,
            last,
            raw: BlobRef {
                digest: raw.digest,
                size: raw.size,
            },
        })
    };
    let parts = index
        .parts
        .iter()
        .enumerate()
        .map(known)
        .collect::<Option<Vec<_>>>()?;
    Some(EarlierRead {
        mark,
        parts,
        rows: index.rows(),
    })
}

fn documents(kept: &BlobRef, context: &StageContext<'_>) -> Result<Vec<SentDocument>, StageError> {
    let bytes = context.memo.fetch(&kept.digest)?;
    split(&bytes).map_err(|TableError(why)| StageError::Lost(why))
}

impl MadeParts<'_> {
    /// Takes more documents, which come after all before, and makes parts of them.
    fn take(&mut self, batch: Vec<SentDocument>) -> Result<(), StageError> {
        self.context.check()?;
        self.pending.extend(batch);
        while let Some(count) = cut(self.pending.make_contiguous()) {
            self.make(count)?;
        }
        (self.context.progress)(self.rows, 0, "documents");
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StageError> {
        if self.pending.is_empty() {
            Ok(())
        } else {
            self.make(self.pending.len())
        }
    }

    /// Makes a part of so many documents that wait.
    fn make(&mut self, count: usize) -> Result<(), StageError> {
        let documents: Vec<SentDocument> = self.pending.drain(..count).collect();
        let raw = self.context.memo.put(&join(&documents))?;
        let keys = (
            key_text(&key_of(&documents[0])),
            key_text(&key_of(&documents[count - 1])),
        );
        self.read(raw, Some(documents), keys)
    }

    /// Reads the documents of a part, unless that was done before.
    fn read(
        &mut self,
        raw: BlobRef,
        known: Option<Vec<SentDocument>>,
        keys: PartKeys,
    ) -> Result<(), StageError> {
        let part = SubAction::new("read", format!("read-{}", self.made.len() + 1))
            .with("documents", raw.digest)
            .with("reading", self.reading)
            .with("drop", self.drop);
        let (reading, drop) = (self.reading, self.drop);
        let kept = self.context.memo.keep(&[part], &|_, context| {
            let documents = match &known {
                Some(documents) => documents.clone(),
                None => documents(&raw, context)?,
            };
            blobs(&documents, reading, drop).map_err(StageError::from)
        })?;
        let gist: DocumentsSummary = read_kept(&kept[0][0], self.context)?;
        self.rows += gist.rows;
        self.made.push((kept[0][1], gist, raw, keys));
        Ok(())
    }

    /// Puts documents that are new or changed into the parts that are known; parts that none of
    /// them touches stay.
    fn refresh(
        &mut self,
        before: &EarlierRead,
        mut changed: Vec<SentDocument>,
    ) -> Result<(), StageError> {
        changed.sort_by(|a, b| order(&key_of(a), &key_of(b)));
        let mut changed = VecDeque::from(changed);
        for (at, known) in before.parts.iter().enumerate() {
            let next = before.parts.get(at + 1).map(|next| &next.first);
            let belongs = |document: &SentDocument| {
                next.is_none_or(|next| order(&key_of(document), next).is_lt())
            };
            let mine: Vec<SentDocument> = std::iter::from_fn(|| {
                if belongs(changed.front()?) {
                    changed.pop_front()
                } else {
                    None
                }
            })
            .collect();
            if mine.is_empty() && self.pending.is_empty() {
                self.read(
                    known.raw,
                    None,
                    (key_text(&known.first), key_text(&known.last)),
                )?;
                continue;
            }
            let old = documents(&known.raw, self.context)?;
            let merged = merge(old, mine);
            self.take(merged)?;
        }
        self.take(changed.into())?;
        self.finish()
    }

    /// Gives the dataset as an output.
    fn give(
        self,
        outputs: &mut Outputs,
        port: &str,
    ) -> Result<(DatasetIndex, BTreeMap<String, TypeConflict>), StageError> {
        let mut writer = DatasetWriter::default();
        writer.read_with(&self.reading.na, &BTreeMap::new());
        let mut tallies: BTreeMap<String, TypeConflict> = BTreeMap::new();
        for name in self.drop {
            if !self
                .made
                .iter()
                .any(|(_, gist, ..)| gist.dropped.contains(name))
            {
                return Err(StageError::Data(format!(
                    "drop: no document has a field `{name}`"
                )));
            }
        }
        for (at, (rows, gist, raw, keys)) in self.made.into_iter().enumerate() {
            gist.tally
                .into_iter()
                .for_each(|tally| tally.gather(&mut tallies));
            writer.add_keyed(rows, gist.rows, gist.columns, Some(keys));
            writer.attach(raw_name(at), raw);
        }
        writer.mark = self
            .context
            .seen
            .filter(|_| self.source.by.is_some())
            .map(|seen| serde_json::json!(seen));
        let index = writer.finish(outputs, port, self.context)?;
        tallies.retain(|column, tally| {
            tally.is_conflict() && !self.reading.types.contains_key(column)
        });
        Ok((index, tallies))
    }
}

/// Two lists in the order of their keys as one; of two documents with the same key, the second
/// list's stays.
fn merge(old: Vec<SentDocument>, new: Vec<SentDocument>) -> Vec<SentDocument> {
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    let mut merged = Vec::new();
    loop {
        match (old.peek(), new.peek()) {
            (Some(a), Some(b)) => match order(&key_of(a), &key_of(b)) {
                std::cmp::Ordering::Less => merged.extend(old.next()),
                std::cmp::Ordering::Equal => {
                    old.next();
                }
                std::cmp::Ordering::Greater => merged.extend(new.next()),
            },
            (Some(_), None) => merged.extend(old.next()),
            (None, Some(_)) => merged.extend(new.next()),
            (None, None) => return merged,
        }
    }
}

/// What is kept of the documents of a part: the gist, and the rows as Parquet.
fn blobs(
    documents: &[SentDocument],
    reading: &DocumentReading,
    drop: &[String],
) -> Result<Vec<Vec<u8>>, TableError> {
    let (piece, tally) = rows(documents, reading)?;
    if let Some(malformed) = piece.malformed {
        return Err(TableError(malformed.why));
    }
    let table = piece
        .table
        .ok_or_else(|| TableError("there are no rows".to_owned()))?;
    let dropped: Vec<String> = drop
        .iter()
        .filter(|name| table.has(name))
        .cloned()
        .collect();
    let table = table.without(&dropped)?.canonical()?;
    let tally = tally
        .into_iter()
        .filter(|tally| !drop.contains(&tally.column));
    let gist = DocumentsSummary {
        rows: table.height() as u64,
        columns: table.columns()?,
        tally: tally.collect(),
        dropped,
    };
    Ok(vec![
        serde_json::to_vec(&gist).expect("plain data serialises"),
        codec::encode(&table)?,
    ])
}

/// Says what the increments had missed.
fn compare(
    before: &EarlierRead,
    parts: &MadeParts<'_>,
    outputs: &mut Outputs,
) -> Result<(), StageError> {
    let after: Vec<Digest> = parts.made.iter().map(|(_, _, raw, _)| raw.digest).collect();
    let known: Vec<Digest> = before.parts.iter().map(|known| known.raw.digest).collect();
    // Parts that are the same on both sides need no look.
    let digests = |raws: &mut dyn Iterator<Item = BlobRef>,
                   others: &[Digest]|
     -> Result<BTreeMap<String, Digest>, StageError> {
        let mut documents_by_key = BTreeMap::new();
        for raw in raws.filter(|raw| !others.contains(&raw.digest)) {
            for document in documents(&raw, parts.context)? {
                documents_by_key.insert(
                    key_text(&key_of(&document)),
                    Digest::of(document.as_bytes()),
                );
            }
        }
        Ok(documents_by_key)
    };
    let old = digests(&mut before.parts.iter().map(|known| known.raw), &after)?;
    let new = digests(&mut parts.made.iter().map(|(_, _, raw, _)| *raw), &known)?;
    let deleted: Vec<&String> = old.keys().filter(|key| !new.contains_key(*key)).collect();
    let edited: Vec<&String> = old
        .iter()
        .filter(|(key, digest)| new.get(*key).is_some_and(|now| now != *digest))
        .map(|(key, _)| key)
        .collect();
    let added: Vec<&String> = new.keys().filter(|key| !old.contains_key(*key)).collect();
    if deleted.is_empty() && edited.is_empty() && added.is_empty() {
        outputs.note(format!(
            "all {} documents were known as they are",
            before.rows
        ));
    }
    for (keys, what) in [(deleted, "deleted"), (edited, "changed"), (added, "new")] {
        if !keys.is_empty() {
            let some: Vec<&str> = keys.iter().take(3).map(|key| key.as_str()).collect();
            outputs.note(format!(
                "{} documents were {what} since the last time, such as {}",
                keys.len(),
                some.join(", ")
            ));
        }
    }
    Ok(())
}
