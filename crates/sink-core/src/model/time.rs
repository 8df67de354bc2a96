//! CockroachDB's hybrid-logical commit time.

use std::fmt;
use std::str::FromStr;

/// A commit time of CockroachDB: wall-clock nanoseconds since 1970 and a counter that orders commits
/// within one nanosecond. Ordered by nanoseconds, then by counter.
///
/// The text form is `<nanos>.<counter, ten digits>`, as changefeeds print it in `updated` and `resolved`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HlcTimestamp {
    nanos: i64,
    logical: i32,
}

/// Why a text is not an [`HlcTimestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HlcError {
    /// There must be exactly one dot.
    #[error("a timestamp has the form <nanoseconds>.<ten-digit counter>")]
    Shape,
    /// The part before the dot is no integer from 0 to 2^63-1.
    #[error("the nanoseconds of a timestamp must be an integer from 0 to 9223372036854775807")]
    Nanos,
    /// The part after the dot is neither ten digits nor zero, or above 2^31-1.
    #[error("the counter of a timestamp must be ten digits, at most 2147483647")]
    Logical,
}

impl HlcTimestamp {
    /// Before every commit. As the time of a row: the feed sends none, as in `initial_scan='only'`.
    pub const ZERO: Self = Self { nanos: 0, logical: 0 };
    /// After every commit.
    pub const MAX: Self = Self { nanos: i64::MAX, logical: i32::MAX };

    /// A timestamp from its parts; `None` if one is negative.
    #[must_use]
    pub fn new(nanos: i64, logical: i32) -> Option<Self> {
        (nanos >= 0 && logical >= 0).then_some(Self { nanos, logical })
    }

    /// Whether a row with this time has none of its own. No commit ever happened in 1970's first nanosecond.
    #[must_use]
    pub fn is_untimed(self) -> bool {
        self.nanos == 0
    }

    /// Wall-clock nanoseconds since 1970.
    #[must_use]
    pub fn nanos(self) -> i64 {
        self.nanos
    }

    /// The counter within the nanosecond.
    #[must_use]
    pub fn logical(self) -> i32 {
        self.logical
    }

    /// The greatest timestamp below this one; [`Self::ZERO`] has none and answers itself.
    #[must_use]
    pub fn predecessor(self) -> Self {
        match (self.nanos, self.logical) {
            (nanos, logical) if logical > 0 => Self { nanos, logical: logical - 1 },
            (nanos, _) if nanos > 0 => Self { nanos: nanos - 1, logical: i32::MAX },
            _ => Self::ZERO,
        }
    }
}

impl fmt::Display for HlcTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:010}", self.nanos, self.logical)
    }
}

impl FromStr for HlcTimestamp {
    type Err = HlcError;

    fn from_str(text: &str) -> Result<Self, HlcError> {
        let (nanos, logical) = text.split_once('.').ok_or(HlcError::Shape)?;
        if logical.contains('.') {
            return Err(HlcError::Shape);
        }
        let nanos = digits(nanos).and_then(|n| i64::try_from(n).ok()).ok_or(HlcError::Nanos)?;
        let value = digits(logical).and_then(|n| i32::try_from(n).ok()).ok_or(HlcError::Logical)?;
        // The original accepts a short counter only when it is zero (`1.0`): `1.5` could mean two things.
        if logical.len() != 10 && value != 0 {
            return Err(HlcError::Logical);
        }
        Ok(Self { nanos, logical: value })
    }
}

/// A non-empty run of ASCII digits as a number; signs and spaces are not digits.
fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn extremes_survive_the_text_form() {
        for text in ["9223372036854775807.2147483647", "0.0000000000", "1586044290413968000.0000000001"] {
            assert_eq!(text.parse::<HlcTimestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_short_counter_is_legal_only_when_zero() {
        assert_eq!("1.0".parse::<HlcTimestamp>().unwrap(), HlcTimestamp::new(1, 0).unwrap());
        assert_eq!("123.123".parse::<HlcTimestamp>(), Err(HlcError::Logical));
    }

    #[test]
    fn malformed_texts_are_named() {
        for (text, error) in [
            ("", HlcError::Shape),
            ("1", HlcError::Shape),
            ("1.0.0", HlcError::Shape),
            (".0", HlcError::Nanos),
            ("-1.0", HlcError::Nanos),
            ("+1.0", HlcError::Nanos),
            ("9223372036854775808.0", HlcError::Nanos),
            ("1.", HlcError::Logical),
            ("1.2147483648", HlcError::Logical),
            ("1.-000000001", HlcError::Logical),
        ] {
            assert_eq!(text.parse::<HlcTimestamp>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn order_of_values_is_order_of_pairs(a in 0..=i64::MAX, b in 0..=i32::MAX, c in 0..=i64::MAX, d in 0..=i32::MAX) {
            let (x, y) = (HlcTimestamp::new(a, b).unwrap(), HlcTimestamp::new(c, d).unwrap());
            prop_assert_eq!(x.cmp(&y), (a, b).cmp(&(c, d)));
            prop_assert_eq!(x.to_string().parse::<HlcTimestamp>().unwrap(), x);
            if x > HlcTimestamp::ZERO {
                prop_assert!(x.predecessor() < x);
            }
        }

        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = text.parse::<HlcTimestamp>();
        }
    }
}
