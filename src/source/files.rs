//! Files of rows: their form, their compression, and reading them piece by piece.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;

use polars::prelude::{Column, DataType, StringChunked};

use serde::Serialize;

use crate::frame::build::typed;
use crate::frame::cell::is_missing;
use crate::frame::codec;
use crate::frame::table::{ColumnType, Table, TableError, error, unify};
use crate::source::chunks::{ChunkReader, RecordKind};
use crate::source::csv::{self, BYTE_ORDER_MARK, Csv};
use crate::source::encoding::Encoding;
use crate::source::ndjson;
use crate::source::parquet::{self, ParquetRows};
use crate::source::piece::{MalformedRecords, TablePiece};
use crate::source::unpack::UnpackedReader;
use crate::source::zeek::{ZeekHead, is_zeek};

/// A head of a Zeek log has at most so many lines.
const HEAD_LINES: usize = 64;

/// The form of a file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Separated values, with a header line.
    Csv,
    /// Parquet.
    Parquet,
    /// One JSON object a line.
    Ndjson,
    /// A log of Zeek with a head that names its fields.
    Zeek,
}

impl FileFormat {
    /// Recognises the form by the first bytes.
    pub fn detect(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            _ if bytes.starts_with(b"PAR1") => Self::Parquet,
            _ if is_zeek(bytes) => Self::Zeek,
            Some(b'{') => Self::Ndjson,
            _ => Self::Csv,
        }
    }

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::Ndjson => "NDJSON",
            Self::Zeek => "a Zeek log",
        }
    }
}

/// How files are read.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// Their form; if it is not given, the first bytes tell it.
    pub format: Option<FileFormat>,
    /// What separates fields of CSV.
    pub separator: u8,
    /// Cells that mean a missing value.
    pub na: Vec<String>,
    /// Columns that get this type, whatever their cells look like.
    pub types: BTreeMap<String, ColumnType>,
    /// Columns of numbers that count from 1970, each with the digits of the parts of a second it
    /// counts in: 0, 3 or 6. They become moments.
    pub epochs: BTreeMap<String, u32>,
    /// How bytes are read as text.
    pub encoding: Encoding,
}

impl Options {
    /// Commas, the form told by the first bytes, types told by the cells.
    pub fn plain(na: &[&str]) -> Self {
        let (types, epochs) = (BTreeMap::new(), BTreeMap::new());
        Self {
            format: None,
            separator: b',',
            na: na.iter().map(|word| (*word).to_owned()).collect(),
            types,
            epochs,
            encoding: Encoding::Auto,
        }
    }
}

/// A file that is being read.
pub struct OpenedFile {
    form: FileForm,
    epochs: BTreeMap<String, u32>,
    rows: FileRows,
    /// What is odd about its header, though it can be read.
    pub notes: Vec<String>,
}

/// All besides its bytes that decides what a piece is read as.
#[derive(Serialize)]
struct PieceSettings<'a> {
    form: &'a FileForm,
    epochs: &'a BTreeMap<String, u32>,
}

/// What is needed to read a piece.
#[derive(Clone, Debug, Serialize)]
enum FileForm {
    Csv(Csv),
    Ndjson {
        na: Vec<String>,
        types: BTreeMap<String, ColumnType>,
        encoding: Encoding,
    },
    Zeek {
        head: ZeekHead,
        form: Csv,
    },
    Parquet {
        na: Vec<String>,
        types: BTreeMap<String, ColumnType>,
    },
}

enum FileRows {
    Text(ChunkReader<Box<dyn Read + Send>>),
    Parquet(Box<ParquetRows>),
}

/// A piece that is not read yet.
pub struct RawPiece {
    /// Its first line, counted from one; of Parquet, its first row.
    pub at: u64,
    /// Its bytes; of Parquet, a Parquet file of its rows.
    pub bytes: Vec<u8>,
}

fn wrong(format: FileFormat) -> impl Fn(std::io::Error) -> TableError {
    move |error| TableError(format!("it cannot be read as {}: {error}", format.as_str()))
}

/// Begins to read a file where it lies: of Parquet no more is held than is decoded at once.
///
/// # Errors
/// As for one that is read from its begin.
pub fn open_file(file: File, options: &Options) -> Result<OpenedFile, TableError> {
    let mut start = [0; 4];
    let is_whole = file.metadata().is_ok_and(|meta| meta.is_file());
    let is_parquet = is_whole
        && file.read_exact_at(&mut start, 0).is_ok()
        && FileFormat::detect(&start) == FileFormat::Parquet;
    match options
        .format
        .is_none_or(|format| format == FileFormat::Parquet)
        && is_parquet
    {
        true => Ok(parquet_rows(
            ParquetRows::open_file(file)?,
            read_options(options),
        )),
        false => open(Box::new(file), options),
    }
}

