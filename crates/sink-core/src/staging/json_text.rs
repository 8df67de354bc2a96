//! Checks on JSON text that the parser does not make and the target would refuse. Pure.

/// Deepest nesting of arrays and objects in a row. PostgreSQL's own parser gives up between 5,000 and 10,000 with
/// its default stack; nobody nests on purpose anywhere near this.
pub const MAX_DEPTH: usize = 512;

/// What is wrong with a text that is otherwise valid JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonTextError {
    /// PostgreSQL stores no NUL character in text.
    #[error("a string contains the NUL character (\\u0000), which the target cannot store")]
    Nul,
    /// Half of a surrogate pair is no character.
    #[error("a string contains an unpaired surrogate (\\ud800 to \\udfff)")]
    LoneSurrogate,
    /// More than [`MAX_DEPTH`] levels.
    #[error("arrays and objects are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// The text is no JSON after all.
    #[error("a string escape is malformed")]
    Malformed,
}

/// Checks a JSON text. Never panics; for text that is not JSON the answer is arbitrary.
///
/// # Errors
/// See [`JsonTextError`].
pub fn check(text: &str) -> Result<(), JsonTextError> {
    check_depth(text.as_bytes())?;
    check_escapes(text.as_bytes())
}

fn check_depth(text: &[u8]) -> Result<(), JsonTextError> {
    // Cheap way out: no deeper than there are brackets.
    if memchr::memchr2_iter(b'{', b'[', text).nth(MAX_DEPTH).is_none() {
        return Ok(());
    }
    let (mut depth, mut in_string, mut at) = (0_usize, false, 0);
    while at < text.len() {
        match (text[at], in_string) {
            (b'\\', true) => at += 1,
            (b'"', _) => in_string = !in_string,
            (b'{' | b'[', false) => depth += 1,
            (b'}' | b']', false) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(JsonTextError::TooDeep);
        }
        at += 1;
    }
    Ok(())
}

/// Outside strings there is no backslash in JSON, so every backslash starts an escape.
fn check_escapes(text: &[u8]) -> Result<(), JsonTextError> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        rest = &rest[at + 1..];
        let (&kind, after) = rest.split_first().ok_or(JsonTextError::Malformed)?;
        rest = after;
        if kind != b'u' {
            continue;
        }
        let unit = hex4(rest).ok_or(JsonTextError::Malformed)?;
        rest = &rest[4..];
        match unit {
            0 => return Err(JsonTextError::Nul),
            0xD800..=0xDBFF => {
                let low = rest.strip_prefix(b"\\u").and_then(hex4);
                if !matches!(low, Some(0xDC00..=0xDFFF)) {
                    return Err(JsonTextError::LoneSurrogate);
                }
                rest = &rest[6..];
            }
            0xDC00..=0xDFFF => return Err(JsonTextError::LoneSurrogate),
            _ => {}
        }
    }
    Ok(())
}

fn hex4(text: &[u8]) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_target_would_refuse_is_found() {
        assert_eq!(check(r#"{"a":"\u0000"}"#), Err(JsonTextError::Nul));
        assert_eq!(check(r#"{"a":"\\u0000"}"#), Ok(()));
        assert_eq!(check(r#""\ud83d\ude00""#), Ok(()));
        assert_eq!(check(r#""\ud83d""#), Err(JsonTextError::LoneSurrogate));
        assert_eq!(check(r#""\ud83d\u0041""#), Err(JsonTextError::LoneSurrogate));
        assert_eq!(check(r#""\ude00""#), Err(JsonTextError::LoneSurrogate));
    }

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        assert_eq!(check(&("[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH))), Ok(()));
        assert_eq!(check(&"[".repeat(MAX_DEPTH + 1)), Err(JsonTextError::TooDeep));
        assert_eq!(check(&format!("\"{}\"", "[".repeat(2 * MAX_DEPTH))), Ok(()));
        assert_eq!(check(&"[]".repeat(2 * MAX_DEPTH)), Ok(()));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*|[\\\\u0d8\"\\[{]*") {
            let _ = check(&text);
        }

        #[test]
        fn agrees_with_a_parser_on_strings(text in ".*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(check(&json).is_ok(), !text.contains('\0'));
        }
    }
}
