//! Dates and times as text.

use super::error::RowProblem;
use super::value::{Context, Written};
use crate::binlog::reader::Reader;
use crate::policy::{LongTimes, ZeroDates};
use crate::table::{Kind, PlannedColumn, TargetKind};

/// A date and a time of day as the source has them: parts of the date may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Civil {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12, or 0.
    pub month: u8,
    /// 1 to 31, or 0.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Millionths of a second.
    pub micros: u32,
}

/// A TIME: hours may be many, and all of it below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Below zero.
    pub negative: bool,
    /// Hours, up to 838.
    pub hours: u32,
    /// 0 to 59.
    pub minutes: u8,
    /// 0 to 59.
    pub seconds: u8,
    /// Millionths of a second.
    pub micros: u32,
}

/// What a value is besides a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Date,
    /// A time of day with this many digits of a fraction.
    DateTime(usize),
    /// The same, of UTC.
    Timestamp(usize),
}

const IMPOSSIBLE: RowProblem = RowProblem::Impossible { kind: "date or time" };
const SECONDS_OF_A_DAY: u32 = 86_400;

/// Reads a value and appends its text, as the policies say.
pub(super) fn write(
    column: &PlannedColumn,
    reader: &mut Reader<'_>,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<Written, RowProblem> {
    let (civil, form) = match column.kind {
        Kind::Date => (date(reader)?, Form::Date),
        Kind::DateTime(digits) => (date_time(reader, digits)?, Form::DateTime(digits)),
        Kind::Timestamp(digits) => (timestamp(reader, digits)?, Form::Timestamp(digits)),
        Kind::Time { digits, clock } => {
            let span = time(reader, digits)?;
            return put_time(column, span, digits, clock, out, context);
        }
        _ => return Err(IMPOSSIBLE),
    };
    put_date(column, civil, form, out, context)
}

fn date(reader: &mut Reader<'_>) -> Result<Civil, RowProblem> {
    let number = reader.uint(3, "a date")?;
    let part = |shift: u32, bits: u32| number >> shift & ((1 << bits) - 1);
    Ok(Civil {
        year: narrow(part(9, 15))?,
        month: narrow(part(5, 4))?,
        day: narrow(part(0, 5))?,
        ..Civil::default()
    })
}

fn date_time(reader: &mut Reader<'_>, digits: usize) -> Result<Civil, RowProblem> {
    const SIGN: u64 = 0x80_0000_0000;
    let packed = reader.uint_be(5, "a date and time")?.checked_sub(SIGN).ok_or(IMPOSSIBLE)?;
    let civil = unpack(packed)?;
    Ok(Civil { micros: fraction(reader, digits)?, ..civil })
}

/// A date and time in 40 bits: 13 for each year, then month, day, hour, minute and second.
pub(crate) fn unpack(packed: u64) -> Result<Civil, RowProblem> {
    let part = |shift: u32, bits: u32| packed >> shift & ((1 << bits) - 1);
    let months = packed >> 22;
    Ok(Civil {
        year: narrow(months / 13)?,
        month: narrow(months % 13)?,
        day: narrow(part(17, 5))?,
        hour: narrow(part(12, 5))?,
        minute: narrow(part(6, 6))?,
        second: narrow(part(0, 6))?,
        micros: 0,
    })
}

fn timestamp(reader: &mut Reader<'_>, digits: usize) -> Result<Civil, RowProblem> {
    // Without a sign: MariaDB 11.5 and later go to 2106.
    let seconds = reader.array("a timestamp").map(u32::from_be_bytes)?;
    let micros = fraction(reader, digits)?;
    if seconds == 0 && micros == 0 {
        return Ok(Civil::default());
    }
    let (days, rest) = (seconds / SECONDS_OF_A_DAY, seconds % SECONDS_OF_A_DAY);
    let small = |number: u32| u8::try_from(number).map_err(|_| IMPOSSIBLE);
    let (year, month, day) = civil_of_days(days);
    Ok(Civil {
        year: u16::try_from(year).map_err(|_| IMPOSSIBLE)?,
        month: small(month)?,
        day: small(day)?,
        hour: small(rest / 3600)?,
        minute: small(rest / 60 % 60)?,
        second: small(rest % 60)?,
        micros,
    })
}

/// Year, month and day, so many days after 1970-01-01. Counts from 1 March of the year 0, so that leap days come last.
fn civil_of_days(days: u32) -> (u32, u32, u32) {
    const DAYS_TO_1970: u32 = 719_468;
    const DAYS_OF_400_YEARS: u32 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

/// Reads a fraction as millionths.
fn fraction(reader: &mut Reader<'_>, digits: usize) -> Result<u32, RowProblem> {
    let bytes = digits.div_ceil(2);
    let number = reader.uint_be(bytes, "a fraction of a second")?;
    micros(number, bytes)
}

/// A fraction in hundredths, ten thousandths or millionths, by its size in bytes.
fn micros(number: u64, bytes: usize) -> Result<u32, RowProblem> {
    const UNITS: [u64; 4] = [0, 10_000, 100, 1];
    let unit = UNITS.get(bytes).ok_or(IMPOSSIBLE)?;
    let micros = number * unit;
    u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000).ok_or(IMPOSSIBLE)
}

