//! Parquet as other programs write it is read as they mean it; what lies about itself is refused
//! before it costs anything.

use std::collections::BTreeMap;

use netsec::source::files::{Options, read};
use polars_parquet_format::thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol};
use polars_parquet_format::{
    ColumnChunk, ColumnMetaData, CompressionCodec, DataPageHeader, DataPageHeaderV2,
    DictionaryPageHeader, Encoding, FieldRepetitionType, FileMetaData, PageHeader, PageType,
    RowGroup, SchemaElement, SortingColumn, Type,
};

use crate::memory::most_held;
use crate::world::package;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(package().join("tests/oracle").join(name)).unwrap()
}

/// Where the footer of a file begins; before it lie the pages.
pub(super) fn footer_start(bytes: &[u8]) -> usize {
    let length = bytes[..bytes.len() - 4].last_chunk::<4>().unwrap();
    bytes.len() - 8 - u32::from_le_bytes(*length) as usize
}

fn plain() -> Options {
    Options::plain(&[])
}

#[test]
fn every_type_is_read_as_pyarrow_means_it() {
    let expected: BTreeMap<String, Vec<Option<String>>> =
        serde_json::from_slice(&fixture("types.json")).unwrap();
    let table = read(fixture("types.parquet"), &plain()).unwrap();
    assert_eq!(table.names().len(), expected.len());
    for (name, texts) in expected {
        assert_eq!(table.texts(&name).unwrap(), texts, "{name}");
    }
}

#[test]
fn types_that_are_not_read_are_refused_with_their_column() {
    for (name, says) in [
        (
            "decimal",
            "column `odd` holds decimals: write them as numbers or as text",
        ),
        (
            "list",
            "column `odd` holds lists: write them as text, or their items as columns",
        ),
        ("map", "column `odd` holds lists"),
        ("list-in-structure", "column `odd` holds lists"),
        (
            "no-text",
            "row 2 of column `odd` holds bytes that are not UTF-8 text",
        ),
    ] {
        let why = read(fixture(&format!("refused-{name}.parquet")), &plain())
            .expect_err(name)
            .0;
        assert!(why.contains(says), "{name}: {why}");
    }
}

/// A column in a file that is made by hand.
struct Forged {
    element: SchemaElement,
    /// Of its one group.
    values: i64,
    pages: Vec<(PageHeader, Vec<u8>)>,
}

fn element(
    name: &str,
    physical: Option<Type>,
    length: Option<i32>,
    children: Option<i32>,
) -> SchemaElement {
    let optional = Some(FieldRepetitionType::OPTIONAL);
    SchemaElement::new(
        physical,
        length,
        optional,
        name.to_owned(),
        children,
        None,
        None,
        None,
        None,
        None,
    )
}

/// A page of so many missing cells: one run of zero definition levels.
fn missing(values: i32) -> (PageHeader, Vec<u8>) {
    let mut run = Vec::new();
    let mut header = u64::from(values.unsigned_abs()) << 1;
    while header >= 0x80 {
        run.push(header as u8 | 0x80);
        header >>= 7;
    }
    run.extend([header as u8, 0]);
    let mut body = (run.len() as u32).to_le_bytes().to_vec();
    body.extend(run);
    (
        data_page(values, body.len() as i32, body.len() as i32),
        body,
    )
}

fn data_page(values: i32, unpacked: i32, packed: i32) -> PageHeader {
    let header = DataPageHeader::new(values, Encoding::PLAIN, Encoding::RLE, Encoding::RLE, None);
    PageHeader::new(
        PageType::DATA_PAGE,
        unpacked,
        packed,
        None,
        header,
        None,
        None,
        None,
    )
}

/// A page that is of the second format by its sort, and says what both formats say.
fn two_sorts(values: i32) -> (PageHeader, Vec<u8>) {
    let (mut header, body) = missing(values);
    header.type_ = PageType::DATA_PAGE_V2;
    header.data_page_header_v2 = Some(DataPageHeaderV2::new(
        i32::MAX,
        0,
        0,
        Encoding::PLAIN,
        0,
        0,
        false,
        None,
    ));
    (header, body)
}

/// A page of so many cells, none missing, whose values are these bytes, in delta encoding.
fn delta(values: i32, bytes: &[u8]) -> (PageHeader, Vec<u8>) {
    let (mut header, body) = present(values, bytes);
    header.data_page_header.as_mut().unwrap().encoding = Encoding::DELTA_BINARY_PACKED;
    (header, body)
}

/// A page of so many cells, none missing, whose values are these bytes.
fn present(values: i32, bytes: &[u8]) -> (PageHeader, Vec<u8>) {
    let (mut header, mut body) = missing(values);
    *body.last_mut().unwrap() = 1;
    body.extend(bytes);
    (header.uncompressed_page_size, header.compressed_page_size) =
        (body.len() as i32, body.len() as i32);
    (header, body)
}

