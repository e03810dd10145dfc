//! The parts of a table one after the other, each told once.
//!
//! How: what is told of a part depends on it and on all parts before it, and its key is a digest of
//! them. What has to be remembered between parts may be large; it is kept after the last two parts
//! alone, as rows are added at the end. From the last border before the first part that is not told
//! yet where something is remembered, rows are gone through in their order.

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::frame::codec;
use crate::frame::table::ColumnType;
use crate::kinds::dataset::{Dataset, DatasetWriter, read_kept};
use crate::rolling::definition::RollingFeatures;
use crate::rolling::stream::{RollingStream, tell_length};
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::Outputs;
use crate::stage::sub_action::{BlobRef, SubAction};

/// After so many parts, the last of the table, what has to be remembered is kept.
const REMEMBERED: usize = 2;

/// What is known of a part besides its rows.
#[derive(Serialize, Deserialize)]
struct ToldPart {
    rows: u64,
    columns: Vec<(String, ColumnType)>,
    /// By how much a row was behind the latest time before it at most, up to here.
    late_ms: i64,
    /// How many keys were forgotten up to here.
    forgotten: u64,
}

/// The parts of a table up to a border, as the keys of sub-actions name them.
struct PartChain<'a> {
    features: &'a RollingFeatures,
    data: &'a Dataset<'a>,
    /// Of the border before each part, and after the last, the digest of all that is before it.
    borders: Vec<Digest>,
}

impl<'a> PartChain<'a> {
    fn new(features: &'a RollingFeatures, data: &'a Dataset<'a>) -> Self {
        let first = (features, &data.index.columns);
        let first = serde_json::to_vec(&first).expect("plain data serialises");
        let mut borders = vec![Digest::of(&first)];
        for at in data.all() {
            let before = borders[at];
            let both = [before.as_bytes().as_slice(), data.digest(at).as_bytes()].concat();
            borders.push(Digest::of(&both));
        }
        Self {
            features,
            data,
            borders,
        }
    }

    fn parts(&self) -> usize {
        self.borders.len() - 1
    }

    fn told(&self, at: usize) -> SubAction {
        SubAction::new("window", format!("part-{}", at + 1)).with("until", self.borders[at + 1])
    }

    fn remembered(&self, border: usize) -> SubAction {
        SubAction::new("memory", format!("memory-{border}")).with("until", self.borders[border])
    }

    /// Returns what is remembered at the last such border up to this one.
    fn last_remembered(
        &self,
        border: usize,
        context: &StageContext<'_>,
    ) -> Result<(usize, RollingStream), StageError> {
        for border in (1..=border).rev() {
            if let Some(kept) = context.memo.recall(&self.remembered(border))? {
                let bytes = context.memo.fetch(&kept[0].digest)?;
                let stream = RollingStream::decode(self.features.clone(), &bytes)?;
                return Ok((border, stream));
            }
        }
        Ok((0, RollingStream::new(self.features.clone())))
    }

    /// Goes through the rows from some border on, and keeps what is told of parts that lack it.
    fn go_through(
        &self,
        (from, mut stream): (usize, RollingStream),
        kept: &mut [Option<Vec<BlobRef>>],
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let keep = |action: SubAction, blobs: Vec<Vec<u8>>| {
            let mut kept = context.memo.keep(&[action], &|_, _| Ok(blobs.clone()))?;
            Ok::<_, StageError>(kept.remove(0))
        };
        for (at, kept) in kept.iter_mut().enumerate().skip(from) {
            context.check()?;
            (context.progress)(at as u64, self.parts() as u64, "parts of the table");
            let table = self.data.part(at)?;
            let before = stream.rows();
            let added = stream.push(&table)?;
            if let Some((row, why)) = added.faults.first() {
                return Err(StageError::Data(format!(
                    "row {}: {why}; set such rows aside by a schema that `validate` checks",
                    before + *row as u64 + 1
                )));
            }
            if kept.is_none() {
                let whole = table.beside(&added.table)?;
                let told = ToldPart {
                    rows: whole.height() as u64,
                    columns: whole.columns()?,
                    late_ms: stream.behind_ms,
                    forgotten: stream.forgotten(),
                };
                let told = serde_json::to_vec(&told).expect("plain data serialises");
                *kept = Some(keep(self.told(at), vec![codec::encode(&whole)?, told])?);
            }
            if at + REMEMBERED >= self.parts() {
                keep(self.remembered(at + 1), vec![stream.encode()])?;
            }
        }
        Ok(())
    }
}

/// Tells the features of all rows, gives the table as the output `data`, and returns what is worth
/// noting.
///
/// # Errors
/// A row has no time, or one that is too far behind.
pub(crate) fn tell_parts(
    features: &RollingFeatures,
    data: &Dataset<'_>,
    outputs: &mut Outputs,
    context: &StageContext<'_>,
) -> Result<Vec<String>, StageError> {
    let chain = PartChain::new(features, data);
    let parts = 0..chain.parts();
    let recalled = parts.map(|at| context.memo.recall(&chain.told(at)));
    let mut kept = recalled.collect::<Result<Vec<_>, _>>()?;
    if let Some(first) = kept.iter().position(Option::is_none) {
        let begin = chain.last_remembered(first, context)?;
        chain.go_through(begin, &mut kept, context)?;
    }
    let mut written = DatasetWriter::default();
    written.read_as(&data.index);
    let (mut rows, mut late_ms, mut forgotten) = (0, 0, 0);
    for kept in kept.into_iter().flatten() {
        let told: ToldPart = read_kept(&kept[1], context)?;
        rows += told.rows;
        (late_ms, forgotten) = (told.late_ms, told.forgotten);
        written.add(kept[0], told.rows, told.columns);
    }
    written.finish(outputs, "data", context)?;
    let order = match late_ms {
        0 => "in order of time".to_owned(),
        ms => format!("at most {} behind the latest time", tell_length(ms)),
    };
    let added = features.names().len();
    let mut notes = vec![format!(
        "{added} columns are added to {rows} rows, which came {order}"
    )];
    if forgotten > 0 {
        notes.push(format!(
            "there were too many hosts or pairs: {forgotten} that were silent longest were forgotten, and begin anew where \
             they come again"
        ));
    }
    Ok(notes)
}
