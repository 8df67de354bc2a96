//! Numbers as text.

/// Appends an integer.
#[inline]
pub fn integer<I: itoa::Integer>(number: I, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Appends a float with the fewest digits that read back as the same float of 32 bits.
pub fn float32(number: f32, out: &mut String) {
    float(zmij::Buffer::new().format(number), "", out);
}

/// Appends a double with the fewest digits that read back as the same double.
pub fn float64(number: f64, out: &mut String) {
    float(zmij::Buffer::new().format(number), "", out);
}

/// The same as in JSON: whole numbers have `.0` or an exponent.
pub(crate) fn json_float64(number: f64, out: &mut String) {
    float(zmij::Buffer::new().format(number), ".0", out);
}

/// Zero is false.
pub(super) fn boolean(number: u64, out: &mut String) {
    out.push_str(if number == 0 { "false" } else { "true" });
}

/// Zero is the year 0, all others count from 1900.
pub(super) fn year(byte: u8, out: &mut String) {
    match byte {
        0 => out.push('0'),
        byte => integer(1900 + u16::from(byte), out),
    }
}

/// Digits of base 2, `bits` of them.
pub(super) fn bits(number: u64, bits: usize, out: &mut String) {
    out.extend((0..bits).rev().map(|at| if number >> at & 1 == 1 { '1' } else { '0' }));
}

/// More digits before the point MySQL shows with an exponent, and more zeros behind it (seen on 9.7).
const MOST_WHOLE_DIGITS: i32 = 15;
const LEAST_POINT: i32 = -14;

/// Appends a number as MySQL would show it, given in another notation. `whole` goes behind numbers without a point.
fn float(printed: &str, whole: &str, out: &mut String) {
    let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let after = after.trim_end_matches('0');
    out.push_str(sign);
    let exponent = exponent.parse::<i32>().unwrap_or(0);
    let is_plain = exponent == 0 && before.len() <= 15;
    if is_plain {
        return plain(before, after, whole, out);
    }
    // As 0.DIGITS and a power of ten.
    let digits = [before, after].concat();
    let significant = digits.trim_start_matches('0');
    let leading = digits.len() - significant.len();
    let shift = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let point = exponent + shift(before.len()) - shift(leading);
    let significant = significant.trim_end_matches('0');
    match point {
        1..=MOST_WHOLE_DIGITS => {
            let point = usize::try_from(point).unwrap_or_default();
            let padded = format!("{significant:0<point$}");
            let (before, after) = padded.split_at(point);
            plain(before, after, whole, out);
        }
        LEAST_POINT..=0 => {
            out.push_str("0.");
            (point..0).for_each(|_| out.push('0'));
            out.push_str(significant);
        }
        _ => {
            let (first, rest) = significant.split_at(significant.len().min(1));
            out.push_str(first);
            if !rest.is_empty() {
                out.push('.');
                out.push_str(rest);
            }
            out.push('e');
            integer(point - 1, out);
        }
    }
}

fn plain(before: &str, after: &str, whole: &str, out: &mut String) {
    out.push_str(before);
    if after.is_empty() {
        out.push_str(whole);
    } else {
        out.push('.');
        out.push_str(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: f64) -> String {
        let mut out = String::new();
        json_float64(number, &mut out);
        out
    }

    #[test]
    fn doubles_look_as_mysql_shows_them_in_json() {
        // Both sides from MySQL 9.7: SELECT JSON_ARRAY(…).
        let numbers = [
            1e14,
            1e15,
            1e16,
            1.234_567_890_123_456_8e17,
            1e-4,
            1e-5,
            1e-10,
            1e-13,
            1e-14,
            1e-15,
            1e-16,
            1.5e-15,
            1.5e15,
            1.5e14,
            123_456_789_012_345e0,
            1_234_567_890_123_456e0,
            0.1 + 0.2,
            -0.0,
            -1.5e300,
            1.2345e-14,
            1.234_567_89e-13,
            1.234_567_89e-14,
        ];
        let texts = "100000000000000.0, 1e15, 1e16, 1.2345678901234568e17, 0.0001, 0.00001, 0.0000000001, \
            0.0000000000001, 0.00000000000001, 0.000000000000001, 1e-16, 0.0000000000000015, 1.5e15, 150000000000000.0, \
            123456789012345.0, 1.234567890123456e15, 0.30000000000000004, -0.0, -1.5e300, 0.000000000000012345, \
            0.000000000000123456789, 0.0000000000000123456789";
        assert_eq!(numbers.map(shown).join(", "), texts);
    }

    #[test]
    fn floats_have_the_fewest_digits_of_their_own_width() {
        let shown = |number: f32| {
            let mut out = String::new();
            float32(number, &mut out);
            out
        };
        for (number, text) in
            [(1.1, "1.1"), (3.4e38, "3.4e38"), (1.234_567_8, "1.2345678"), (1.0, "1"), (-0.0, "-0")]
        {
            assert_eq!(shown(number), text);
        }
        for number in [f32::MAX, f32::MIN_POSITIVE, 1e-45, 16_777_216.0, 1.0e15, 1e-15] {
            assert_eq!(shown(number).parse(), Ok(number));
        }
    }

    #[test]
    fn doubles_read_back_as_themselves() {
        for number in
            [1e22, f64::MAX, 5e-324, 1.0 / 3.0, 9_007_199_254_740_993.0, -1e-20, 1e15, 999_999_999_999_999.9]
        {
            let mut out = String::new();
            float64(number, &mut out);
            assert_eq!(out.parse(), Ok(number), "{out}");
        }
    }

    #[test]
    fn years_and_bits() {
        let written = |write: &dyn Fn(&mut String)| {
            let mut out = String::new();
            write(&mut out);
            out
        };
        assert_eq!(written(&|out| year(0, out)), "0");
        assert_eq!(written(&|out| year(1, out)), "1901");
        assert_eq!(written(&|out| year(255, out)), "2155");
        assert_eq!(written(&|out| bits(5, 10, out)), "0000000101");
        assert_eq!(written(&|out| bits(u64::MAX, 64, out)), "1".repeat(64));
        assert_eq!(written(&|out| boolean(2, out)), "true");
    }
}
