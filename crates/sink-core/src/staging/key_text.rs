//! One spelling for each value of a key, so that versions of a row are found to be of one row. Pure.

use std::borrow::Cow;

/// A JSON value in one spelling: strings with the escapes of our own writer, everything else as it came.
#[must_use]
pub fn canonical(value: &str) -> Cow<'_, str> {
    if !value.starts_with('"') {
        return Cow::Borrowed(value);
    }
    match serde_json::from_str::<Cow<'_, str>>(value) {
        // A string that needs no escape looks the same everywhere.
        Ok(Cow::Borrowed(_)) => Cow::Borrowed(value),
        Ok(text) => serde_json::to_string(&text).map_or(Cow::Borrowed(value), Cow::Owned),
        Err(_) => Cow::Borrowed(value),
    }
}

/// A JSON number in one spelling: CockroachDB keeps the zeros of `1.0` and `1.00`, which are one key.
#[must_use]
pub fn canonical_number(value: &str) -> Cow<'_, str> {
    if value.starts_with('"') {
        return canonical(value);
    }
    let (mantissa, exponent) = value.split_once(['e', 'E']).unwrap_or((value, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Cow::Borrowed("0");
    }
    let shift = i64::try_from(digits.len() - significant.len()).ok();
    let shift = shift.zip(i64::try_from(fraction.len()).ok()).map(|(zeros, places)| zeros - places);
    match exponent.parse::<i64>().ok().zip(shift).and_then(|(exponent, shift)| exponent.checked_add(shift)) {
        Some(0) => Cow::Owned(format!("{sign}{significant}")),
        Some(exponent) => Cow::Owned(format!("{sign}{significant}E{exponent}")),
        // No column takes such a number.
        None => Cow::Borrowed(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_one_spelling() {
        for (one, others) in [
            ("0", &["0.00", "-0", "0E+5"][..]),
            ("1", &["1.0", "1.00", "1E0", "1e+0", "10E-1", "0.1E1"]),
            ("-15E-1", &["-1.5", "-1.500", "-0.15e1"]),
            ("1E2", &["100", "1E+2", "100.0"]),
            ("\"NaN\"", &["\"\\u004eaN\""]),
        ] {
            for other in others {
                assert_eq!(canonical_number(other), one, "{other}");
            }
            assert_eq!(canonical_number(one), one);
        }
        assert_eq!(canonical_number("1E99999999999999999999"), "1E99999999999999999999");
    }

    #[test]
    fn strings_have_one_escaping() {
        assert_eq!(canonical("\"a\\u003cb\""), "\"a<b\"");
        assert_eq!(canonical("\"plain\""), "\"plain\"");
    }
}
