//! What the servers compress: whole transactions (MySQL), single events (MariaDB).
//!
//! Sizes are announced, and checked against what comes out; nothing is ever taken for empty because it did not unpack.

use std::fmt;
use std::io::{Cursor, Read};

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::frame::{Checksum, Frame, HEADER_BYTES};
use super::parts::Parts;

/// Most that a transaction or event can have unpacked: `max_allowed_packet` goes to 1 GiB, and events have heads.
const LIMIT_BYTES: u64 = (1 << 30) + (1 << 20);
/// Largest window of zstd: that of its highest usual level.
const MAX_WINDOW_BYTES: u64 = 128 << 20;
/// Room made for an event at once; more only as it comes.
const ROOM_BYTES: usize = 64 << 10;

/// What was compressed cannot be had back. Nothing of it may be taken for empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// Compressed in a way that is not known.
    #[error(
        "the source compressed with the unknown method {method}; switch compression of the binary log off there"
    )]
    Method {
        /// The number of the method.
        method: u64,
    },
    /// The data does not follow its format.
    #[error("the compressed data is damaged")]
    Damaged,
    /// More or less came out than was announced.
    #[error("compressed data should have {expected} bytes when unpacked, and has {found}")]
    Size {
        /// As announced.
        expected: u64,
        /// As found, at least.
        found: u64,
    },
    /// Larger than any server writes.
    #[error("compressed data announces {expected} bytes, more than the {limit} that a server can write")]
    TooLarge {
        /// As announced.
        expected: u64,
        /// Ours.
        limit: u64,
    },
}

/// A compressed transaction: the events from BEGIN to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    size: u64,
    zstd: bool,
    data: Bytes,
}

impl Payload {
    /// Reads the body of an event of kind 40: numbered fields, the end mark 0, and the data.
    pub(super) fn parse(body: &Bytes) -> Result<Self, UnpackError> {
        const ZSTD: u64 = 0;
        const NONE: u64 = 255;
        let mut parts = Parts::new(body);
        let (mut data_size, mut method, mut size) = (None, None, None);
        let mut field = || {
            let number = parts.packed()?;
            if number != 0 {
                let length = usize::try_from(parts.packed()?).ok()?;
                let value = Parts::new(parts.bytes(length)?).packed();
                match number {
                    1 => data_size = Some(value?),
                    2 => method = Some(value?),
                    3 => size = Some(value?),
                    _ => {}
                }
            }
            Some(number)
        };
        while field().ok_or(UnpackError::Damaged)? != 0 {}
        let data = body.slice(parts.taken()..);
        let announced = data_size.ok_or(UnpackError::Damaged)?;
        let method = method.ok_or(UnpackError::Damaged)?;
        if method != ZSTD && method != NONE {
            return Err(UnpackError::Method { method });
        }
        let found = data.len() as u64;
        if announced != found {
            return Err(UnpackError::Size { expected: announced, found });
        }
        let size = size.unwrap_or(announced);
        if size > LIMIT_BYTES {
            return Err(UnpackError::TooLarge { expected: size, limit: LIMIT_BYTES });
        }
        Ok(Self { size, zstd: method == ZSTD, data })
    }

    /// Its events, one at a time.
    ///
    /// # Errors
    /// If it does not even begin as what it should be.
    pub fn events(self) -> Result<PayloadEvents, UnpackError> {
        let data = Cursor::new(self.data);
        let source = if self.zstd { Unpacked::zstd(data)? } else { Unpacked::Plain(data) };
        Ok(PayloadEvents { source, size: self.size, left: self.size })
    }
}

enum Unpacked {
    Plain(Cursor<Bytes>),
    Zstd(Box<StreamingDecoder<Cursor<Bytes>, FrameDecoder>>),
    /// After an error.
    Gone,
}

impl Unpacked {
    fn zstd(data: Cursor<Bytes>) -> Result<Self, UnpackError> {
        let decoder = StreamingDecoder::new_with_max_window_size(data, MAX_WINDOW_BYTES);
        decoder.map(|decoder| Self::Zstd(Box::new(decoder))).map_err(|_| UnpackError::Damaged)
    }

    /// Fills the buffer up to this size, or as far as there is something.
    fn read(&mut self, to: &mut Vec<u8>, count: u64) -> Result<u64, UnpackError> {
        let mut read = 0;
        while read < count {
            let more = match self {
                Self::Plain(data) => data.take(count - read).read_to_end(to),
                Self::Zstd(decoder) => decoder.by_ref().take(count - read).read_to_end(to),
                Self::Gone => return Err(UnpackError::Damaged),
            };
            let more = more.map_err(|_| UnpackError::Damaged)?;
            read += more as u64;
            if more == 0 && !self.next_part()? {
                break;
            }
        }
        Ok(read)
    }

