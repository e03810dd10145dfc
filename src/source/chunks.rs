//! A stream of records cut into pieces, at places that their content decides: what is added,
//! changed or removed somewhere moves only the cuts near it, so that all other pieces keep their
//! digests.

use std::io::{self, Read};

/// Before so many bytes there is no cut.
const LEAST: usize = 3 << 19;
/// After the least, a cut comes on average after so many more.
const MORE: u64 = 1 << 19;
/// From here on every end of a record is a cut.
pub(crate) const MOST: usize = 4 << 20;
/// A record longer than this is refused.
const RECORD: usize = 64 << 20;

/// Whole records and where they begin.
#[derive(Debug)]
pub struct Chunk {
    /// The line of the first byte, counted from one.
    pub line: u64,
    /// The records, each with its line end; the last of the stream may lack it.
    pub bytes: Vec<u8>,
}

/// How the end of a record is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Every line is one.
    Lines,
    /// Lines, but for line breaks between double quotes (RFC 4180); the separator tells where a
    /// field begins.
    Csv(u8),
}

/// Cuts a stream.
pub struct ChunkReader<R> {
    input: R,
    records: RecordKind,
    buffer: Vec<u8>,
    line: u64,
    is_over: bool,
}

impl<R: Read> ChunkReader<R> {
    /// Begins with the first byte of a stream, which is the first of a record.
    pub fn new(input: R, records: RecordKind) -> Self {
        Self {
            input,
            records,
            buffer: Vec::new(),
            line: 1,
            is_over: false,
        }
    }

    /// Returns the next record alone, without its line end: a header.
    ///
    /// # Errors
    /// As `chunk`.
    pub fn record(&mut self) -> io::Result<Option<Chunk>> {
        self.cut(0, 0)
    }

    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// The stream failed, or a record does not end.
    pub fn chunk(&mut self) -> io::Result<Option<Chunk>> {
        self.cut(LEAST, MOST)
    }