/// Begins to read a file.
///
/// # Errors
/// It is empty, of another form, or its header cannot be read.
pub fn open(input: Box<dyn Read + Send>, options: &Options) -> Result<OpenedFile, TableError> {
    let mut input = BufReader::with_capacity(1 << 17, UnpackedReader::open(input)?);
    let start = input
        .fill_buf()
        .map_err(|error| TableError(format!("it cannot be unpacked: {error}")))?;
    let format = options.format.unwrap_or_else(|| FileFormat::detect(start));
    refuse_odd(start, format)?;
    let mark = if start.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    };
    input.consume(mark);
    let options = read_options(options);
    match format {
        FileFormat::Parquet => open_parquet(input, options),
        FileFormat::Ndjson => Ok(open_ndjson(input, options)),
        FileFormat::Zeek => open_zeek(input, options),
        FileFormat::Csv => open_csv(input, options),
    }
}

/// Columns that become moments are read as numbers first.
fn read_options(options: &Options) -> Options {
    let mut types = options.types.clone();
    let mut epochs = options.epochs.clone();
    // A column that is asked for as text is left alone: so a model reads what it scores.
    epochs.retain(|name, _| !types.contains_key(name));
    types.extend(epochs.keys().map(|name| (name.clone(), ColumnType::Float)));
    Options {
        types,
        epochs,
        ..options.clone()
    }
}

/// A file that was unpacked, and begins after its byte order mark.
type UnpackedInput = BufReader<UnpackedReader>;

fn open_parquet(mut input: UnpackedInput, options: Options) -> Result<OpenedFile, TableError> {
    // It is held in memory as a whole, and what is packed in it is packed already.
    input.get_mut().set_limit(parquet::PACKED_AGAIN);
    let mut bytes = Vec::new();
    let read = input.read_to_end(&mut bytes);
    read.map_err(wrong(FileFormat::Parquet))?;
    Ok(parquet_rows(ParquetRows::open(bytes)?, options))
}

fn parquet_rows(rows: ParquetRows, options: Options) -> OpenedFile {
    let Options {
        na, types, epochs, ..
    } = options;
    OpenedFile {
        form: FileForm::Parquet { na, types },
        epochs,
        rows: FileRows::Parquet(Box::new(rows)),
        notes: Vec::new(),
    }
}

fn open_ndjson(input: UnpackedInput, options: Options) -> OpenedFile {
    let chunks = ChunkReader::new(Box::new(input) as Box<dyn Read + Send>, RecordKind::Lines);
    let form = FileForm::Ndjson {
        na: options.na,
        types: options.types,
        encoding: options.encoding,
    };
    OpenedFile {
        form,
        epochs: options.epochs,
        rows: FileRows::Text(chunks),
        notes: Vec::new(),
    }
}

fn open_zeek(input: UnpackedInput, options: Options) -> Result<OpenedFile, TableError> {
    let mut chunks = ChunkReader::new(Box::new(input) as Box<dyn Read + Send>, RecordKind::Lines);
    let is_types = |line: &Vec<u8>| line.starts_with(b"#types");
    let mut lines: Vec<Vec<u8>> = Vec::new();
    while !lines.last().is_some_and(is_types) {
        match chunks.record().map_err(wrong(FileFormat::Zeek))? {
            Some(line) if line.bytes.starts_with(b"#") && lines.len() < HEAD_LINES => {
                lines.push(line.bytes);
            }
            _ => {
                let why = "the head of the Zeek log ends without `#types`";
                return Err(TableError(why.to_owned()));
            }
        }
    }
    let head = ZeekHead::read(&lines)?;
    let asked = options.types;
    let mut epochs = options.epochs;
    for name in head.moments().filter(|name| !asked.contains_key(*name)) {
        epochs.insert(name.clone(), 0);
    }
    let mut types = head.types();
    types.extend(asked);
    let form = Csv {
        encoding: options.encoding,
        ..head.form(&options.na, types)
    };
    Ok(OpenedFile {
        form: FileForm::Zeek { head, form },
        epochs,
        rows: FileRows::Text(chunks),
        notes: Vec::new(),
    })
}