    /// Goes on with what follows the end of compressed data: the server may write it in several parts.
    fn next_part(&mut self) -> Result<bool, UnpackError> {
        let more = match self {
            Self::Zstd(decoder) => decoder.get_ref().position() < decoder.get_ref().get_ref().len() as u64,
            Self::Plain(_) | Self::Gone => false,
        };
        if more && let Self::Zstd(decoder) = std::mem::replace(self, Self::Gone) {
            *self = Self::zstd(decoder.into_inner())?;
        }
        Ok(more)
    }
}

/// The events of a compressed transaction. Only when there is none left has all come out that was announced, and no more.
pub struct PayloadEvents {
    source: Unpacked,
    size: u64,
    left: u64,
}

impl fmt::Debug for PayloadEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadEvents")
            .field("size", &self.size)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl PayloadEvents {
    /// The next event; none after the last.
    ///
    /// # Errors
    /// If the data is damaged, or is not as long as announced. From then on every call fails.
    pub fn next_event(&mut self) -> Result<Option<Frame>, UnpackError> {
        if self.left == 0 {
            return Ok(None);
        }
        let event = self.read();
        if event.is_err() {
            self.source = Unpacked::Gone;
        }
        event.map(Some)
    }

    fn read(&mut self) -> Result<Frame, UnpackError> {
        let mut event = Vec::with_capacity(HEADER_BYTES);
        self.fill(&mut event, HEADER_BYTES as u64)?;
        let size = event.get(9..13).and_then(|size| size.first_chunk()).map(|size| u32::from_le_bytes(*size));
        let body =
            u64::from(size.unwrap_or(0)).checked_sub(HEADER_BYTES as u64).ok_or(UnpackError::Damaged)?;
        if body > self.left {
            return Err(UnpackError::Damaged);
        }
        event.reserve(usize::try_from(body).map_or(ROOM_BYTES, |body| body.min(ROOM_BYTES)));
        self.fill(&mut event, body)?;
        if self.left == 0 {
            let more = self.source.read(&mut Vec::new(), 1)?;
            if more > 0 {
                return Err(UnpackError::Size { expected: self.size, found: self.size + more });
            }
        }
        Frame::parse(&event.into(), Checksum::None).map_err(|_| UnpackError::Damaged)
    }

    fn fill(&mut self, event: &mut Vec<u8>, count: u64) -> Result<(), UnpackError> {
        let read = self.source.read(event, count.min(self.left))?;
        if read < count {
            return Err(UnpackError::Size { expected: self.size, found: self.size - self.left + read });
        }
        self.left -= count;
        Ok(())
    }
}

/// A compressed part of an event of MariaDB: a byte of `0x80 + 16 * method + bytes of the size`, the size with the most
/// significant byte first, the data.
pub(super) fn block(packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
    /// Nothing that zlib writes is smaller than this part of what it stands for.
    const MOST_PER_BYTE: u64 = 1_040;
    let (head, rest) = packed.split_first().ok_or(UnpackError::Damaged)?;
    let method = u64::from(head >> 4 & 7);
    if head & 0x80 == 0 || method != 0 {
        return Err(UnpackError::Method { method: u64::from(*head) });
    }
    let (size, data) = rest.split_at_checked(usize::from(head & 7)).ok_or(UnpackError::Damaged)?;
    let expected = size.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
    let limit = LIMIT_BYTES.min((data.len() as u64 + 1).saturating_mul(MOST_PER_BYTE));
    if expected > limit {
        return Err(UnpackError::TooLarge { expected, limit });
    }
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(data).take(expected + 1).read_to_end(&mut plain);
    let found = read.map_err(|_| UnpackError::Damaged)? as u64;
    if found != expected {
        return Err(UnpackError::Size { expected, found });
    }
    Ok(plain)
}

/// A compressed rows event of MariaDB as its plain sibling: kind and body.
pub(super) fn rows(kind: u8, body: &[u8]) -> Result<(u8, Bytes), UnpackError> {
    let (plain_kind, head) = head_of_rows(kind, body).ok_or(UnpackError::Damaged)?;
    let (head, packed) = body.split_at_checked(head).ok_or(UnpackError::Damaged)?;
    let mut plain = head.to_vec();
    plain.append(&mut block(packed)?);
    Ok((plain_kind, plain.into()))
}

/// The plain kind, and the length of what is not compressed: up to the bitmaps of the columns.
fn head_of_rows(kind: u8, body: &[u8]) -> Option<(u8, usize)> {
    // Version 1: 166 to 168 stand for 23 to 25. Version 2: 169 to 171 stand for 30 to 32.
    let second = kind >= 169;
    let plain = if second { kind.checked_sub(169)? + 30 } else { kind.checked_sub(166)? + 23 };
    let mut parts = Parts::new(body);
    parts.bytes(8)?;
    if second {
        // Counts itself.
        let more = usize::from(parts.u16()?).checked_sub(2)?;
        parts.bytes(more)?;
    }
    let bitmap = usize::try_from(parts.packed()?).ok()?.div_ceil(8);
    parts.bytes(bitmap)?;
    if matches!(plain, 24 | 31) {
        parts.bytes(bitmap)?;
    }
    Some((plain, parts.taken()))
}
