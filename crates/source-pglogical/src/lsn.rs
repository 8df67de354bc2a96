//! Places in a server's write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A byte position in the write-ahead log, written `16/B374D848`. Positions of different servers, or of different
/// timelines of one server, must not be compared.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

/// A text that is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a log position: expected two hexadecimal numbers of up to 8 digits with a slash between, as in 16/B374D848"
)]
pub struct InvalidLsn;

/// Digits of one half at most.
const HALF_DIGITS: usize = 8;

impl Lsn {
    /// Before everything; servers also send it for "none".
    pub const ZERO: Self = Self(0);

    /// The position that many bytes from the start of the log.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes from the start of the log.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Bytes of log from `earlier` to here; 0 if it is not earlier.
    #[must_use]
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsn({self})")
    }
}

impl FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, InvalidLsn> {
        let (high, low) = text.split_once('/').ok_or(InvalidLsn)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

fn half(text: &str) -> Result<u64, InvalidLsn> {
    // `from_str_radix` alone would accept a sign.
    let plain = (1..=HALF_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain { u64::from_str_radix(text, 16).map_err(|_| InvalidLsn) } else { Err(InvalidLsn) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_prints_as_the_server_prints_it() {
        assert_eq!(Lsn::new(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!(Lsn::new(0x1_0000_000A).to_string(), "1/A");
        assert_eq!(Lsn::ZERO.to_string(), "0/0");
        assert_eq!(Lsn::new(u64::MAX).to_string(), "FFFFFFFF/FFFFFFFF");
    }

    #[test]
    fn order_is_by_number_and_not_by_text() {
        let low: Lsn = "9/0".parse().unwrap();
        let high: Lsn = "10/0".parse().unwrap();
        assert!(low < high);
        assert_eq!(high.bytes_since(low), 7 << 32);
        assert_eq!(low.bytes_since(high), 0);
    }

    #[test]
    fn what_is_not_a_position_is_refused() {
        for text in
            ["", "/", "1/", "/1", "1", "1/2/3", "+1/2", "1/-2", " 1/2", "g/0", "123456789/0", "0/123456789"]
        {
            assert_eq!(text.parse::<Lsn>(), Err(InvalidLsn), "{text:?}");
        }
        assert_eq!("ab/cD".parse::<Lsn>(), Ok(Lsn::new(0xAB_0000_00CD)));
    }

    proptest! {
        #[test]
        fn text_and_number_are_the_same(bytes: u64) {
            let lsn = Lsn::new(bytes);
            prop_assert_eq!(lsn.to_string().parse::<Lsn>(), Ok(lsn));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Lsn>();
        }
    }
}