fn open_csv(input: UnpackedInput, options: Options) -> Result<OpenedFile, TableError> {
    let Options {
        separator,
        na,
        types,
        epochs,
        encoding,
        ..
    } = options;
    let kind = RecordKind::Csv(separator);
    let mut chunks = ChunkReader::new(Box::new(input) as Box<dyn Read + Send>, kind);
    let first = chunks.record().map_err(wrong(FileFormat::Csv))?;
    let first = first.ok_or_else(|| TableError("the file is empty".to_owned()))?;
    let (names, notes) = csv::header(&first.bytes, separator, encoding)?;
    refuse_separator(&names, &first.bytes, separator)?;
    let is_unnamed = names.iter().all(|name| name.starts_with("column_"));
    if is_unnamed && first.bytes.trim_ascii().is_empty() {
        let why = "the file is empty, or its first line is";
        return Err(TableError(why.to_owned()));
    }
    let form = Csv {
        na,
        types,
        encoding,
        ..Csv::plain(separator, names)
    };
    Ok(OpenedFile {
        form: FileForm::Csv(form),
        epochs,
        rows: FileRows::Text(chunks),
        notes,
    })
}

impl OpenedFile {
    /// Returns all besides its bytes that decides what a piece is read as.
    pub fn settings(&self) -> impl Serialize {
        PieceSettings {
            form: &self.form,
            epochs: &self.epochs,
        }
    }

    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// The stream failed; a record does not end.
    pub fn piece(&mut self) -> Result<Option<RawPiece>, TableError> {
        match &mut self.rows {
            FileRows::Text(chunks) => {
                let chunk = chunks
                    .chunk()
                    .map_err(|error| TableError(format!("it cannot be read: {error}")))?;
                Ok(chunk.map(|chunk| RawPiece {
                    at: chunk.line,
                    bytes: chunk.bytes,
                }))
            }
            FileRows::Parquet(rows) => {
                let at = rows.next_row();
                let piece = rows.piece()?;
                piece
                    .map(|table| {
                        Ok(RawPiece {
                            at,
                            bytes: codec::encode(&table)?,
                        })
                    })
                    .transpose()
            }
        }
    }

    /// Reads the next piece, and tells its first line, of Parquet its first row; `None` at the end.
    /// Who wants no bytes of pieces is spared that Parquet is written again.
    ///
    /// # Errors
    /// As `piece`, and as what reads a piece.
    pub fn table(&mut self) -> Result<Option<(u64, TablePiece)>, TableError> {
        let (at, piece) = match (&mut self.rows, &self.form) {
            (FileRows::Parquet(rows), FileForm::Parquet { na, types }) => {
                let at = rows.next_row();
                let Some(table) = rows.piece()? else {
                    return Ok(None);
                };
                (at, asked_types(&table, na, types)?)
            }
            _ => {
                let Some(raw) = self.piece()? else {
                    return Ok(None);
                };
                (raw.at, self.form.read(&raw.bytes)?)
            }
        };
        Ok(Some((at, with_moments(piece, &self.epochs)?)))
    }

    /// Leaves columns of a file that has types as they are, though they were asked for otherwise.
    pub fn keep_types<'a>(&mut self, columns: impl IntoIterator<Item = &'a String>) {
        if let FileForm::Parquet { types, .. } = &mut self.form {
            for column in columns {
                types.remove(column);
            }
        }
    }

    /// Returns the form of the file.
    pub fn format(&self) -> FileFormat {
        match self.form {
            FileForm::Csv(_) => FileFormat::Csv,
            FileForm::Ndjson { .. } => FileFormat::Ndjson,
            FileForm::Zeek { .. } => FileFormat::Zeek,
            FileForm::Parquet { .. } => FileFormat::Parquet,
        }
    }

    /// Returns what reads the bytes of a piece of this file; columns that are named here are read
    /// as text. Lines are counted from the piece's first.
    pub fn with_text(
        &self,
        columns: &BTreeSet<String>,
    ) -> impl Fn(&[u8]) -> Result<TablePiece, TableError> + Sync + use<> {
        let mut form = self.form.clone();
        let (FileForm::Csv(Csv { types, .. })
        | FileForm::Zeek {
            form: Csv { types, .. },
            ..
        }
        | FileForm::Ndjson { types, .. }
        | FileForm::Parquet { types, .. }) = &mut form;
        for column in columns {
            types.insert(column.clone(), ColumnType::Text);
        }
        let epochs = self.epochs.clone();
        move |bytes| with_moments(form.read(bytes)?, &epochs)
    }
}

