//! Forms of a log line: text for people, flat JSON for collectors.
//!
//! Both put the fields of the surrounding spans behind the event's own, so that a line says which
//! feed and table it is about wherever it was written.

use std::fmt::{self, Debug};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Name under which tracing passes an event's text.
const MESSAGE: &str = "message";

/// `LEVEL[Jan _2 15:04:05] message key=value`, the time in UTC.
pub(super) struct TextFormat;

impl<S> FormatEvent<S, TextFields> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, TextFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = TextVisitor::default();
        event.record(&mut text);
        let level = event.metadata().level();
        write!(writer, "{level}[{}]", Stamp(now()))?;
        for part in [&text.message, &text.fields] {
            if !part.is_empty() {
                write!(writer, " {part}")?;
            }
        }
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<TextFields>>().map_or("", |f| f.as_str());
            if !fields.is_empty() {
                write!(writer, " {fields}")?;
            }
        }
        writeln!(writer)
    }
}

/// The fields of a span as `key=value key=value`.
pub(super) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = TextVisitor::default();
        fields.record(&mut text);
        writer.write_str(&text.fields)
    }
}

#[derive(Default)]
struct TextVisitor {
    message: String,
    fields: String,
}

impl Visit for TextVisitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            push_escaped(&mut self.message, value);
            return;
        }
        if !self.fields.is_empty() {
            self.fields.push(' ');
        }
        self.fields.push_str(name_of(field));
        self.fields.push('=');
        if is_plain(value) {
            self.fields.push_str(value);
        } else {
            self.fields.push('"');
            for c in value.chars() {
                match c {
                    '"' | '\\' => self.fields.extend(['\\', c]),
                    _ => push_printable(&mut self.fields, c),
                }
            }
            self.fields.push('"');
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Whether a value can stand without quotes and still be told from what follows.
fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && !value.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\'))
}

/// A line is a line: what a client sent must not be able to look like another log line, nor move a
/// terminal's cursor.
fn push_escaped(out: &mut String, text: &str) {
    text.chars().for_each(|c| push_printable(out, c));
}

fn push_printable(out: &mut String, c: char) {
    if c.is_control() {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// Field names that are Rust keywords are written `r#type` in code.
fn name_of(field: &Field) -> &'static str {
    field.name().strip_prefix("r#").unwrap_or(field.name())
}

/// One flat JSON object per line, with the members Google Cloud's logging looks for.
pub(super) struct FluentFormat;

impl<S> FormatEvent<S, JsonFields> for FluentFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = FluentVisitor::default();
        event.record(&mut fields);
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<JsonFields>>().map_or("", |f| f.as_str());
            if let Ok(Value::Object(members)) = serde_json::from_str(formatted) {
                members.into_iter().for_each(|(name, value)| fields.push(&name, value));
            }
        }
        let metadata = event.metadata();
        let line = FluentLine {
            severity: severity(*metadata.level()),
            time: Rfc3339(now()).to_string(),
            target: metadata.target(),
            fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

struct FluentLine<'a> {
    severity: &'static str,
    time: String,
    target: &'a str,
    fields: FluentVisitor,
}

impl Serialize for FluentLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("severity", self.severity)?;
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry(MESSAGE, &self.fields.message)?;
        map.serialize_entry("target", self.target)?;
        for (name, value) in &self.fields.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// Collects fields, first come first kept: the event's own come before those of inner, then outer
/// spans.
#[derive(Default)]
struct FluentVisitor {
    message: String,
    members: Vec<(String, Value)>,
}

impl FluentVisitor {
    fn push(&mut self, name: &str, value: Value) {
        let name = match name {
            // The line's own members keep their meaning.
            "severity" | "time" | "target" | MESSAGE => format!("fields.{name}"),
            _ => name.to_owned(),
        };
        if !self.members.iter().any(|(known, _)| *known == name) {
            self.members.push((name, value));
        }
    }
}

impl Visit for FluentVisitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            value.clone_into(&mut self.message);
        } else {
            self.push(name_of(field), value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(name_of(field), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(name_of(field), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(name_of(field), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(name_of(field), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The time of a log line. Nothing is decided by it, so it needn't come from the engine's clock.
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// A time as `Jan _2 15:04:05`: the day is padded with a space.
struct Stamp(OffsetDateTime);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = MONTHS[usize::from(u8::from(self.0.month()) - 1)];
        let (hour, minute, second) = self.0.to_hms();
        write!(f, "{month} {:2} {hour:02}:{minute:02}:{second:02}", self.0.day())
    }
}

/// A time as RFC 3339 writes it, in UTC, with microseconds.
pub(super) struct Rfc3339(pub(super) OffsetDateTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = (self.0.year(), u8::from(self.0.month()), self.0.day());
        let (hour, minute, second, micro) = self.0.to_hms_micro();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_both_forms() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_641_135_845_000_042_999).unwrap();
        assert_eq!(Stamp(time).to_string(), "Jan  2 15:04:05");
        assert_eq!(Rfc3339(time).to_string(), "2022-01-02T15:04:05.000042Z");
        assert_eq!(Stamp(OffsetDateTime::UNIX_EPOCH).to_string(), "Jan  1 00:00:00");
    }

    #[test]
    fn values_are_quoted_when_they_could_be_misread() {
        for plain in ["abc", "a.b-c/d:e", "12", "ünïcode"] {
            assert!(is_plain(plain), "{plain}");
        }
        for odd in ["", "a b", "a=b", "say \"hi\"", "a\tb", "\u{1b}[31m", "a\\b"] {
            assert!(!is_plain(odd), "{odd}");
        }
    }
}
