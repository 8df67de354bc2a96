//! Every shape of statement that the engine writes, as a list: the unit tests hold their SQL against files, the
//! scenarios prepare them on a real server with the tables of [`DDL`].

mod changes;
mod definitions;

use std::sync::Arc;

use sink_core::apply::plan::{Fold, TablePlan};
use sink_core::model::{
    Behaviours, ColumnRule, ColumnSchema, Deadline, Expression, Ident, SchemaId, Shape, TableId, TableRules,
    TableSchema, UniqueKey, ValueClass,
};
use sink_core::staging::names;
use sink_core::target::dialect::{
    Dialect, Product, Rows, SliceOptions, StagingArea, Writes, dialect, positions,
};

/// The example tables on PostgreSQL, in schema `golden`.
pub const DDL: &[&str] = &[
    "CREATE SCHEMA golden",
    "CREATE TABLE golden.parents (id int8 PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE golden.children (id int8 PRIMARY KEY, parent_id int8 NOT NULL REFERENCES golden.parents, \
     price numeric(10,2))",
    "CREATE TABLE golden.prices (at timestamptz, amount numeric(10,2), note text, PRIMARY KEY (at, amount))",
    "CREATE TABLE golden.wide (id uuid PRIMARY KEY, doc jsonb, raw json, at timestamp, tags text[], bits bit(5), \
     data bytea)",
    "CREATE TABLE golden.tags (a int8, b text, PRIMARY KEY (a, b))",
    "CREATE TABLE golden.numbered (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
     seq int8 GENERATED ALWAYS AS IDENTITY, v int4, twice int4 GENERATED ALWAYS AS (v * 2) STORED)",
    "CREATE TABLE golden.deferred (id int8 PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text)",
    "CREATE TABLE golden.\"od\"\"d; --\" (\"I d\" int8 PRIMARY KEY, \"v'\\\" text)",
    "CREATE TABLE golden.products (id int8 PRIMARY KEY, sku varchar(128) NOT NULL UNIQUE, shelf int4 UNIQUE)",
    "CREATE TABLE golden.seats (id int8 PRIMARY KEY, number int4 NOT NULL UNIQUE)",
    "CREATE TABLE golden.versioned (id int8 PRIMARY KEY, major int8, minor numeric(10,2), at timestamptz, name text UNIQUE, \
     overflow jsonb)",
];

/// A statement shape by name, with its statements in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// File name without ending.
    pub name: String,
    /// The statements.
    pub statements: Vec<String>,
}

/// The schema of the example tables, in this database.
///
/// # Panics
/// If the name is no identifier.
#[must_use]
pub fn schema(database: &str) -> SchemaId {
    let ident = |name| Ident::new(name).expect("example names are identifiers");
    SchemaId { database: ident(database), schema: ident("golden") }
}

fn column(name: &str, sql_type: &str, class: ValueClass, nullable: bool) -> ColumnSchema {
    let text_equality = matches!(sql_type, "bigint" | "integer" | "uuid" | "bytea" | "text")
        || sql_type.starts_with("character varying");
    let name = Ident::new(name).expect("example names are identifiers");
    let sql_type = sql_type.to_owned();
    ColumnSchema {
        name,
        sql_type,
        class,
        text_equality,
        collation: None,
        generated: false,
        nullable,
        update_has_effects: false,
        identity_always: false,
    }
}

fn table(database: &str, name: &str, keys: usize, columns: Vec<ColumnSchema>) -> TableSchema {
    TableSchema {
        id: TableId {
            schema: schema(database),
            table: Ident::new(name).expect("example names are identifiers"),
        },
        columns,
        primary_key: (0..keys).collect(),
        key_deferrable: false,
        unique_keys: Vec::new(),
        references: Vec::new(),
        delete_has_effects: false,
        behaviours: Behaviours::Plain,
    }
}

