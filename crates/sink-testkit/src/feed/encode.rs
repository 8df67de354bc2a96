//! The bytes of row batches and resolved times.

use sink_core::model::HlcTimestamp;

use super::changes::Change;
use super::config::{Encoding, Envelope};
use crate::source::{Row, Table};
use crate::value::quote_json;

/// The topic of a table.
pub(super) fn topic(encoding: &Encoding, table: &Table) -> String {
    match &encoding.topic_prefix {
        Some(prefix) => format!("{prefix}.{}", table.name),
        None => table.name.to_owned(),
    }
}

/// A request of rows. `length` is always the number of rows.
pub(super) fn batch<'a>(
    encoding: &Encoding,
    tables: &[Table],
    changes: impl Iterator<Item = &'a Change>,
) -> String {
    let rows: Vec<String> = changes.map(|change| row(encoding, &tables[change.table], change)).collect();
    format!("{{\"payload\":[{}],\"length\":{}}}", rows.join(","), rows.len())
}

/// A request of a resolved time; the same for all envelopes.
pub(super) fn resolved(at: HlcTimestamp) -> String {
    format!("{{\"resolved\":\"{at}\"}}")
}

fn row(encoding: &Encoding, table: &Table, change: &Change) -> String {
    let image = |row: &Option<Row>| row.as_ref().map_or_else(|| "null".to_owned(), |row| row.json(table));
    // The members in bytewise order of their names.
    let mut members = vec![("after", image(&change.row))];
    if encoding.diff || encoding.envelope == Envelope::Query {
        members.push(("before", image(&change.before)));
    }
    match encoding.envelope {
        Envelope::Wrapped => {
            members.push(("key", change.key.json().to_owned()));
            if encoding.mvcc_timestamp {
                members.push(("mvcc_timestamp", format!("\"{}\"", change.written)));
            }
            members.push(("topic", quote_json(&topic(encoding, table))));
            members.push(("updated", format!("\"{}\"", change.at)));
        }
        Envelope::Query => members.push(("updated", format!("\"{}\"", change.at))),
        Envelope::Enriched => {
            members.push(("key", key_object(table, change)));
            members.push(("op", format!("\"{}\"", op(encoding, change))));
            members.push(("source", source(encoding, table, change)));
            // Processing time: any number later than the commit, and of no use to the receiver.
            members.push(("ts_ns", change.at.nanos().saturating_add(1_000_000).to_string()));
        }
    }
    let mut text = object(&members);
    if encoding.envelope == Envelope::Enriched && encoding.with_schema {
        // Shortened; nobody reads it.
        let schema = r#"{"fields": [], "name": "cockroachdb.envelope", "optional": false, "type": "struct"}"#;
        text = object(&[("payload", text), ("schema", schema.to_owned())]);
    }
    if encoding.compact { compact(&text) } else { text }
}

fn object(members: &[(&str, String)]) -> String {
    let parts: Vec<String> =
        members.iter().map(|(name, value)| format!("{}: {value}", quote_json(name))).collect();
    format!("{{{}}}", parts.join(", "))
}

/// The key as an object. Deletes have no row to take it from, so the elements are cut out of the array.
fn key_object(table: &Table, change: &Change) -> String {
    let elements = split_array(change.key.json());
    let mut members: Vec<(&str, String)> =
        table.key.iter().map(|&column| table.columns[column].name).zip(elements).collect();
    members.sort_by_key(|(name, _)| *name);
    object(&members)
}

/// The elements of a flat JSON array as texts.
fn split_array(json: &str) -> Vec<String> {
    let inner = json.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).expect("keys are arrays");
    let mut elements = vec![String::new()];
    let mut quoted = false;
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            ',' if !quoted => {
                elements.push(String::new());
                continue;
            }
            ' ' if !quoted => continue,
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        elements.last_mut().expect("there is always an element").push(c);
    }
    elements
}

/// The operation. A feed without `diff` cannot tell an update from an insert and says "update".
fn op(encoding: &Encoding, change: &Change) -> &'static str {
    match (&change.row, &change.before) {
        (None, _) => "d",
        (Some(_), None) if encoding.diff || change.at != change.written => "c",
        (Some(_), None | Some(_)) => "u",
    }
}

