//! Packed files, unpacked as they are read: gzip and Zstandard, told by their first bytes. What
//! unpacks to much more than it is was made to fill memory and disks, and ends with an error.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::frame::table::TableError;

const BUFFER: usize = 1 << 17;
/// For what is read piece by piece. Rows that all are alike stay below.
const STREAM: UnpackLimit = UnpackLimit {
    ratio: 5000,
    anyway: 256 << 20,
};

/// A file's bytes, unpacked if they are packed.
pub struct UnpackedReader {
    bytes: Box<dyn Read + Send>,
    /// How many packed bytes were read; nothing if it is not packed.
    packed: Option<Arc<AtomicU64>>,
    unpacked: u64,
    limit: UnpackLimit,
}

/// How many bytes are unpacked at most: so many for each packed one, and some more.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimit {
    /// For each packed one.
    pub ratio: u64,
    /// Anyway.
    pub anyway: u64,
}

impl UnpackedReader {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(input: Box<dyn Read + Send>) -> Result<Self, TableError> {
        let failed = |error: io::Error| TableError(error.to_string());
        let mut input = BufReader::with_capacity(BUFFER, input);
        let start = input.fill_buf().map_err(failed)?;
        let is_gzip = start.starts_with(&[0x1f, 0x8b]);
        if !is_gzip && !start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Ok(Self {
                bytes: Box::new(input),
                packed: None,
                unpacked: 0,
                limit: STREAM,
            });
        }
        let packed = Arc::new(AtomicU64::new(0));
        let counted = BufReader::with_capacity(
            BUFFER,
            CountedReader {
                input,
                read: Arc::clone(&packed),
            },
        );
        let bytes: Box<dyn Read + Send> = match is_gzip {
            true => Box::new(flate2::bufread::MultiGzDecoder::new(counted)),
            false => Box::new(zstd::stream::read::Decoder::with_buffer(counted).map_err(failed)?),
        };
        Ok(Self {
            bytes,
            packed: Some(packed),
            unpacked: 0,
            limit: STREAM,
        })
    }

    /// Sets another limit: for what has to be held as a whole.
    pub fn set_limit(&mut self, limit: UnpackLimit) {
        self.limit = limit;
    }
}

impl Read for UnpackedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.unpacked += read as u64;
        let Some(packed) = self
            .packed
            .as_ref()
            .map(|packed| packed.load(Ordering::Relaxed))
        else {
            return Ok(read);
        };
        if self.unpacked
            > packed
                .saturating_mul(self.limit.ratio)
                .saturating_add(self.limit.anyway)
        {
            let why = format!(
                "{packed} packed bytes give more than {} bytes: unpack it by hand if that is meant",
                self.unpacked
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(read)
    }
}

/// Counts what is read.
struct CountedReader<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Returns whether bytes are gzip as a whole, by its checksum, and give no more than so many.
pub(crate) fn is_whole_gzip(packed: &[u8], most: u64) -> bool {
    let gzip = flate2::bufread::MultiGzDecoder::new(packed);
    let given = std::io::copy(&mut gzip.take(most.saturating_add(1)), &mut std::io::sink());
    given.is_ok_and(|given| given <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut unpacked = UnpackedReader::open(Box::new(io::Cursor::new(bytes))).unwrap();
        let mut found = Vec::new();
        unpacked.read_to_end(&mut found).map(|_| found)
    }

    #[test]
    fn packed_files_are_unpacked() {
        let plain = b"a,b\n1,x\n2,y\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, plain).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::stream::encode_all(&plain[..], 3).unwrap();
        for packed in [gzip.clone(), zstd.clone(), plain.to_vec()] {
            assert_eq!(unpacked(packed).unwrap(), plain);
        }
        // Several, one after the other, are one file.
        assert_eq!(
            unpacked([&gzip[..], &gzip].concat()).unwrap(),
            [&plain[..], plain].concat()
        );
        assert_eq!(
            unpacked([&zstd[..], &zstd].concat()).unwrap(),
            [&plain[..], plain].concat()
        );
        for cut in [
            gzip[..gzip.len() - 3].to_vec(),
            zstd[..zstd.len() - 3].to_vec(),
            vec![0x1f, 0x8b, 8, 0, 1],
        ] {
            assert!(unpacked(cut).is_err());
        }
    }
}