    fn cut(&mut self, least: usize, most: usize) -> io::Result<Option<Chunk>> {
        let mut wanted = most.max(1 << 16);
        loop {
            self.fill(wanted)?;
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let end = match self.end(least, most) {
                Some(end) => end,
                None if self.is_over => self.buffer.len(),
                None if self.buffer.len() > RECORD => {
                    let what = match self.records {
                        RecordKind::Lines => "a line",
                        RecordKind::Csv(_) => "a record, or a quote that is not closed,",
                    };
                    let why = format!(
                        "{what} begins at or after line {} and goes on for more than {RECORD} bytes",
                        self.line
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                None => {
                    wanted = 2 * self.buffer.len();
                    continue;
                }
            };
            let rest = self.buffer.split_off(end);
            let bytes = std::mem::replace(&mut self.buffer, rest);
            let line = self.line;
            self.line += memchr::memchr_iter(b'\n', &bytes).count() as u64;
            return Ok(Some(Chunk { line, bytes }));
        }
    }

    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.is_over || self.buffer.len() >= wanted {
            return Ok(());
        }
        let missing = wanted - self.buffer.len();
        self.buffer.reserve(missing);
        let read = (&mut self.input)
            .take(missing as u64)
            .read_to_end(&mut self.buffer)?;
        self.is_over = read < missing;
        Ok(())
    }

    /// Returns the end of the first record that ends a piece.
    fn end(&self, least: usize, most: usize) -> Option<usize> {
        let is_end = |start: usize, end: usize| {
            end >= most
                || (end >= least
                    && draw(&self.buffer[start..end])
                        < ((end - start) as u64).saturating_mul(u64::MAX / MORE))
        };
        match self.records {
            RecordKind::Csv(separator) if memchr::memchr(b'"', &self.buffer).is_some() => {
                let mut start = 0;
                loop {
                    let end = record_end(&self.buffer, start, separator)?;
                    if is_end(start, end) {
                        return Some(end);
                    }
                    start = end;
                }
            }
            _ => {
                // Of what lies before the least only the last line end matters.
                let before = &self.buffer[..least.min(self.buffer.len())];
                let first = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
                let mut start = first;
                for end in
                    memchr::memchr_iter(b'\n', &self.buffer[first..]).map(|at| first + at + 1)
                {
                    if is_end(start, end) {
                        return Some(end);
                    }
                    start = end;
                }
                None
            }
        }
    }
}

/// A number that the bytes of a record decide; the bits are spread by multiplication (Fowler, Noll
/// and Vo's with eight bytes at once, finished as in splitmix64).
fn draw(bytes: &[u8]) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for piece in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..piece.len()].copy_from_slice(piece);
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^= state >> 32;
    }
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Returns the end of the CSV record that begins at `start`, its line end included; `None` if it
/// does not end. A quote that opens a field holds separators and line ends until it is closed;
/// elsewhere it is a character like others.
fn record_end(bytes: &[u8], start: usize, separator: u8) -> Option<usize> {
    let mut at = start;
    loop {
        // At the begin of a field.
        if bytes.get(at) == Some(&b'"') {
            at += 1;
            loop {
                at += memchr::memchr(b'"', &bytes[at..])? + 1;
                if bytes.get(at) != Some(&b'"') {
                    break;
                }
                at += 1;
            }
        }
        at += memchr::memchr2(separator, b'\n', bytes.get(at..)?)? + 1;
        if bytes[at - 1] == b'\n' {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8], records: RecordKind) -> Vec<Chunk> {
        let mut chunks = ChunkReader::new(bytes, records);
        std::iter::from_fn(|| chunks.chunk().unwrap()).collect()
    }

    fn rows(from: usize, to: usize, quoted: bool) -> String {
        let row = |i: usize| match quoted && i.is_multiple_of(3) {
            true => format!(
                "{i},\"a \"\"b\"\",\n{}\",{}\n",
                i * 7919 % 1000,
                i * 31 % 97
            ),
            false => format!("{i},{},{}\n", i * 7919 % 1000, i * 31 % 97),
        };
        (from..to).map(row).collect()
    }

    #[test]
    fn pieces_are_whole_records_and_together_the_stream() {
        for (text, records) in [
            (rows(0, 900_000, false), RecordKind::Lines),
            (rows(0, 500_000, true), RecordKind::Csv(b',')),
        ] {
            let pieces = pieces(text.as_bytes(), records);
            assert!(pieces.len() > 3, "{}", pieces.len());
            assert_eq!(
                pieces
                    .iter()
                    .flat_map(|piece| piece.bytes.clone())
                    .collect::<Vec<_>>(),
                text.as_bytes()
            );
            let mut line = 1;
            for piece in &pieces {
                assert_eq!(piece.line, line);
                line += piece.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                assert!(piece.bytes[0].is_ascii_digit() && piece.bytes.ends_with(b"\n"));
            }
        }
    }

    #[test]
    fn a_row_in_the_middle_moves_only_the_cuts_near_it() {
        let text = rows(0, 900_000, false);
        let (head, tail) = text.split_at(text.find("\n300000,").unwrap() + 1);
        let changed = format!("{head}new,1,2\n{tail}");
        let digests = |text: &str| -> Vec<blake3::Hash> {
            pieces(text.as_bytes(), RecordKind::Lines)
                .iter()
                .map(|piece| blake3::hash(&piece.bytes))
                .collect()
        };
        let (before, after) = (digests(&text), digests(&changed));
        let lost = before
            .iter()
            .filter(|digest| !after.contains(digest))
            .count();
        assert!(lost <= 2 && before.len() > 5, "{lost} of {}", before.len());
    }

    #[test]
    fn a_quote_that_is_not_closed_goes_to_the_end() {
        let pieces = pieces(b"a,\"b\nc,d\n", RecordKind::Csv(b','));
        assert_eq!(pieces.len(), 1);
    }
}
