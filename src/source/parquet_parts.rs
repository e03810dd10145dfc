//! Parts of a checked Parquet file as files of their own: which of its bytes they have, and a footer
//! that tells where these stand then.

use std::ops::Range;

use polars_parquet_format::{FileMetaData, RowGroup};

use crate::source::parquet_bytes::MAGIC;
use crate::source::parquet_footer::{CheckedFile, pages_of};

/// A column of some rows of a group, as a file of its own.
pub(crate) struct ColumnRows {
    /// What has to stand in it, in this order.
    pub(crate) parts: Vec<Range<usize>>,
    pub(crate) footer: FileMetaData,
    /// The first row of the group that is in it.
    pub(crate) first: usize,
}

impl CheckedFile {
    /// Returns whether no column is in a structure.
    pub(crate) fn is_flat(&self) -> bool {
        self.footer.schema.len() == self.leaves.len() + 1
    }

    /// Returns where the pages of some groups stand, column by column, and the footer of a file of
    /// them alone, one after the other.
    pub(crate) fn of_groups(&self, groups: Range<usize>) -> (Vec<Range<usize>>, FileMetaData) {
        let mut row_groups = self.footer.row_groups[groups].to_vec();
        let (mut parts, mut at) = (Vec::new(), MAGIC.len());
        let chunks = row_groups.iter_mut().flat_map(|group| &mut group.columns);
        for meta in chunks.filter_map(|chunk| chunk.meta_data.as_mut()) {
            let Some((start, size)) = pages_of(meta) else {
                continue;
            };
            let before = start as i64 - at as i64;
            meta.data_page_offset -= before;
            if let Some(offset) = &mut meta.dictionary_page_offset {
                *offset -= before;
            }
            parts.push(start..start + size);
            at += size;
        }
        let footer = FileMetaData {
            num_rows: row_groups.iter().map(|group| group.num_rows).sum(),
            row_groups,
            ..self.footer.clone()
        };
        (parts, footer)
    }

    /// Returns a file of the pages of a column, which is in no structure, that have some of these
    /// rows of a group with many cells; and of its dictionary.
    pub(crate) fn of_column(&self, group: usize, column: usize, rows: Range<usize>) -> ColumnRows {
        let (mut dictionary, mut pages) = (Vec::new(), Vec::new());
        let (mut before, mut first, mut values) = (0, None, 0);
        for page in &self.pages[group][column] {
            let Some(count) = page.values else {
                dictionary.push(page.bytes.clone());
                continue;
            };
            let mine = before..before + count;
            before = mine.end;
            if mine.start < rows.end && rows.start < mine.end {
                first.get_or_insert(mine.start);
                values += count as i64;
                pages.push(page.bytes.clone());
            }
        }
        let length = |parts: &[Range<usize>]| parts.iter().map(Range::len).sum::<usize>() as i64;
        let begin = MAGIC.len() as i64;
        let mut chunk = self.footer.row_groups[group].columns[column].clone();
        if let Some(meta) = &mut chunk.meta_data {
            meta.num_values = values;
            meta.total_compressed_size = length(&dictionary) + length(&pages);
            meta.data_page_offset = begin + length(&dictionary);
            meta.dictionary_page_offset = (!dictionary.is_empty()).then_some(begin);
        }
        let mut root = self.footer.schema[0].clone();
        root.num_children = Some(1);
        let size = self.footer.row_groups[group].total_byte_size;
        let only = RowGroup::new(vec![chunk], size, values, None, None, None, None);
        ColumnRows {
            footer: FileMetaData {
                schema: vec![root, self.footer.schema[column + 1].clone()],
                num_rows: values,
                row_groups: vec![only],
                ..self.footer.clone()
            },
            parts: [dictionary, pages].concat(),
            first: first.unwrap_or(rows.start),
        }
    }
}
