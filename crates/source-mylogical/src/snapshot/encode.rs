//! Values of an answer, written as the log would hold them, so that one decoder makes the text of both. Pure.

use mysql_async::Value;

/// How a value of an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoder {
    /// An integer of so many bytes, ENUM and SET by their numbers included.
    Integer(usize),
    Float,
    Double,
    Decimal {
        precision: usize,
        scale: usize,
    },
    Year,
    Date,
    /// With so many digits of a fraction.
    Time(usize),
    DateTime(usize),
    Timestamp(usize),
    /// So many bytes, the most significant first.
    Bits(usize),
    /// Behind a length of so many bytes.
    Bytes(usize),
}

/// A value that is not of the type that the catalogue says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

impl Encoder {
    /// Appends a value that is not NULL.
    pub(super) fn write(self, value: &Value, out: &mut Vec<u8>) -> Result<(), Unfit> {
        match (self, value) {
            (Self::Integer(bytes), Value::Int(number)) => little_endian(&number.to_le_bytes(), bytes, out),
            (Self::Integer(bytes), Value::UInt(number)) => little_endian(&number.to_le_bytes(), bytes, out),
            (Self::Year, Value::Int(_) | Value::UInt(_)) => out.push(year(value)?),
            (Self::Float, Value::Float(number)) => out.extend(number.to_le_bytes()),
            (Self::Double, Value::Double(number)) => out.extend(number.to_le_bytes()),
            (Self::Decimal { precision, scale }, Value::Bytes(text)) => decimal(text, precision, scale, out)?,
            (Self::Date, Value::Date(year, month, day, ..)) => {
                let packed = u32::from(*day) | u32::from(*month) << 5 | u32::from(*year) << 9;
                out.extend(&packed.to_le_bytes()[..3]);
            }
            (Self::DateTime(digits), Value::Date(..)) => date_time(value, digits, out)?,
            (Self::Timestamp(digits), Value::Date(..)) => timestamp(value, digits, out)?,
            (Self::Time(digits), Value::Time(..)) => time(value, digits, out)?,
            (Self::Bits(bytes), Value::Bytes(text)) => {
                out.resize(out.len() + bytes.saturating_sub(text.len()), 0);
                out.extend(text);
            }
            (Self::Bytes(prefix), Value::Bytes(text)) => {
                little_endian(&text.len().to_le_bytes(), prefix, out);
                out.extend(text);
            }
            _ => return Err(Unfit),
        }
        Ok(())
    }
}

fn little_endian(number: &[u8], bytes: usize, out: &mut Vec<u8>) {
    out.extend(number.iter().take(bytes));
}

fn year(value: &Value) -> Result<u8, Unfit> {
    let year = match value {
        Value::Int(year) => u64::try_from(*year).map_err(|_| Unfit)?,
        Value::UInt(year) => *year,
        _ => return Err(Unfit),
    };
    match year {
        0 => Ok(0),
        year => year.checked_sub(1900).and_then(|year| u8::try_from(year).ok()).ok_or(Unfit),
    }
}

/// The bytes that hold a fraction of so many digits.
fn fraction_bytes(digits: usize) -> usize {
    digits.div_ceil(2)
}

/// A fraction in the units of its bytes: hundredths, ten-thousandths, millionths.
fn fraction(micros: u32, digits: usize) -> u32 {
    match fraction_bytes(digits) {
        0 => 0,
        1 => micros / 10_000,
        2 => micros / 100,
        _ => micros,
    }
}

fn big_endian(number: u64, bytes: usize, out: &mut Vec<u8>) {
    let all = number.to_be_bytes();
    out.extend(&all[all.len().saturating_sub(bytes)..]);
}

fn date_time(value: &Value, digits: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let Value::Date(year, month, day, hour, minute, second, micros) = value else { return Err(Unfit) };
    let days = (u64::from(*year) * 13 + u64::from(*month)) << 5 | u64::from(*day);
    let time = u64::from(*hour) << 12 | u64::from(*minute) << 6 | u64::from(*second);
    big_endian((days << 17 | time) + 0x80_0000_0000, 5, out);
    big_endian(u64::from(fraction(*micros, digits)), fraction_bytes(digits), out);
    Ok(())
}

/// The answer is in universal time, which the session has set.
fn timestamp(value: &Value, digits: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let Value::Date(year, month, day, hour, minute, second, micros) = value else { return Err(Unfit) };
    let seconds = if (*year, *month, *day) == (0, 0, 0) {
        0
    } else {
        let days = days_since_1970(i64::from(*year), i64::from(*month), i64::from(*day));
        let time = i64::from(*hour) * 3600 + i64::from(*minute) * 60 + i64::from(*second);
        u32::try_from(days * 86_400 + time).map_err(|_| Unfit)?
    };
    out.extend(seconds.to_be_bytes());
    big_endian(u64::from(fraction(*micros, digits)), fraction_bytes(digits), out);
    Ok(())
}

