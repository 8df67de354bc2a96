//! Types made by users, and how columns refer to them.

use std::collections::BTreeMap;

use sink_core::model::definition::{
    Attribute, CheckDefinition, DefaultValue, Domain, ExtensionType, TypeDefinition, TypeKind,
};
use sink_core::model::{ColumnType, Definitions, Ident, SchemaId, TypeId};

use super::{WantedTable, defaults, tables, types};
use crate::catalog::CatalogError;
use crate::catalog::definitions::DefinitionRows;
use crate::catalog::fields::Fields;

/// Definitions from the answers.
pub(super) fn definitions(
    rows: &DefinitionRows,
    database: &Ident,
    wanted: &[WantedTable],
) -> Result<Definitions, CatalogError> {
    let types = Types::read(rows, database)?;
    Ok(Definitions { types: types.made(rows)?, tables: tables::read(rows, &types, wanted)? })
}

/// A name from the catalogue, which has no empty ones.
pub(super) fn ident(fields: &mut Fields<'_>) -> Result<Ident, CatalogError> {
    Ident::new(fields.text()?).map_err(|_| fields.malformed("a name"))
}

/// A schema of the target from the name of one of the source.
pub(super) fn schema(fields: &mut Fields<'_>, database: &Ident) -> Result<SchemaId, CatalogError> {
    Ok(SchemaId { database: database.clone(), schema: ident(fields)? })
}

/// A type of the catalogue.
struct Facts {
    id: TypeId,
    kind: char,
    element: Option<u32>,
    extension: Option<Ident>,
    base: Option<(u32, String, u32)>,
    not_null: bool,
    default: Option<String>,
    default_uses: Option<String>,
    collation: Option<String>,
    collation_usual: bool,
    subtype: Option<(u32, String)>,
    multirange: Option<Ident>,
    plain_range: bool,
    range: Option<u32>,
    row_of_table: bool,
}

/// All types that the tables use.
pub(super) struct Types {
    pub(super) database: Ident,
    by_oid: BTreeMap<u32, Facts>,
}

impl Types {
    fn read(rows: &DefinitionRows, database: &Ident) -> Result<Self, CatalogError> {
        let mut by_oid = BTreeMap::new();
        for row in &rows.types {
            let mut fields = Fields::new("the types to be made", row);
            let oid = fields.parsed()?;
            by_oid.insert(oid, Facts::read(&mut fields, database)?);
        }
        Ok(Self { database: database.clone(), by_oid })
    }

    /// A type by its number and its text.
    pub(super) fn column_type(&self, oid: u32, text: &str, dimensions: u32) -> ColumnType {
        let Some(facts) = self.by_oid.get(&oid) else { return ColumnType::Builtin(text.to_owned()) };
        if let Some(element) = facts.element {
            let element = self.column_type(element, types::element_text(text), 0);
            return ColumnType::Array(Box::new(element), dimensions.max(1));
        }
        if facts.id.schema.schema.as_str() == "pg_catalog" {
            return types::builtin(text);
        }
        match &facts.extension {
            Some(extension) => ColumnType::Extension(Box::new(ExtensionType {
                extension: extension.clone(),
                id: facts.id.clone(),
                modifier: types::modifier(text),
            })),
            None => ColumnType::User(facts.id.clone()),
        }
    }

    /// Whether it is a plain integer, as a counted column must be.
    pub(super) fn is_integer(column_type: &ColumnType) -> bool {
        matches!(column_type, ColumnType::Integer(_))
    }

    /// Those that users made.
    fn made(&self, rows: &DefinitionRows) -> Result<Vec<TypeDefinition>, CatalogError> {
        let labels = self.labels(rows)?;
        let attributes = self.attributes(rows)?;
        let mut checks = domain_checks(rows)?;
        let mut made = Vec::new();
        for (oid, facts) in &self.by_oid {
            let built_in = facts.id.schema.schema.as_str() == "pg_catalog";
            if built_in || facts.extension.is_some() || facts.element.is_some() {
                continue;
            }
            let mut notes = Vec::new();
            let kind = match facts.kind {
                'e' => TypeKind::Enum(labels.get(oid).cloned().unwrap_or_default()),
                'c' if facts.row_of_table => TypeKind::Opaque(format!("{} is the row of a table", facts.id)),
                'c' => TypeKind::Composite(attributes.get(oid).cloned().unwrap_or_default()),
                'd' => self.domain(facts, checks.remove(oid).unwrap_or_default(), &mut notes),
                'r' => self.range(facts),
                'm' => match facts.range.and_then(|range| self.by_oid.get(&range)) {
                    Some(range) => TypeKind::Multirange(range.id.clone()),
                    None => TypeKind::Opaque(format!("the range of {} is not known", facts.id)),
                },
                _ => TypeKind::Opaque(format!("{} is a base type of its own", facts.id)),
            };
            made.push(TypeDefinition { id: facts.id.clone(), kind, notes });
        }
        Ok(made)
    }

    fn labels(&self, rows: &DefinitionRows) -> Result<BTreeMap<u32, Vec<String>>, CatalogError> {
        let mut labels: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for row in &rows.labels {
            let mut fields = Fields::new("the labels of types", row);
            labels.entry(fields.parsed()?).or_default().push(fields.string()?);
        }
        Ok(labels)
    }

