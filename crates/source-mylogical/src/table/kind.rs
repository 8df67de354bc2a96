//! How the values of a column are written in the log and as text.

use crate::charset::Charset;

/// How the values of a column are written in the log, and what the target wants to see. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tiny,
    UnsignedTiny,
    Short,
    UnsignedShort,
    Medium,
    UnsignedMedium,
    Long,
    UnsignedLong,
    LongLong,
    UnsignedLongLong,
    /// An integer of this many bytes for a boolean: zero is false.
    Bool(usize),
    Float,
    Double,
    Decimal {
        precision: usize,
        scale: usize,
    },
    Year,
    Date,
    /// Digits of the fraction. `clock`: the target holds times of a day only.
    Time {
        digits: usize,
        clock: bool,
    },
    DateTime(usize),
    Timestamp(usize),
    /// As digits of base 2.
    Bits(usize),
    /// As an integer.
    BitsNumber(usize),
    /// As a boolean.
    BitsBool(usize),
    /// The index has this many bytes.
    Enum(usize),
    /// The mask has this many bytes. `array`: as an array of the target.
    Set {
        bytes: usize,
        array: bool,
    },
    /// Behind a length of `prefix` bytes.
    Text {
        prefix: usize,
        charset: Charset,
    },
    /// Text that is a JSON document.
    JsonText {
        prefix: usize,
        charset: Charset,
    },
    Bytes {
        prefix: usize,
        uuid: bool,
    },
    /// Trailing zero bytes are not in the log.
    Padded {
        prefix: usize,
        length: usize,
    },
    Uuid {
        prefix: usize,
    },
    Inet4 {
        prefix: usize,
    },
    Inet6 {
        prefix: usize,
    },
    /// MySQL's binary JSON.
    Json {
        prefix: usize,
    },
    /// `bytes`: for a column of bytes.
    Geometry {
        prefix: usize,
        bytes: bool,
    },
    /// 32-bit floats. `array`: as an array of the target.
    Vector {
        prefix: usize,
        array: bool,
    },
}