/// The example tables as the catalogue of a database shows them.
#[must_use]
pub fn tables(database: &str) -> Vec<TableSchema> {
    let int8 = |name, nullable| column(name, "bigint", ValueClass::Integer(64), nullable);
    let int4 = |name, nullable| column(name, "integer", ValueClass::Integer(32), nullable);
    let text = |name, nullable| column(name, "text", ValueClass::Text, nullable);
    let numeric = |name, nullable| column(name, "numeric(10,2)", ValueClass::Numeric, nullable);
    let timestamp = ValueClass::Timestamp;
    let parents = table(database, "parents", 1, vec![int8("id", false), text("name", false)]);
    let mut children = table(
        database,
        "children",
        1,
        vec![int8("id", false), int8("parent_id", false), numeric("price", true)],
    );
    children.references = vec![parents.id.clone()];
    let at = column("at", "timestamp with time zone", timestamp, false);
    let prices = table(database, "prices", 2, vec![at, numeric("amount", false), text("note", true)]);
    let wide = vec![
        column("id", "uuid", ValueClass::Scalar, false),
        column("doc", "jsonb", ValueClass::Json { binary: true }, true),
        column("raw", "json", ValueClass::Json { binary: false }, true),
        column("at", "timestamp without time zone", timestamp, true),
        column("tags", "text[]", ValueClass::Array, true),
        column("bits", "bit(5)", ValueClass::Scalar, true),
        column("data", "bytea", ValueClass::Bytes, true),
    ];
    let tags = table(database, "tags", 2, vec![int8("a", false), text("b", false)]);
    let mut numbered = table(
        database,
        "numbered",
        1,
        vec![int8("id", false), int8("seq", false), int4("v", true), int4("twice", true)],
    );
    numbered.columns[0].identity_always = true;
    numbered.columns[1].identity_always = true;
    numbered.columns[3].generated = true;
    let mut deferred = table(database, "deferred", 1, vec![int8("id", false), text("v", true)]);
    deferred.key_deferrable = true;
    let odd = table(database, "od\"d; --", 1, vec![int8("I d", false), text("v'\\", true)]);
    let sku = column("sku", "character varying(128)", ValueClass::Text, false);
    let mut products = table(database, "products", 1, vec![int8("id", false), sku, int4("shelf", true)]);
    let unique = |name: &str, at| UniqueKey {
        name: name.into(),
        columns: vec![at],
        nulls_equal: false,
        deferrable: false,
    };
    products.unique_keys = vec![unique("products_shelf_key", 2), unique("products_sku_key", 1)];
    let mut seats = table(database, "seats", 1, vec![int8("id", false), int4("number", false)]);
    seats.unique_keys = vec![unique("seats_number_key", 1)];
    vec![
        parents,
        children,
        prices,
        table(database, "wide", 1, wide),
        tags,
        numbered,
        deferred,
        odd,
        products,
        seats,
        versioned(database),
    ]
}

/// A table with every behaviour.
fn versioned(database: &str) -> TableSchema {
    let columns = vec![
        column("id", "bigint", ValueClass::Integer(64), false),
        column("major", "bigint", ValueClass::Integer(64), true),
        column("minor", "numeric(10,2)", ValueClass::Numeric, true),
        column("at", "timestamp with time zone", ValueClass::Timestamp, true),
        column("name", "text", ValueClass::Text, true),
        column("overflow", "jsonb", ValueClass::Json { binary: true }, true),
    ];
    let mut rules = TableRules {
        columns: vec![ColumnRule::default(); columns.len()],
        cas: vec![1, 2],
        deadlines: vec![Deadline { column: 3, interval: "00:01:00".into() }],
        extras: Some(5),
        ignored: vec!["unwanted".into()],
    };
    rules.columns[4].source = Some("title".into());
    rules.columns[4].expression = Expression::parse("upper($0) || '$0'").ok();
    let mut versioned = table(database, "versioned", 1, columns);
    versioned.unique_keys = vec![UniqueKey {
        name: "versioned_name_key".into(),
        columns: vec![4],
        nulls_equal: false,
        deferrable: false,
    }];
    versioned.behaviours = Behaviours::Configured(Arc::new(rules));
    versioned
}

/// Makes plans for the example tables.
struct Examples {
    tables: Vec<Arc<TableSchema>>,
    dialect: &'static dyn Dialect,
    area: StagingArea,
}

impl Examples {
    /// A plan for the table, for rows with all its columns, or with these.
    fn plan(&self, name: &str, shapes: &[&[&str]]) -> TablePlan {
        let table = self.tables.iter().find(|t| t.id.table.as_str() == name).expect("the example exists");
        let all: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        let shapes: Vec<Arc<Shape>> = shapes
            .iter()
            .map(|members| if members.is_empty() { &all[..] } else { members })
            .map(|members| Arc::new(Shape::new(members.iter().map(|m| (*m).to_owned()).collect())))
            .collect();
        let (staging, guard) = (names::staging_table(&table.id), names::guard_table(&table.id));
        TablePlan::new(Arc::clone(table), staging, guard, &shapes).expect("the shapes fit")
    }

