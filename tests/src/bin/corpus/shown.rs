//! What a server shows of its tables by prepared statements, in the canonical text of the table of types.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use serde_json::json;
use tests::harness::fingerprint::source::columns;
use tests::harness::mysql::canonical::{self, SourceColumn, ZeroDates};
use tests::harness::mysql::{MySqlServer, quoted};

/// Every table of the databases that are not the server's own: one line about it, then a line for each of its rows.
pub(crate) async fn of(server: &MySqlServer) -> Result<String> {
    let tables = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema NOT IN \
                  ('mysql', 'sys', 'information_schema', 'performance_schema') AND table_type = 'BASE TABLE' \
                  ORDER BY table_schema, table_name";
    let mut text = String::new();
    for row in server.database("").query(tables).await? {
        let mut row = row.into_iter().flatten();
        let (schema, table) = (row.next().context("no schema")?, row.next().context("no table")?);
        let database = server.database(&schema);
        let columns = columns(&database, &table).await?;
        let described: Vec<_> = columns.iter().map(|column| [&column.name, &column.column_type]).collect();
        writeln!(text, "{}", json!({ "schema": schema, "table": table, "columns": described }))?;
        let listed = columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
        let mut connection = database.connect().await?;
        let rows: Vec<Row> =
            connection.exec(format!("SELECT {listed} FROM {} ORDER BY 1", quoted(&table)), ()).await?;
        connection.disconnect().await?;
        for row in rows {
            let values = row.unwrap();
            let told = values.iter().zip(&columns).map(|(value, column)| {
                let told = canonical::text(value, column, target(column), ZeroDates::Text);
                told.with_context(|| format!("{table}.{}", column.name))
            });
            writeln!(text, "{}", json!(told.collect::<Result<Vec<_>>>()?))?;
        }
    }
    Ok(text)
}

/// The type that the table of types has in the first place, where the text depends on it.
fn target(column: &SourceColumn) -> &'static str {
    match column.data_type.as_str() {
        "bit" => "bit",
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geomcollection" | "geometrycollection" => "geometry",
        "vector" => "vector",
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => "bytea",
        _ => "text",
    }
}
