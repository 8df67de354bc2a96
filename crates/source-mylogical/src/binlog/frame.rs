//! The envelope of an event: header, body, checksum. Pure.

use bytes::Bytes;
use flate2::Crc;
use mysql_common::binlog::consts::BinlogChecksumAlg;
use mysql_common::binlog::events::Event as Sent;

/// Bytes of the header (MySQL manual, binary log version 4).
pub const HEADER_BYTES: usize = 19;
/// Bytes of a checksum.
const CHECKSUM_BYTES: usize = 4;
/// Format description: the only event that is checked whatever the checksum setting is.
const FORMAT: u8 = 15;

/// What every event begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// When the statement began, in seconds since 1970 by the server's clock; 0 for events that are made up for us.
    pub timestamp_secs: u32,
    /// What the body is.
    pub kind: u8,
    /// The server that wrote it first.
    pub server: u32,
    /// Header, body and checksum.
    pub size_bytes: u32,
    /// Where it ends in its file; 0 for events that are made up.
    pub end_in_file: u32,
    /// Bits; see [`Header::is_ignorable`].
    pub flags: u16,
}

impl Header {
    /// Whether a reader that does not know the kind may go on without it.
    #[must_use]
    pub fn is_ignorable(&self) -> bool {
        const IGNORABLE: u16 = 0x80;
        self.flags & IGNORABLE != 0
    }

    /// When it was, in microseconds since 1970.
    #[must_use]
    pub fn micros(&self) -> i64 {
        i64::from(self.timestamp_secs) * 1_000_000
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [a, b, c, d, kind, e, f, g, h, i, j, k, l, m, n, o, p, q, r] = *bytes;
        Self {
            timestamp_secs: u32::from_le_bytes([a, b, c, d]),
            kind,
            server: u32::from_le_bytes([e, f, g, h]),
            size_bytes: u32::from_le_bytes([i, j, k, l]),
            end_in_file: u32::from_le_bytes([m, n, o, p]),
            flags: u16::from_le_bytes([q, r]),
        }
    }

    /// As the checksum sees it: whether the file is still being written, which the description of the format tells, does
    /// not count (read in server source).
    fn summed(&self) -> [u8; HEADER_BYTES] {
        const IN_USE: u16 = 1;
        let flags = if self.kind == FORMAT { self.flags & !IN_USE } else { self.flags };
        let mut bytes = [0; HEADER_BYTES];
        let parts = [&self.timestamp_secs.to_le_bytes()[..], &[self.kind], &self.server.to_le_bytes()];
        let rest =
            [&self.size_bytes.to_le_bytes()[..], &self.end_in_file.to_le_bytes(), &flags.to_le_bytes()];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().chain(rest).flatten()) {
            *to = *from;
        }
        bytes
    }
}

/// One event, with its checksum verified and taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub header: Header,
    /// The rest.
    pub body: Bytes,
}

/// Bytes that are not an event. The connection is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than it says, or than any event is.
    #[error("an event of kind {kind} has {found} bytes where it should have {expected}")]
    Size {
        /// The kind, 0 if there is not even that.
        kind: u8,
        /// By its header.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// Changed on its way.
    #[error(
        "the checksum of an event of kind {kind} is wrong; the source's disk, its memory or the network changed it"
    )]
    Checksum {
        /// The kind.
        kind: u8,
    },
    /// Checked in a way that is not known.
    #[error("the source checks its events in an unknown way; set binlog_checksum to CRC32 or NONE there")]
    UnknownChecksum,
}

/// How the events of a connection are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// Not at all; always so within a compressed transaction.
    None,
    /// CRC-32 in the last four bytes.
    Crc32,
}

impl Frame {
    /// Reads one event.
    ///
    /// # Errors
    /// If it is shorter or longer than its header says, or its checksum is wrong.
    pub fn parse(bytes: &Bytes, checksum: Checksum) -> Result<Self, FrameError> {
        let Some((header, _)) = bytes.split_first_chunk() else {
            return Err(FrameError::Size { kind: 0, expected: HEADER_BYTES, found: bytes.len() });
        };
        let header = Header::parse(header);
        let wrong = |expected| FrameError::Size { kind: header.kind, expected, found: bytes.len() };
        let expected = usize::try_from(header.size_bytes).unwrap_or(usize::MAX);
        if expected != bytes.len() {
            return Err(wrong(expected));
        }
        if checksum == Checksum::None {
            return Ok(Self { header, body: bytes.slice(HEADER_BYTES..) });
        }
        let end = bytes.len().saturating_sub(CHECKSUM_BYTES);
        if end < HEADER_BYTES {
            return Err(wrong(HEADER_BYTES + CHECKSUM_BYTES));
        }
        let found = bytes.get(end..).and_then(|sum| sum.first_chunk()).map(|sum| u32::from_le_bytes(*sum));
        let mut crc = Crc::new();
        crc.update(&header.summed());
        crc.update(bytes.get(HEADER_BYTES..end).unwrap_or_default());
        if found != Some(crc.sum()) {
            return Err(FrameError::Checksum { kind: header.kind });
        }
        Ok(Self { header, body: bytes.slice(HEADER_BYTES..end) })
    }

    /// Takes an event from the client library, which took its checksum off unverified. `None` for those that the library
    /// unpacked from a compressed transaction: we unpack it ourselves.
    ///
    /// # Errors
    /// As [`Frame::parse`].
    pub fn from_sent(sent: &Sent) -> Result<Option<Self>, FrameError> {
        let (from, footer) = (sent.header(), sent.footer());
        if !footer.get_checksum_enabled() {
            return Ok(None);
        }
        let header = Header {
            timestamp_secs: from.timestamp(),
            kind: from.event_type_raw(),
            server: from.server_id(),
            size_bytes: from.event_size(),
            end_in_file: from.log_pos(),
            flags: from.flags_raw(),
        };
        let algorithm = footer.get_checksum_alg().map_err(|_| FrameError::UnknownChecksum)?;
        let checked = match algorithm {
            Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32) => true,
            // The description of the format always has one, and the byte that names the algorithm.
            Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_OFF) | None => false,
        };
        if let (true, Some(sum)) = (checked, sent.checksum()) {
            let mut crc = Crc::new();
            crc.update(&header.summed());
            crc.update(sent.data());
            if header.kind == FORMAT {
                crc.update(&[1]);
            }
            if crc.sum() != u32::from_le_bytes(sum) {
                return Err(FrameError::Checksum { kind: header.kind });
            }
        }
        Ok(Some(Self { header, body: Bytes::copy_from_slice(sent.data()) }))
    }
}
