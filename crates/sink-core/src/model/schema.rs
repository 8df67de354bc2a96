//! What the target's catalogue says about its tables.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Behaviours, ColumnRule, Ident, SchemaId, TableId, TableRules};

/// How a column's JSON values look and how they are cast. Decides what can be refused without asking the
/// target, and which conversion a value needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueClass {
    /// An integer of this many bits: 16, 32 or 64.
    Integer(u8),
    /// Floating point: numbers, and `NaN` and the infinities as strings.
    Float,
    /// Exact decimal: numbers, and `NaN` and the infinities as strings.
    Numeric,
    /// `true` or `false`.
    Bool,
    /// Bytes as a string of `\x` and hexadecimal digits.
    Bytes,
    /// Any text.
    Text,
    /// A timestamp; CockroachDB prints years before 1 with a minus sign.
    Timestamp,
    /// A JSON document.
    Json {
        /// `jsonb` rather than `json`.
        binary: bool,
    },
    /// A JSON array of element values.
    Array,
    /// A JSON object by attribute name, or the target's own text form.
    Composite,
    /// GeoJSON.
    Geo {
        /// `geography` rather than `geometry`.
        geography: bool,
    },
    /// Anything else: a string in the target's own input syntax (uuid, date, inet, enum, …).
    Scalar,
}

/// A column of a target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSchema {
    /// Its name.
    pub name: Ident,
    /// The type with its modifier, as SQL text that can follow `::`.
    pub sql_type: String,
    /// How its values look.
    pub class: ValueClass,
    /// Whether two values are equal exactly when their JSON texts are.
    pub text_equality: bool,
    /// How its texts are ordered, as SQL that can follow `COLLATE`; none if as the type says.
    pub collation: Option<String>,
    /// Computed by the target: accepted in a row, never written.
    pub generated: bool,
    /// Can hold SQL NULL.
    pub nullable: bool,
    /// A foreign key of another table answers a change of this column with CASCADE, SET NULL or SET DEFAULT, so it must
    /// not be changed just to be changed back.
    pub update_has_effects: bool,
    /// `GENERATED ALWAYS AS IDENTITY`: can be inserted with an override, never updated.
    pub identity_always: bool,
}

/// A unique constraint or index other than the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    /// Its name.
    pub name: String,
    /// Positions in [`TableSchema::columns`].
    pub columns: Vec<usize>,
    /// Two NULLs are equal (`NULLS NOT DISTINCT`).
    pub nulls_equal: bool,
    /// It may be checked later than at once, so it cannot arbitrate `ON CONFLICT`.
    pub deferrable: bool,
}

/// A table of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Its name.
    pub id: TableId,
    /// All columns, in catalogue order.
    pub columns: Vec<ColumnSchema>,
    /// Primary key: positions in `columns`, in key order, without columns the target computes.
    pub primary_key: Vec<usize>,
    /// The primary key is deferrable, so it cannot arbitrate `ON CONFLICT`.
    pub key_deferrable: bool,
    /// Unique keys beside the primary key (full indexes over plain columns only).
    pub unique_keys: Vec<UniqueKey>,
    /// Tables this one's foreign keys point at.
    pub references: Vec<TableId>,
    /// Some foreign key of another table answers a delete here with CASCADE, SET NULL or SET DEFAULT, so a row
    /// must not be deleted just to be written again.
    pub delete_has_effects: bool,
    /// What the operator wants done to its rows.
    pub behaviours: Behaviours,
}

impl TableSchema {
    /// Finds a column by its exact name, else by the name in any case if that is unambiguous.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        find_name(self.columns.iter().map(|column| &column.name), name)
    }

    /// The rules for its rows, if there are any.
    #[must_use]
    pub fn rules(&self) -> Option<&TableRules> {
        match &self.behaviours {
            Behaviours::Configured(rules) => Some(rules),
            Behaviours::Plain | Behaviours::Rejected(_) => None,
        }
    }

    /// The rule of a column, if it has one.
    #[must_use]
    pub fn rule(&self, column: usize) -> Option<&ColumnRule> {
        self.rules().and_then(|rules| rules.columns.get(column))
    }

    /// The member that a column takes.
    #[must_use]
    pub fn source_of(&self, column: usize) -> &str {
        let renamed = self.rule(column).and_then(|rule| rule.source.as_deref());
        renamed.unwrap_or_else(|| self.columns[column].name.as_str())
    }

    /// Whether a column is written whatever the row holds: by an expression without input, or with what is left over.
    #[must_use]
    pub fn writes_always(&self, column: usize) -> bool {
        self.rule(column).is_some_and(|rule| rule.constant().is_some())
            || self.rules().is_some_and(|rules| rules.extras == Some(column))
    }

    /// Whether what is written depends on more than the newest version of a row.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        self.rules().is_some_and(TableRules::is_conditional)
    }

    /// Whether each row is told from all others by a unique key beside the primary key: none of its columns can be NULL
    /// or is computed, and it is checked at once.
    #[must_use]
    pub fn can_be_keyed_by(&self, unique: &UniqueKey) -> bool {
        let plain = |at: &usize| !self.columns[*at].nullable && !self.columns[*at].generated;
        !unique.deferrable && unique.columns.iter().all(plain)
    }

    /// The same table with one of its unique keys in the role of the primary key.
    #[must_use]
    pub fn keyed_by(&self, unique: &UniqueKey) -> Self {
        let mut table = self.clone();
        table.unique_keys.retain(|other| other != unique);
        let former = std::mem::replace(&mut table.primary_key, unique.columns.clone());
        if !former.is_empty() {
            table.unique_keys.push(UniqueKey {
                name: "primary key".to_owned(),
                columns: former,
                nulls_equal: false,
                deferrable: table.key_deferrable,
            });
        }
        table.key_deferrable = false;
        table
    }

    /// Columns a row may feed: not computed by the target.
    pub fn writable(&self) -> impl Iterator<Item = (usize, &ColumnSchema)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.generated)
    }

    /// Columns of the primary key, in key order.
    pub fn key_columns(&self) -> impl Iterator<Item = &ColumnSchema> {
        self.primary_key.iter().map(|at| &self.columns[*at])
    }

    /// Whether keys are equal exactly when their canonical texts are.
    #[must_use]
    pub fn key_text_equality(&self) -> bool {
        let transformed = |at: &usize| self.rule(*at).is_some_and(|rule| rule.expression.is_some());
        self.key_columns().all(|column| column.text_equality) && !self.primary_key.iter().any(transformed)
    }
}