fn dictionary(entries: i32, body: Vec<u8>) -> (PageHeader, Vec<u8>) {
    let header = DictionaryPageHeader::new(entries, Encoding::PLAIN, None);
    let size = body.len() as i32;
    (
        PageHeader::new(
            PageType::DICTIONARY_PAGE,
            size,
            size,
            None,
            None,
            None,
            header,
            None,
        ),
        body,
    )
}

/// A file of one group and these columns, of which `change` changes what is said of it.
fn forged(rows: i64, columns: Vec<Forged>, change: impl FnOnce(&mut FileMetaData)) -> Vec<u8> {
    let mut bytes = b"PAR1".to_vec();
    let mut schema = vec![element("root", None, None, Some(columns.len() as i32))];
    let mut chunks = Vec::new();
    for column in columns {
        let start = bytes.len();
        for (header, body) in &column.pages {
            header
                .write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut bytes))
                .unwrap();
            bytes.extend(body);
        }
        let size = (bytes.len() - start) as i64;
        let name = vec![column.element.name.clone()];
        let physical = column.element.type_.unwrap_or(Type::INT32);
        let codec = CompressionCodec::UNCOMPRESSED;
        let encodings = vec![Encoding::PLAIN];
        let meta = ColumnMetaData::new(
            physical,
            encodings,
            name,
            codec,
            column.values,
            size,
            size,
            None,
            start as i64,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
        );
        chunks.push(ColumnChunk::new(
            None,
            start as i64,
            meta,
            None,
            None,
            None,
            None,
            None,
            None,
        ));
        schema.push(column.element);
    }
    let group = RowGroup::new(chunks, bytes.len() as i64, rows, None, None, None, None);
    let mut meta = FileMetaData::new(1, schema, rows, vec![group], None, None, None, None, None);
    change(&mut meta);
    with_footer(bytes, &meta)
}

fn with_footer(mut bytes: Vec<u8>, meta: &FileMetaData) -> Vec<u8> {
    let start = bytes.len();
    meta.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut bytes))
        .unwrap();
    let length = (bytes.len() - start) as u32;
    bytes.extend(length.to_le_bytes());
    bytes.extend(b"PAR1");
    bytes
}

/// A file of one column of this type, and one page.
fn single(
    physical: Type,
    length: Option<i32>,
    page: (PageHeader, Vec<u8>),
    change: impl FnOnce(&mut FileMetaData),
) -> Vec<u8> {
    let element = element("a", Some(physical), length, None);
    forged(
        1000,
        vec![Forged {
            element,
            values: 1000,
            pages: vec![page],
        }],
        change,
    )
}

fn nested(depth: usize) -> Vec<u8> {
    let column = Forged {
        element: element("a", Some(Type::INT32), None, None),
        values: 1000,
        pages: vec![missing(1000)],
    };
    forged(1000, vec![column], |meta| {
        let leaf = meta.schema.pop().unwrap();
        meta.schema
            .extend((0..depth).map(|_| element("s", None, None, Some(1))));
        meta.schema.push(leaf);
    })
}

