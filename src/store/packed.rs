//! How a blob lies on disk: as it is, or compressed with zstd where that pays. Its name is the
//! digest of its content either way.

use std::io::{self, Read, Write};

/// What a compressed blob begins with; the digit is the format's version. A content that itself
/// begins like this is always compressed, so that the two cannot be mistaken for each other. Then
/// come the content's length, eight bytes, the lowest first, and a zstd frame.
const MAGIC: &[u8; 8] = b"NSBLOBZ1";
/// What compressed blobs of every version begin with.
const FAMILY: &[u8] = b"NSBLOBZ";
/// Contents shorter than this are not compressed, in bytes.
const SHORT: u64 = 1 << 16;
/// So much of the beginning is compressed to see whether it pays, in bytes.
pub const SAMPLE: usize = 1 << 16;
/// It pays if at most so many hundredths of the sample are left.
const PAYS: usize = 80;
/// zstd's fastest level: reading is to cost less than computing again.
const LEVEL: i32 = 1;

/// Returns whether a content is to be compressed, given its length and its first bytes, at least
/// `SAMPLE` of them or all.
pub fn pays(length: u64, head: &[u8]) -> bool {
    let sample = &head[..head.len().min(SAMPLE)];
    let is_dense = || {
        zstd::bulk::compress(sample, LEVEL)
            .is_ok_and(|small| small.len() * 100 <= sample.len() * PAYS)
    };
    head.starts_with(FAMILY) || (length >= SHORT && is_dense())
}

/// Compresses a content of a known length.
///
/// # Errors
/// Reading or writing failed.
pub fn pack(content: impl Read, length: u64, to: &mut impl Write) -> io::Result<()> {
    to.write_all(MAGIC)?;
    to.write_all(&length.to_le_bytes())?;
    zstd::stream::copy_encode(content, to, LEVEL)
}

/// Returns a reader of a compressed blob's content; `None` if the blob is not compressed. Of one
/// that is damaged the reader gives an error or other bytes than were put in, and never more than
/// the length the blob speaks of.
///
/// # Errors
/// Reading failed.
pub fn unpack<'a>(mut blob: impl Read + 'a) -> io::Result<Option<Box<dyn Read + 'a>>> {
    let mut head = Vec::new();
    (&mut blob)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut head)?;
    if !head.starts_with(FAMILY) {
        return Ok(None);
    }
    if head != MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it was written by a later version of netsec",
        ));
    }
    let mut length = [0; 8];
    blob.read_exact(&mut length)?;
    Ok(Some(Box::new(
        zstd::stream::read::Decoder::new(blob)?.take(u64::from_le_bytes(length)),
    )))
}

/// Returns whether a blob could not be read because a later version wrote it.
pub fn is_later(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Returns the length that a compressed blob speaks of; `None` if it is not compressed, or has no
/// length.
pub fn spoken_length(head: &[u8]) -> Option<u64> {
    let length = head.strip_prefix(MAGIC)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*length))
}

/// How long the beginning of a compressed blob is that tells its length, in bytes.
pub const HEAD: usize = MAGIC.len() + 8;
/// So much is made room for at once at most, in bytes. Room that is not written to takes no memory,
/// if the length is a lie.
const ROOM: u64 = 4 << 30;

/// Reads the content of a blob of so many bytes: no more memory is taken than the content takes.
///
/// # Errors
/// Reading failed; it is compressed and damaged.
pub fn content(mut blob: impl Read, size: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    (&mut blob).take(HEAD as u64).read_to_end(&mut head)?;
    let length = spoken_length(&head).unwrap_or(size);
    let mut bytes = Vec::new();
    // Without it the room is doubled again and again, and the content held twice meanwhile.
    let _ = bytes.try_reserve_exact(usize::try_from(length.min(ROOM)).unwrap_or_default() + 1);
    let whole = head.as_slice().chain(blob);
    match head.starts_with(FAMILY) {
        true => unpack(whole)?.map_or(Ok(0), |mut content| content.read_to_end(&mut bytes))?,
        false => { whole }.read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bytes: &[u8]) -> Vec<u8> {
        let mut blob = Vec::new();
        match pays(bytes.len() as u64, bytes) {
            true => pack(bytes, bytes.len() as u64, &mut blob).unwrap(),
            false => blob.extend_from_slice(bytes),
        }
        blob
    }

    fn back(blob: &[u8]) -> io::Result<Vec<u8>> {
        content(blob, blob.len() as u64)
    }

    #[test]
    fn every_content_comes_back_and_only_what_shrinks_is_compressed() {
        let mut random = Vec::new();
        blake3::Hasher::new()
            .finalize_xof()
            .take(200_000)
            .read_to_end(&mut random)
            .unwrap();
        let even = vec![7; 200_000];
        for bytes in [
            &b""[..],
            b"NSB",
            FAMILY,
            MAGIC,
            b"NSBLOBZ1 and more",
            b"NSBLOBZ2 and more",
            &even,
            &random,
            &even[..1000],
        ] {
            assert_eq!(back(&stored(bytes)).unwrap(), bytes);
        }
        assert!(stored(&even).len() < 1000);
        assert_eq!(stored(&random), random);
        assert_eq!(stored(&even[..1000]), even[..1000]);
        assert_ne!(
            stored(MAGIC),
            MAGIC,
            "it would be taken for a compressed one"
        );
    }

    #[test]
    fn a_blob_of_a_later_version_is_refused() {
        assert!(is_later(&back(b"NSBLOBZ2 whatever").unwrap_err()));
    }

    #[test]
    fn a_damaged_blob_never_gives_more_than_was_put_in() {
        let even = vec![7; 200_000];
        let blob = stored(&even);
        for at in 0..blob.len() {
            let mut bad = blob.clone();
            bad[at] ^= 1;
            // Whether it is right, the digest tells.
            assert!(
                back(&bad).map_or(0, |bytes| bytes.len()) <= even.len(),
                "byte {at}"
            );
        }
    }
}