/// The tables of one target database at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseSchema {
    tables: HashMap<SchemaId, HashMap<Ident, Arc<TableSchema>>>,
}

impl DatabaseSchema {
    /// Collects tables.
    #[must_use]
    pub fn new(tables: impl IntoIterator<Item = TableSchema>) -> Self {
        let mut schema = Self::default();
        for table in tables {
            let id = table.id.clone();
            schema.tables.entry(id.schema).or_default().insert(id.table, Arc::new(table));
        }
        schema
    }

    /// Finds a table: the exact name, else the name in any case if that is unambiguous.
    #[must_use]
    pub fn table(&self, schema: &SchemaId, name: &str) -> Option<&Arc<TableSchema>> {
        let tables = self.tables.get(schema)?;
        Ident::new(name).ok().and_then(|name| tables.get(&name)).or_else(|| {
            let folded = name.to_lowercase();
            let mut hits = tables.iter().filter(|(ident, _)| ident.as_str().to_lowercase() == folded);
            hits.next().filter(|_| hits.next().is_none()).map(|(_, table)| table)
        })
    }

    /// Says what is to be done with the rows of a table.
    pub fn set_behaviours(&mut self, table: &TableId, behaviours: Behaviours) {
        if let Some(table) =
            self.tables.get_mut(&table.schema).and_then(|tables| tables.get_mut(&table.table))
        {
            Arc::make_mut(table).behaviours = behaviours;
        }
    }

    /// All tables of a schema; none if the schema has none.
    pub fn tables_of(&self, schema: &SchemaId) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.tables.get(schema).into_iter().flat_map(HashMap::values)
    }

    /// Tables of all schemas.
    #[must_use]
    pub fn table_count(&self) -> usize {
        self.tables.values().map(HashMap::len).sum()
    }

    /// Whether the schema has any table.
    #[must_use]
    pub fn has_schema(&self, schema: &SchemaId) -> bool {
        self.tables.contains_key(schema)
    }
}

/// Position of the exact name, else of the only name equal in any case.
fn find_name<'a>(names: impl Iterator<Item = &'a Ident> + Clone, wanted: &str) -> Option<usize> {
    names.clone().position(|name| name.as_str() == wanted).or_else(|| {
        let folded = wanted.to_lowercase();
        let mut hits = names.enumerate().filter(|(_, name)| name.as_str().to_lowercase() == folded);
        hits.next().filter(|_| hits.next().is_none()).map(|(at, _)| at)
    })
}

/// Tables for unit tests.
#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    /// A column of a plain type.
    pub(crate) fn column(name: &str, sql_type: &str, class: ValueClass) -> ColumnSchema {
        let text_equality = !matches!(
            class,
            ValueClass::Numeric | ValueClass::Float | ValueClass::Timestamp | ValueClass::Json { .. }
        );
        ColumnSchema {
            name: Ident::new(name).unwrap(),
            sql_type: sql_type.into(),
            class,
            text_equality,
            collation: None,
            generated: false,
            nullable: true,
            update_has_effects: false,
            identity_always: false,
        }
    }

    /// `db.public.<name>` with its first `keys` columns as primary key.
    pub(crate) fn table(name: &str, keys: usize, columns: Vec<ColumnSchema>) -> TableSchema {
        let schema = SchemaId { database: Ident::new("db").unwrap(), schema: Ident::new("public").unwrap() };
        TableSchema {
            id: TableId { schema, table: Ident::new(name).unwrap() },
            columns,
            primary_key: (0..keys).collect(),
            key_deferrable: false,
            unique_keys: Vec::new(),
            references: Vec::new(),
            delete_has_effects: false,
            behaviours: Behaviours::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::examples::{column, table};
    use super::*;

    #[test]
    fn names_are_found_exactly_first_then_in_any_case_if_unambiguous() {
        let int = ValueClass::Integer(64);
        let table = table(
            "t",
            1,
            vec![column("Id", "int8", int), column("V", "int8", int), column("v", "int8", int)],
        );
        assert_eq!(table.column("v"), Some(2));
        assert_eq!(table.column("id"), Some(0));
        assert_eq!(table.column("ID"), Some(0));
        let twice = TableSchema { columns: table.columns[1..].to_vec(), ..table };
        assert_eq!(twice.column("v"), Some(1));
        assert_eq!(twice.column("w"), None);
    }

    #[test]
    fn an_ambiguous_name_is_not_found() {
        let int = ValueClass::Integer(64);
        let table = table("t", 1, vec![column("aB", "int8", int), column("Ab", "int8", int)]);
        assert_eq!(table.column("ab"), None);
    }
}