fn with_moments(
    mut piece: TablePiece,
    epochs: &BTreeMap<String, u32>,
) -> Result<TablePiece, TableError> {
    if let Some(table) = &mut piece.table {
        *table = table.with_moments(epochs)?;
    }
    Ok(piece)
}

impl FileForm {
    fn read(&self, bytes: &[u8]) -> Result<TablePiece, TableError> {
        match self {
            Self::Csv(csv) => csv::read(bytes, csv),
            Self::Ndjson {
                na,
                types,
                encoding,
            } => ndjson::read(bytes, na, types, *encoding),
            Self::Zeek { head, form } => head.table(bytes, form),
            Self::Parquet { na, types } => asked_types(&codec::decode(bytes.to_vec())?, na, types),
        }
    }
}

/// Returns a table of a file that has types, with those that are asked for.
fn asked_types(
    table: &Table,
    na: &[String],
    types: &BTreeMap<String, ColumnType>,
) -> Result<TablePiece, TableError> {
    let table = typed(&blank(table, na)?, types)?;
    let asked = |(name, kind): (String, ColumnType)| {
        let kind = types.get(&name).copied().unwrap_or(kind);
        (name, kind)
    };
    let columns: Vec<_> = table.columns()?.into_iter().map(asked).collect();
    Ok(TablePiece {
        table: Some(table.shaped(&columns)?),
        malformed: None,
        conflicts: Vec::new(),
        recoded: None,
    })
}

/// Returns the columns of pieces that were read as numbers, truth values or times where others hold
/// text: text that was read as a number is not the text any more, so these have to be read again.
/// So have whole numbers that would lose digits among the numbers of other pieces. Of each piece
/// its columns are given, and those of them that hold such numbers.
pub fn torn<'a>(
    pieces: impl Iterator<Item = (&'a [(String, ColumnType)], &'a [String])> + Clone,
) -> BTreeSet<String> {
    let whole = unify(pieces.clone().map(|(columns, _)| columns.to_vec()));
    let long: BTreeSet<&String> = pieces.clone().flat_map(|(_, long)| long).collect();
    let is_text = |(name, kind): &&(String, ColumnType)| {
        *kind == ColumnType::Text || *kind == ColumnType::Float && long.contains(name)
    };
    let text: BTreeSet<&str> = whole
        .iter()
        .filter(is_text)
        .map(|(name, _)| name.as_str())
        .collect();
    let is_torn = |(name, kind): &&(String, ColumnType)| {
        text.contains(name.as_str()) && !matches!(kind, ColumnType::Text | ColumnType::Empty)
    };
    pieces
        .flat_map(|(columns, _)| columns)
        .filter(is_torn)
        .map(|(name, _)| name.clone())
        .collect()
}

/// Reads a whole file that is in memory.
///
/// # Errors
/// The bytes are not of this form; there is no row or no column.
pub fn read(bytes: Vec<u8>, options: &Options) -> Result<Table, TableError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(TableError("the file is empty".to_owned()));
    }
    let mut text = BTreeSet::new();
    loop {
        let mut opened = open(Box::new(Cursor::new(bytes.clone())), options)?;
        let reader = opened.with_text(&text);
        let (mut tables, mut malformed) = (Vec::new(), None);
        while let Some(raw) = opened.piece()? {
            let piece = reader(&raw.bytes)?;
            tables.extend(piece.table);
            if let Some(other) = piece.malformed {
                MalformedRecords::add(&mut malformed, other.from_line(raw.at));
            }
        }
        if let Some(malformed) = malformed {
            return Err(TableError(malformed.tell()));
        }
        let columns = tables
            .iter()
            .map(Table::columns)
            .collect::<Result<Vec<_>, _>>()?;
        let long = tables
            .iter()
            .map(Table::long_ints)
            .collect::<Result<Vec<_>, _>>()?;
        let torn = torn(
            columns
                .iter()
                .map(Vec::as_slice)
                .zip(long.iter().map(Vec::as_slice)),
        );
        if torn.is_empty() {
            return match tables.iter().map(Table::height).sum::<usize>() {
                0 => Err(TableError("the file has a header and no rows".to_owned())),
                _ => Table::stacked(&tables),
            };
        }
        text.extend(torn);
    }
}

