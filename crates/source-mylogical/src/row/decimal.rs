//! DECIMAL: groups of digits, each a big-endian number, inverted below zero.

use super::error::RowProblem;
use crate::binlog::reader::Reader;

/// Digits of a whole group, which takes four bytes.
const GROUP_DIGITS: usize = 9;
/// Bytes of a group of fewer digits.
const GROUP_BYTES: [usize; GROUP_DIGITS + 1] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
const POWERS: [u32; GROUP_DIGITS + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
/// Sign, 65 digits and the point are never more.
const MOST_BYTES: usize = 96;

/// Reads a value of `precision` digits, `scale` of them behind the point, and appends all of its digits but leading zeros.
pub(crate) fn write(
    reader: &mut Reader<'_>,
    precision: usize,
    scale: usize,
    out: &mut String,
) -> Result<(), RowProblem> {
    let whole = precision.checked_sub(scale).ok_or(IMPOSSIBLE)?;
    let size = size_bytes(whole) + size_bytes(scale);
    let bytes = reader.bytes(size, "a decimal")?;
    let first = *bytes.first().ok_or(IMPOSSIBLE)?;
    // The first bit is set from zero upwards.
    let negative = first & 0x80 == 0;
    let mut groups = Groups { bytes, mask: if negative { 0xff } else { 0 }, first: 0x80 };
    let mut digits = Digits { bytes: [b'0'; MOST_BYTES], len: 0 };

    // Before the point the small group comes first, behind it last.
    digits.push(groups.next(whole % GROUP_DIGITS)?, whole % GROUP_DIGITS)?;
    for _ in 0..whole / GROUP_DIGITS {
        digits.push(groups.next(GROUP_DIGITS)?, GROUP_DIGITS)?;
    }
    let point = digits.len;
    for _ in 0..scale / GROUP_DIGITS {
        digits.push(groups.next(GROUP_DIGITS)?, GROUP_DIGITS)?;
    }
    digits.push(groups.next(scale % GROUP_DIGITS)?, scale % GROUP_DIGITS)?;

    let text =
        std::str::from_utf8(digits.bytes.get(..digits.len).unwrap_or_default()).map_err(|_| IMPOSSIBLE)?;
    let (before, after) = text.split_at(point);
    if negative {
        out.push('-');
    }
    match before.trim_start_matches('0') {
        "" => out.push('0'),
        before => out.push_str(before),
    }
    if !after.is_empty() {
        out.push('.');
        out.push_str(after);
    }
    Ok(())
}

const IMPOSSIBLE: RowProblem = RowProblem::Impossible { kind: "decimal" };

fn size_bytes(digits: usize) -> usize {
    digits / GROUP_DIGITS * 4 + GROUP_BYTES[digits % GROUP_DIGITS]
}

struct Groups<'a> {
    bytes: &'a [u8],
    mask: u8,
    /// The bit of the first byte that tells the sign.
    first: u8,
}

impl Groups<'_> {
    /// The next group, of this many digits.
    fn next(&mut self, digits: usize) -> Result<u32, RowProblem> {
        let (group, rest) = self.bytes.split_at_checked(GROUP_BYTES[digits]).ok_or(IMPOSSIBLE)?;
        self.bytes = rest;
        let mut number = 0;
        for byte in group {
            number = number << 8 | u32::from(byte ^ self.mask ^ self.first);
            self.first = 0;
        }
        if number >= POWERS[digits] && digits > 0 {
            return Err(IMPOSSIBLE);
        }
        Ok(number)
    }
}

struct Digits {
    bytes: [u8; MOST_BYTES],
    len: usize,
}

impl Digits {
    /// Appends this many digits of a number.
    fn push(&mut self, mut number: u32, digits: usize) -> Result<(), RowProblem> {
        let room = self.bytes.get_mut(self.len..self.len + digits).ok_or(IMPOSSIBLE)?;
        for digit in room.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
        self.len += digits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], precision: usize, scale: usize) -> Result<String, RowProblem> {
        let mut out = String::new();
        let mut reader = Reader::new("test", bytes);
        write(&mut reader, precision, scale, &mut out)?;
        assert_eq!(reader.left(), 0);
        Ok(out)
    }

    #[test]
    fn a_number_and_its_negative() {
        // DECIMAL(14,4).
        let bytes = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(read(&bytes, 14, 4).as_deref(), Ok("1234567890.1234"));
        let negative = bytes.map(|byte| !byte);
        assert_eq!(read(&negative, 14, 4).as_deref(), Ok("-1234567890.1234"));
    }

    #[test]
    fn zero_keeps_its_scale_and_impossible_groups_are_refused() {
        assert_eq!(read(&[0x80, 0, 0], 5, 2).as_deref(), Ok("0.00"));
        assert_eq!(read(&[0x80, 0, 1], 5, 2).as_deref(), Ok("0.01"));
        // A group of two digits cannot be 200.
        assert_eq!(read(&[0x80, 0, 200], 5, 2), Err(IMPOSSIBLE));
        assert_eq!(read(&[0x80, 0, 0], 2, 5), Err(IMPOSSIBLE));
        assert_eq!(read(&[], 0, 0), Err(IMPOSSIBLE));
    }
}
