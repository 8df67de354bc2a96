//! Microseconds since 1970 as date and time of day, without a calendar library.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Date (`2024-02-29`) and time of day in UTC (`01:02:03.5`), the fraction without trailing zeros.
pub(crate) fn civil(micros: i64) -> (String, String) {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let (year, month, day) = date(seconds.div_euclid(SECONDS_PER_DAY));
    assert!((1..=9999).contains(&year), "year {year} is not modelled");
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let mut time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    if fraction != 0 {
        time.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    (format!("{year:04}-{month:02}-{day:02}"), time)
}

/// Days since 1970 as year, month and day of the proleptic Gregorian calendar: eras of 400 years, years
/// that begin in March so that the leap day is the last one.
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
