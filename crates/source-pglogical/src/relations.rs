//! What the source said about its tables and types, and what its old rows are good for.
//!
//! A server describes a table before its first change on a connection and again after the table changed, even in
//! the middle of a transaction; it never repeats itself. So nothing is forgotten while a connection lasts (the memory
//! grows with the tables that are written, not with the rows), and nothing is kept for the next one.

use std::collections::HashMap;
use std::sync::Arc;

use sink_core::flow::{Form, OldRows};

use crate::pgoutput::{RelationDescription, RelationOid, ReplicaIdentity, TypeDescription, TypeOid};

/// PostgreSQL sends its own schema's name as an empty text.
const SYSTEM_SCHEMA: &str = "pg_catalog";

/// A table of the source as it was described last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its number on this server.
    pub oid: RelationOid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What old rows consist of.
    pub identity: ReplicaIdentity,
    /// The columns that are sent, in the order in which rows hold them.
    pub columns: Vec<Column>,
}

/// A column of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: TypeOid,
    /// The type's modifier; -1 without one.
    pub type_modifier: i32,
    /// Whether it is part of the replica identity.
    pub in_identity: bool,
}

/// The name of a type that is not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// Its schema. For a domain, the one of the type beneath.
    pub schema: String,
    /// Its name. For a domain, the name of the type beneath.
    pub name: String,
}

/// Whether changes of a table can be carried to a target table with a certain key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFit {
    /// Every key column is part of the replica identity: a changed key comes with the old one.
    Covered,
    /// Old rows are whole (`FULL`): the key is among them, and values stored out of line are to be taken from there.
    WholeRow,
    /// There will be no updates or deletes: the source refuses them.
    InsertOnly,
    /// These key columns can change without the old value being sent; the row with the old key would stay. Such a
    /// table must be refused, or keyed in the target by the identity's columns.
    ChangesUnseen(Vec<String>),
    /// These key columns are not sent at all.
    NotSent(Vec<String>),
}

impl Relation {
    fn new(described: &RelationDescription<'_>) -> Self {
        let columns = described.columns.iter().map(|column| Column {
            name: column.name.to_owned(),
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            in_identity: column.in_identity,
        });
        Self {
            oid: described.oid,
            schema: schema(described.schema),
            name: described.name.to_owned(),
            identity: described.identity,
            columns: columns.collect(),
        }
    }

    /// Position of a column by its exact name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Positions of the columns that make up the replica identity. Not necessarily the primary key; see
    /// [`key_fit`](Self::key_fit).
    pub fn identity_positions(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().enumerate().filter(|(_, column)| column.in_identity).map(|(at, _)| at)
    }

    /// What is sent of old rows.
    #[must_use]
    pub fn old_rows(&self) -> OldRows {
        match (self.identity, self.identity_positions().collect::<Vec<_>>()) {
            (ReplicaIdentity::Full, _) => OldRows::Whole,
            (ReplicaIdentity::Nothing, _) => OldRows::None,
            (ReplicaIdentity::Default | ReplicaIdentity::Index, key) if key.is_empty() => OldRows::None,
            (ReplicaIdentity::Default | ReplicaIdentity::Index, key) => OldRows::Key(key),
        }
    }

    /// Whether a target table with this key, given in the source's names, can follow this table. The flags of the
    /// columns alone do not tell: `FULL` sets all of them, and an index may be another than the primary key's.
    #[must_use]
    pub fn key_fit(&self, target_key: &[&str]) -> KeyFit {
        let names = |of: &dyn Fn(&str) -> bool| -> Vec<String> {
            target_key.iter().filter(|name| of(name)).map(|name| (*name).to_owned()).collect()
        };
        let absent = names(&|name| self.position(name).is_none());
        if !absent.is_empty() {
            return KeyFit::NotSent(absent);
        }
        match self.identity {
            ReplicaIdentity::Full => KeyFit::WholeRow,
            ReplicaIdentity::Nothing => KeyFit::InsertOnly,
            // Without a primary key no column is flagged.
            ReplicaIdentity::Default if self.identity_positions().next().is_none() => KeyFit::InsertOnly,
            ReplicaIdentity::Default | ReplicaIdentity::Index => {
                let flagged = |name: &str| self.columns.iter().any(|c| c.name == name && c.in_identity);
                let unseen = names(&|name| !flagged(name));
                if unseen.is_empty() { KeyFit::Covered } else { KeyFit::ChangesUnseen(unseen) }
            }
        }
    }
}

fn schema(sent: &str) -> String {
    if sent.is_empty() { SYSTEM_SCHEMA } else { sent }.to_owned()
}

/// Everything described on one connection.
#[derive(Debug, Default)]
pub struct Relations {
    tables: HashMap<RelationOid, Arc<Relation>, foldhash::fast::RandomState>,
    types: HashMap<TypeOid, TypeName>,
}

/// A table that was just described.
#[derive(Debug, Clone)]
pub struct Described {
    /// The table.
    pub relation: Arc<Relation>,
    /// Whether it differs from what was known before; if not, plans made for it stay good.
    pub changed: bool,
}

impl Relations {
    /// Takes a table's description in place of an earlier one.
    pub fn describe(&mut self, described: &RelationDescription<'_>) -> Described {
        let relation = Relation::new(described);
        if let Some(known) = self.tables.get(&relation.oid).filter(|known| ***known == relation) {
            return Described { relation: Arc::clone(known), changed: false };
        }
        let relation = Arc::new(relation);
        self.tables.insert(relation.oid, Arc::clone(&relation));
        Described { relation, changed: true }
    }

    /// Takes a type's name.
    pub fn name_type(&mut self, described: &TypeDescription<'_>) {
        let name = TypeName { schema: schema(described.schema), name: described.name.to_owned() };
        self.types.insert(described.oid, name);
    }

