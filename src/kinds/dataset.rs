//! Tables that flow between stages: a dataset of parts, or one Parquet file that something else
//! made.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use crate::base::digest::Digest;
use crate::frame::cell::MISSING;
use crate::frame::codec;
use crate::frame::dataset::{DatasetIndex, DatasetPart, INDEX, part_name};
use crate::frame::table::{ColumnType, Table, TableError, unify};
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Input, InputFile, Outputs};
use crate::stage::sub_action::{BlobRef, SubAction};

/// Makes the blobs of a stage's work on one part of a dataset.
pub(crate) type PartBody<'a> =
    &'a (dyn Fn(usize, &Table) -> Result<Vec<Vec<u8>>, TableError> + Sync);

/// Reads what a stage kept as JSON.
///
/// # Errors
/// `Lost` if it cannot be read: then it is made again.
pub(crate) fn read_kept<T: DeserializeOwned>(
    kept: &BlobRef,
    context: &StageContext<'_>,
) -> Result<T, StageError> {
    let bytes = context.memo.fetch(&kept.digest)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| StageError::Lost(format!("what is kept of a part: {error}")))
}

/// A piece of a stage's work on parts of a table.
pub(crate) struct PartWork<'a> {
    /// What kind of work it is.
    pub(crate) kind: &'static str,
    /// What its sub-actions are called, before their numbers.
    pub(crate) name: String,
    /// The parts.
    pub(crate) parts: &'a [usize],
}

/// A table that flows in.
pub(crate) struct Dataset<'a> {
    /// Its columns and parts.
    pub(crate) index: DatasetIndex,
    label: &'a str,
    is_indexed: bool,
    members: Vec<&'a InputFile>,
}

/// A part of a dataset with so many bytes takes longer than a question to another machine.
const COSTLY: u64 = 16 << 20;

impl<'a> Dataset<'a> {
    /// Looks at a table without reading its rows, where it has an index.
    ///
    /// # Errors
    /// It is no table; what reading tells.
    pub(crate) fn open(input: &'a Input) -> Result<Self, StageError> {
        let label = input.label.as_str();
        let wrong = |error: TableError| StageError::Data(format!("`{label}`: {error}"));
        if let Some(member) = input
            .files
            .iter()
            .find(|file| input.directory && file.name == INDEX)
        {
            let index = DatasetIndex::decode(&member.content.bytes()?).map_err(wrong)?;
            let files: BTreeMap<&str, &InputFile> = input
                .files
                .iter()
                .map(|file| (file.name.as_str(), file))
                .collect();
            let find = |part: &DatasetPart| {
                let none = || wrong(TableError(format!("the part `{}` is missing", part.file)));
                files.get(part.file.as_str()).copied().ok_or_else(none)
            };
            let members = index.parts.iter().map(find).collect::<Result<_, _>>()?;
            return Ok(Self {
                index,
                label,
                is_indexed: true,
                members,
            });
        }
        // What has no index was made by a program: then its rows have to be read to know what they
        // are.
        let (mut members, mut columns, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for file in input
            .files
            .iter()
            .filter(|file| !input.directory || file.name.ends_with(".parquet"))
        {
            let table = codec::decode(file.content.bytes()?)
                .and_then(|table| table.canonical())
                .map_err(wrong)?;
            parts.push(DatasetPart {
                file: file.name.clone(),
                rows: table.height() as u64,
                keys: None,
            });
            columns.push(table.columns().map_err(wrong)?);
            members.push(file);
        }
        match members.as_slice() {
            [] => Err(StageError::Data(format!(
                "`{label}` is a directory without a table (`{INDEX}` or `*.parquet`)"
            ))),
            _ => Ok(Self {
                index: DatasetIndex::new(unify(columns), parts),
                label,
                is_indexed: false,
                members,
            }),
        }
    }

    /// Returns the table of a part, in the columns and types of the dataset.
    ///
    /// # Errors
    /// What reading tells.
    pub(crate) fn part(&self, at: usize) -> Result<Table, StageError> {
        let wrong = |error: TableError| StageError::Data(format!("`{}`: {error}", self.label));
        let table = codec::decode(self.members[at].content.bytes()?).map_err(wrong)?;
        table
            .canonical()
            .and_then(|table| table.shaped(&self.index.columns))
            .map_err(wrong)
    }

    /// Returns the whole table.
    ///
    /// # Errors
    /// What reading tells.
    pub(crate) fn whole(&self) -> Result<Table, StageError> {
        let tables = (0..self.members.len())
            .map(|at| self.part(at))
            .collect::<Result<Vec<_>, _>>()?;
        match tables.is_empty() {
            true => Table::of_none(&self.index.columns),
            false => Table::stacked(&tables),
        }
        .map_err(|error| StageError::Data(format!("`{}`: {error}", self.label)))
    }

    /// Carries out a piece of a stage's work on some parts, each as a sub-action: what it is made of
    /// is the part, its columns and what `with` adds; `body` is given the part's number and table.
    ///
    /// # Errors
    /// That of the first part that failed.
    pub(crate) fn each(
        &self,
        work: PartWork<'_>,
        with: &dyn Fn(usize, SubAction) -> SubAction,
        context: &StageContext<'_>,
        body: PartBody<'_>,
    ) -> Result<Vec<Vec<BlobRef>>, StageError> {
        let columns = serde_json::to_vec(&self.index.columns).expect("plain data serialises");
        let columns = Digest::of(&columns);
        let mut parts = Vec::new();
        for at in work.parts {
            let part = SubAction::new(work.kind, format!("{}-{}", work.name, at + 1))
                .with("part", self.members[*at].digest)
                .with("columns", columns)
                .reads(vec![self.members[*at].digest]);
            let part = match self.members[*at].size >= COSTLY {
                true => part.costly(),
                false => part,
            };
            parts.push(with(*at, part));
        }
        if parts.iter().any(|part| part.is_costly) {
            context.memo.recall_all(&parts)?;
        }
        context.memo.keep(&parts, &|at, context| {
            context.check()?;
            let at = work.parts[at];
            body(at, &self.part(at)?).map_err(StageError::from)
        })
    }

    /// Returns the digest of a part.
    pub(crate) fn digest(&self, at: usize) -> Digest {
        self.members[at].digest
    }

    /// Returns the numbers of all parts.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.members.len()).collect()
    }

