//! Statements that make tables: one of every type, and tables with everything that a table can have.

use sink_core::model::definition::{
    Attribute, CheckDefinition, ColumnDefinition, DefaultValue, Domain, ExclusionDefinition,
    ForeignKeyAction, ForeignKeyDefinition, Identity, IndexDefinition, IndexPart, PortableDefault,
    PrimaryKey, TableDefinition, TypeDefinition, TypeKind, UniqueDefinition,
};
use sink_core::model::{ColumnType, Definitions, Ident, SchemaId, TableId, TypeId};
use sink_core::target::dialect::{Product, StagingArea, definitions};

use super::Case;

/// The cases of a product.
pub(super) fn cases(product: Product, database: &str, area: &StagingArea) -> Vec<Case> {
    let made = Made { database };
    let wanted = made.definitions();
    let plan = definitions::plan(product, &wanted, &|_| false);
    let case = |name: &str, statements| Case { name: name.into(), statements };
    vec![
        case("create-tables", vec![plan.to_string()]),
        case("created-tables", vec![definitions::registry_ddl(area)]),
        case("created-begin", vec![definitions::registry_begin(area)]),
        case("created-unfinished", vec![definitions::registry_unfinished(area)]),
        case("created-finish", vec![definitions::registry_finish(area)]),
    ]
}

/// Builds definitions in schema `made` of a database.
struct Made<'a> {
    database: &'a str,
}

fn ident(name: &str) -> Ident {
    Ident::new(name).expect("example names are identifiers")
}

fn idents(names: &[&str]) -> Vec<Ident> {
    names.iter().map(|name| ident(name)).collect()
}

fn column(name: &str, column_type: ColumnType) -> ColumnDefinition {
    ColumnDefinition {
        name: ident(name),
        column_type,
        collation: None,
        nullable: true,
        default: None,
        identity: None,
        generated: None,
    }
}

fn required(name: &str, column_type: ColumnType) -> ColumnDefinition {
    ColumnDefinition { nullable: false, ..column(name, column_type) }
}

fn defaulting(column: ColumnDefinition, portable: PortableDefault) -> ColumnDefinition {
    let default = Some(DefaultValue { portable: Some(portable), postgres: None });
    ColumnDefinition { default, ..column }
}

fn check(name: &str, expression: &str) -> CheckDefinition {
    CheckDefinition { name: ident(name), expression: expression.into(), not_valid: false }
}

fn part(name: &str, descending: bool) -> IndexPart {
    IndexPart { over: Ok(ident(name)), descending, nulls_first: descending, usual_order: true }
}

fn index(name: &str, method: &str, parts: Vec<IndexPart>) -> IndexDefinition {
    IndexDefinition {
        name: ident(name),
        unique: false,
        nulls_equal: false,
        method: method.into(),
        parts,
        include: Vec::new(),
        predicate: None,
        postgres: None,
    }
}

fn array(element: ColumnType, dimensions: u32) -> ColumnType {
    ColumnType::Array(Box::new(element), dimensions)
}

