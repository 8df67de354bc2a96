//! What no column takes, as one JSON object. Pure.

use super::change::{SourceColumn, Value};

/// What a value of a log, which is text, is as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// A string.
    #[default]
    Text,
    /// A number, if JSON has it; a string if not (`NaN`, `Infinity`).
    Number,
    /// True if it begins with `t` or `1`, else false.
    Bool,
    /// A document.
    Json,
}

/// The columns of a source table that no column of the target takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extras {
    column: usize,
    members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    /// Position in the source's rows.
    at: usize,
    /// The name as JSON.
    name: String,
    form: Form,
}

/// What is left over of a row.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct LeftOver {
    /// What was given, as a JSON object.
    pub(super) object: String,
    /// The names of what was not given, as a JSON array, if there are any: the row keeps what it has under them.
    pub(super) kept: Option<String>,
}

impl Extras {
    /// `column` takes the members at these positions.
    pub(super) fn new(column: usize, members: &[usize], columns: &[SourceColumn<'_>]) -> Self {
        let member =
            |at: &usize| Member { at: *at, name: string(columns[*at].name), form: columns[*at].form };
        Self { column, members: members.iter().map(member).collect() }
    }

    /// The column of the target.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// What is left over of a row of the source.
    pub(super) fn collect(&self, values: &[Value<'_>]) -> LeftOver {
        let (mut given, mut kept) = (Vec::new(), Vec::new());
        for member in &self.members {
            match values.get(member.at).copied().unwrap_or(Value::Absent) {
                Value::Absent => kept.push(member.name.as_str()),
                Value::Null => given.push(format!("{}:null", member.name)),
                Value::Text(text) => given.push(format!("{}:{}", member.name, json(member.form, text))),
            }
        }
        let kept = (!kept.is_empty()).then(|| format!("[{}]", kept.join(",")));
        LeftOver { object: format!("{{{}}}", given.join(",")), kept }
    }
}

fn json(form: Form, text: &str) -> String {
    match form {
        Form::Text => string(text),
        Form::Number if serde_json::from_str::<serde_json::Number>(text).is_ok() => text.to_owned(),
        Form::Number => string(text),
        Form::Bool => text.starts_with(['t', '1']).to_string(),
        // The target looks at it as at any document.
        Form::Json => text.to_owned(),
    }
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_their_types_say() {
        let columns = [
            ("s", Form::Text),
            ("n", Form::Number),
            ("b", Form::Bool),
            ("j", Form::Json),
            ("big", Form::Text),
            ("x\"y", Form::Number),
        ];
        let columns = columns.map(|(name, form)| SourceColumn { name, form });
        let extras = Extras::new(3, &[0, 1, 2, 3, 4, 5], &columns);
        let text = Value::Text;
        let row = extras.collect(&[
            text("a\"\n"),
            text("12345678901234567890.10"),
            text("t"),
            text("{\"k\": [1, 2]}"),
            Value::Null,
            text("NaN"),
        ]);
        assert_eq!(
            row.object,
            r#"{"s":"a\"\n","n":12345678901234567890.10,"b":true,"j":{"k": [1, 2]},"big":null,"x\"y":"NaN"}"#
        );
        assert_eq!(row.kept, None);
        let partial =
            extras.collect(&[text("a"), text("007"), text("f"), text("null"), Value::Absent, text("1")]);
        assert_eq!(partial.object, r#"{"s":"a","n":"007","b":false,"j":null,"x\"y":1}"#);
        assert_eq!(partial.kept.as_deref(), Some(r#"["big"]"#));
        assert_eq!(Extras::new(3, &[], &columns).collect(&[]).object, "{}");
    }
}
