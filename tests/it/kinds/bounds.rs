//! What is read takes a bounded multiple of its size, or is refused; and is never read as something
//! else than it says.

use std::collections::BTreeSet;
use std::io::{Cursor, Read, Write};

use polars::prelude::{ChunkFull, Column, DataFrame, IntoSeries, ParquetWriter, StringChunked};

use crate::kinds::parquet::footer_start;
use crate::memory::most_held;
use crate::world::{World, package};
use netsec::frame::table::TableError;
use netsec::source::files::{Options, open, read};
use netsec::source::parquet;
use netsec::source::piece::TablePiece;

fn refused(bytes: impl Into<Vec<u8>>) -> String {
    let options = Options::plain(&[""]);
    read(bytes.into(), &options)
        .map(|table| table.height())
        .expect_err("it is refused")
        .0
}

#[test]
fn a_key_that_stands_twice_is_refused_with_its_line() {
    for (text, says) in [
        (
            "{\"a\": 1}\n{\"a\": 1, \"a\": 2}\n",
            "line 2, column 1: the key `a` stands twice",
        ),
        (
            "{\"a.b\": 1, \"a\": {\"b\": 2}}\n",
            "line 1, column 1: the key `a.b` stands twice",
        ),
        (
            "{\"a\": {\"b\": 2, \"b\": 3}}\n",
            "the key `a.b` stands twice",
        ),
        (
            "{\"a\": 1, \"a\": {\"c\": 2}}\n",
            "the key `a` stands twice",
        ),
    ] {
        let why = refused(text);
        assert!(why.contains(says), "{text}: {why}");
    }
}

