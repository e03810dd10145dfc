//! Are the delta encodings of a page as long as they say? Numbers, lengths and shared beginnings
//! stand there as differences, and what reads them makes room for as many as their header tells.
//!
//! Source: "Parquet encoding definitions", DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY and
//! DELTA_BYTE_ARRAY.

use polars_parquet::parquet::compression::{Compression, DecompressionContext, decompress};
use polars_parquet_format::{CompressionCodec, DataPageHeaderV2, Encoding, PageHeader};

use crate::source::parquet_thrift::varint;

/// Between so many differences and none of them their least one stands anew.
const BLOCK: u64 = 1 << 16;

/// Checks the values of a data page; returns how many bytes of text they make beyond those of the
/// page.
///
/// # Errors
/// They are not what they say.
pub(crate) fn check(
    page: &[u8],
    header: &PageHeader,
    codec: CompressionCodec,
    has_levels: bool,
) -> Result<u64, &'static str> {
    let (encoding, values) = match (&header.data_page_header, &header.data_page_header_v2) {
        (Some(page), None) => (page.encoding, page.num_values),
        (None, Some(page)) => (page.encoding, page.num_values),
        _ => return Ok(0),
    };
    let values = u64::try_from(values).unwrap_or_default();
    if ![
        Encoding::DELTA_BINARY_PACKED,
        Encoding::DELTA_LENGTH_BYTE_ARRAY,
        Encoding::DELTA_BYTE_ARRAY,
    ]
    .contains(&encoding)
    {
        return Ok(0);
    }
    let body = unpacked(page, header, codec, has_levels).ok_or("cannot be unpacked")?;
    let mut rest = body.as_slice();
    if encoding == Encoding::DELTA_BINARY_PACKED {
        return DeltaHeader::read(&mut rest, values).map(|_| 0).ok_or(WRONG);
    }
    let shared = match encoding == Encoding::DELTA_BYTE_ARRAY {
        true => numbers(&mut rest, values).ok_or(WRONG)?,
        false => Vec::new(),
    };
    let lengths = numbers(&mut rest, values).ok_or(WRONG)?;
    if sum(&lengths).is_none_or(|bytes| bytes > rest.len() as u64) {
        return Err("says that its texts are longer than it is");
    }
    let mut before = 0;
    for (shared, length) in shared.iter().zip(&lengths) {
        if *shared > before {
            return Err("says that texts begin like longer ones");
        }
        before = shared.saturating_add(*length);
    }
    sum(&shared).ok_or(WRONG)
}

const WRONG: &str = "is damaged: its differences are not what they say";

fn sum(lengths: &[i64]) -> Option<u64> {
    lengths.iter().try_fold(0_u64, |sum, length| {
        sum.checked_add(u64::try_from(*length).ok()?)
    })
}

/// Returns the values of a page, without the levels that say which are missing.
fn unpacked(
    page: &[u8],
    header: &PageHeader,
    codec: CompressionCodec,
    has_levels: bool,
) -> Option<Vec<u8>> {
    let size = usize::try_from(header.uncompressed_page_size).ok()?;
    let codec = Compression::try_from(codec).ok()?;
    let unpack = |packed: &[u8], size: usize| {
        if codec == Compression::Uncompressed {
            return Some(packed.to_vec());
        }
        let mut body = vec![0; size];
        decompress(codec, packed, &mut body, &mut DecompressionContext::Unset).ok()?;
        Some(body)
    };
    let Some(second) = &header.data_page_header_v2 else {
        let mut body = unpack(page, size)?;
        if has_levels {
            let length = usize::try_from(u32::from_le_bytes(*body.first_chunk::<4>()?)).ok()?;
            let end = length.checked_add(4).filter(|end| *end <= body.len())?;
            body.drain(..end);
        }
        return Some(body);
    };
    let levels = levels_of(second)?;
    let values = page.get(levels..)?;
    match second.is_compressed {
        Some(false) => Some(values.to_vec()),
        _ => unpack(values, size.checked_sub(levels)?),
    }
}

