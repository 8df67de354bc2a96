//! What a table is made of, as far as it can be told without naming a product: enough to make one like it elsewhere.
//!
//! Sources fill this in from their catalogue; a dialect writes the statements. Expressions come in two forms: one that any
//! product can take, where there is one, and PostgreSQL's own text, which a source without it leaves out.

use super::{Ident, SchemaId, TableId};

/// Tables to be made, and the types they need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Types made by users of the source, in any order.
    pub types: Vec<TypeDefinition>,
    /// Tables, in any order.
    pub tables: Vec<TableDefinition>,
}

/// The name of a type that a user made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId {
    /// The schema it is in.
    pub schema: SchemaId,
    /// Its name.
    pub name: Ident,
}

impl std::fmt::Display for TypeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A type that a user made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeDefinition {
    /// Its name.
    pub id: TypeId,
    /// What it is.
    pub kind: TypeKind,
    /// What could not be carried over, for the operator.
    pub notes: Vec<String>,
}

/// What a user's type is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// One of these labels, in this order.
    Enum(Vec<String>),
    /// Another type with constraints.
    Domain(Box<Domain>),
    /// Attributes in order.
    Composite(Vec<Attribute>),
    /// Ranges of another type.
    Range {
        /// The type of the bounds.
        subtype: ColumnType,
        /// The name of the type of sets of such ranges, in the same schema.
        multirange: Option<Ident>,
    },
    /// Sets of ranges; made together with the type of the ranges.
    Multirange(TypeId),
    /// Something that cannot be made from the outside, and why.
    Opaque(String),
}

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// What it is a subset of.
    pub base: ColumnType,
    /// Not the base type's collation.
    pub collation: Option<String>,
    /// NULL is no member.
    pub not_null: bool,
    /// Its default.
    pub default: Option<DefaultValue>,
    /// Its checks; the value is called `VALUE`.
    pub checks: Vec<CheckDefinition>,
}

/// A part of a composite type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub column_type: ColumnType,
    /// Not the type's collation.
    pub collation: Option<String>,
}

/// A type of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// An integer of this many bits: 16, 32 or 64.
    Integer(u8),
    /// Floating point of this many bits: 32 or 64.
    Float(u8),
    /// Exact decimal: precision in digits and scale, if limited.
    Decimal(Option<(u16, i16)>),
    /// An amount in the currency of the server's locale.
    Money,
    /// True or false.
    Bool,
    /// Text of this many characters, padded with blanks.
    Char(u32),
    /// Text of at most this many characters.
    Varchar(Option<u32>),
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A day.
    Date,
    /// A time of day: digits of the second's fraction if limited, and whether with an offset.
    Time(Option<u8>, bool),
    /// A moment: digits of the second's fraction if limited, and whether in universal time.
    Timestamp(Option<u8>, bool),
    /// A span of time; the text behind the type's name, such as ` day to second(3)`.
    Interval(String),
    /// A UUID.
    Uuid,
    /// A network address with an optional mask.
    Inet,
    /// A JSON document: as typed, or (true) normalised.
    Json(bool),
    /// A string of bits of exactly this length.
    Bit(u32),
    /// A string of bits of at most this length.
    Varbit(Option<u32>),
    /// Lexemes of a text (false), or a query for them (true).
    TextSearch(bool),
    /// Another type that PostgreSQL brings along, spelled as SQL.
    Builtin(String),
    /// A type of an extension.
    Extension(Box<ExtensionType>),
    /// A type that a user made.
    User(TypeId),
    /// An array of at least this many dimensions.
    Array(Box<ColumnType>, u32),
}

/// A type that an extension of PostgreSQL brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionType {
    /// The extension's name.
    pub extension: Ident,
    /// The type's name.
    pub id: TypeId,
    /// What follows the name, such as `(Point,4326)`; may be empty.
    pub modifier: String,
}

/// A value that a column takes if none is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultValue {
    /// In a form that any product can take.
    pub portable: Option<PortableDefault>,
    /// As an expression of PostgreSQL over nothing but what every server has.
    pub postgres: Option<String>,
}