    fn slice(&self, name: &str, plans: &[TablePlan], options: SliceOptions) -> Case {
        let statements = self.dialect.slice(&self.area, plans, options);
        Case { name: name.into(), statements: statements.into_iter().map(|s| s.sql).collect() }
    }
}

/// Options of a slice of staged rows.
fn staged(fence: bool, guard: bool, writes: Writes) -> SliceOptions {
    SliceOptions { fence, guard, writes, rows: Rows::Staged }
}

/// Every statement shape of a product.
///
/// # Panics
/// If an example does not fit itself.
#[must_use]
pub fn cases(product: Product, database: &str) -> Vec<Case> {
    let area = StagingArea::new(product, Ident::new("_cdc_sink").expect("an identifier"));
    let tables = tables(database).into_iter().map(Arc::new).collect();
    let examples = Examples { tables, dialect: dialect(product), area };
    let mut cases = slices(&examples);
    cases.extend(unique_and_guard(&examples));
    cases.extend(handed_over(&examples));
    cases.extend(behaviours(&examples));
    cases.extend(staging(&examples));
    cases.extend(definitions::cases(product, database, &examples.area));
    if product == Product::PostgreSql {
        cases.extend(changes::cases(&examples));
    }
    cases
}

fn slices(examples: &Examples) -> Vec<Case> {
    let whole: &[&[&str]] = &[&[]];
    let all = staged(true, false, Writes::All);
    let family = [examples.plan("parents", whole), examples.plan("children", whole)];
    let mut folded = examples.plan("parents", whole);
    folded.fold = Fold::Value;
    let partial: &[&[&str]] = &[&["id", "doc"]];
    vec![
        examples.slice("slice-two-tables", &family, all),
        examples.slice("slice-fold-by-value", &[examples.plan("prices", whole)], all),
        examples.slice("slice-fold-by-value-forced", &[folded], all),
        examples.slice("slice-types", &[examples.plan("wide", whole)], all),
        examples.slice("slice-partial-row", &[examples.plan("wide", partial)], all),
        examples.slice("slice-two-shapes", &[examples.plan("wide", &[&[], &["id", "at", "tags"]])], all),
        examples.slice("slice-deletions-only", &[examples.plan("parents", &[])], all),
        examples.slice("slice-key-is-all", &[examples.plan("tags", whole)], all),
        examples.slice("slice-identity-and-computed", &[examples.plan("numbered", whole)], all),
        examples.slice("slice-deferrable-key", &[examples.plan("deferred", whole)], all),
        examples.slice("slice-odd-names", &[examples.plan("od\"d; --", whole)], all),
        examples.slice("slice-other-case", &[examples.plan("parents", &[&["ID", "Name"]])], all),
        examples.slice("slice-nothing", &[], all),
    ]
}

fn unique_and_guard(examples: &Examples) -> Vec<Case> {
    let whole: &[&[&str]] = &[&[]];
    let unique = [examples.plan("products", whole), examples.plan("seats", whole)];
    let some = SliceOptions { fence: false, guard: false, writes: Writes::All, rows: Rows::StagedKeys };
    vec![
        examples.slice(
            "frontier-only",
            &[examples.plan("parents", whole)],
            staged(true, true, Writes::FrontierOnly),
        ),
        examples.slice("slice-guarded", &[examples.plan("parents", whole)], staged(false, true, Writes::All)),
        examples.slice("slice-clear", &unique, staged(true, false, Writes::Clear)),
        examples.slice("slice-after-clear", &unique, staged(false, false, Writes::Upserts)),
        examples.slice("slice-some-keys", &unique, some),
    ]
}

fn handed_over(examples: &Examples) -> Vec<Case> {
    let whole: &[&[&str]] = &[&[]];
    let rows = |guard| SliceOptions { fence: true, guard, writes: Writes::All, rows: Rows::Upserts };
    let family = [examples.plan("parents", whole), examples.plan("children", whole)];
    let prices = [examples.plan("prices", whole)];
    let news = SliceOptions { writes: Writes::FrontierOnly, rows: Rows::Input, ..rows(true) };
    let after_news = |writes| SliceOptions { fence: false, guard: false, writes, rows: Rows::Input };
    vec![
        examples.slice("rows-guarded", &family, rows(true)),
        examples.slice("rows-unguarded", &family, rows(false)),
        examples.slice("rows-news-only", &family, news),
        examples.slice("rows-clear", &[examples.plan("products", whole)], after_news(Writes::Clear)),
        examples.slice("rows-after-clear", &[examples.plan("products", whole)], after_news(Writes::Upserts)),
        examples.slice("rows-with-deletions", &family, after_news(Writes::All)),
        examples.slice("rows-two-shapes", &[examples.plan("parents", &[&[], &["id"]])], rows(true)),
        examples.slice("rows-arrays", &[examples.plan("wide", &[&["id", "doc", "at", "data"]])], rows(true)),
        examples.slice("rows-json", &[examples.plan("wide", whole)], rows(true)),
        examples.slice("rows-fold-by-value", &prices, rows(true)),
        examples.slice("rows-partial", &[examples.plan("wide", &[&["id", "doc"]])], rows(true)),
    ]
}