/// Refuses what is not the text it should be, in words that say what it is.
fn refuse_odd(start: &[u8], format: FileFormat) -> Result<(), TableError> {
    let refuse = |what: &str| Err(TableError(what.to_owned()));
    match start {
        [] => refuse("the file is empty"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => refuse("the file is UTF-16: save it as UTF-8"),
        [b'P', b'K', 3, 4, ..] => refuse("the file is a ZIP archive: unpack it first"),
        [0xa1, 0xb2, 0xc3 | 0x3c, 0xd4 | 0x4d, ..]
        | [0xd4 | 0x4d, 0xc3 | 0x3c, 0xb2, 0xa1, ..]
        | [0x0a, 0x0d, 0x0d, 0x0a, ..] => refuse(
            "the file is a packet capture (PCAP), not a table of flows: make one of it, for example with Zeek (`zeek -r FILE`), and \
             give its `conn.log`",
        ),
        _ if format == FileFormat::Parquet => Ok(()),
        [b'[', ..] => refuse("the file is one JSON list: write one object a line instead (NDJSON)"),
        start if start.iter().take(4096).any(|byte| *byte == 0) => {
            refuse("the file holds NUL bytes: it is neither text nor Parquet")
        }
        _ => Ok(()),
    }
}

/// Returns what separates the names of a header: of some characters, that which stands in it most
/// often.
pub fn likely_separator(header: &[u8]) -> Option<u8> {
    let count = |other: &u8| header.iter().filter(|byte| *byte == other).count();
    b",;\t|"
        .iter()
        .copied()
        .filter(|other| count(other) > 0)
        .max_by_key(count)
}

fn refuse_separator(names: &[String], header: &[u8], separator: u8) -> Result<(), TableError> {
    match likely_separator(header).map(char::from) {
        Some(other) if names.len() == 1 && other as u8 != separator => Err(TableError(format!(
            "the columns seem to be separated by {other:?} and not by {:?}: set `separator`",
            separator as char
        ))),
        _ => Ok(()),
    }
}

/// Makes cells missing that equal one of `na`, as the CSV reader does by itself.
fn blank(table: &Table, na: &[String]) -> Result<Table, TableError> {
    let mut columns = Vec::new();
    for name in table.names() {
        let column = table.column(&name)?;
        columns.push(if *column.dtype() == DataType::String {
            blank_text(column, na)?
        } else {
            column.clone()
        });
    }
    Table::of_columns(columns)
}

fn blank_text(column: &Column, na: &[String]) -> Result<Column, TableError> {
    let cells = column.str().map_err(error)?;
    let keep = |cell: Option<&str>| cell.filter(|text| !is_missing(text, na)).map(str::to_owned);
    let mut blanked: StringChunked = cells.iter().map(keep).collect();
    blanked.rename(column.name().clone());
    Ok(Column::from(polars::prelude::IntoSeries::into_series(
        blanked,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        let options = Options {
            encoding: Encoding::Utf8,
            ..Options::plain(&[""])
        };
        read(bytes.to_vec(), &options).unwrap_err().0
    }

    fn table(bytes: &[u8]) -> Table {
        read(bytes.to_vec(), &Options::plain(&[""])).unwrap()
    }

    #[test]
    fn malformed_files_are_told_with_their_lines() {
        assert_eq!(
            refused(b"a,b\n1,2\n\"x\ny\",3\n4,5,6\n7\n"),
            "line 5, column 3: the record has 3 fields, the header 2; 2 records are malformed in all"
        );
        assert_eq!(
            refused(b"a,b\n1,2\n3,\"x\n4,5\n"),
            "line 3, column 1: a quote that opens in this record is never closed"
        );
        assert!(refused(b"a;b\n1;2\n").contains("separated by ';'"));
        assert_eq!(
            refused(b"a,b\n1,\xe4\n"),
            "line 2, column 2: a cell of `b` is not UTF-8: set `encoding: windows-1252`"
        );
        assert!(refused(b"[{\"a\": 1}]").contains("one object a line"));
        assert_eq!(
            refused(b"{\"a\": 1}\n{\"a\": }\n3\n"),
            "line 2, column 7: this is not JSON: expected value; 2 records are malformed in all"
        );
        assert!(refused(b" \n").contains("empty"));
        assert!(refused(b"a,b\n").contains("no rows"));
        assert!(refused(b"PAR1nonsense").contains("Parquet"));
    }

    #[test]
    fn cells_decide_the_type_and_names_are_unique() {
        let table =
            table(b"\xef\xbb\xbfa,a,,\"d\"\"q\"\n1,1,true,x\n2,-inf,,\"y,\n\"\n,NaN,false,z\n");
        let columns: Vec<String> = table
            .columns()
            .unwrap()
            .iter()
            .map(|(name, kind)| format!("{name}: {}", kind.as_str()))
            .collect();
        assert_eq!(
            columns,
            ["a: int", "a_2: float", "column_3: bool", "d\"q: text"]
        );
        assert_eq!(table.texts("d\"q").unwrap()[1].as_deref(), Some("y,\n"));
    }

    #[test]
    fn cells_that_say_more_than_a_number_are_text() {
        let table =
            table(b"zeros,long,huge,fine,exact\n007,12345678901234567890,1e400,-0.5,900719925474099\n8,1,1,inf,0.5\n");
        let columns: Vec<&str> = table
            .columns()
            .unwrap()
            .iter()
            .map(|(_, kind)| kind.as_str())
            .collect();
        assert_eq!(columns, ["text", "text", "text", "float", "float"]);
        assert_eq!(table.texts("zeros").unwrap()[0].as_deref(), Some("007"));
    }

    #[test]
    fn a_column_that_turns_out_to_be_text_is_read_again_as_text() {
        let mut text = String::from("a,b\n");
        for i in 0..400_000 {
            text.push_str(&format!("{:.1},{i}\n", f64::from(i % 50)));
        }
        text.push_str("x7,0\n");
        let table = table(text.as_bytes());
        let cells = table.texts("a").unwrap();
        assert_eq!(
            (cells[7].as_deref(), cells[400_000].as_deref()),
            (Some("7.0"), Some("x7"))
        );
    }

    #[test]
    fn a_log_of_zeek_is_read_with_its_types() {
        let log = b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
            #fields\tts\tuid\tid.orig_p\tproto\tduration\tlocal\n#types\ttime\tstring\tport\tenum\tinterval\tbool\n\
            1700000000.500000\tC1\\x09a\t80\ttcp\t-\tT\n1700000001.000000\tC2\t443\t(empty)\t0.5\tF\n#close\t2023-11-14\n";
        let table = table(log);
        let kinds: Vec<&str> = table
            .columns()
            .unwrap()
            .iter()
            .map(|(_, kind)| kind.as_str())
            .collect();
        assert_eq!(kinds, ["time", "text", "int", "text", "float", "bool"]);
        assert_eq!(
            table.times("ts").unwrap(),
            [Some(1_700_000_000_500), Some(1_700_000_001_000)]
        );
        assert_eq!(table.texts("uid").unwrap()[0].as_deref(), Some("C1\ta"));
        assert_eq!(table.missing("duration").unwrap(), [true, false]);
        let other = b"#separator \\x09\n#fields\ta\n#types\tcount\n1\n#fields\tb\n2\t3\n";
        let error = refused(other);
        assert!(
            error.contains("line 5") && error.contains("other `#fields`"),
            "{error}"
        );
        assert!(refused(b"\xd4\xc3\xb2\xa1\x02\x00").contains("packet capture"));
    }

    #[test]
    fn numbers_that_count_from_1970_become_moments() {
        let epochs = [("s", 0), ("ms", 3), ("us", 6)]
            .map(|(name, digits)| (name.to_owned(), digits))
            .into();
        let options = Options {
            epochs,
            ..Options::plain(&[""])
        };
        let csv = b"s,ms,us\n1700000000.25,1700000000250,1700000000250000\n,,\n";
        let table = read(csv.to_vec(), &options).unwrap();
        for name in ["s", "ms", "us"] {
            assert_eq!(
                table.times(name).unwrap(),
                [Some(1_700_000_000_250), None],
                "{name}"
            );
        }
    }

    #[test]
    fn a_cell_of_windows_is_read_and_told() {
        let mut opened = open(
            Box::new(Cursor::new(b"a,b\n1,x\n2,\x96\n".to_vec())),
            &Options::plain(&[]),
        )
        .unwrap();
        let raw = opened.piece().unwrap().unwrap();
        let piece = opened.with_text(&BTreeSet::new())(&raw.bytes).unwrap();
        assert_eq!(
            piece.table.unwrap().texts("b").unwrap()[1].as_deref(),
            Some("\u{2013}")
        );
        let recoded = piece.recoded.unwrap();
        assert_eq!((recoded.count, recoded.line), (1, 2));
    }
}
