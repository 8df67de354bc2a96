//! What is published, as JSON: kept in the target beside the position, so that a change is noticed that happened while
//! nobody looked. Pure.

use serde_json::{Value, json};

use super::published::{Options, PublicationSet, Published};
use crate::catalog::{GeneratedColumns, TableName};

impl PublicationSet {
    /// As JSON. The same set has the same text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let publications: Vec<Value> =
            self.publications.iter().map(|(name, is)| publication(name, is)).collect();
        let tables: Vec<Value> = self.tables.iter().map(|((by, name), is)| table(by, name, is)).collect();
        json!({ "publications": publications, "tables": tables }).to_string()
    }

    /// Reads what [`to_json`](Self::to_json) wrote; `None` if it is something else.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let list = |name: &str| value.get(name)?.as_array();
        Some(Self {
            publications: list("publications")?.iter().map(read_publication).collect::<Option<_>>()?,
            tables: list("tables")?.iter().map(read_table).collect::<Option<_>>()?,
        })
    }
}

fn publication(name: &str, is: &Options) -> Value {
    let Options { oid, all_tables, inserts, updates, deletes, truncates, via_root, generated } = is;
    let generated = match generated {
        GeneratedColumns::None => "none",
        GeneratedColumns::Stored => "stored",
    };
    json!({
        "name": name, "oid": oid, "all_tables": all_tables, "inserts": inserts, "updates": updates, "deletes": deletes,
        "truncates": truncates, "via_root": via_root, "generated": generated,
    })
}

fn table(publication: &str, name: &TableName, is: &Published) -> Value {
    let Published { table, membership, columns, row_filter } = is;
    json!({
        "publication": publication, "schema": name.schema, "table": name.name, "oid": table, "membership": membership,
        "columns": columns, "row_filter": row_filter,
    })
}

fn read_publication(value: &Value) -> Option<(String, Options)> {
    let flag = |name: &str| value.get(name)?.as_bool();
    let options = Options {
        oid: number(value, "oid")?,
        all_tables: flag("all_tables")?,
        inserts: flag("inserts")?,
        updates: flag("updates")?,
        deletes: flag("deletes")?,
        truncates: flag("truncates")?,
        via_root: flag("via_root")?,
        generated: match value.get("generated")?.as_str()? {
            "none" => GeneratedColumns::None,
            "stored" => GeneratedColumns::Stored,
            _ => return None,
        },
    };
    Some((text(value.get("name")?)?, options))
}

fn read_table(value: &Value) -> Option<((String, TableName), Published)> {
    let name = TableName { schema: text(value.get("schema")?)?, name: text(value.get("table")?)? };
    let published = Published {
        table: number(value, "oid")?,
        membership: number(value, "membership")?,
        columns: match value.get("columns")? {
            Value::Null => None,
            listed => Some(listed.as_array()?.iter().map(text).collect::<Option<_>>()?),
        },
        row_filter: match value.get("row_filter")? {
            Value::Null => None,
            filter => Some(text(filter)?),
        },
    };
    Some(((text(value.get("publication")?)?, name), published))
}

fn number(value: &Value, name: &str) -> Option<u32> {
    value.get(name)?.as_u64()?.try_into().ok()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_back_as_it_was_written() {
        let options = |generated| Options {
            oid: u32::MAX,
            all_tables: false,
            inserts: true,
            updates: false,
            deletes: true,
            truncates: false,
            via_root: true,
            generated,
        };
        let name = TableName { schema: "S \"".into(), name: "t\\'\n".into() };
        let published = |columns, row_filter| Published { table: 1, membership: 0, columns, row_filter };
        let listed = published(Some(vec!["a\"".into(), String::new()]), Some("(a > 'ü')".into()));
        let set = PublicationSet {
            publications: [
                ("p".into(), options(GeneratedColumns::Stored)),
                ("q \"".into(), options(GeneratedColumns::None)),
            ]
            .into(),
            tables: [(("p".into(), name.clone()), listed), (("q \"".into(), name), published(None, None))]
                .into(),
        };
        assert_eq!(PublicationSet::from_json(&set.to_json()), Some(set));
        let empty = PublicationSet::default();
        assert_eq!(PublicationSet::from_json(&empty.to_json()), Some(empty));
    }

    #[test]
    fn what_is_none_is_refused() {
        let good = r#"{"publications": [], "tables": []}"#;
        assert!(PublicationSet::from_json(good).is_some());
        for bad in ["", "[]", "{}", r#"{"publications": [{}], "tables": []}"#, r#"{"publications": []}"#] {
            assert!(PublicationSet::from_json(bad).is_none(), "{bad}");
        }
    }
}
