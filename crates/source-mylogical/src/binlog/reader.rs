//! Takes one part after the other from an event. Numbers are little-endian unless said otherwise.

use super::error::{DecodeError, Problem};

/// What is left of some bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    part: &'static str,
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(part: &'static str, all: &'a [u8]) -> Self {
        Self { part, all, at: 0 }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.all.len() - self.at
    }

    /// The bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.all[self.at..]
    }

    /// An error about what begins `back` bytes before the current place.
    #[cold]
    pub(crate) fn error(&self, back: usize, problem: Problem) -> DecodeError {
        DecodeError { part: self.part, offset: self.at.saturating_sub(back), problem }
    }

    #[cold]
    fn truncated(&self, needed: usize, expected: &'static str) -> DecodeError {
        self.error(0, Problem::Truncated { expected, needed, left: self.left() })
    }

    #[inline]
    pub(crate) fn bytes(&mut self, needed: usize, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some((taken, _)) = self.all[self.at..].split_at_checked(needed) else {
            return Err(self.truncated(needed, expected));
        };
        self.at += needed;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], DecodeError> {
        let Some(array) = self.all[self.at..].first_chunk() else {
            return Err(self.truncated(N, expected));
        };
        self.at += N;
        Ok(*array)
    }

    #[inline]
    pub(crate) fn u8(&mut self, expected: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(expected).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, expected: &'static str) -> Result<u16, DecodeError> {
        self.array(expected).map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, expected: &'static str) -> Result<u32, DecodeError> {
        self.array(expected).map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self, expected: &'static str) -> Result<u64, DecodeError> {
        self.array(expected).map(u64::from_le_bytes)
    }

    /// An unsigned number of 1 to 8 bytes.
    #[inline]
    pub(crate) fn uint(&mut self, bytes: usize, expected: &'static str) -> Result<u64, DecodeError> {
        let taken = self.bytes(bytes, expected)?;
        Ok(taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The same, most significant byte first.
    #[inline]
    pub(crate) fn uint_be(&mut self, bytes: usize, expected: &'static str) -> Result<u64, DecodeError> {
        let taken = self.bytes(bytes, expected)?;
        Ok(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A number that says by its first byte how long it is.
    pub(crate) fn packed(&mut self, expected: &'static str) -> Result<u64, DecodeError> {
        match self.u8(expected)? {
            small @ 0..=250 => Ok(u64::from(small)),
            252 => self.u16(expected).map(u64::from),
            253 => self.uint(3, expected),
            254 => self.u64(expected),
            found => Err(self.error(1, Problem::Unknown { expected, found: u64::from(found) })),
        }
    }

    /// A packed length or count of items that take at least `item_bytes` each. More than fit are refused here, before
    /// anyone makes room for them.
    pub(crate) fn count(&mut self, item_bytes: usize, expected: &'static str) -> Result<usize, DecodeError> {
        let number = self.packed(expected)?;
        let count = usize::try_from(number).unwrap_or(usize::MAX);
        let needed = count.saturating_mul(item_bytes);
        if needed > self.left() {
            return Err(self.truncated(needed, expected));
        }
        Ok(count)
    }

    /// Bytes behind their packed length.
    pub(crate) fn counted(&mut self, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.count(1, expected)?;
        self.bytes(length, expected)
    }

    /// UTF-8 behind its packed length.
    pub(crate) fn counted_text(&mut self, expected: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.counted(expected)?;
        std::str::from_utf8(bytes).map_err(|_| self.error(bytes.len(), Problem::NotUtf8 { expected }))
    }

    /// Nothing may be left.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.error(0, Problem::Trailing { left })),
        }
    }
}