#[test]
fn what_a_file_says_of_itself_is_believed_only_as_far_as_it_can_be_true() {
    let as_it_is = |_: &mut FileMetaData| {};
    let fine = single(Type::INT32, None, missing(1000), as_it_is);
    assert_eq!(read(fine, &plain()).unwrap().height(), 1000);
    let pages = |pages: Vec<(PageHeader, Vec<u8>)>| {
        let element = element("a", Some(Type::INT32), None, None);
        forged(
            1000,
            vec![Forged {
                element,
                values: 1000,
                pages,
            }],
            as_it_is,
        )
    };
    let long = |size: i32| (data_page(100, size, 6), missing(100).1[..6].to_vec());
    let footer = |change: fn(&mut FileMetaData)| single(Type::INT32, None, missing(1000), change);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "long pages",
            pages((0..10).map(|_| long(100 << 20)).collect()),
            "says that it is longer than can be",
        ),
        (
            "a page without a size",
            pages(vec![long(-1)]),
            "page 1 of `a` says that it has no size",
        ),
        (
            "wide cells",
            single(
                Type::FIXED_LEN_BYTE_ARRAY,
                Some(1 << 28),
                missing(1000),
                as_it_is,
            ),
            "unpacks to more than",
        ),
        (
            "no width",
            single(Type::FIXED_LEN_BYTE_ARRAY, Some(0), missing(1000), as_it_is),
            "`a` have no length",
        ),
        (
            "a negative width",
            single(
                Type::FIXED_LEN_BYTE_ARRAY,
                Some(-7),
                missing(1000),
                as_it_is,
            ),
            "`a` have no length",
        ),
        (
            "a dictionary",
            pages(vec![dictionary(i32::MAX, vec![0; 4]), missing(1000)]),
            "page 1 of `a` says that it has more entries than bytes",
        ),
        (
            "fewer than none",
            pages(vec![missing(-5), missing(1000)]),
            "page 1 of `a` says that it has fewer values than none",
        ),
        (
            "more values",
            pages(vec![missing(600), missing(600)]),
            "page 2 of `a` says that it has more values than",
        ),
        (
            "fewer values",
            pages(vec![missing(600)]),
            "page 1 of `a` is the last, and there are 600 values of 1000",
        ),
        ("nested", nested(2000), "nested more than 32 deep"),
        (
            "rows",
            footer(|meta| meta.num_rows = 999),
            "it says that it has 999 rows, and its columns have others",
        ),
        (
            "rows of a group",
            footer(|meta| {
                meta.num_rows = 999;
                meta.row_groups[0].num_rows = 999;
            }),
            "`a` has 1000 values in 999 rows",
        ),
        (
            "pages of two sorts",
            pages(vec![two_sorts(1000)]),
            "page 1 of `a` says that it is of two kinds",
        ),
        (
            "pages of others",
            footer(|meta| {
                let group = meta.row_groups[0].clone();
                meta.row_groups.push(group);
                meta.num_rows = 2000;
            }),
            "the pages of `a` lie within those of `a`",
        ),
        (
            "differences",
            pages(vec![delta(
                1000,
                &[0x80, 1, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0],
            )]),
            "page 1 of `a` is damaged: its differences are not what they say",
        ),
        (
            "a long block",
            pages(vec![delta(
                1000,
                &[0x80, 0x80, 0x80, 0x80, 0x10, 1, 8, 0, 0, 0],
            )]),
            "page 1 of `a` is damaged: its differences are not what they say",
        ),
        (
            "no columns",
            forged(1_000_000_000_000_000, Vec::new(), as_it_is),
            "it says that it has 1000000000000000 rows, and its columns have others",
        ),
        (
            "cells",
            footer(|meta| {
                let rows = 1 << 40;
                meta.num_rows = rows;
                meta.row_groups[0].num_rows = rows;
                meta.row_groups[0].columns[0]
                    .meta_data
                    .as_mut()
                    .unwrap()
                    .num_values = rows;
            }),
            "it says that it has more than 1099511627776 cells, in",
        ),
        (
            "another type",
            footer(|meta| meta.schema[1].type_ = Some(Type::DOUBLE)),
            "another column in the place of `a`",
        ),
        (
            "no chunk",
            footer(|meta| meta.row_groups[0].columns.clear()),
            "0 of its columns have rows, of 1",
        ),
        (
            "children",
            footer(|meta| meta.schema[0].num_children = Some(7)),
            "its schema says that `root` has 7 columns",
        ),
        (
            "no children",
            footer(|meta| meta.schema[0].num_children = Some(-1)),
            "its schema says that `root` has -1",
        ),
        (
            "too few children",
            footer(|meta| meta.schema[0].num_children = Some(0)),
            "has more columns than it says",
        ),
        (
            "pages elsewhere",
            footer(|meta| {
                meta.row_groups[0].columns[0]
                    .meta_data
                    .as_mut()
                    .unwrap()
                    .data_page_offset = 1 << 40
            }),
            "the pages of `a` lie beyond its end",
        ),
        (
            "twice",
            footer(|meta| {
                meta.schema[0].num_children = Some(2);
                meta.schema.push(meta.schema[1].clone());
            }),
            "two of its columns are named `a`",
        ),
    ];
    for (what, bytes, says) in cases {
        let length = bytes.len();
        let mut why = String::new();
        let held = most_held(|| {
            why = read(bytes, &plain())
                .map(|table| table.height())
                .expect_err(what)
                .0
        });
        assert!(why.contains(says), "{what}: {why}");
        assert!(
            held < (8 << 20) + 64 * length,
            "{what}: {held} bytes for {length}"
        );
    }
}

#[test]
fn a_column_that_claims_to_be_sorted_is_not_believed() {
    let bytes = fixture("checksums.parquet");
    let start = footer_start(&bytes);
    let mut protocol = TCompactInputProtocol::new(&bytes[start..], 1 << 20);
    let mut meta = FileMetaData::read_from_in_protocol(&mut protocol).unwrap();
    meta.row_groups[0].sorting_columns = Some(vec![SortingColumn::new(0, false, false)]);
    let claims = read(with_footer(bytes[..start].to_vec(), &meta), &plain()).unwrap();
    let says_nothing = read(bytes, &plain()).unwrap();
    let counts = |table: &netsec::frame::table::Table| table.counts("a").unwrap();
    assert_eq!(counts(&claims), counts(&says_nothing));
    assert_eq!(claims.numbers("a").unwrap()[..4], [1.0, 2.0, 3.0, 1.0]);
}

