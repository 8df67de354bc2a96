//! The names of files that a changefeed uploads. Pure.

use sink_core::model::HlcTimestamp;
use time::{Date, Month, Time};

use crate::encoding::Encoding;

/// Digits of a time in a file name: date and time of day to the second, nanoseconds, counter.
const TIME_DIGITS: usize = 14 + 9 + 10;

/// A parsed file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileName {
    /// `<time>-<session>-<node>-<sink>-<file>-<topic>-<schema version>.ndjson`, packed or not. Of the parts before the
    /// topic only their number counts.
    Rows { topic: String, encoding: Encoding, dated: bool },
    /// `<time>.RESOLVED`
    Mark(HlcTimestamp),
    /// Rows in a format that says too little.
    Unsupported { advice: &'static str, dated: bool },
}

impl FileName {
    pub(super) fn parse(name: &str) -> Option<Self> {
        if let Some(digits) = name.strip_suffix(".RESOLVED") {
            return Some(Self::Mark(timestamp(digits)?));
        }
        let (plain, encoding) = match name.strip_suffix(".gz") {
            Some(plain) => (plain, Encoding::Gzip),
            None => match name.strip_suffix(".zst") {
                Some(plain) => (plain, Encoding::Zstd),
                None => (name, Encoding::Identity),
            },
        };
        let (stem, format) = plain.rsplit_once('.')?;
        let mut parts = stem.splitn(6, '-');
        let leading: Vec<&str> = parts.by_ref().take(5).collect();
        let (topic, version) = parts.next()?.rsplit_once('-')?;
        let whole = leading.iter().all(|part| !part.is_empty()) && !topic.is_empty();
        if !whole || version.is_empty() || !version.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let dated = leading.first().is_some_and(|first| timestamp(first).is_some());
        match format {
            "ndjson" => Some(Self::Rows { topic: topic.to_owned(), encoding, dated }),
            "csv" | "parquet" => {
                let advice = "files in CSV or Parquet carry neither key nor time; create the changefeed with format=json";
                Some(Self::Unsupported { advice, dated })
            }
            _ => None,
        }
    }

    /// Whether the name begins with a time, as every file of CockroachDB does: then it cannot be meant otherwise.
    pub(super) fn is_dated(&self) -> bool {
        match self {
            Self::Rows { dated, .. } | Self::Unsupported { dated, .. } => *dated,
            Self::Mark(_) => true,
        }
    }
}

/// Reads 33 digits (UTC), with all nanoseconds and the counter.
fn timestamp(digits: &str) -> Option<HlcTimestamp> {
    if digits.len() != TIME_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let two = |at: usize| digits[at..at + 2].parse::<u8>().ok();
    let time = Time::from_hms_nano(two(8)?, two(10)?, two(12)?, digits[14..23].parse().ok()?).ok()?;
    let nanos = date(&digits[..8])?.with_time(time).assume_utc().unix_timestamp_nanos();
    HlcTimestamp::new(i64::try_from(nanos).ok()?, digits[23..].parse().ok()?)
}

/// Reads `YYYYMMDD`.
pub(super) fn date(digits: &str) -> Option<Date> {
    if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let month = Month::try_from(digits[4..6].parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(digits[..4].parse().ok()?, month, digits[6..].parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::OffsetDateTime;

    #[test]
    fn a_mark_has_all_of_its_digits() {
        let mark = FileName::parse("202004042351304139680000000000000.RESOLVED");
        assert_eq!(mark, Some(FileName::Mark(HlcTimestamp::new(1_586_044_290_413_968_000, 0).unwrap())));
        let mark = FileName::parse("202004042351304139681230000000042.RESOLVED");
        assert_eq!(mark, Some(FileName::Mark(HlcTimestamp::new(1_586_044_290_413_968_123, 42).unwrap())));
        for bad in [
            "20200404235130413968000000000000.RESOLVED",
            "2020040423513041396800000000000000.RESOLVED",
            "202002302351304139680000000000000.RESOLVED",
            "202004042451304139680000000000000.RESOLVED",
            "202004042351304139689999999999999.RESOLVED",
            "196904042351304139680000000000000.RESOLVED",
            "999904042351304139680000000000000.RESOLVED",
            "20200404235130413968000000000000x.RESOLVED",
        ] {
            assert_eq!(FileName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn topics_may_have_dashes_and_dots() {
        for topic in ["people", "a-b", "-", "--", "x.y.REAL-42", "t+family", "2024-05-06", "naïve 📦"] {
            let name = format!("202405060708090000000000000000000-a1b2-1-4-00000002-{topic}-1f.ndjson");
            let Some(FileName::Rows { topic: found, encoding, dated }) = FileName::parse(&name) else {
                panic!("{name}");
            };
            assert_eq!((found.as_str(), encoding, dated), (topic, Encoding::Identity, true));
        }
    }

    proptest! {
        #[test]
        fn times_survive_the_name(nanos in 0..=i64::MAX, logical in 0..=i32::MAX) {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).unwrap();
            let name = format!(
                "{:04}{:02}{:02}{:02}{:02}{:02}{:09}{logical:010}.RESOLVED",
                at.year(), u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second(), at.nanosecond()
            );
            prop_assert_eq!(FileName::parse(&name), Some(FileName::Mark(HlcTimestamp::new(nanos, logical).unwrap())));
        }

        #[test]
        fn never_panics(name in "\\PC*|[-.0-9a-zA-Z]*|[0-9]{33}\\PC{0,8}(\\.RESOLVED|\\.ndjson)?") {
            let _ = FileName::parse(&name);
        }
    }
}