/// A default that any product can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortableDefault {
    /// NULL, whatever the type's own default is.
    Null,
    /// A text, read as the column's type.
    Text(String),
    /// A number as digits.
    Number(String),
    /// True or false.
    Bool(bool),
    /// The time at which the transaction began.
    Now,
    /// The day on which the transaction began.
    Today,
    /// A random UUID.
    RandomUuid,
}

/// A column whose values are counted by the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The first number.
    pub start: i64,
    /// The step from one number to the next.
    pub increment: i64,
    /// What the operator should know: how the numbers are carried on at the cut-over.
    pub note: String,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub column_type: ColumnType,
    /// Not the type's collation: SQL that can follow `COLLATE` on PostgreSQL.
    pub collation: Option<String>,
    /// Can hold NULL.
    pub nullable: bool,
    /// Its default.
    pub default: Option<DefaultValue>,
    /// Counted by the database unless given.
    pub identity: Option<Identity>,
    /// Computed from other columns and stored: an expression of PostgreSQL.
    pub generated: Option<String>,
}

/// A condition on rows, or on values of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckDefinition {
    /// Its name.
    pub name: Ident,
    /// An expression of PostgreSQL.
    pub expression: String,
    /// Rows that were there before it may violate it.
    pub not_valid: bool,
}

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryKey {
    /// Its name.
    pub name: Option<Ident>,
    /// Its columns in order.
    pub columns: Vec<Ident>,
}

/// A unique constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueDefinition {
    /// Its name.
    pub name: Ident,
    /// Its columns in order.
    pub columns: Vec<Ident>,
    /// Two NULLs are equal.
    pub nulls_equal: bool,
    /// May be checked at the end of the transaction.
    pub deferrable: bool,
    /// PostgreSQL's own text, from `UNIQUE` on.
    pub postgres: Option<String>,
}

/// An index that belongs to no constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDefinition {
    /// Its name.
    pub name: Ident,
    /// No two rows are equal in it.
    pub unique: bool,
    /// Two NULLs are equal.
    pub nulls_equal: bool,
    /// The access method: `btree`, `gin`, ….
    pub method: String,
    /// What it is over, in order.
    pub parts: Vec<IndexPart>,
    /// Columns stored along with it.
    pub include: Vec<Ident>,
    /// Only rows of which this expression of PostgreSQL is true.
    pub predicate: Option<String>,
    /// PostgreSQL's own statement, without `IF NOT EXISTS`, for exactly this table.
    pub postgres: Option<String>,
}

/// One part of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPart {
    /// A column, or (`Err`) an expression of PostgreSQL.
    pub over: Result<Ident, String>,
    /// Greatest first.
    pub descending: bool,
    /// NULLs first.
    pub nulls_first: bool,
    /// In the order, and by the operators, that the type has by itself.
    pub usual_order: bool,
}

/// What a foreign key does when its parent row goes or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKeyAction {
    /// Refuses at the end of the statement or transaction.
    NoAction,
    /// Refuses at once.
    Restrict,
    /// Goes or changes along.
    Cascade,
    /// Forgets its parent.
    SetNull,
    /// Takes the default.
    SetDefault,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKeyDefinition {
    /// Its name.
    pub name: Ident,
    /// Its columns.
    pub columns: Vec<Ident>,
    /// The table it points at.
    pub parent: TableId,
    /// The columns there.
    pub parent_columns: Vec<Ident>,
    /// What happens when the parent row is deleted.
    pub on_delete: ForeignKeyAction,
    /// What happens when the parent's key changes.
    pub on_update: ForeignKeyAction,
    /// Of several columns either all are NULL or none.
    pub match_full: bool,
    /// May be checked at the end of the transaction.
    pub deferrable: bool,
    /// PostgreSQL's own text, from `FOREIGN KEY` on, with the parent's schema.
    pub postgres: Option<String>,
}