/// Years begin in March here, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn time(value: &Value, digits: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let Value::Time(negative, days, hours, minutes, seconds, micros) = value else { return Err(Unfit) };
    let bytes = fraction_bytes(digits);
    let hours = u64::from(*days) * 24 + u64::from(*hours);
    let whole = hours << 12 | u64::from(*minutes) << 6 | u64::from(*seconds);
    let number = (whole << (8 * bytes)) + u64::from(fraction(*micros, digits));
    let zero = 0x80_0000_u64 << (8 * bytes);
    let shifted = if *negative { zero.checked_sub(number) } else { zero.checked_add(number) };
    big_endian(shifted.ok_or(Unfit)?, 3 + bytes, out);
    Ok(())
}

/// Bytes that hold so many digits.
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

fn decimal(text: &[u8], precision: usize, scale: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    let mut halves = digits.splitn(2, |byte| *byte == b'.');
    let (whole, part) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let whole = match whole {
        [b'0', rest @ ..] if precision == scale => rest,
        whole => whole,
    };
    let width = precision.checked_sub(scale).ok_or(Unfit)?;
    if whole.len() > width || part.len() > scale || !whole.iter().chain(part).all(u8::is_ascii_digit) {
        return Err(Unfit);
    }
    let begin = out.len();
    let zeros = std::iter::repeat_n(b'0', width - whole.len());
    let whole: Vec<u8> = zeros.chain(whole.iter().copied()).collect();
    // The first group is the short one before the point, the last one behind it.
    let (first, groups) = whole.split_at(width % 9);
    group(first, out);
    groups.chunks(9).for_each(|digits| group(digits, out));
    let part: Vec<u8> = part.iter().copied().chain(std::iter::repeat_n(b'0', scale - part.len())).collect();
    part.chunks(9).for_each(|digits| group(digits, out));
    if negative {
        out[begin..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    if let Some(first) = out.get_mut(begin) {
        *first ^= 0x80;
    }
    Ok(())
}

/// At most nine digits.
fn group(digits: &[u8], out: &mut Vec<u8>) {
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let bytes = DIGIT_BYTES.get(digits.len()).copied().unwrap_or(4);
    big_endian(number, bytes, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(encoder: Encoder, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.write(value, &mut out).unwrap();
        out
    }

    #[test]
    fn numbers_are_as_wide_as_their_type() {
        assert_eq!(written(Encoder::Integer(3), &Value::Int(-1)), [255, 255, 255]);
        assert_eq!(written(Encoder::Integer(8), &Value::UInt(u64::MAX)), [255; 8]);
        assert_eq!(written(Encoder::Year, &Value::UInt(0)), [0]);
        assert_eq!(written(Encoder::Year, &Value::UInt(2155)), [255]);
        assert_eq!(written(Encoder::Bits(2), &Value::Bytes(vec![5])), [0, 5]);
    }

    #[test]
    fn decimals_are_in_groups_of_nine_digits() {
        let encoder = Encoder::Decimal { precision: 14, scale: 4 };
        let plus = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(written(encoder, &Value::Bytes(b"1234567890.1234".to_vec())), plus);
        let minus: Vec<u8> = plus.iter().map(|byte| !byte).collect();
        assert_eq!(written(encoder, &Value::Bytes(b"-1234567890.1234".to_vec())), minus);
        let fraction = Encoder::Decimal { precision: 2, scale: 2 };
        assert_eq!(written(fraction, &Value::Bytes(b"0.50".to_vec())), [0x80 | 50]);
        assert_eq!(encoder.write(&Value::Bytes(b"1e5".to_vec()), &mut Vec::new()), Err(Unfit));
    }

    #[test]
    fn times_below_zero_are_counted_from_the_middle() {
        let value = Value::Time(true, 0, 0, 0, 0, 100_000);
        assert_eq!(written(Encoder::Time(1), &value), [0x7f, 0xff, 0xff, 0xf6]);
        assert_eq!(written(Encoder::Time(0), &Value::Time(false, 34, 22, 59, 59, 0)), [0xb4, 0x6e, 0xfb]);
    }

    #[test]
    fn moments_are_counted_in_universal_time() {
        let last = Value::Date(2106, 2, 7, 6, 28, 15, 0);
        assert_eq!(written(Encoder::Timestamp(0), &last), [255; 4]);
        let leap = Value::Date(2000, 2, 29, 0, 0, 1, 120_000);
        assert_eq!(written(Encoder::Timestamp(2), &leap), [0x38, 0xbb, 0x0c, 0x01, 12]);
        let zero = Value::Date(0, 0, 0, 0, 0, 0, 0);
        assert_eq!(written(Encoder::Timestamp(0), &zero), [0; 4]);
        assert_eq!(
            Encoder::Timestamp(0).write(&Value::Date(1900, 1, 1, 0, 0, 0, 0), &mut Vec::new()),
            Err(Unfit)
        );
    }
}
