//! What a slice statement is made of, for both products.

use std::collections::HashMap;

use super::StagingArea;

/// A bound parameter of a [`Statement`], by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Param {
    /// Nanoseconds of the time below which everything is applied.
    AfterNanos,
    /// Counter of that time.
    AfterLogical,
    /// Nanoseconds of the time up to which the slice reaches.
    UptoNanos,
    /// Counter of that time.
    UptoLogical,
    /// Name of the target database.
    Database,
    /// Name of the target schema.
    Schema,
    /// Our epoch on the frontier.
    Epoch,
    /// Index keys that the statement is restricted to in table number `table`, as an array of text.
    Keys {
        /// Position of the table among the plans.
        table: usize,
    },
    /// A column of the rows handed over for table number `table`, as an array.
    Input {
        /// Position of the table among the plans.
        table: usize,
        /// Which column.
        column: InputColumn,
    },
}

/// Columns of handed-over rows, named as in the staging tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputColumn {
    /// Commit time, nanoseconds.
    Nanos,
    /// Commit time, counter.
    Logical,
    /// Index key.
    Key,
    /// The whole key where the index key is a digest.
    LongKey,
    /// The row's JSON text, `null` for a deletion.
    Row,
    /// Shape id.
    Shape,
    /// The value of a column that the only shape of the table's rows feeds; NULL for a deletion.
    Value {
        /// Position in [`ShapePlan::feeds`](crate::apply::plan::ShapePlan::feeds).
        feed: usize,
        /// What the elements of the array are.
        form: ArrayForm,
    },
}

/// Elements of an array of values that were taken out of the JSON of handed-over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArrayForm {
    /// `int2`, `int4` or `int8`: this many bits.
    Integer(u8),
    /// `bool`.
    Bool,
    /// `text`: what a string of JSON says, and every other value as JSON.
    Text,
    /// `text`: the JSON of a value, strings too.
    Json,
}

impl ArrayForm {
    /// The type of an element.
    #[must_use]
    pub fn element(self) -> &'static str {
        match self {
            Self::Integer(16) => "int2",
            Self::Integer(32) => "int4",
            Self::Integer(_) => "int8",
            Self::Bool => "bool",
            Self::Text | Self::Json => "text",
        }
    }
}

/// Which writes a statement makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Deletions and upserts.
    All,
    /// Frees the secondary unique values that the slice moves; removes rows only where nothing else can.
    Clear,
    /// Everything that is left to do after `Clear`.
    Upserts,
    /// Only the step of the frontier; for rows handed over only the check of the mode and, with `guard`, the record of
    /// write times, so that the rows that are news are known before anything is written.
    FrontierOnly,
}

/// Where the rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The staging tables, within the slice.
    Staged,
    /// The staging tables, within the slice, only the keys in `Param::Keys`.
    StagedKeys,
    /// The parameters.
    Input,
    /// The parameters, which hold no deletion.
    Upserts,
}

impl Rows {
    /// Whether the rows are parameters.
    #[must_use]
    pub fn handed_over(self) -> bool {
        matches!(self, Self::Input | Self::Upserts)
    }
}

/// Which form of slice statement is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceOptions {
    /// Move the frontier (and write nothing if it does not stand where we think). For rows handed over: check that
    /// the schema is in immediate mode.
    pub fence: bool,
    /// Leave out rows for which the guard knows an equal or newer write.
    pub guard: bool,
    /// Which writes.
    pub writes: Writes,
    /// Where the rows come from.
    pub rows: Rows,
}

/// One SQL statement with the meaning of its parameters, `$1` first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text.
    pub sql: String,
    /// What to bind.
    pub params: Vec<Param>,
    /// What its result tells.
    pub answer: Answer,
}

/// How to read the result of a [`Statement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// One row: fence count (int8), then per table (int8[]) upserts, deletions, versions that compare-and-set kept out,
    /// versions that missed a deadline.
    Counts,
    /// The number of rows affected must be one, else we are fenced.
    Fence,
    /// One row with the applied time (nanoseconds, counter), else the schema is not in immediate mode. Rows at or
    /// below that time are dropped before the following statements, except those without a time of their own.
    Mode,
    /// The number of rows affected counts upserts of this table.
    Upserts(usize),
    /// The number of rows affected counts deletions of this table.
    Deletes(usize),
    /// One row: versions of this table that compare-and-set keeps out, versions that miss a deadline (int8 both).
    Discarded(usize),
    /// Rows of index keys of this table that are newer than what the guard knew; the other rows of the input are
    /// dropped before the following statements.
    Newer(usize),
}

/// When a handed-over row (`excluded`) takes the place of the guard's entry `g`: when it is newer. Rows without a time of
/// their own come as time zero; such a row loses against every real time and wins against another without one.
pub(super) const GUARD_NEWER: &str =
    "(g.nanos, g.logical) < (excluded.nanos, excluded.logical) OR (g.nanos = 0 AND excluded.nanos = 0)";

/// Collects parameters while a statement is written.
#[derive(Debug, Default)]
pub(super) struct Params {
    list: Vec<Param>,
    places: HashMap<Param, usize>,
}

impl Params {
    /// The placeholder of a parameter; a parameter asked for twice is bound once.
    pub(super) fn at(&mut self, param: Param) -> usize {
        *self.places.entry(param).or_insert_with(|| {
            self.list.push(param);
            self.list.len()
        })
    }

    /// The parameters in order.
    pub(super) fn into_inner(self) -> Vec<Param> {
        self.list
    }
}

/// Checks that the schema is in immediate mode and tells how far it is applied. `lock` keeps that true until the
/// transaction ends, where the product's isolation does not.
pub(super) fn mode_statement(area: &StagingArea, lock: &str) -> Statement {
    let mut params = Params::default();
    let (database, schema) = (params.at(Param::Database), params.at(Param::Schema));
    let sql = format!(
        "SELECT applied_nanos, applied_logical FROM {} \
         WHERE target_db = ${database}::text AND target_schema = ${schema}::text AND mode = 'immediate'{lock}",
        area.table("frontiers"),
    );
    Statement { sql, params: params.into_inner(), answer: Answer::Mode }
}

/// Records the write times of handed-over rows and answers the keys for which they are news.
/// `order` is theirs, if they do not come in it.
pub(super) fn newer_statement(area: &StagingArea, table: usize, guard_table: &str, order: &str) -> Statement {
    let mut params = Params::default();
    let columns = [InputColumn::Nanos, InputColumn::Logical, InputColumn::Key];
    let [nanos, logical, key] = columns.map(|column| params.at(Param::Input { table, column }));
    let sql = format!(
        "INSERT INTO {} AS g (nanos, logical, key) SELECT u.nanos, u.logical, u.key \
         FROM unnest(${nanos}::int8[], ${logical}::int8[], ${key}::text[]) AS u(nanos, logical, key){order} \
         ON CONFLICT (key) DO UPDATE SET nanos = excluded.nanos, logical = excluded.logical, written_at = now() \
         WHERE {GUARD_NEWER} RETURNING g.key",
        area.table(guard_table)
    );
    Statement { sql, params: params.into_inner(), answer: Answer::Newer(table) }
}