    /// Returns the blob of a part, if it is kept in the form in which parts are written here.
    pub(crate) fn kept(&self, at: usize) -> Option<BlobRef> {
        let InputFile { digest, size, .. } = *self.members[at];
        self.is_indexed.then_some(BlobRef { digest, size })
    }
}

/// The source's keys of the first and the last row of a part.
pub(crate) type PartKeys = (String, String);

/// A table that flows out, part by part.
#[derive(Default)]
pub(crate) struct DatasetWriter {
    columns: Vec<Vec<(String, ColumnType)>>,
    parts: Vec<(BlobRef, u64, Option<PartKeys>)>,
    /// Files beside the parts.
    attached: Vec<(String, BlobRef)>,
    /// The words that stood for missing values where its rows were read, if that is known.
    na: Option<BTreeSet<String>>,
    /// Columns of times that were numbers there, each with their digits.
    epochs: BTreeMap<String, u32>,
    /// How far the source was read.
    pub(crate) mark: Option<serde_json::Value>,
}

impl DatasetWriter {
    /// Tells which words stood for missing values where its rows, or some of them, were read, and
    /// what numbers that became times counted.
    pub(crate) fn read_with(&mut self, na: &[String], epochs: &BTreeMap<String, u32>) {
        let words = self.na.get_or_insert_default();
        words.extend(na.iter().cloned());
        self.epochs.extend(epochs.clone());
    }

    /// Tells that its rows are those of another dataset, or some of them.
    pub(crate) fn read_as(&mut self, other: &DatasetIndex) {
        let usual = || MISSING.map(str::to_owned).to_vec();
        let words = other.na.clone().unwrap_or_else(usual);
        self.read_with(&words, &other.epochs);
    }

    /// Adds a part that is kept. One without rows only tells of its columns.
    pub(crate) fn add(&mut self, kept: BlobRef, rows: u64, columns: Vec<(String, ColumnType)>) {
        self.add_keyed(kept, rows, columns, None);
    }

    /// Adds a part with the source's keys of its first and last row.
    pub(crate) fn add_keyed(
        &mut self,
        kept: BlobRef,
        rows: u64,
        columns: Vec<(String, ColumnType)>,
        keys: Option<PartKeys>,
    ) {
        self.columns.push(columns);
        if rows > 0 {
            self.parts.push((kept, rows, keys));
        }
    }

    /// Adds a file beside the parts, such as what a part was read from.
    pub(crate) fn attach(&mut self, name: String, kept: BlobRef) {
        self.attached.push((name, kept));
    }

    /// Keeps a table and adds it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn put(
        &mut self,
        table: &Table,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let bytes = codec::encode(table)?;
        self.add(
            context.memo.put(&bytes)?,
            table.height() as u64,
            table.columns()?,
        );
        Ok(())
    }

    /// Gives the dataset as an output and returns its index.
    ///
    /// # Errors
    /// The index cannot be kept.
    pub(crate) fn finish(
        self,
        outputs: &mut Outputs,
        port: &str,
        context: &StageContext<'_>,
    ) -> Result<DatasetIndex, StageError> {
        let (mut files, mut parts) = (self.attached, Vec::new());
        for (at, (kept, rows, keys)) in self.parts.into_iter().enumerate() {
            let file = part_name(at);
            parts.push(DatasetPart {
                file: file.clone(),
                rows,
                keys,
            });
            files.push((file, kept));
        }
        let mut index = DatasetIndex::new(unify(self.columns), parts);
        let usual = BTreeSet::from(MISSING.map(str::to_owned));
        let others = self.na.filter(|words| *words != usual);
        index.na = others.map(|words| words.into_iter().collect());
        index.epochs = self.epochs;
        index.mark = self.mark;
        files.push((INDEX.to_owned(), context.memo.put(&index.encode())?));
        outputs.listed(port, files);
        Ok(index)
    }
}
