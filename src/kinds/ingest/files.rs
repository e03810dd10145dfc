//! Files of rows → parts of a dataset: each piece of a file is read once, whatever is added around
//! it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::nearest::suggest;
use crate::frame::build::TypeConflict;
use crate::frame::codec;
use crate::frame::table::{ColumnType, Table, TableError};
use crate::kinds::dataset::{DatasetWriter, read_kept};
use crate::source::encoding::RecodedCells;
use crate::source::files::{self, FileFormat, Options, RawPiece, torn};
use crate::source::piece::{MalformedRecords, PieceSummary, TablePiece};
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Input, InputFile};
use crate::stage::param::Value;
use crate::stage::sub_action::{BlobRef, SubAction};

/// How many pieces are in memory at once.
const AT_ONCE: usize = 8;

/// What was gathered besides the rows.
#[derive(Debug, Default)]
pub(crate) struct GatherSummary {
    /// Columns whose cells do not fit together.
    pub(crate) conflicts: BTreeMap<String, TypeConflict>,
    /// Columns that are text because not all of their cells are numbers, by file that has numbers
    /// there.
    pub(crate) torn: BTreeMap<String, BTreeSet<String>>,
    /// What is odd, though it was read.
    pub(crate) notes: Vec<String>,
}

/// The pieces of one file.
struct FilePieces {
    name: String,
    is_strict: bool,
    notes: Vec<String>,
    pieces: Vec<(PieceSummary, BlobRef)>,
}

/// Reads every file of an input, leaving out the columns of `drop`, and adds its parts.
///
/// # Errors
/// A file cannot be read; files have different columns.
pub(crate) fn gather(
    input: &Input,
    options: &Options,
    drop: &[String],
    writer: &mut DatasetWriter,
    context: &StageContext<'_>,
) -> Result<GatherSummary, StageError> {
    // What programs and systems hide beside the files of a directory is not data.
    let is_hidden = |file: &&InputFile| file.name.split('/').any(|name| name.starts_with('.'));
    let (hidden, files): (Vec<&InputFile>, Vec<&InputFile>) =
        input.files.iter().partition(is_hidden);
    if files.is_empty() {
        return Err(StageError::Data(format!("`{}` holds no file", input.label)));
    }
    let mut number = 0;
    let mut read = Vec::new();
    for (done, member) in files.iter().enumerate() {
        read.push(file(
            input,
            member,
            (options, drop, &BTreeSet::new()),
            &mut number,
            context,
        )?);
        (context.progress)(done as u64 + 1, files.len() as u64, "files");
    }
    let mut gathered = GatherSummary::default();
    if let Some(first) = hidden.first() {
        gathered.notes.push(format!(
            "{} hidden files are not read, such as `{}`",
            hidden.len(),
            first.name
        ));
    }
    for file in &read {
        gathered.notes.extend(
            file.notes
                .iter()
                .map(|note| format!("`{}`: {note}", file.name)),
        );
    }
    let pieces = read.iter().flat_map(|file| &file.pieces);
    let all = torn(pieces.map(|(gist, _)| (gist.columns.as_slice(), gist.long.as_slice())));
    for (file_read, member) in read.iter_mut().zip(&files) {
        let holds = |name: &&String| {
            file_read
                .pieces
                .iter()
                .flat_map(|(gist, _)| &gist.columns)
                .any(|(column, kind)| {
                    column == *name && !matches!(kind, ColumnType::Text | ColumnType::Empty)
                })
        };
        let again: BTreeSet<String> = all.iter().filter(holds).cloned().collect();
        if !again.is_empty() {
            *file_read = file(input, member, (options, drop, &again), &mut number, context)?;
            gathered.torn.insert(file_read.name.clone(), again);
        }
    }
    same_columns(&read)?;
    check_named(&read, options, drop)?;
    for (gist, kept) in read.into_iter().flat_map(|file| file.pieces) {
        gist.conflicts
            .into_iter()
            .for_each(|conflict| conflict.gather(&mut gathered.conflicts));
        writer.add(kept, gist.rows, gist.columns);
    }
    Ok(gathered)
}

