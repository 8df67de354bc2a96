//! Takes one part after the other from the body of an event. Numbers are little-endian.

/// What is left of some bytes. Nothing is taken where too little is left.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Self { all, rest: all }
    }

    /// How many bytes were taken.
    pub(super) fn taken(&self) -> usize {
        self.all.len() - self.rest.len()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| *byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// A number of 1 to 8 bytes.
    pub(super) fn uint(&mut self, bytes: usize) -> Option<u64> {
        Some(self.bytes(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A number that says by its first byte how long it is: the client protocol's.
    pub(super) fn packed(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ 0..=250 => Some(u64::from(small)),
            252 => self.u16().map(u64::from),
            253 => self.uint(3),
            254 => self.u64(),
            251 | 255 => None,
        }
    }

    /// A number of which the low bits set in the first byte tell how many bytes follow: that of newer events of MySQL.
    pub(super) fn varlen(&mut self) -> Option<u64> {
        let first = *self.rest.first()?;
        let more = first.trailing_ones();
        if more == 8 {
            self.u8()?;
            return self.u64();
        }
        let count = usize::try_from(more).ok()? + 1;
        self.uint(count).map(|number| number >> count)
    }

    /// The same with a sign, which is the lowest bit.
    pub(super) fn varlen_signed(&mut self) -> Option<i64> {
        let number = self.varlen()?;
        let half = i64::try_from(number >> 1).ok()?;
        Some(if number & 1 == 0 { half } else { -half - 1 })
    }
}
