//! Paths into documents, as the server writes them into edits: `$.name."other name"[3]`.

use std::borrow::Cow;

use crate::row::RowProblem;

/// A step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leg<'a> {
    /// To a member.
    Member(Cow<'a, str>),
    /// To an element.
    Element(usize),
}

const BAD: RowProblem = RowProblem::BadEdit;

/// Reads a path.
pub(super) fn parse(path: &str) -> Result<Vec<Leg<'_>>, RowProblem> {
    let mut rest = path.strip_prefix('$').ok_or(BAD)?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if let Some(element) = rest.strip_prefix('[') {
            let (number, more) = element.split_once(']').ok_or(BAD)?;
            legs.push(Leg::Element(number.trim_matches(' ').parse().map_err(|_| BAD)?));
            rest = more;
        } else {
            let member = rest.strip_prefix('.').ok_or(BAD)?;
            let (name, more) = if member.starts_with('"') { quoted(member)? } else { plain(member)? };
            legs.push(Leg::Member(name));
            rest = more;
        }
    }
    Ok(legs)
}

fn plain(text: &str) -> Result<(Cow<'_, str>, &str), RowProblem> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() { Err(BAD) } else { Ok((Cow::Borrowed(name), rest)) }
}

/// A string of JSON.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), RowProblem> {
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|(_, byte)| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let (end, _) = end.ok_or(BAD)?;
    let (name, rest) = text.split_at(end + 1);
    let name: String = serde_json::from_str(name).map_err(|_| BAD)?;
    Ok((Cow::Owned(name), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_members_and_elements() {
        let member = |name: &str| Leg::Member(Cow::Owned(name.to_owned()));
        assert_eq!(parse("$"), Ok(vec![]));
        let legs = vec![member("a"), Leg::Element(3), member("x \"y\" é"), member("b")];
        assert_eq!(parse(r#"$.a[3]."x \"y\" é".b"#), Ok(legs));
        for bad in ["", "a", "$.", "$[", "$[x]", "$.\"a", "$a", "$[-1]", r#"$."\q""#] {
            assert_eq!(parse(bad), Err(BAD), "{bad}");
        }
    }
}
