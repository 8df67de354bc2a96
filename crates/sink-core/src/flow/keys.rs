//! By which key rows of the target are found. Pure.

use std::sync::Arc;

use super::stream::{OldRows, SourceTable};
use crate::model::{TableSchema, UniqueKey};
use crate::target::dialect::advice;

/// Whether rows of a table without a key can be found again; with `keyless`, by counting those that are the same, for which
/// transactions must be kept together.
///
/// # Errors
/// Says why they cannot, and what to do.
pub fn check_keyless(table: &TableSchema, source: &SourceTable, keyless: bool) -> Result<(), String> {
    const NO_KEY: &str = "the target table has no primary key and no unique one that is never NULL";
    if table.is_conditional() {
        return Err(format!(
            "{NO_KEY}, so what apply_config says of versions of rows has no meaning; add a key"
        ));
    }
    match &source.old_rows {
        OldRows::Key(key) => {
            let key: Vec<&str> =
                key.iter().filter_map(|at| source.columns.get(*at)).map(String::as_str).collect();
            let add = advice::add_primary_key(&table.id, &key);
            Err(format!("{NO_KEY}, and the source has one; run on the target: {add}"))
        }
        OldRows::None | OldRows::Whole if !keyless => Err(format!(
            "{NO_KEY}; equal rows cannot be told apart, so their number is only kept if transactions are kept together: \
             add a key, or start without --immediate and --backfillWindow"
        )),
        OldRows::None | OldRows::Whole => Ok(()),
    }
}

/// The table with the key that rows of the source can be found by: its primary key, else one that is as unique and holds
/// no more than what the source sends of old rows.
#[must_use]
pub fn keyed(table: &Arc<TableSchema>, source: &SourceTable) -> Arc<TableSchema> {
    let name = |at: usize| table.source_of(at).to_lowercase();
    let sent = |at: usize| match &source.old_rows {
        OldRows::None | OldRows::Whole => {
            source.columns.iter().any(|column| column.to_lowercase() == name(at))
        }
        OldRows::Key(key) => key
            .iter()
            .filter_map(|at| source.columns.get(*at))
            .any(|column| column.to_lowercase() == name(at)),
    };
    let fits = |columns: &[usize]| columns.iter().all(|at| sent(*at));
    let has_primary = !table.primary_key.is_empty() && !table.key_deferrable;
    if has_primary && fits(&table.primary_key) {
        return Arc::clone(table);
    }
    let usable = || table.unique_keys.iter().filter(|key| table.can_be_keyed_by(key) && fits(&key.columns));
    let exact =
        |key: &&UniqueKey| matches!(&source.old_rows, OldRows::Key(old) if old.len() == key.columns.len());
    match usable().find(exact).or_else(|| usable().next()) {
        Some(key) => Arc::new(table.keyed_by(key)),
        None => Arc::clone(table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::examples;
    use crate::model::{ColumnSchema, ValueClass};

    fn unique(name: &str, columns: &[usize]) -> UniqueKey {
        UniqueKey { name: name.to_owned(), columns: columns.to_vec(), nulls_equal: false, deferrable: false }
    }

    /// `id, a, b`, of which the first may be the primary key.
    fn table(keys: usize, unique_keys: Vec<UniqueKey>) -> Arc<TableSchema> {
        let column = |name| ColumnSchema {
            nullable: false,
            ..examples::column(name, "int4", ValueClass::Integer(32))
        };
        let columns = ["id", "a", "b"].map(column).into();
        Arc::new(TableSchema { unique_keys, ..examples::table("t", keys, columns) })
    }

    fn source(old_rows: OldRows) -> SourceTable {
        let columns = ["a", "b", "id"].map(str::to_owned).into();
        SourceTable {
            schema: "public".to_owned(),
            name: "t".to_owned(),
            columns,
            forms: Vec::new(),
            old_rows,
        }
    }

    fn key(table: &Arc<TableSchema>, old_rows: OldRows) -> Vec<usize> {
        keyed(table, &source(old_rows)).primary_key.clone()
    }

    #[test]
    fn the_primary_key_is_the_key_unless_the_source_does_not_send_it() {
        let both = table(1, vec![unique("u", &[1])]);
        for old_rows in [OldRows::None, OldRows::Whole, OldRows::Key(vec![2]), OldRows::Key(vec![0, 2])] {
            assert_eq!(key(&both, old_rows), [0]);
        }
        assert_eq!(key(&both, OldRows::Key(vec![0])), [1], "the identity is an index over a");
        assert_eq!(key(&both, OldRows::Key(vec![1])), [0], "neither; the refusal names the primary key");
        let keyed = keyed(&both, &source(OldRows::Key(vec![0])));
        assert_eq!(keyed.unique_keys.iter().map(|key| key.columns.clone()).collect::<Vec<_>>(), [[0]]);
    }

    #[test]
    fn a_unique_key_stands_in_for_the_primary_one_and_the_identity_is_preferred() {
        let two = table(0, vec![unique("u", &[1]), unique("w", &[1, 2])]);
        assert_eq!(key(&two, OldRows::Key(vec![0, 1])), [1, 2]);
        assert_eq!(key(&two, OldRows::Whole), [1]);
        let mut nullable = TableSchema::clone(&two);
        nullable.columns[1].nullable = true;
        assert_eq!(key(&Arc::new(nullable), OldRows::Whole), [0; 0]);
        let late = UniqueKey { deferrable: true, ..unique("u", &[1]) };
        assert_eq!(key(&table(0, vec![late]), OldRows::Whole), [0; 0]);
    }
}