#[test]
fn a_key_that_stands_twice_within_a_list_is_refused_with_its_line() {
    let why = refused("{\"a\": []}\n{\"a\": [{\"b\": 1, \"b\": 2}]}\n");
    assert!(
        why.contains("line 2, column")
            && why.contains("the key `b` stands twice in an object of a list"),
        "{why}"
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_any_text() {
    for text in ["\u{feff}a,b\n1,2\n", "\u{feff}{\"a\": 1, \"b\": 2}\n"] {
        assert_eq!(
            read(text.as_bytes().to_vec(), &Options::plain(&[]))
                .unwrap()
                .names(),
            ["a", "b"]
        );
    }
    let log = "\u{feff}#separator \\x09\n#fields\ta\tb\n#types\tcount\tcount\n1\t2\n";
    assert_eq!(
        read(log.as_bytes().to_vec(), &Options::plain(&[]))
            .unwrap()
            .names(),
        ["a", "b"]
    );
}

#[test]
fn whole_numbers_keep_their_digits_wherever_the_others_stand() {
    let rows = 400_000;
    let exact = "9007199254740993";
    for first in [true, false] {
        let cell = |row: usize| match row {
            0 if first => exact.to_owned(),
            row if row == rows - 1 && !first => exact.to_owned(),
            row => format!("{row}.5"),
        };
        let whole = |row: usize| {
            if row < rows / 2 {
                format!("{row}")
            } else {
                cell(row)
            }
        };
        let at = if first { 0 } else { rows - 1 };
        let cells: Vec<String> = (0..rows)
            .map(|row| {
                if row == at {
                    exact.to_owned()
                } else {
                    whole(row)
                }
            })
            .collect();
        let csv = format!("a\n{}\n", cells.join("\n"));
        let json: String = cells
            .iter()
            .map(|cell| format!("{{\"a\": {cell}}}\n"))
            .collect();
        for text in [csv, json] {
            let table = read(text.into_bytes(), &Options::plain(&[])).unwrap();
            assert_eq!(
                table.texts("a").unwrap()[at].as_deref(),
                Some(exact),
                "first: {first}"
            );
        }
    }
}

#[test]
fn a_record_of_half_a_megabyte_is_one_like_others() {
    let long = "x".repeat(550_000);
    for (head, row) in [
        ("a,b\n", format!("{long},1\n")),
        ("", format!("{{\"a\": \"{long}\", \"b\": 1}}\n")),
    ] {
        let table = read(
            format!("{head}{}", row.repeat(12)).into_bytes(),
            &Options::plain(&[]),
        )
        .unwrap();
        assert_eq!(table.height(), 12);
    }
}

#[test]
fn paths_of_keys_that_multiply_are_refused() {
    let parent = "p".repeat(100_000);
    let keys: Vec<String> = (0..5000).map(|at| format!("\"k{at}\":1")).collect();
    let text = format!("{{\"{parent}\":{{{}}}}}\n", keys.join(","));
    let length = text.len();
    let mut why = String::new();
    let held = most_held(|| why = refused(text));
    assert!(
        why.contains("line 1, column 1: the paths of its keys take more than"),
        "{why}"
    );
    assert!(held < (96 << 20) + 16 * length, "{held} bytes for {length}");
}

#[test]
fn a_mark_within_a_text_is_kept() {
    let piece = files_reader(b"a\n1\n");
    let table = piece(b"\xef\xbb\xbf1\n\xef\xbb\xbf2\n")
        .unwrap()
        .table
        .unwrap();
    assert_eq!(
        table.texts("a").unwrap(),
        [Some("\u{feff}1".to_owned()), Some("\u{feff}2".to_owned())]
    );
}

fn files_reader(file: &[u8]) -> impl Fn(&[u8]) -> Result<TablePiece, TableError> {
    let opened = open(Box::new(Cursor::new(file.to_vec())), &Options::plain(&[])).unwrap();
    opened.with_text(&BTreeSet::new())
}

#[test]
fn whole_numbers_of_64_bits_keep_their_digits() {
    let text = "{\"a\": 7}\n{\"a\": 18446744073709551615}\n";
    let table = read(text.as_bytes().to_vec(), &Options::plain(&[])).unwrap();
    assert_eq!(
        table.texts("a").unwrap(),
        [
            Some("7".to_owned()),
            Some("18446744073709551615".to_owned())
        ]
    );
}

#[test]
fn text_after_a_closing_quote_is_refused_with_its_line() {
    for (text, says) in [
        (
            "a,b\n1,\"x\"y\n",
            "line 2, column 2: text follows the quote",
        ),
        (
            "a,b\n1,\"x\ny\" \n2,z\n",
            "column 2: text follows the quote",
        ),
        (
            "\"a\"b,c\n1,2\n",
            "line 1, column 1: text follows the quote",
        ),
    ] {
        let why = refused(text);
        assert!(why.contains(says), "{text}: {why}");
    }
    let fine = "a,b\r\n\"x\"\"y\",\"1\"\r\nit\"s,\"\"\r\n\"z\",2";
    assert_eq!(
        read(fine.as_bytes().to_vec(), &Options::plain(&[]))
            .unwrap()
            .height(),
        3
    );
}

#[test]
fn wide_and_sparse_tables_are_refused_before_they_fill_memory() {
    let new_keys: String = (0..9000)
        .map(|line| format!("{{\"k{line}\": 1}}\n"))
        .collect();
    let one_wide = format!(
        "{{{}}}\n",
        (0..20_000)
            .map(|at| format!("\"k{at}\":1"))
            .collect::<Vec<_>>()
            .join(",")
    );
    let nested: String = (0..9000)
        .map(|line| format!("{{\"a\": {{\"k{line}\": {{\"x\": 1}}}}}}\n"))
        .collect();
    let header = (0..100_000)
        .map(|at| format!("c{at}"))
        .collect::<Vec<_>>()
        .join(",");
    let csv = format!("{header}\n{}\n", vec!["1"; 100_000].join(","));
    let twice = format!("{}\n1\n", vec!["c"; 16_000].join(","));
    for (what, text, says) in [
        ("a new key a row", new_keys, "seem to be data"),
        ("one wide object", one_wide, "more than 16384 columns"),
        ("nested", nested, "such as `a.k"),
        ("CSV", csv, "names 100000 columns"),
        ("names that stand twice", twice, "the record has 1 fields"),
    ] {
        let length = text.len();
        let held = most_held(|| {
            let why = refused(text);
            assert!(why.contains(says), "{what}: {why}");
        });
        assert!(
            held < (64 << 20) + 100 * length,
            "{what}: {held} bytes for {length}"
        );
    }
    let named = open(
        Box::new(Cursor::new(format!("{}\n", vec!["c"; 16_000].join(",")))),
        &Options::plain(&[]),
    )
    .unwrap();
    assert_eq!(named.notes.len(), 21);
    assert_eq!(
        named.notes[20],
        "15979 more names of the header stand twice, are empty or not UTF-8"
    );
    // What is sparse, but not to that degree, is read.
    let sparse: String = (0..2000)
        .map(|line| format!("{{\"id\": {line}, \"k{}\": 1}}\n", line % 300))
        .collect();
    let table = read(sparse.into_bytes(), &Options::plain(&[])).unwrap();
    assert_eq!((table.height(), table.names().len()), (2000, 301));
}

/// Reads pieces until something is wrong; returns what.
fn drained(bytes: Vec<u8>) -> String {
    let mut opened = match open(Box::new(Cursor::new(bytes)), &Options::plain(&[])) {
        Ok(opened) => opened,
        Err(error) => return error.0,
    };
    loop {
        match opened.piece() {
            Ok(Some(_)) => {}
            Ok(None) => return "read".to_owned(),
            Err(error) => return error.0,
        }
    }
}

#[test]
fn what_unpacks_to_much_more_than_it_is_ends() {
    let rows = "1,2\n".repeat(1 << 18);
    let mut zstd = zstd::stream::Encoder::new(Vec::new(), 19).unwrap();
    zstd.write_all(b"a,b\n").unwrap();
    (0..600).for_each(|_| zstd.write_all(rows.as_bytes()).unwrap());
    let bomb = zstd.finish().unwrap();
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let mut why = String::new();
    let held = most_held(|| why = drained(bomb));
    assert!(why.contains("packed bytes give more than"), "{why}");
    assert!(held < 128 << 20, "{held}");
    // A line that never ends.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(b'x').take(200 << 20), &mut gzip).unwrap();
    let why = drained(gzip.finish().unwrap());
    assert!(
        why.contains("goes on for more than"),
        "{}",
        &why[..why.len().min(300)]
    );
}

#[test]
fn damaged_pages_of_parquet_are_noticed_by_their_checksums() {
    let bytes = std::fs::read(package().join("tests/oracle/checksums.parquet")).unwrap();
    assert_eq!(parquet::check(&bytes).map_err(|error| error.0), Ok(()));
    assert_eq!(
        read(bytes.clone(), &Options::plain(&[])).unwrap().height(),
        120
    );
    let pages = footer_start(&bytes);
    let (mut noticed, mut by_sum) = (0, 0);
    for at in 4..pages {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        if let Err(error) = parquet::check(&bad) {
            noticed += 1;
            by_sum += usize::from(error.0.contains("its checksum (CRC-32) is another"));
        }
    }
    // What is left are fields of page headers that no checksum covers: statistics, encodings,
    // numbers of values.
    assert!(
        by_sum * 3 > pages && noticed * 2 > pages,
        "{noticed} of {pages}, {by_sum} by checksum"
    );
}

#[test]
fn a_parquet_file_that_says_what_cannot_be_is_refused() {
    let bytes = std::fs::read(package().join("tests/oracle/checksums.parquet")).unwrap();
    for cut in [0, 3, 4, 8, 11, bytes.len() / 2, bytes.len() - 1] {
        assert!(parquet::check(&bytes[..cut]).is_err(), "{cut}");
    }
    // Every byte of the footer, so every number in it, changed: refused or read, and never more
    // made than is bounded.
    for at in footer_start(&bytes)..bytes.len() {
        for with in [0x7f, 0xff, 0x80] {
            let mut bad = bytes.clone();
            bad[at] = with;
            let held = most_held(|| parquet::check(&bad).is_ok());
            assert!(held < 8 << 20, "byte {at}: {held}");
        }
    }
}

#[test]
fn long_lines_take_a_bounded_multiple_and_pay_for_no_other() {
    let list = format!("{{\"a\": [{}1]}}\n", "1,".repeat(4_000_000));
    let length = list.len();
    let mut table = None;
    let held = most_held(|| table = read(list.into_bytes(), &Options::plain(&[])).ok());
    assert_eq!(
        table.unwrap().texts("a").unwrap()[0]
            .as_ref()
            .map(String::len),
        Some(8_000_003)
    );
    assert!(held < 12 * length, "{held} bytes for {length}");
    let long = format!("{{\"long\": \"{}\"}}\n", "x".repeat(20 << 20));
    let sparse: String = (0..16_000)
        .map(|line| format!("{{\"k{line}\": 1}}\n"))
        .collect();
    let why = refused(long + &sparse);
    assert!(why.contains("hardly any cells"), "{why}");
    let names: String = (0..20_000).map(|at| format!("\tc{at}")).collect();
    let why = refused(format!(
        "#separator \\x09\n#fields{names}\n#types{}\n",
        "\tstring".repeat(20_000)
    ));
    assert!(
        why.contains("names 20000 `#fields`; at most 16384"),
        "{why}"
    );
}

/// Parquet of one column of text, every cell the same.
fn alike(text: &str, rows: usize) -> Vec<u8> {
    let cells = StringChunked::full("text".into(), text, rows);
    let mut frame = DataFrame::new(rows, vec![Column::from(cells.into_series())]).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    bytes
}

/// Ingests a file with at most 4 GB of addresses; returns what was said.
fn ingested(name: &str, bytes: &[u8]) -> String {
    let world = World::new();
    world.write(name, bytes);
    world.write(
        "p.yaml",
        format!("stages:\n  a: {{ kind: ingest, inputs: {{ data: ./{name} }} }}\n"),
    );
    let script = format!(
        "ulimit -v 4000000; exec {} run p.yaml",
        env!("CARGO_BIN_EXE_netsec")
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(world.root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        matches!(output.status.code(), Some(0 | 4)),
        "{:?}: {said}",
        output.status
    );
    said
}

#[test]
fn parquet_whose_rows_share_a_long_text_is_refused_and_short_texts_are_read() {
    for (length, rows) in [(100_000, 100_000), (5_000_000, 2000), (1000, 3_000_000)] {
        let bomb = alike(&"x".repeat(length), rows);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let said = ingested("bomb.parquet", &bomb);
        assert!(
            said.contains("bytes of text, in"),
            "{length} × {rows}: {said}"
        );
    }
    for (name, says) in [
        ("shared", "bytes of text, in"),
        ("nested", "bytes of text, in"),
        ("lists", "column `b` holds lists"),
        ("empty", "there are no rows"),
    ] {
        let bytes = std::fs::read(package().join(format!("tests/oracle/{name}.parquet"))).unwrap();
        let said = ingested("data.parquet", &bytes);
        assert!(said.contains(says), "{name}: {said}");
    }
    let same = alike("10.0.0.1", 3_000_000);
    assert!(same.len() < 10_000, "{}", same.len());
    assert!(ingested("same.parquet", &same).contains("made      a"));
}

#[test]
fn parquet_that_is_packed_again_is_bounded_as_it_is_held_as_a_whole() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(b"PAR1").unwrap();
    std::io::copy(&mut std::io::repeat(0).take(600 << 20), &mut gzip).unwrap();
    let bomb = gzip.finish().unwrap();
    let mut why = String::new();
    let held = most_held(|| why = drained(bomb));
    assert!(why.contains("packed bytes give more than"), "{why}");
    assert!(held < 256 << 20, "{held}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&alike("10.0.0.1", 1000)).unwrap();
    assert_eq!(drained(gzip.finish().unwrap()), "read");
}
