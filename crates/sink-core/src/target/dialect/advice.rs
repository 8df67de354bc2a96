//! Statements for people who have to mend the target.

use super::quote;
use crate::model::TableId;

fn named(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

fn typed(columns: &[(&str, &str)]) -> impl Iterator<Item = String> {
    columns.iter().map(|(name, sql_type)| format!("{} {sql_type}", quote(name)))
}

/// Adds columns of these names and types.
#[must_use]
pub fn add_columns(table: &TableId, columns: &[(&str, &str)]) -> String {
    let added: Vec<String> = typed(columns).map(|column| format!("ADD COLUMN {column}")).collect();
    format!("ALTER TABLE {} {};", named(table.schema.schema.as_str(), table.table.as_str()), added.join(", "))
}

/// Gives a column another name.
#[must_use]
pub fn rename_column(table: &TableId, from: &str, to: &str) -> String {
    let table = named(table.schema.schema.as_str(), table.table.as_str());
    format!("ALTER TABLE {table} RENAME COLUMN {} TO {};", quote(from), quote(to))
}

/// Makes a table with columns of these names and types.
#[must_use]
pub fn create_table(schema: &str, table: &str, columns: &[(&str, &str)], key: &[&str]) -> String {
    let mut parts: Vec<String> = typed(columns).collect();
    if !key.is_empty() {
        parts.push(primary_key(key));
    }
    format!("CREATE TABLE {} ({});", named(schema, table), parts.join(", "))
}

/// Makes columns the primary key.
#[must_use]
pub fn add_primary_key(table: &TableId, key: &[&str]) -> String {
    let name = named(table.schema.schema.as_str(), table.table.as_str());
    format!("ALTER TABLE {name} ADD {};", primary_key(key))
}

fn primary_key(key: &[&str]) -> String {
    format!("PRIMARY KEY ({})", key.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Ident, SchemaId};

    #[test]
    fn statements_quote_every_name() {
        let ident = |text| Ident::new(text).unwrap();
        let id =
            TableId { schema: SchemaId { database: ident("db"), schema: ident("S") }, table: ident("t\"x") };
        assert_eq!(
            add_columns(&id, &[("a b", "numeric(10,2)"), ("c", "app.mood")]),
            r#"ALTER TABLE "S"."t""x" ADD COLUMN "a b" numeric(10,2), ADD COLUMN "c" app.mood;"#
        );
        assert_eq!(rename_column(&id, "a", "b"), r#"ALTER TABLE "S"."t""x" RENAME COLUMN "a" TO "b";"#);
        assert_eq!(
            create_table("S", "t", &[("id", "bigint"), ("v", "text")], &["id"]),
            r#"CREATE TABLE "S"."t" ("id" bigint, "v" text, PRIMARY KEY ("id"));"#
        );
        assert_eq!(
            add_primary_key(&id, &["a", "b"]),
            r#"ALTER TABLE "S"."t""x" ADD PRIMARY KEY ("a", "b");"#
        );
    }
}