/// Returns how many bytes of levels stand before the values of a page, which are packed by
/// themselves.
fn levels_of(page: &DataPageHeaderV2) -> Option<usize> {
    let levels = [
        page.repetition_levels_byte_length,
        page.definition_levels_byte_length,
    ];
    levels.into_iter().try_fold(0_usize, |sum, length| {
        sum.checked_add(usize::try_from(length).ok()?)
    })
}

/// Returns the part of a page that is packed, if any is.
pub(crate) fn packed<'p>(page: &'p [u8], header: &PageHeader) -> Option<&'p [u8]> {
    match &header.data_page_header_v2 {
        None => Some(page),
        Some(second) if second.is_compressed == Some(false) => None,
        Some(second) => page.get(levels_of(second)?..),
    }
}

/// What stands before differences.
struct DeltaHeader {
    /// How many differences a miniblock has, and how many miniblocks a block.
    miniblock: u64,
    miniblocks: u64,
    count: u64,
    first: i64,
}

impl DeltaHeader {
    fn read(rest: &mut &[u8], most: u64) -> Option<Self> {
        let (block, miniblocks, count) = (varint(rest)?, varint(rest)?, varint(rest)?);
        let first = zigzag(varint(rest)?);
        let miniblock = block.checked_div(miniblocks)?;
        let is_whole = miniblock * miniblocks == block && miniblock.is_multiple_of(32);
        (is_whole && (1..=BLOCK).contains(&block) && count <= most).then_some(Self {
            miniblock,
            miniblocks,
            count,
            first,
        })
    }
}

/// Reads numbers that stand as differences.
fn numbers(rest: &mut &[u8], most: u64) -> Option<Vec<i64>> {
    let head = DeltaHeader::read(rest, most)?;
    let mut numbers = Vec::new();
    if head.count == 0 {
        return Some(numbers);
    }
    let (mut last, mut left) = (head.first, head.count - 1);
    numbers.push(last);
    while left > 0 {
        let least = zigzag(varint(rest)?);
        let (widths, after) = rest.split_at_checked(usize::try_from(head.miniblocks).ok()?)?;
        *rest = after;
        for width in widths {
            if left == 0 {
                break;
            }
            let bytes = usize::try_from(u64::from(*width) * head.miniblock / 8).ok()?;
            let (packed, after) = rest.split_at_checked(bytes).filter(|_| *width <= 64)?;
            *rest = after;
            for at in 0..head.miniblock.min(left) {
                last = last
                    .wrapping_add(least)
                    .wrapping_add(bits(packed, at, *width).cast_signed());
                numbers.push(last);
            }
            left -= head.miniblock.min(left);
        }
    }
    Some(numbers)
}

/// Returns one of the numbers of so many bits that stand one after the other, the lowest bit first.
fn bits(packed: &[u8], at: u64, width: u8) -> u64 {
    let from = at * u64::from(width);
    let mut window = [0; 16];
    let start = (from / 8) as usize;
    let part = &packed[start..packed.len().min(start + 9)];
    window[..part.len()].copy_from_slice(part);
    let mask = (1_u128 << width) - 1;
    ((u128::from_le_bytes(window) >> (from % 8)) & mask) as u64
}

fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the definitions: 7, 5, 3, 1, 2, 3, 4, 5, with a miniblock of 32.
    #[test]
    fn the_example_of_the_definitions_is_read() {
        let deltas: [u64; 7] = [0, 0, 0, 3, 3, 3, 3];
        let mut bytes = vec![0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0];
        let packed = deltas
            .iter()
            .enumerate()
            .fold(0_u64, |packed, (at, delta)| packed | delta << (2 * at));
        bytes.extend(packed.to_le_bytes());
        bytes.extend(b"rest");
        let mut rest = bytes.as_slice();
        assert_eq!(numbers(&mut rest, 8).unwrap(), [7, 5, 3, 1, 2, 3, 4, 5]);
        assert_eq!(rest, b"rest");
        assert!(
            numbers(&mut bytes.as_slice(), 7).is_none(),
            "more than the page has values"
        );
        assert!(numbers(&mut &bytes[..12], 8).is_none());
        let huge = [0x80, 0x80, 0x80, 0x80, 0x10, 1, 8, 14, 3, 0];
        assert!(
            numbers(&mut huge.as_slice(), 8).is_none(),
            "a block of 2^32"
        );
    }
}