fn behaviours(examples: &Examples) -> Vec<Case> {
    let row: &[&str] = &["id", "major", "minor", "at", "title", "unwanted"];
    let open = Shape::open(row.iter().map(|member| (*member).to_owned()).collect());
    let changed = |change: &dyn Fn(&mut TableRules), shapes: &[&[&str]]| {
        let mut plan = examples.plan("versioned", &[row]);
        let mut table = TableSchema::clone(&plan.table);
        if let Behaviours::Configured(rules) = &mut table.behaviours {
            change(Arc::make_mut(rules));
        }
        let shapes: Vec<Arc<Shape>> = if shapes.is_empty() {
            vec![Arc::new(open.clone())]
        } else {
            let members = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            shapes.iter().map(|names| Arc::new(Shape::new(members(names)))).collect()
        };
        plan = TablePlan::new(Arc::new(table), plan.staging_table, plan.guard_table, &shapes)
            .expect("the shapes fit");
        [plan]
    };
    let all = changed(&|_| {}, &[]);
    let only_cas = |rules: &mut TableRules| rules.deadlines.clear();
    let only_deadline = |rules: &mut TableRules| rules.cas.clear();
    let by_key = |rules: &mut TableRules| {
        rules.cas.clear();
        rules.deadlines.clear();
        rules.columns[0].expression = Expression::parse("2 * $0").ok();
        rules.columns[3].expression = Expression::parse("now()").ok();
        rules.columns[2].ignored = true;
    };
    let spelled: &[&[&str]] = &[row, &["ID", "MAJOR", "MINOR", "AT"]];
    let input = |writes| SliceOptions { fence: false, guard: false, writes, rows: Rows::Input };
    vec![
        examples.slice("behaviours-all", &all, staged(true, false, Writes::All)),
        examples.slice("behaviours-clear", &all, staged(false, false, Writes::Clear)),
        examples.slice("behaviours-after-clear", &all, staged(false, false, Writes::Upserts)),
        examples.slice(
            "behaviours-two-spellings",
            &changed(&only_cas, spelled),
            staged(true, true, Writes::All),
        ),
        examples.slice(
            "behaviours-deadline",
            &changed(&only_deadline, &[]),
            staged(true, false, Writes::All),
        ),
        examples.slice("behaviours-key", &changed(&by_key, &[]), staged(true, false, Writes::All)),
        examples.slice(
            "behaviours-rows",
            &all,
            SliceOptions { fence: true, guard: true, ..input(Writes::All) },
        ),
        examples.slice("behaviours-rows-key", &changed(&by_key, &[]), input(Writes::All)),
    ]
}

fn staging(examples: &Examples) -> Vec<Case> {
    let plan = examples.plan("parents", &[&[]]);
    let (dialect, area) = (examples.dialect, &examples.area);
    let home = dialect.home_tables(area);
    let case = |name: &str, statements| Case { name: name.into(), statements };
    vec![
        case("area", dialect.area_ddl(area)),
        case("area-home", home.iter().flat_map(|table| table.ddl.clone()).collect()),
        case("area-home-probe", home.iter().map(|table| table.probe.clone()).collect()),
        case("position-read", vec![positions::read(area)]),
        case("position-take-over", vec![positions::take_over(area)]),
        case("position-advance", vec![positions::advance(area)]),
        case("staging-tables", dialect.staging_ddl(area, &plan.staging_table, &plan.guard_table)),
        case("stage", vec![dialect.stage(area, &plan.staging_table, false)]),
        case("stage-again", vec![dialect.stage(area, &plan.staging_table, true)]),
        case(
            "retire",
            vec![format!(
                "WITH passed AS (SELECT 1 WHERE $1::text = $2::text) {}",
                dialect.retire(area, &plan.staging_table)
            )],
        ),
    ]
}