/// Checks that every column that is named by the parameters is there, and that one is left.
fn check_named(read: &[FilePieces], options: &Options, drop: &[String]) -> Result<(), StageError> {
    let pieces = read.iter().flat_map(|file| &file.pieces);
    let mut dropped: BTreeSet<&str> = BTreeSet::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (piece, _) in pieces {
        dropped.extend(piece.dropped.iter().map(String::as_str));
        names.extend(piece.columns.iter().map(|(name, _)| name.as_str()));
    }
    let typed = options.types.keys().chain(options.epochs.keys());
    let typed = typed.map(|name| ("types", name));
    for (word, name) in drop.iter().map(|name| ("drop", name)).chain(typed) {
        let is_there =
            dropped.contains(name.as_str()) || (word == "types" && names.contains(name.as_str()));
        if !is_there {
            let help = suggest(name, names.iter().copied()).unwrap_or_default();
            return Err(StageError::Data(format!(
                "{word}: there is no column `{name}`: {help}"
            )));
        }
    }
    if names.is_empty() && !dropped.is_empty() {
        return Err(StageError::Data("drop: no column is left".to_owned()));
    }
    Ok(())
}

/// Files with a header agree in it.
fn same_columns(read: &[FilePieces]) -> Result<(), StageError> {
    let names = |file: &FilePieces| -> Option<BTreeSet<String>> {
        let (gist, _) = file.pieces.first().filter(|_| file.is_strict)?;
        Some(gist.columns.iter().map(|(name, _)| name.clone()).collect())
    };
    let mut first: Option<(&FilePieces, BTreeSet<String>)> = None;
    for (file, names) in read.iter().filter_map(|file| Some((file, names(file)?))) {
        match &first {
            None => first = Some((file, names)),
            Some((other, theirs)) => {
                let mine = names
                    .difference(theirs)
                    .next()
                    .map(|name| (name, &file.name, &other.name));
                let missing = || {
                    theirs
                        .difference(&names)
                        .next()
                        .map(|name| (name, &other.name, &file.name))
                };
                if let Some((name, has, lacks)) = mine.or_else(missing) {
                    return Err(StageError::Data(format!(
                        "the column `{name}` is in `{has}` and not in `{lacks}`"
                    )));
                }
            }
        }
    }
    Ok(())
}

fn file(
    input: &Input,
    member: &InputFile,
    (options, drop, text): (&Options, &[String], &BTreeSet<String>),
    number: &mut usize,
    context: &StageContext<'_>,
) -> Result<FilePieces, StageError> {
    let name = match member.name.as_str() {
        "" => input.label.clone(),
        inner => format!("{}: {inner}", input.label),
    };
    *number += 1;
    let whole = SubAction::new("file", format!("file-{number}"))
        .with("file", member.digest)
        .with("options", options)
        .with("drop", drop)
        .with("text", text);
    if let Some(pieces) = recall(&whole, context)? {
        let KeptPieces {
            is_strict,
            notes,
            pieces,
        } = pieces;
        return Ok(FilePieces {
            name,
            is_strict,
            notes,
            pieces,
        });
    }
    let wrong = |TableError(why): TableError| StageError::Data(format!("`{name}`: {why}"));
    let mut opened = files::open(member.content.open()?, options).map_err(wrong)?;
    let mut notes = std::mem::take(&mut opened.notes);
    let is_strict = opened.format() != FileFormat::Ndjson;
    let reader = opened.with_text(text);
    let settings = Value::of(PieceKey {
        settings: opened.settings(),
        drop,
        text,
    });
    let mut pieces = Vec::new();
    let (mut malformed, mut recoded): (Option<MalformedRecords>, Option<RecodedCells>) =
        (None, None);
    loop {
        context.check()?;
        let mut raws = Vec::new();
        while raws.len() < AT_ONCE
            && let Some(raw) = opened.piece().map_err(wrong)?
        {
            raws.push(raw);
        }
        if raws.is_empty() {
            break;
        }
        let parts: Vec<SubAction> = raws
            .iter()
            .map(|raw| part(raw, &settings, number))
            .collect();
        let kept = context.memo.keep(&parts, &|at, _| {
            // Lines are counted from the piece's first, so that a piece is the same wherever it
            // stands.
            let RawPiece { bytes, .. } = &raws[at];
            let piece = reader(bytes)
                .map_err(|TableError(why)| StageError::Data(format!("`{name}`: {why}")))?;
            blobs(piece, drop).map_err(wrong)
        })?;
        for (raw, kept) in raws.iter().zip(kept) {
            let gist: PieceSummary = read_kept(&kept[0], context)?;
            if let Some(found) = &gist.malformed {
                MalformedRecords::add(&mut malformed, found.clone().from_line(raw.at));
            }
            if let Some(found) = &gist.recoded {
                RecodedCells::add(&mut recoded, found, raw.at);
            }
            pieces.push((gist, kept[1]));
        }
    }
    match malformed {
        Some(malformed) => Err(StageError::Data(format!("`{name}`, {}", malformed.tell()))),
        None => {
            notes.extend(recoded.as_ref().map(RecodedCells::tell));
            let listed = KeptPieces {
                is_strict,
                notes,
                pieces,
            };
            let bytes = serde_json::to_vec(&listed).expect("plain data serialises");
            context
                .memo
                .keep(&[whole], &|_, _| Ok(vec![bytes.clone()]))?;
            Ok(FilePieces {
                name,
                is_strict,
                notes: listed.notes,
                pieces: listed.pieces,
            })
        }
    }
}

