//! Types of columns, and those that they are made of.

use super::CatalogError;
use super::fields::Fields;
use super::tables::TableName;
use crate::pgoutput::TypeOid;
use crate::transport::Row;

/// What a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeKind {
    /// A base type, arrays among them.
    Base,
    /// A row of attributes.
    Composite,
    /// Another type with conditions.
    Domain,
    /// A list of labels.
    Enum,
    /// Anything that is no column's type.
    Pseudo,
    /// A range.
    Range,
    /// Several ranges.
    Multirange,
}

/// An attribute of a composite type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its type with modifier, as SQL text.
    pub sql_type: String,
}

/// What a domain adds to another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainFacts {
    /// The type beneath, which may be a domain as well.
    pub base: TypeOid,
    /// The same as SQL text with modifier.
    pub base_sql: String,
    /// Refuses NULL.
    pub not_null: bool,
    /// The expression of its default.
    pub default: Option<String>,
    /// Its conditions by name, as SQL text that may follow `CONSTRAINT name`.
    pub constraints: Vec<(String, String)>,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeFacts {
    /// Its number.
    pub oid: TypeOid,
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: TypeKind,
    /// The catalogue's category: `N` numbers, `S` texts, `A` arrays, `U` of users, …
    pub category: char,
    /// The type of an array's elements.
    pub element: Option<TypeOid>,
    /// The type of a range's bounds.
    pub bound: Option<TypeOid>,
    /// A domain's facts.
    pub domain: Option<DomainFacts>,
    /// An enumeration's labels, in its order.
    pub labels: Vec<String>,
    /// A composite type's attributes, in order.
    pub attributes: Vec<Attribute>,
    /// The extension that brought it.
    pub extension: Option<String>,
}

impl TypeFacts {
    /// Whether every PostgreSQL has it.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.name.schema == "pg_catalog"
    }

    pub(super) fn parse(row: &Row) -> Result<Self, CatalogError> {
        let mut fields = Fields::new("the types", row);
        let oid = TypeOid(fields.parsed()?);
        let name = TableName { schema: fields.string()?, name: fields.string()? };
        let kind = match fields.letter()? {
            'b' => TypeKind::Base,
            'c' => TypeKind::Composite,
            'd' => TypeKind::Domain,
            'e' => TypeKind::Enum,
            'p' => TypeKind::Pseudo,
            'r' => TypeKind::Range,
            'm' => TypeKind::Multirange,
            _ => return Err(fields.malformed("a kind of type that is known")),
        };
        let category = fields.letter()?;
        let (element, bound) = (fields.maybe_parsed()?.map(TypeOid), fields.maybe_parsed()?.map(TypeOid));
        let base = fields.maybe_parsed()?.map(TypeOid);
        let (base_sql, not_null, default) = (fields.maybe_string()?, fields.flag()?, fields.maybe_string()?);
        let domain = match (base, base_sql) {
            (Some(base), Some(base_sql)) => {
                Some(DomainFacts { base, base_sql, not_null, default, constraints: Vec::new() })
            }
            (Some(_) | None, Some(_) | None) => None,
        };
        let extension = fields.maybe_string()?;
        Ok(Self {
            oid,
            name,
            kind,
            category,
            element,
            bound,
            domain,
            labels: Vec::new(),
            attributes: Vec::new(),
            extension,
        })
    }

    /// Takes a row about one part of a type: a label, an attribute or a condition.
    pub(super) fn add_part(&mut self, row: &Row) -> Result<(), CatalogError> {
        let mut fields = Fields::new("the parts of types", row);
        let _type = fields.text()?;
        let (part, name, text) = (fields.letter()?, fields.string()?, fields.maybe_string()?);
        match (part, text) {
            ('l', None) => self.labels.push(name),
            ('a', Some(sql_type)) => self.attributes.push(Attribute { name, sql_type }),
            ('c', Some(condition)) => {
                if let Some(domain) = &mut self.domain {
                    domain.constraints.push((name, condition));
                }
            }
            (_, Some(_) | None) => return Err(fields.malformed("a part of a type that is known")),
        }
        Ok(())
    }
}