    /// A table that was described.
    #[must_use]
    pub fn table(&self, oid: RelationOid) -> Option<&Arc<Relation>> {
        self.tables.get(&oid)
    }

    /// What values of a type are as JSON. A domain is what the type beneath it is.
    #[must_use]
    pub fn form(&self, oid: TypeOid) -> Form {
        let built_in = |name: &TypeName| name.schema == SYSTEM_SCHEMA;
        let name = match oid.0 {
            16 => "bool",
            20 | 21 | 23 | 26 | 700 | 701 | 1700 => "numeric",
            114 | 3802 => "json",
            _ => self.type_name(oid).filter(|name| built_in(name)).map_or("", |name| name.name.as_str()),
        };
        match name {
            "bool" => Form::Bool,
            "int2" | "int4" | "int8" | "oid" | "float4" | "float8" | "numeric" => Form::Number,
            "json" | "jsonb" => Form::Json,
            _ => Form::Text,
        }
    }

    /// A type that was named; built-in ones are not.
    #[must_use]
    pub fn type_name(&self, oid: TypeOid) -> Option<&TypeName> {
        self.types.get(&oid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::RelationColumn;

    #[test]
    fn types_say_what_values_are_as_json() {
        let mut relations = Relations::default();
        let named =
            [(16_400, "", "int4"), (16_401, "", "jsonb"), (16_402, "mine", "int4"), (16_403, "", "text")];
        for (oid, schema, name) in named {
            relations.name_type(&TypeDescription { oid: TypeOid(oid), schema, name });
        }
        let form = |oid| relations.form(TypeOid(oid));
        assert_eq!([16, 23, 1700, 114, 25, 1184, 1007].map(form), {
            use Form::{Bool, Json, Number, Text};
            [Bool, Number, Number, Json, Text, Text, Text]
        });
        assert_eq!(
            [16_400, 16_401, 16_402, 16_403].map(form),
            [Form::Number, Form::Json, Form::Text, Form::Text]
        );
    }

    fn described<'a>(identity: ReplicaIdentity, columns: &[(&'a str, bool)]) -> RelationDescription<'a> {
        let column = |&(name, in_identity): &(&'a str, bool)| RelationColumn {
            in_identity,
            name,
            type_oid: TypeOid(23),
            type_modifier: -1,
        };
        let columns = columns.iter().map(column).collect();
        RelationDescription { oid: RelationOid(7), schema: "s", name: "t", identity, columns }
    }

    fn fit(identity: ReplicaIdentity, columns: &[(&str, bool)], key: &[&str]) -> KeyFit {
        Relations::default().describe(&described(identity, columns)).relation.key_fit(key)
    }

    #[test]
    fn a_primary_key_as_identity_covers_itself_and_each_part_of_itself() {
        let columns = [("a", true), ("b", true), ("c", false)];
        assert_eq!(fit(ReplicaIdentity::Default, &columns, &["a", "b"]), KeyFit::Covered);
        assert_eq!(fit(ReplicaIdentity::Default, &columns, &["b"]), KeyFit::Covered);
    }

    #[test]
    fn an_index_beside_the_key_hides_changes_of_the_key() {
        let columns = [("id", false), ("code", true)];
        let hidden = KeyFit::ChangesUnseen(vec!["id".to_owned()]);
        assert_eq!(fit(ReplicaIdentity::Index, &columns, &["id"]), hidden);
        assert_eq!(fit(ReplicaIdentity::Index, &columns, &["id", "code"]), hidden);
        assert_eq!(fit(ReplicaIdentity::Index, &columns, &["code"]), KeyFit::Covered);
    }

    #[test]
    fn full_rows_tell_nothing_about_the_key_and_fit_any() {
        let columns = [("id", true), ("x", true)];
        assert_eq!(fit(ReplicaIdentity::Full, &columns, &["id"]), KeyFit::WholeRow);
    }

    #[test]
    fn without_an_identity_rows_are_only_inserted() {
        let columns = [("id", false)];
        assert_eq!(fit(ReplicaIdentity::Nothing, &columns, &["id"]), KeyFit::InsertOnly);
        assert_eq!(fit(ReplicaIdentity::Default, &columns, &["id"]), KeyFit::InsertOnly);
    }

    #[test]
    fn a_key_column_outside_the_column_list_is_named() {
        let lost = KeyFit::NotSent(vec!["z".to_owned()]);
        assert_eq!(fit(ReplicaIdentity::Full, &[("id", true)], &["id", "z"]), lost);
    }

    #[test]
    fn a_repeated_description_keeps_the_plan_and_a_new_one_replaces_it() {
        let mut relations = Relations::default();
        let first = relations.describe(&described(ReplicaIdentity::Default, &[("a", true)]));
        let again = relations.describe(&described(ReplicaIdentity::Default, &[("a", true)]));
        assert!(first.changed && !again.changed);
        assert!(Arc::ptr_eq(&first.relation, &again.relation));
        let wider = relations.describe(&described(ReplicaIdentity::Default, &[("a", true), ("b", false)]));
        assert!(wider.changed);
        assert_eq!(relations.table(RelationOid(7)).map(|table| table.columns.len()), Some(2));
        assert_eq!(first.relation.columns.len(), 1);
    }

    #[test]
    fn an_empty_schema_is_the_systems_own() {
        let mut relations = Relations::default();
        relations.name_type(&TypeDescription { oid: TypeOid(1), schema: "", name: "int4" });
        let name = relations.type_name(TypeOid(1)).unwrap();
        assert_eq!((name.schema.as_str(), name.name.as_str()), ("pg_catalog", "int4"));
        assert_eq!(relations.type_name(TypeOid(2)), None);
    }
}