    fn attributes(&self, rows: &DefinitionRows) -> Result<BTreeMap<u32, Vec<Attribute>>, CatalogError> {
        let mut attributes: BTreeMap<u32, Vec<Attribute>> = BTreeMap::new();
        for row in &rows.attributes {
            let mut fields = Fields::new("the attributes of types", row);
            let owner = fields.parsed()?;
            let name = ident(&mut fields)?;
            let (oid, text, dimensions) = (fields.parsed()?, fields.text()?, fields.parsed()?);
            let column_type = self.column_type(oid, text, dimensions);
            let (collation, usual) = (fields.maybe_string()?, fields.flag()?);
            let attribute = Attribute { name, column_type, collation: collation.filter(|_| usual) };
            attributes.entry(owner).or_default().push(attribute);
        }
        Ok(attributes)
    }

    fn domain(&self, facts: &Facts, checks: Vec<Check>, notes: &mut Vec<String>) -> TypeKind {
        let Some((oid, text, dimensions)) = &facts.base else {
            return TypeKind::Opaque(format!("the base of {} is not known", facts.id));
        };
        let checks = kept(checks, notes, |check| {
            check.definition.not_valid.then(|| "values of the source may violate it".to_owned())
        });
        let default = default(facts.default.as_deref(), facts.default_uses.as_deref(), notes);
        TypeKind::Domain(Box::new(Domain {
            base: self.column_type(*oid, text, *dimensions),
            collation: usual_collation(facts.collation.as_deref(), facts.collation_usual, notes),
            not_null: facts.not_null,
            default,
            checks,
        }))
    }

    fn range(&self, facts: &Facts) -> TypeKind {
        match &facts.subtype {
            Some((oid, text)) if facts.plain_range => TypeKind::Range {
                subtype: self.column_type(*oid, text, 0),
                multirange: facts.multirange.clone(),
            },
            Some(_) | None => TypeKind::Opaque(format!(
                "range type {} has functions, an operator class or a collation of its own",
                facts.id
            )),
        }
    }
}

impl Facts {
    fn read(fields: &mut Fields<'_>, database: &Ident) -> Result<Self, CatalogError> {
        let id = TypeId { schema: schema(fields, database)?, name: ident(fields)? };
        let (kind, element) = (fields.letter()?, fields.maybe_parsed()?);
        let extension = maybe_ident(fields)?;
        let base = (fields.maybe_parsed()?, fields.maybe_string()?, fields.parsed()?);
        let (not_null, default, default_uses) =
            (fields.flag()?, fields.maybe_string()?, fields.maybe_string()?);
        let (collation, collation_usual) = (fields.maybe_string()?, fields.flag()?);
        let subtype = (fields.maybe_parsed()?, fields.maybe_string()?);
        let multirange = maybe_ident(fields)?;
        let plain_range = fields.maybe_text()? == Some("t");
        Ok(Self {
            id,
            kind,
            element,
            extension,
            base: base.0.zip(base.1).map(|(oid, text)| (oid, text, base.2)),
            not_null,
            default,
            default_uses,
            collation,
            collation_usual,
            subtype: subtype.0.zip(subtype.1),
            multirange,
            plain_range,
            range: fields.maybe_parsed()?,
            row_of_table: fields.flag()?,
        })
    }
}

fn maybe_ident(fields: &mut Fields<'_>) -> Result<Option<Ident>, CatalogError> {
    fields.maybe_text()?.map(|text| Ident::new(text).map_err(|_| fields.malformed("a name"))).transpose()
}

/// A check, and what it uses that not every server has.
pub(super) struct Check {
    pub(super) definition: CheckDefinition,
    pub(super) uses: Option<String>,
}

/// Reads a row about a check: table or 0, domain or 0, and the check.
pub(super) fn check(fields: &mut Fields<'_>) -> Result<(u32, u32, Check), CatalogError> {
    let (table, domain) = (fields.parsed()?, fields.parsed()?);
    let (name, expression, validated) = (ident(fields)?, fields.string()?, fields.flag()?);
    let definition = CheckDefinition { name, expression, not_valid: !validated };
    Ok((table, domain, Check { definition, uses: fields.maybe_string()? }))
}

fn domain_checks(rows: &DefinitionRows) -> Result<BTreeMap<u32, Vec<Check>>, CatalogError> {
    let mut checks: BTreeMap<u32, Vec<Check>> = BTreeMap::new();
    for row in &rows.checks {
        let (_, domain, check) = check(&mut Fields::new("the checks", row))?;
        checks.entry(domain).or_default().push(check);
    }
    Ok(checks)
}

/// The checks that can be made elsewhere; the others become notes.
pub(super) fn kept(
    checks: Vec<Check>,
    notes: &mut Vec<String>,
    refused: impl Fn(&Check) -> Option<String>,
) -> Vec<CheckDefinition> {
    let mut kept = Vec::new();
    for check in checks {
        let why = check.uses.as_ref().map(|uses| format!("it uses {uses}")).or_else(|| refused(&check));
        match why {
            Some(why) => notes.push(format!("check {:?} is left out: {why}", check.definition.name.as_str())),
            None => kept.push(check.definition),
        }
    }
    kept
}

/// A default that can be made elsewhere; otherwise there is a note.
pub(super) fn default(
    expression: Option<&str>,
    uses: Option<&str>,
    notes: &mut Vec<String>,
) -> Option<DefaultValue> {
    let expression = expression?;
    if let Some(uses) = uses {
        notes.push(format!("its default is left out, for it uses {uses}: {expression}"));
        return None;
    }
    Some(DefaultValue { portable: defaults::portable(expression), postgres: Some(expression.to_owned()) })
}

/// A collation that every server has; otherwise there is a note.
pub(super) fn usual_collation(
    collation: Option<&str>,
    usual: bool,
    notes: &mut Vec<String>,
) -> Option<String> {
    let collation = collation?;
    if !usual {
        notes.push(format!(
            "collation {collation} is left out: not every server has it, or it does not tell all texts apart"
        ));
        return None;
    }
    Some(collation.to_owned())
}