/// Bytes of pages that no checksum covers, each changed: refused or read, and never a panic.
#[test]
fn damaged_pages_are_refused_or_read() {
    let bytes = fixture("types.parquet");
    let rows: Vec<usize> = (4..footer_start(&bytes))
        .filter_map(|at| {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            read(bad, &plain()).ok().map(|table| table.height())
        })
        .collect();
    assert!(!rows.is_empty() && rows.iter().all(|rows| *rows == 3));
}

#[test]
fn groups_without_rows_are_not_read() {
    let bytes = single(Type::INT32, None, missing(1000), |meta| {
        let mut group = meta.row_groups[0].clone();
        group.num_rows = 0;
        group.columns[0]
            .meta_data
            .as_mut()
            .unwrap()
            .data_page_offset = -1;
        meta.row_groups.insert(0, group);
    });
    assert_eq!(read(bytes, &plain()).unwrap().height(), 1000);
}

#[test]
fn a_column_that_says_it_has_columns_is_a_column() {
    let bytes = single(Type::INT32, None, missing(1000), |meta| {
        meta.schema[1].num_children = Some(1)
    });
    assert_eq!(read(bytes, &plain()).unwrap().names(), ["a"]);
}

#[test]
fn moments_of_96_bits_are_read_of_all_years() {
    let days: [(i32, &str); 4] = [
        (1_721_426, "0001-01-01"),
        (2_440_588, "1970-01-01"),
        (2_299_161, "1582-10-15"),
        (5_373_484, "9999-12-31"),
    ];
    let mut bytes = Vec::new();
    for (day, _) in days {
        bytes.extend(3_600_000_000_000_i64.to_le_bytes());
        bytes.extend(day.to_le_bytes());
    }
    let column = Forged {
        element: element("a", Some(Type::INT96), None, None),
        values: 4,
        pages: vec![present(4, &bytes)],
    };
    let table = read(forged(4, vec![column], |_| {}), &plain()).unwrap();
    let expected: Vec<Option<String>> = days
        .iter()
        .map(|(_, day)| Some(format!("{day}T01:00:00.000Z")))
        .collect();
    assert_eq!(table.texts("a").unwrap(), expected);
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Numbers as differences, each of 32 bits.
fn packed(numbers: &[i64]) -> Vec<u8> {
    let mut bytes = vec![0x80, 1, 4];
    varint(&mut bytes, numbers.len() as u64);
    varint(&mut bytes, (numbers[0] << 1) as u64);
    let deltas: Vec<i32> = numbers
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as i32)
        .collect();
    let least = deltas.iter().copied().min().unwrap();
    for block in deltas.chunks(128) {
        varint(
            &mut bytes,
            ((i64::from(least) << 1) ^ (i64::from(least) >> 63)) as u64,
        );
        bytes.extend([32; 4]);
        for delta in block {
            bytes.extend((delta.wrapping_sub(least)).to_le_bytes());
        }
        bytes.extend(vec![
            0;
            4 * (block.len().next_multiple_of(32) - block.len())
        ]);
    }
    bytes
}

/// One text of a megabyte, and many rows that say they begin like it.
#[test]
fn texts_that_share_their_beginning_count_as_long_as_they_are() {
    let rows: i32 = 20_000;
    let long = 1 << 20;
    let mut shared = vec![long; rows as usize];
    shared[0] = 0;
    let mut lengths = vec![0; rows as usize];
    lengths[0] = long;
    let mut bytes = [packed(&shared), packed(&lengths)].concat();
    bytes.extend(vec![b'x'; long as usize]);
    let (mut header, body) = present(rows, &bytes);
    header.data_page_header.as_mut().unwrap().encoding = Encoding::DELTA_BYTE_ARRAY;
    let element = element("a", Some(Type::BYTE_ARRAY), None, None);
    let column = Forged {
        element,
        values: i64::from(rows),
        pages: vec![(header, body)],
    };
    let bytes = forged(i64::from(rows), vec![column], |_| {});
    let length = bytes.len();
    let mut why = String::new();
    let held = most_held(|| {
        why = read(bytes, &plain())
            .map(|table| table.height())
            .expect_err("long")
            .0
    });
    assert!(
        why.contains("it says that it unpacks to more than"),
        "{why}"
    );
    assert!(held < 16 * length, "{held} bytes for {length}");
}
