//! What was asked of a model and what it told, kept so that it can be asked again.
//!
//! How: an entry holds the cells as the model read them, not the request, so that the same cells
//! have to give the same bits. Entries stand one after the other in a segment, each with its length
//! before it. A segment that is closed is compressed and named by the time of its first entry and
//! the digest of its bytes; one that is open may end in the middle of an entry, which is then no
//! entry.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::prep::cells::ColumnCells;
use crate::prep::preprocessor::RequiredColumn;
use crate::scoring::read_rows::ReadRows;
use crate::scoring::scorer::{RowVerdict, Scorer};

/// What a segment begins with.
pub const MAGIC: &[u8] = b"netsec-predictions-1\n";

/// The end of the names of closed segments.
pub const EXTENSION: &str = "predictions";

/// The name of the segment that is being written.
pub const OPEN: &str = "open";

/// How hard segments are compressed.
const LEVEL: i32 = 3;

/// No segment is larger when it is unpacked, in bytes.
const MOST: usize = 1 << 30;

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PredictionLogError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The bytes are not what they should be.
    #[error("`{}` {why}", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// A column as the model read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedColumn {
    /// Its name.
    pub name: String,
    /// Its cells.
    pub cells: ColumnCells,
}

/// A request and what was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionEntry {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The id of the request.
    pub request: String,
    /// The name under which the model answered.
    pub name: String,
    /// The model.
    pub model: Digest,
    /// The columns that the model needs, but for those that are left out.
    pub columns: Vec<LoggedColumn>,
    /// Columns that the model needs and that are left out.
    pub left_out: Vec<String>,
    /// Rows that could not be read, from zero and in order: they had no cell to be scored by.
    pub unread: Vec<u32>,
    /// Of every row the probability that was told; none of one that could not be scored. Why it
    /// could not is not kept, since that may quote a cell.
    pub probabilities: Vec<Option<f64>>,
    /// Of every row whether it was an alarm.
    pub alarms: Vec<bool>,
}

/// A row of an entry as it is told to people.
#[derive(Debug, Serialize)]
pub struct LoggedRow<'a> {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The id of the request.
    pub request: &'a str,
    /// The name under which the model answered.
    pub name: &'a str,
    /// The model.
    pub model: Digest,
    /// The cells, by column.
    pub cells: serde_json::Map<String, serde_json::Value>,
    /// The probability that was told.
    pub probability: Option<f64>,
    /// Whether it was an alarm.
    pub alarm: bool,
}

/// What came of asking again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayCounts {
    /// Rows that were asked about.
    pub rows: u64,
    /// Rows that got the same answer, bit for bit.
    pub same: u64,
    /// Rows that got another one.
    pub different: u64,
    /// Rows that could not be asked again: a column was left out, or a cell could not be read.
    pub not_kept: u64,
    /// Rows whose model is not here.
    pub no_model: u64,
}

impl PredictionEntry {
    /// Takes a request, without the columns that are left out.
    pub fn new(
        asked: (u64, &str, &str, Digest),
        scorer: &Scorer,
        rows: ReadRows,
        verdicts: &[RowVerdict],
        leave_out: &[String],
    ) -> Self {
        let (at_ms, request, name, model) = asked;
        let ReadRows { columns, errors } = rows;
        let mut kept = Vec::with_capacity(columns.len());
        let mut left_out = Vec::new();
        for (input, cells) in scorer.inputs().iter().zip(columns) {
            if leave_out.contains(&input.name) {
                left_out.push(input.name.clone());
                continue;
            }
            kept.push(LoggedColumn {
                name: input.name.clone(),
                cells,
            });
        }
        let unread = (0..).zip(&errors).filter(|(_, error)| error.is_some());
        let score = |verdict: &RowVerdict| verdict.as_ref().ok().copied();
        let scores = verdicts.iter().map(score);
        Self {
            at_ms,
            request: request.to_owned(),
            name: name.to_owned(),
            model,
            columns: kept,
            left_out,
            unread: unread.map(|(row, _)| row).collect(),
            probabilities: scores
                .clone()
                .map(|score| score.map(|score| score.probability))
                .collect(),
            alarms: scores
                .map(|score| score.is_some_and(|score| score.alarm))
                .collect(),
        }
    }

    /// Returns it as it stands in a segment, its length before it.
    pub fn encode(&self) -> Vec<u8> {
        let entry = rmp_serde::to_vec(self).expect("plain data serialises");
        let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(entry);
        bytes
    }

