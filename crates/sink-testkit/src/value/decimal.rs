//! Decimal numbers as digits and exponent, and the three ways the two products print them.

use std::iter::repeat_n;

/// `digits * 10^exponent`, with a sign. Leading zeros are not stored; trailing zeros are significant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    digits: String,
    exponent: i32,
}

impl Decimal {
    /// A number from its parts.
    ///
    /// # Panics
    /// If the digits are empty or not digits: the caller wrote them.
    #[must_use]
    pub fn new(negative: bool, digits: &str, exponent: i32) -> Self {
        assert!(!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()), "no digits: {digits:?}");
        let significant = digits.trim_start_matches('0');
        let digits = if significant.is_empty() { "0" } else { significant };
        Self { negative, digits: digits.to_owned(), exponent }
    }

    /// An amount in hundredths, as `numeric(p, 2)` holds it.
    #[must_use]
    pub fn cents(value: i64) -> Self {
        Self::new(value < 0, &value.unsigned_abs().to_string(), -2)
    }

    /// The exponent of the first digit.
    fn adjusted(&self) -> i32 {
        self.exponent + self.len() - 1
    }

    fn len(&self) -> i32 {
        i32::try_from(self.digits.len()).expect("numbers here are short")
    }

    fn sign(&self) -> &'static str {
        if self.negative { "-" } else { "" }
    }

    /// CockroachDB's text: the General Decimal Arithmetic "to-scientific-string".
    #[must_use]
    pub fn scientific(&self) -> String {
        if self.exponent <= 0 && self.adjusted() >= -6 {
            return self.plain();
        }
        format!("{}{}E{:+}", self.sign(), self.mantissa(), self.adjusted())
    }

    /// PostgreSQL's text of a `numeric`: never an exponent.
    #[must_use]
    pub fn plain(&self) -> String {
        let sign = self.sign();
        let zeros = |n: i32| repeat_n('0', usize::try_from(n).unwrap_or(0)).collect::<String>();
        if self.digits == "0" && self.exponent > 0 {
            return format!("{sign}0");
        }
        let point = self.len() + self.exponent;
        if self.exponent >= 0 {
            format!("{sign}{}{}", self.digits, zeros(self.exponent))
        } else if point <= 0 {
            format!("{sign}0.{}{}", zeros(-point), self.digits)
        } else {
            let (whole, fraction) =
                self.digits.split_at(usize::try_from(point).expect("point is positive here"));
            format!("{sign}{whole}.{fraction}")
        }
    }

    /// PostgreSQL's text of a `float8` with these shortest digits.
    #[must_use]
    pub(super) fn pg_float(&self) -> String {
        let exponent = self.adjusted();
        if (-4..15).contains(&exponent) {
            return self.plain();
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}{}e{sign}{:02}", self.sign(), self.mantissa(), exponent.unsigned_abs())
    }

    /// The digits with a point after the first.
    fn mantissa(&self) -> String {
        let (first, rest) = self.digits.split_at(1);
        if rest.is_empty() { first.to_owned() } else { format!("{first}.{rest}") }
    }
}

/// The fewest digits that read back as this number; `None` if it is not finite.
pub(super) fn shortest_digits(value: f64) -> Option<Decimal> {
    if !value.is_finite() {
        return None;
    }
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').expect("the e format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let fraction = i32::try_from(fraction).expect("a float has at most 17 digits");
    Some(Decimal::new(value.is_sign_negative(), &mantissa.replace('.', ""), exponent - fraction))
}