fn time(reader: &mut Reader<'_>, digits: usize) -> Result<Span, RowProblem> {
    const SIGN: i64 = 0x80_0000;
    let bytes = digits.div_ceil(2);
    let shift = 8 * bytes;
    let number = i64::try_from(reader.uint_be(3 + bytes, "a time")?).map_err(|_| IMPOSSIBLE)?;
    // One number with its fraction: -00:00:00.1 has a whole part of -1.
    let number = number - (SIGN << shift);
    let size = number.unsigned_abs();
    span(number < 0, size >> shift, micros(size & ((1 << shift) - 1), bytes)?)
}

/// A time in 24 bits: hours, 6 bits of minutes, 6 of seconds.
pub(crate) fn span(negative: bool, packed: u64, micros: u32) -> Result<Span, RowProblem> {
    let (minutes, seconds) = (narrow(packed >> 6 & 0x3f)?, narrow(packed & 0x3f)?);
    if minutes > 59 || seconds > 59 || packed >> 12 > 0x3ff {
        return Err(IMPOSSIBLE);
    }
    Ok(Span { negative, hours: narrow(packed >> 12)?, minutes, seconds, micros })
}

fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, RowProblem> {
    T::try_from(number).map_err(|_| IMPOSSIBLE)
}

/// Appends a date, with what else there is, as the policy for dates that do not exist says.
pub(crate) fn put_date(
    column: &PlannedColumn,
    civil: Civil,
    form: Form,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<Written, RowProblem> {
    if civil.year > 9999 || civil.hour > 23 || civil.minute > 59 || civil.second > 59 || civil.month > 12 {
        return Err(IMPOSSIBLE);
    }
    let as_text = column.target.is_none_or(|target| target.kind == TargetKind::Text);
    if civil.exists() {
        // The year before 1 is 0 here and 1 BC at a target that has dates.
        let before_christ = civil.year == 0 && !as_text;
        let shown = Civil { year: civil.year.max(u16::from(before_christ)), ..civil };
        shown.write(form, out);
        if before_christ {
            out.push_str(" BC");
        }
        return Ok(Written::Text);
    }
    let nullable = column.target.is_none_or(|target| target.nullable);
    match context.policies.zero_dates {
        ZeroDates::Text if as_text => civil.write(form, out),
        ZeroDates::Epoch => {
            Civil { year: 1970, month: 1, day: 1, ..Civil::default() }.write(form, out);
            context.changed.zero_dates += 1;
        }
        ZeroDates::Null | ZeroDates::Text if nullable => {
            context.changed.zero_dates += 1;
            return Ok(Written::Null);
        }
        ZeroDates::Null | ZeroDates::Text => return Err(RowProblem::ZeroDate { not_null: true }),
        ZeroDates::Error => return Err(RowProblem::ZeroDate { not_null: false }),
    }
    Ok(Written::Text)
}

/// Appends a time. `clock`: the target has times of a day only.
pub(crate) fn put_time(
    column: &PlannedColumn,
    span: Span,
    digits: usize,
    clock: bool,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<Written, RowProblem> {
    if clock && (span.negative || span.hours > 23) {
        let nullable = column.target.is_none_or(|target| target.nullable);
        return match context.policies.long_times {
            LongTimes::Null if nullable => {
                context.changed.long_times += 1;
                Ok(Written::Null)
            }
            LongTimes::Null => Err(RowProblem::LongTime { not_null: true }),
            LongTimes::Error => Err(RowProblem::LongTime { not_null: false }),
        };
    }
    span.write(digits, out);
    Ok(Written::Text)
}

impl Civil {
    /// Whether the calendar has this day.
    #[must_use]
    pub fn exists(self) -> bool {
        let leap =
            self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        (1..=days).contains(&self.day)
    }

    pub(crate) fn write(self, form: Form, out: &mut String) {
        let mut line = Line::default();
        line.digits(u32::from(self.year), 4);
        line.byte(b'-');
        line.digits(u32::from(self.month), 2);
        line.byte(b'-');
        line.digits(u32::from(self.day), 2);
        if let Form::DateTime(digits) | Form::Timestamp(digits) = form {
            line.byte(b' ');
            line.clock(u32::from(self.hour), self.minute, self.second, self.micros, digits);
        }
        line.end(out);
        if let Form::Timestamp(_) = form {
            out.push_str("+00:00");
        }
    }
}

impl Span {
    pub(crate) fn write(self, digits: usize, out: &mut String) {
        let mut line = Line::default();
        if self.negative {
            line.byte(b'-');
        }
        line.clock(self.hours, self.minutes, self.seconds, self.micros, digits);
        line.end(out);
    }
}

/// A short text of digits.
#[derive(Default)]
struct Line {
    bytes: [u8; 32],
    len: usize,
}

impl Line {
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// So many digits, or as many as it takes if they are not enough.
    fn digits(&mut self, number: u32, width: usize) {
        const MOST: usize = 10;
        let mut digits = [b'0'; MOST];
        let (mut rest, mut used) = (number, 0);
        while rest > 0 || used < width.min(MOST) {
            used += 1;
            digits[MOST - used] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        digits[MOST - used..].iter().for_each(|digit| self.byte(*digit));
    }

    fn clock(&mut self, hours: u32, minutes: u8, seconds: u8, micros: u32, digits: usize) {
        self.digits(hours, 2);
        self.byte(b':');
        self.digits(u32::from(minutes), 2);
        self.byte(b':');
        self.digits(u32::from(seconds), 2);
        if digits > 0 {
            self.byte(b'.');
            let end = self.len + digits.min(6);
            self.digits(micros, 6);
            self.len = end;
        }
    }

    fn end(&self, out: &mut String) {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        // Only ASCII was put there.
        out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
    }
}