    /// Returns its rows one by one.
    pub fn rows(&self) -> impl Iterator<Item = LoggedRow<'_>> {
        (0..self.probabilities.len()).map(|row| {
            let cell = |column: &LoggedColumn| match &column.cells {
                ColumnCells::Numbers(cells) => match cells.get(row) {
                    Some(cell) if cell.is_finite() => (*cell).into(),
                    _ => serde_json::Value::Null,
                },
                ColumnCells::Texts(cells) => cells.get(row).cloned().flatten().into(),
            };
            let cells = self.columns.iter();
            LoggedRow {
                at_ms: self.at_ms,
                request: &self.request,
                name: &self.name,
                model: self.model,
                cells: cells
                    .map(|column| (column.name.clone(), cell(column)))
                    .collect(),
                probability: self.probabilities[row],
                alarm: self.alarms.get(row).copied().unwrap_or_default(),
            }
        })
    }

    /// Asks the model again, and counts what came of it. `told` is given what differs: the row and
    /// what is told now.
    pub fn replay(
        &self,
        scorer: &Scorer,
        counts: &mut ReplayCounts,
        told: &mut dyn FnMut(usize, &RowVerdict),
    ) {
        let count = self.probabilities.len();
        counts.rows += count as u64;
        let Some(rows) = self.rows_for(scorer) else {
            counts.not_kept += count as u64;
            return;
        };
        for (row, verdict) in scorer.score_read(rows).iter().enumerate() {
            let is_unread = |row| self.unread.binary_search(&row).is_ok();
            if u32::try_from(row).is_ok_and(is_unread) {
                counts.not_kept += 1;
                continue;
            }
            let now = verdict.as_ref().ok();
            let before = self.probabilities[row];
            let is_same = now.map(|score| score.probability.to_bits()) == before.map(f64::to_bits)
                && now.is_some_and(|score| score.alarm)
                    == self.alarms.get(row).copied().unwrap_or_default();
            if is_same {
                counts.same += 1;
            } else {
                counts.different += 1;
                told(row, verdict);
            }
        }
    }

    /// Returns its rows as the model read them, if all columns were kept: those that could not be
    /// read have an error.
    pub fn rows_for(&self, scorer: &Scorer) -> Option<ReadRows> {
        let columns = self.columns_for(scorer)?;
        let mut errors = vec![None; self.probabilities.len()];
        for row in &self.unread {
            if let Some(error) = errors.get_mut(*row as usize) {
                *error = Some(String::new());
            }
        }
        Some(ReadRows { columns, errors })
    }

    /// Returns the cells of all columns that a model needs, if all were kept.
    fn columns_for(&self, scorer: &Scorer) -> Option<Vec<ColumnCells>> {
        let count = self.probabilities.len();
        let column = |input: &RequiredColumn| {
            let column = self.columns.iter().find(|known| known.name == input.name)?;
            let cells = &column.cells;
            let is_whole = cells.kind() == input.kind() && cells.len() == count;
            is_whole.then(|| cells.clone())
        };
        scorer.inputs().iter().map(column).collect()
    }
}

/// Returns a closed segment: its name and its bytes.
pub fn closed(from_ms: u64, open: &[u8]) -> std::io::Result<(String, Vec<u8>)> {
    let bytes = zstd::bulk::compress(open, LEVEL)?;
    let digest = Digest::of(&bytes).hex();
    Ok((format!("{from_ms:015}-{digest}.{EXTENSION}"), bytes))
}

/// Returns the segments of a folder, the oldest first; the one that is being written is the last.
///
/// # Errors
/// The folder cannot be read.
pub fn segments(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut closed: Vec<PathBuf> = disk::list(folder)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == EXTENSION))
        .collect();
    closed.sort();
    let open = folder.join(OPEN);
    if disk::look(&open).is_ok() {
        closed.push(open);
    }
    Ok(closed)
}

/// Reads the entries of a segment; of one that is open those that are whole.
///
/// # Errors
/// The disk failed; the bytes of a closed one are not those of its name.
pub fn entries(path: &Path) -> Result<Vec<PredictionEntry>, PredictionLogError> {
    let damaged = |why: &str| PredictionLogError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let bytes = disk::read_bounded(path, MOST)?;
    let is_open = path.file_name().is_some_and(|name| name == OPEN);
    let bytes = match is_open {
        true => bytes,
        false => {
            let name = path.file_stem().and_then(|name| name.to_str());
            let digest = name.and_then(|name| Digest::parse(name.split_once('-')?.1));
            if digest != Some(Digest::of(&bytes)) {
                return Err(damaged("was changed: its bytes are not those of its name"));
            }
            unpacked(&bytes).map_err(|_| damaged("cannot be unpacked"))?
        }
    };
    let mut rest = match bytes.strip_prefix(MAGIC) {
        Some(rest) => rest,
        None if is_open && MAGIC.starts_with(&bytes) => &[],
        None => {
            return Err(damaged(
                "is not a log of predictions, or one of a newer netsec",
            ));
        }
    };
    let mut entries = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((entry, after)) = after.split_at_checked(length) else {
            break;
        };
        match rmp_serde::from_slice(entry) {
            Ok(entry) => entries.push(entry),
            // A file that was being written when the power failed may end in anything.
            Err(_) if is_open => break,
            Err(_) => return Err(damaged("holds an entry that cannot be read")),
        }
        rest = after;
    }
    match rest.is_empty() || is_open {
        true => Ok(entries),
        false => Err(damaged("ends in the middle of an entry")),
    }
}

/// Unpacks a segment, and no more than a segment may be.
fn unpacked(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut whole = zstd::stream::read::Decoder::new(bytes)?.take(MOST as u64 + 1);
    whole.read_to_end(&mut unpacked)?;
    match unpacked.len() > MOST {
        true => Err(std::io::Error::other("it is too large")),
        false => Ok(unpacked),
    }
}
