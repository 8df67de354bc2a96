//! Takes one part after the other from a message.

use super::error::{DecodeError, Problem};

/// What is left of a message.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    message: &'static str,
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'static str, all: &'a [u8]) -> Self {
        Self { message, all, at: 0 }
    }

    /// Gives the message its name, once its first byte has told.
    pub(super) fn rename(&mut self, message: &'static str) {
        self.message = message;
    }

    pub(super) fn left(&self) -> usize {
        self.all.len() - self.at
    }

    /// An error about the part that begins `back` bytes before the current one.
    pub(super) fn error(&self, back: usize, problem: Problem) -> DecodeError {
        DecodeError { message: self.message, offset: self.at.saturating_sub(back), column: None, problem }
    }

    pub(super) fn bytes(&mut self, needed: usize, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = &self.all[self.at..];
        let Some((taken, _)) = rest.split_at_checked(needed) else {
            return Err(self.error(0, Problem::Truncated { expected, needed, left: rest.len() }));
        };
        self.at += needed;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N, expected)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, expected: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(expected).map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self, expected: &'static str) -> Result<u32, DecodeError> {
        self.array(expected).map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self, expected: &'static str) -> Result<i32, DecodeError> {
        self.array(expected).map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, expected: &'static str) -> Result<u64, DecodeError> {
        self.array(expected).map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self, expected: &'static str) -> Result<i64, DecodeError> {
        self.array(expected).map(i64::from_be_bytes)
    }

    /// A count of 16 bits. The items take at least `item_bytes` each; more items than fit are refused here, before
    /// anyone makes room for them.
    pub(super) fn count16(
        &mut self,
        item_bytes: usize,
        expected: &'static str,
    ) -> Result<usize, DecodeError> {
        let count = i16::from_be_bytes(self.array(expected)?);
        let count = usize::try_from(count).map_err(|_| self.error(2, Problem::Negative { expected }))?;
        self.fitting(count, item_bytes, 2, expected)
    }

    /// The same of 32 bits.
    pub(super) fn count32(
        &mut self,
        item_bytes: usize,
        expected: &'static str,
    ) -> Result<usize, DecodeError> {
        let count = self.i32(expected)?;
        let count = usize::try_from(count).map_err(|_| self.error(4, Problem::Negative { expected }))?;
        self.fitting(count, item_bytes, 4, expected)
    }

    fn fitting(
        &self,
        count: usize,
        item_bytes: usize,
        back: usize,
        expected: &'static str,
    ) -> Result<usize, DecodeError> {
        let needed = count.saturating_mul(item_bytes);
        if needed > self.left() {
            return Err(self.error(back, Problem::Truncated { expected, needed, left: self.left() }));
        }
        Ok(count)
    }

    /// Text up to a zero byte.
    pub(super) fn text(&mut self, expected: &'static str) -> Result<&'a str, DecodeError> {
        let rest = &self.all[self.at..];
        let Some(length) = rest.iter().position(|byte| *byte == 0) else {
            return Err(self.error(0, Problem::Unterminated { expected }));
        };
        let text = self.utf8(length, expected)?;
        self.at += 1;
        Ok(text)
    }

    /// Text of known length in bytes.
    pub(super) fn utf8(&mut self, length: usize, expected: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(length, expected)?;
        std::str::from_utf8(bytes).map_err(|_| self.error(length, Problem::NotUtf8 { expected }))
    }

    /// The message must end here.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.error(0, Problem::Trailing { left })),
        }
    }
}