/// A condition on pairs of rows, which only PostgreSQL has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExclusionDefinition {
    /// Its name.
    pub name: Ident,
    /// PostgreSQL's text, from `EXCLUDE` on.
    pub postgres: String,
}

/// A table to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefinition {
    /// Its name at the target.
    pub id: TableId,
    /// Columns in order.
    pub columns: Vec<ColumnDefinition>,
    /// Its primary key.
    pub primary_key: Option<PrimaryKey>,
    /// Conditions on rows.
    pub checks: Vec<CheckDefinition>,
    /// Unique constraints.
    pub unique: Vec<UniqueDefinition>,
    /// Indexes of no constraint.
    pub indexes: Vec<IndexDefinition>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKeyDefinition>,
    /// Exclusion constraints.
    pub exclusions: Vec<ExclusionDefinition>,
    /// What could not be carried over whatever the target, for the operator.
    pub notes: Vec<String>,
}

impl ColumnType {
    /// The type below all arrays.
    #[must_use]
    pub fn element(&self) -> &Self {
        match self {
            Self::Array(element, _) => element.element(),
            other => other,
        }
    }
}

impl Definitions {
    /// The definition of a user's type.
    #[must_use]
    pub fn user_type(&self, id: &TypeId) -> Option<&TypeDefinition> {
        self.types.iter().find(|definition| definition.id == *id)
    }

    /// These tables alone, with the types that they need.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&TableId) -> bool) -> Self {
        let tables = self.tables.iter().filter(|table| wanted(&table.id)).cloned().collect();
        Self { types: self.types.clone(), tables }
    }

    /// The users' types that the tables need, each after those it is made of.
    #[must_use]
    pub fn types_in_order(&self) -> Vec<&TypeDefinition> {
        let mut ordered = Vec::new();
        let mut seen = Vec::new();
        let columns = self.tables.iter().flat_map(|table| &table.columns);
        for column in columns {
            self.visit(&column.column_type, &mut seen, &mut ordered);
        }
        ordered
    }

    fn visit<'a>(
        &'a self,
        column_type: &ColumnType,
        seen: &mut Vec<TypeId>,
        ordered: &mut Vec<&'a TypeDefinition>,
    ) {
        let ColumnType::User(id) = column_type.element() else { return };
        if seen.contains(id) {
            return;
        }
        seen.push(id.clone());
        let Some(definition) = self.user_type(id) else { return };
        match &definition.kind {
            TypeKind::Enum(_) | TypeKind::Opaque(_) => {}
            TypeKind::Domain(domain) => self.visit(&domain.base, seen, ordered),
            TypeKind::Composite(attributes) => {
                attributes.iter().for_each(|attribute| self.visit(&attribute.column_type, seen, ordered));
            }
            TypeKind::Range { subtype, .. } => self.visit(subtype, seen, ordered),
            TypeKind::Multirange(range) => self.visit(&ColumnType::User(range.clone()), seen, ordered),
        }
        ordered.push(definition);
    }

    /// The types of extensions that the tables need, directly or through other types, each once.
    #[must_use]
    pub fn extension_types(&self) -> Vec<&ExtensionType> {
        let mut found: Vec<&ExtensionType> = Vec::new();
        let columns = self.tables.iter().flat_map(|table| &table.columns).map(|column| &column.column_type);
        let mut all: Vec<&ColumnType> = columns.collect();
        for definition in self.types_in_order() {
            match &definition.kind {
                TypeKind::Enum(_) | TypeKind::Opaque(_) | TypeKind::Multirange(_) => {}
                TypeKind::Domain(domain) => all.push(&domain.base),
                TypeKind::Composite(attributes) => {
                    all.extend(attributes.iter().map(|attribute| &attribute.column_type));
                }
                TypeKind::Range { subtype, .. } => all.push(subtype),
            }
        }
        for column_type in all {
            if let ColumnType::Extension(extension) = column_type.element()
                && !found.iter().any(|known| known.id == extension.id)
            {
                found.push(extension);
            }
        }
        found
    }
}