impl Made<'_> {
    fn schema(&self) -> SchemaId {
        SchemaId { database: ident(self.database), schema: ident("made") }
    }

    fn table(&self, name: &str, columns: Vec<ColumnDefinition>) -> TableDefinition {
        TableDefinition {
            id: TableId { schema: self.schema(), table: ident(name) },
            columns,
            primary_key: Some(PrimaryKey { name: None, columns: idents(&["id"]) }),
            checks: Vec::new(),
            unique: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            exclusions: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn user(&self, name: &str) -> ColumnType {
        ColumnType::User(self.type_id(name))
    }

    fn type_id(&self, name: &str) -> TypeId {
        TypeId { schema: self.schema(), name: ident(name) }
    }

    fn definitions(&self) -> Definitions {
        Definitions { types: self.types(), tables: vec![self.parents(), self.children(), self.all_types()] }
    }

    fn types(&self) -> Vec<TypeDefinition> {
        let made = |name: &str, kind| TypeDefinition { id: self.type_id(name), kind, notes: Vec::new() };
        let attribute =
            |name: &str, column_type| Attribute { name: ident(name), column_type, collation: None };
        let domain = Domain {
            base: ColumnType::Integer(32),
            collation: None,
            not_null: true,
            default: Some(DefaultValue {
                portable: Some(PortableDefault::Number("7".into())),
                postgres: None,
            }),
            checks: vec![check("positive", "(VALUE > 0)"), check("odd", "((VALUE % 2) = 1)")],
        };
        vec![
            // Before the types that it is made of.
            made(
                "pair",
                TypeKind::Composite(vec![
                    attribute("a", self.user("posint")),
                    attribute("m", array(self.user("mo\"od"), 1)),
                ]),
            ),
            made("mo\"od", TypeKind::Enum(vec!["sad".into(), "it's \\ ok".into()])),
            made("posint", TypeKind::Domain(Box::new(domain))),
            made("spans", TypeKind::Multirange(self.type_id("span"))),
            made(
                "span",
                TypeKind::Range { subtype: ColumnType::Decimal(None), multirange: Some(ident("spans")) },
            ),
            made("unused", TypeKind::Enum(Vec::new())),
        ]
    }

    fn parents(&self) -> TableDefinition {
        let identity =
            Identity { start: 5, increment: 2, note: "carry on after the last value of sequence s".into() };
        let mut table = self.table(
            "par ents",
            vec![
                ColumnDefinition { identity: Some(identity), ..required("id", ColumnType::Integer(64)) },
                required("Name", ColumnType::Varchar(Some(20))),
                ColumnDefinition { collation: Some("\"C\"".into()), ..column("note", ColumnType::Text) },
                column("price", ColumnType::Decimal(Some((10, 2)))),
                ColumnDefinition {
                    generated: Some("(price * (2)::numeric)".into()),
                    ..column("double", ColumnType::Decimal(None))
                },
                ColumnDefinition {
                    generated: Some("(price / (2)::numeric)".into()),
                    ..column("half", ColumnType::Decimal(None))
                },
                column("tags", array(ColumnType::Text, 1)),
                column("during", ColumnType::Builtin("tstzrange".into())),
            ],
        );
        table.notes.push("a note\nof two lines; DROP TABLE t".into());
        table.checks = vec![
            check("cheap", "(price < (1000)::numeric)"),
            check("shape", "((note)::text ~ '^a'::text)"),
            CheckDefinition { not_valid: true, ..check("later", "(price > (0)::numeric)") },
        ];
        table.unique = vec![
            UniqueDefinition {
                name: ident("one name"),
                columns: idents(&["Name", "note"]),
                nulls_equal: false,
                deferrable: true,
                postgres: None,
            },
            UniqueDefinition {
                name: ident("nulls"),
                columns: idents(&["note"]),
                nulls_equal: true,
                deferrable: false,
                postgres: None,
            },
        ];
        let over = |expression: &str| IndexPart { over: Err(expression.into()), ..part("x", false) };
        table.indexes = vec![
            IndexDefinition {
                unique: true,
                include: idents(&["note"]),
                predicate: Some("(price > (1)::numeric)".into()),
                ..index("by price", "btree", vec![part("price", true), part("id", false)])
            },
            index("by_lower", "btree", vec![over("lower(note)")]),
            index("by_tags", "gin", vec![part("tags", false)]),
            index("by_during", "gist", vec![part("during", false)]),
        ];
        table.exclusions = vec![ExclusionDefinition {
            name: ident("apart"),
            postgres: "EXCLUDE USING gist (during WITH &&)".into(),
        }];
        table
    }

    fn children(&self) -> TableDefinition {
        let mut table = self.table(
            "children",
            vec![
                required("id", ColumnType::Uuid),
                column("parent", ColumnType::Integer(64)),
                column("absent", ColumnType::Integer(64)),
            ],
        );
        table.columns[0].default =
            Some(DefaultValue { portable: Some(PortableDefault::RandomUuid), postgres: None });
        let key = |name: &str, column: &str, parent: &str, on_delete| ForeignKeyDefinition {
            name: ident(name),
            columns: idents(&[column]),
            parent: TableId { schema: self.schema(), table: ident(parent) },
            parent_columns: idents(&["id"]),
            on_delete,
            on_update: ForeignKeyAction::NoAction,
            match_full: false,
            deferrable: on_delete == ForeignKeyAction::Cascade,
            postgres: None,
        };
        table.foreign_keys = vec![
            key("to parent", "parent", "par ents", ForeignKeyAction::Cascade),
            key("to nothing", "absent", "not there", ForeignKeyAction::Restrict),
        ];
        table
    }

    /// A column of every type, and every default.
    fn all_types(&self) -> TableDefinition {
        let builtin = |name: &str| ColumnType::Builtin(name.into());
        let types = [
            ColumnType::Integer(16),
            ColumnType::Integer(32),
            ColumnType::Float(32),
            ColumnType::Float(64),
            ColumnType::Decimal(Some((3, -2))),
            ColumnType::Money,
            ColumnType::Char(5),
            ColumnType::Varchar(None),
            ColumnType::Bytes,
            ColumnType::Time(Some(3), false),
            ColumnType::Time(None, true),
            ColumnType::Timestamp(None, false),
            ColumnType::Timestamp(Some(0), true),
            ColumnType::Interval(" day to second(3)".into()),
            ColumnType::Inet,
            ColumnType::Json(false),
            ColumnType::Json(true),
            ColumnType::Bit(3),
            ColumnType::Varbit(None),
            ColumnType::TextSearch(false),
            ColumnType::TextSearch(true),
            builtin("\"char\""),
            builtin("name"),
            builtin("oid"),
            builtin("xml"),
            builtin("int4multirange"),
            array(ColumnType::Decimal(Some((5, 1))), 1),
            array(ColumnType::Integer(32), 2),
            array(ColumnType::Json(true), 1),
            self.user("mo\"od"),
            array(self.user("mo\"od"), 1),
            self.user("posint"),
            array(self.user("posint"), 1),
            self.user("pair"),
            self.user("span"),
            self.user("spans"),
        ];
        let mut columns = vec![required("id", ColumnType::Integer(64))];
        columns.extend(types.into_iter().enumerate().map(|(at, t)| column(&format!("c{at}"), t)));
        let defaults = [
            ("d_null", self.user("posint"), PortableDefault::Null),
            ("d_text", ColumnType::Text, PortableDefault::Text("it's \\ here".into())),
            ("d_number", ColumnType::Decimal(None), PortableDefault::Number("-1.50".into())),
            ("d_bool", ColumnType::Bool, PortableDefault::Bool(true)),
            ("d_now", ColumnType::Timestamp(None, true), PortableDefault::Now),
            ("d_today", ColumnType::Date, PortableDefault::Today),
        ];
        columns.extend(defaults.map(|(name, t, default)| defaulting(column(name, t), default)));
        let odd = DefaultValue { portable: None, postgres: Some("(now() + '1 day'::interval)".into()) };
        let day = column("d_expression", ColumnType::Timestamp(None, true));
        columns.push(ColumnDefinition { default: Some(odd), ..day });
        self.table("types", columns)
    }
}