fn source(encoding: &Encoding, table: &Table, change: &Change) -> String {
    let (database, schema) = match encoding.topic_prefix.as_deref().and_then(|prefix| prefix.split_once('.'))
    {
        Some((database, schema)) => (database, schema),
        None => ("defaultdb", "public"),
    };
    let keys: Vec<String> = table.key.iter().map(|&column| quote_json(table.columns[column].name)).collect();
    let text = |value: &str| quote_json(value);
    let mut members = vec![
        ("changefeed_sink", text("webhook")),
        ("cluster_id", text("38269e9c-9823-4568-875e-d867e12156f2")),
        ("cluster_name", text("")),
        ("database_name", text(database)),
        ("db_version", text("v26.1.2")),
        ("job_id", text("1068153948173991937")),
    ];
    if encoding.mvcc_timestamp {
        members.push(("mvcc_timestamp", text(&change.written.to_string())));
    }
    members.extend([
        ("node_id", text("1")),
        ("node_name", text("localhost")),
        ("origin", text("cockroachdb")),
        ("primary_keys", format!("[{}]", keys.join(", "))),
        ("schema_name", text(schema)),
        ("source_node_locality", text("")),
        ("table_name", text(table.name)),
        ("ts_hlc", text(&change.at.to_string())),
        ("ts_ns", change.at.nanos().to_string()),
    ]);
    object(&members)
}

/// The same document as Go's own encoder writes it.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut quoted = false;
    let mut escaped = false;
    for c in json.chars() {
        match c {
            ' ' if !quoted => continue,
            '"' if !escaped => {
                quoted = !quoted;
                out.push(c);
            }
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::changes::ChangeLog;
    use crate::source::{Column, Source, Write};
    use crate::value::Value;

    fn sample(encoding: &Encoding) -> String {
        let column = |name, sql_type| Column { name, sql_type, nullable: true };
        let table = Table {
            name: "people",
            columns: vec![column("id", "int8"), column("na me", "text")],
            key: vec![1, 0],
            references: None,
            unique: None,
        };
        let mut source = Source::new(vec![table]);
        let at = |nanos, logical| HlcTimestamp::new(nanos, logical).unwrap();
        let row = Row::new(vec![Value::int8(1), Value::text_value("a, \"<b\\")]);
        let key = source.tables()[0].key_of(&row);
        source.commit(at(5, 1), [Write { table: 0, key: key.clone(), row: Some(row) }]);
        source.commit(at(9, 0), [Write { table: 0, key, row: None }]);
        let log = ChangeLog::new(&source, at(7, 0));
        batch(encoding, source.tables(), log.changes().iter())
    }

    #[test]
    fn wrapped_rows_have_the_bytes_of_a_current_feed() {
        assert_eq!(
            sample(&Encoding::default()),
            concat!(
                r#"{"payload":[{"after": {"id": 1, "na me": "a, \"<b\\"}, "key": ["a, \"<b\\", 1], "#,
                r#""topic": "people", "updated": "7.0000000000"},{"after": null, "key": ["a, \"<b\\", 1], "#,
                r#""topic": "people", "updated": "9.0000000000"}],"length":2}"#
            )
        );
    }

    #[test]
    fn options_add_members() {
        let encoding = Encoding {
            diff: true,
            mvcc_timestamp: true,
            compact: true,
            topic_prefix: Some("db.public".to_owned()),
            ..Encoding::default()
        };
        assert_eq!(
            sample(&encoding),
            concat!(
                r#"{"payload":[{"after":{"id":1,"na me":"a, \"\u003cb\\"},"before":null,"key":["a, \"\u003cb\\",1],"#,
                r#""mvcc_timestamp":"5.0000000001","topic":"db.public.people","updated":"7.0000000000"},"#,
                r#"{"after":null,"before":{"id":1,"na me":"a, \"\u003cb\\"},"key":["a, \"\u003cb\\",1],"#,
                r#""mvcc_timestamp":"9.0000000000","topic":"db.public.people","updated":"9.0000000000"}],"length":2}"#
            )
        );
    }

    #[test]
    fn enriched_keys_are_objects() {
        let body = sample(&Encoding { envelope: Envelope::Enriched, ..Encoding::default() });
        assert!(body.contains(r#""key": {"id": 1, "na me": "a, \"<b\\"}, "op": "c", "source": {"#), "{body}");
        assert!(body.contains(r#""primary_keys": ["na me", "id"]"#), "{body}");
        let encoding = Encoding { envelope: Envelope::Enriched, with_schema: true, ..Encoding::default() };
        let body = sample(&encoding);
        assert!(body.starts_with(r#"{"payload":[{"payload": {"after": {"#), "{body}");
        assert_eq!(body.matches("cockroachdb.envelope").count(), 2, "{body}");
    }

    #[test]
    fn rows_of_queries_have_images_and_a_time_only() {
        assert_eq!(
            sample(&Encoding { envelope: Envelope::Query, ..Encoding::default() }),
            concat!(
                r#"{"payload":[{"after": {"id": 1, "na me": "a, \"<b\\"}, "before": null, "updated": "7.0000000000"},"#,
                r#"{"after": null, "before": {"id": 1, "na me": "a, \"<b\\"}, "updated": "9.0000000000"}],"length":2}"#
            )
        );
    }
}
