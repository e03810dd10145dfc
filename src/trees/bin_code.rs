//! The number of a bin: of one byte for boosting, of two for single trees and forests.

/// The number of a bin.
pub trait BinCode: Copy + Ord + Send + Sync + 'static {
    /// The most bins of present values.
    const MOST: usize;

    /// Returns the code of a bin, which may be the one after the last.
    fn of(bin: u16) -> Self;

    /// Returns the bin.
    fn bin(self) -> u16;

    /// Returns the bin as a place in a list.
    fn place(self) -> usize {
        usize::from(self.bin())
    }
}

impl BinCode for u8 {
    const MOST: usize = 255;

    fn of(bin: u16) -> Self {
        bin as Self
    }

    fn bin(self) -> u16 {
        u16::from(self)
    }
}

impl BinCode for u16 {
    const MOST: usize = 1023;

    fn of(bin: u16) -> Self {
        bin
    }

    fn bin(self) -> u16 {
        self
    }
}
