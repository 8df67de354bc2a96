//! Default expressions as the catalogue prints them, read.

use sink_core::model::definition::PortableDefault;

/// What a default means on any product; none if that cannot be told.
pub(super) fn portable(expression: &str) -> Option<PortableDefault> {
    match expression {
        "true" => return Some(PortableDefault::Bool(true)),
        "false" => return Some(PortableDefault::Bool(false)),
        "now()" | "CURRENT_TIMESTAMP" | "transaction_timestamp()" => return Some(PortableDefault::Now),
        "CURRENT_DATE" => return Some(PortableDefault::Today),
        "gen_random_uuid()" => return Some(PortableDefault::RandomUuid),
        _ => {}
    }
    if expression == "NULL" || expression.strip_prefix("NULL::").is_some_and(is_type) {
        return Some(PortableDefault::Null);
    }
    let bare = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(expression);
    let digits = bare.strip_prefix('-').unwrap_or(bare);
    let number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    if number {
        return Some(PortableDefault::Number(bare.to_owned()));
    }
    let (text, rest) = constant(expression)?;
    let cast = rest.is_empty() || rest.strip_prefix("::").is_some_and(is_type);
    cast.then_some(PortableDefault::Text(text))
}

/// Whether the text is nothing but the name of a type.
fn is_type(text: &str) -> bool {
    let mut quoted = false;
    text.chars().all(|c| {
        quoted ^= c == '"';
        quoted || c.is_alphanumeric() || " _.,()[]\"".contains(c)
    })
}

/// A text constant at the beginning, and what follows it.
fn constant(expression: &str) -> Option<(String, &str)> {
    let (escapes, rest) = match expression.strip_prefix('E') {
        Some(rest) => (true, rest),
        None => (false, expression),
    };
    let rest = rest.strip_prefix('\'')?;
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if rest[at + 1..].starts_with('\'') => {
                chars.next();
                text.push('\'');
            }
            '\'' => return Some((text, &rest[at + 1..])),
            // The server only ever writes a doubled backslash.
            '\\' if escapes => text.push(chars.next().filter(|(_, next)| *next == '\\')?.1),
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_read_as_texts() {
        for (expression, text) in [
            ("'a'::text", "a"),
            ("'it''s'::character varying", "it's"),
            ("E'a\\\\b'::text", "a\\b"),
            ("'-5'::integer", "-5"),
            ("'sad'::\"My Schema\".\"mo'od\"", "sad"),
            ("'{}'::integer[]", "{}"),
            ("'1.5'::numeric(10,2)", "1.5"),
        ] {
            assert_eq!(portable(expression), Some(PortableDefault::Text(text.into())), "{expression}");
        }
    }

    #[test]
    fn numbers_and_known_functions_are_read() {
        assert_eq!(portable("(-5)"), Some(PortableDefault::Number("-5".into())));
        assert_eq!(portable("0.5"), Some(PortableDefault::Number("0.5".into())));
        assert_eq!(portable("CURRENT_TIMESTAMP"), Some(PortableDefault::Now));
    }

    #[test]
    fn anything_else_is_not_portable() {
        for expression in [
            "('a'::text || 'b'::text)",
            "'a'::text || 'b'::text",
            "(1 + 2)",
            "nextval('s'::regclass)",
            "now() AT TIME ZONE 'utc'::text",
            "E'a\\n'::text",
        ] {
            assert_eq!(portable(expression), None, "{expression}");
        }
    }

    #[test]
    fn a_null_is_a_null_of_any_type() {
        assert_eq!(portable("NULL::character varying"), Some(PortableDefault::Null));
        assert_eq!(portable("NULL::text || 'a'::text"), None);
    }
}