/// The pieces of a file as they are kept with it: a file that is unchanged is not read again.
#[derive(Serialize, Deserialize)]
struct KeptPieces {
    is_strict: bool,
    notes: Vec<String>,
    pieces: Vec<(PieceSummary, BlobRef)>,
}

/// Returns the pieces of a file that was read before, if all of them are still there.
fn recall(whole: &SubAction, context: &StageContext<'_>) -> Result<Option<KeptPieces>, StageError> {
    let Some(kept) = context.memo.recall(whole)? else {
        return Ok(None);
    };
    let bytes = context.memo.fetch(&kept[0].digest)?;
    let Ok(listed) = serde_json::from_slice::<KeptPieces>(&bytes) else {
        return Ok(None);
    };
    for (_, rows) in &listed.pieces {
        if !context.memo.has(&rows.digest)? {
            return Ok(None);
        }
    }
    Ok(Some(listed))
}

/// All besides its bytes that decides what is kept of a piece.
#[derive(Serialize)]
struct PieceKey<'a, S> {
    settings: S,
    drop: &'a [String],
    text: &'a BTreeSet<String>,
}

fn part(raw: &RawPiece, settings: &Value, number: &mut usize) -> SubAction {
    *number += 1;
    SubAction::new("read", format!("read-{number}"))
        .with("bytes", Digest::of(&raw.bytes))
        .with_value("settings", settings.clone())
}

/// What is kept of a piece: its gist, and its rows as Parquet.
fn blobs(piece: TablePiece, drop: &[String]) -> Result<Vec<Vec<u8>>, TableError> {
    let TablePiece {
        table,
        malformed,
        conflicts,
        recoded,
    } = piece;
    let conflicts = conflicts
        .into_iter()
        .filter(|conflict| !drop.contains(&conflict.column))
        .collect();
    let mut gist = PieceSummary {
        malformed,
        conflicts,
        recoded,
        ..PieceSummary::default()
    };
    let mut rows = Vec::new();
    if let Some(table) = table {
        let present: Vec<String> = drop
            .iter()
            .filter(|name| table.has(name))
            .cloned()
            .collect();
        let table: Table = table.without(&present)?.canonical()?;
        gist.rows = table.height() as u64;
        gist.columns = table.columns()?;
        gist.long = table.long_ints()?;
        gist.dropped = present;
        rows = codec::encode(&table)?;
    }
    Ok(vec![
        serde_json::to_vec(&gist).expect("plain data serialises"),
        rows,
    ])
}
