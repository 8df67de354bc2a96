//! Durations the way Go's command lines write them: `300ms`, `1.5h`, `1m30s`.
//!
//! Operators move here with scripts written for a Go program, so the grammar and the upper limit
//! (63 bits of nanoseconds, about 292 years) are Go's. Negative values have no meaning for any of
//! our flags and are refused.

use std::time::Duration;

/// Nanoseconds, the resolution of everything here.
const NANOSECOND: u64 = 1;
/// Nanoseconds in a microsecond.
const MICROSECOND: u64 = 1_000 * NANOSECOND;
/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000 * MICROSECOND;
/// Nanoseconds in a second.
const SECOND: u64 = 1_000 * MILLISECOND;
/// Nanoseconds in a minute.
const MINUTE: u64 = 60 * SECOND;
/// Nanoseconds in an hour.
const HOUR: u64 = 60 * MINUTE;

/// The longest duration that parses, in nanoseconds: what a signed 64-bit number holds.
const LONGEST: u64 = i64::MAX.unsigned_abs();

/// Digits after the point which can matter: an hour has 3.6e12 nanoseconds. Further ones are read
/// and dropped, so that a long fraction can't overflow.
const FRACTION_DIGITS: usize = 18;

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing, or only a sign.
    #[error("expected a duration such as 300ms, 1.5h or 1m30s")]
    Empty,
    /// Starts with a minus.
    #[error("a duration can't be negative")]
    Negative,
    /// A number was expected here, counted in bytes from the start of the text.
    #[error("expected a number at byte {at}")]
    Number {
        /// Bytes from the start of the text.
        at: usize,
    },
    /// A number without a unit, or with an unknown one.
    #[error("expected one of the units ns, us, ms, s, m, h at byte {at}")]
    Unit {
        /// Bytes from the start of the text.
        at: usize,
    },
    /// More than 63 bits of nanoseconds.
    #[error("a duration can't exceed 2562047h47m16s")]
    TooLong,
}

/// Reads a Go-style duration. Suitable as a clap `value_parser`.
///
/// # Errors
/// The text is not of the form described above, negative or too long.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanos, after) = term(text, rest)?;
        total = total.checked_add(nanos).filter(|t| *t <= LONGEST).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    Ok(Duration::from_nanos(total))
}

/// Reads one number with its unit from the start of `rest`: its nanoseconds, and what follows.
fn term<'a>(text: &str, rest: &'a str) -> Result<(u64, &'a str), DurationError> {
    let at = |rest: &str| text.len() - rest.len();
    let (whole, after_whole) = digits(rest);
    let (fraction, after_number) = match after_whole.strip_prefix('.') {
        Some(after_point) => digits(after_point),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Number { at: at(rest) });
    }
    let (unit, after) = unit(after_number).ok_or(DurationError::Unit { at: at(after_number) })?;
    let whole = number(whole).and_then(|n| n.checked_mul(unit)).ok_or(DurationError::TooLong)?;
    let nanos = whole.checked_add(fraction_of(unit, fraction)).ok_or(DurationError::TooLong)?;
    Ok((nanos, after))
}

/// Splits off the leading ASCII digits.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// The value of a run of digits; `None` when it doesn't fit. No digits are zero.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}

/// `0.digits` of a unit, in nanoseconds, the rest below a nanosecond cut off as Go does.
fn fraction_of(unit: u64, digits: &str) -> u64 {
    let mut value: u128 = 0;
    let mut scale: u128 = 1;
    for digit in digits.bytes().take(FRACTION_DIGITS) {
        value = value * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    let nanos = u128::from(unit) * value / scale;
    u64::try_from(nanos).expect("a fraction of a unit is smaller than the unit")
}

/// Splits off the unit. Two-letter units come first: `ms` is not `m` and a stray `s`.
fn unit(text: &str) -> Option<(u64, &str)> {
    const UNITS: [(&str, u64); 8] = [
        ("ns", NANOSECOND),
        ("us", MICROSECOND),
        ("\u{b5}s", MICROSECOND),  // micro sign
        ("\u{3bc}s", MICROSECOND), // Greek mu
        ("ms", MILLISECOND),
        ("s", SECOND),
        ("m", MINUTE),
        ("h", HOUR),
    ];
    UNITS.iter().find_map(|(name, nanos)| text.strip_prefix(name).map(|rest| (*nanos, rest)))
}

/// Writes a duration as Go prints it: `1h30m0s`, `1.5s`, `300ms`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    let seconds = duration.as_secs();
    if seconds == 0 {
        return match u64::from(nanos) {
            0 => "0s".to_owned(),
            n if n < MICROSECOND => format!("{n}ns"),
            n if n < MILLISECOND => format!("{}us", with_fraction(n / MICROSECOND, n % MICROSECOND, 3)),
            n => format!("{}ms", with_fraction(n / MILLISECOND, n % MILLISECOND, 6)),
        };
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let seconds = with_fraction(seconds % 60, u64::from(nanos), 9);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `whole.part`, where `part` has `width` digits, without trailing zeros.
fn with_fraction(whole: u64, part: u64, width: usize) -> String {
    if part == 0 {
        return whole.to_string();
    }
    let digits = format!("{part:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_go_accepts_parse() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("300ms", 300 * MILLISECOND),
            ("1.5h", 90 * MINUTE),
            ("1m30s", 90 * SECOND),
            ("+5s", 5 * SECOND),
            (".5s", 500 * MILLISECOND),
            ("5.s", 5 * SECOND),
            ("1us1\u{b5}s1\u{3bc}s2ns", 3_002),
            ("30s10m", 630 * SECOND),
            ("0.0000000009s", 0),
            ("0.33333333333333333333333333h", 1_199_999_999_999),
            ("9223372036854775807ns", LONGEST),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused_with_the_place() {
        let cases = [
            ("", DurationError::Empty),
            ("+", DurationError::Empty),
            ("-1s", DurationError::Negative),
            ("-0", DurationError::Negative),
            ("30", DurationError::Unit { at: 2 }),
            ("1d", DurationError::Unit { at: 1 }),
            ("1m30", DurationError::Unit { at: 4 }),
            (".s", DurationError::Number { at: 0 }),
            ("1s x", DurationError::Number { at: 2 }),
            ("+-1s", DurationError::Number { at: 1 }),
            ("9223372036854775808ns", DurationError::TooLong),
            ("99999999999999999999s", DurationError::TooLong),
            ("2562047h48m", DurationError::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1us"),
            (2_200_000, "2.2ms"),
            (300_000_000, "300ms"),
            (3_300_000_000, "3.3s"),
            (60 * SECOND, "1m0s"),
            (4 * MINUTE + 5 * SECOND + 1, "4m5.000000001s"),
            (90 * MINUTE, "1h30m0s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(format(Duration::from_nanos(nanos)), text);
        }
        assert!(format(Duration::MAX).ends_with("15.999999999s"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn near_misses_do_not_panic_either(text in "[+-]?([0-9]{0,25}\\.?[0-9]{0,45}(ns|us|µs|ms|s|m|h|d|)){0,4}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_printed_parses_to_the_same(nanos in 0..=LONGEST) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
