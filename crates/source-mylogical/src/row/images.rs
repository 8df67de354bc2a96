//! The rows of an event, one after the other.

use std::ops::Range;

use super::error::{RowError, RowProblem};
use super::image::{Field, Image};
use super::value::{Context, Written, write};
use crate::binlog::reader::Reader;
use crate::binlog::rows::Bits;
use crate::binlog::{RowsEvent, RowsKind};
use crate::json;
use crate::policy::Changed;
use crate::table::{Kind, Plan};

/// Room for a row before and after, used again for each.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// The row before. Empty for a new row.
    pub before: Image,
    /// The row after. Empty for a row that is gone.
    pub after: Image,
    /// Values that a policy changed, since this was looked at last.
    pub changed: Changed,
    /// Where the documents of the row before are, if those after may be edits of them.
    documents: Vec<Range<usize>>,
}

/// The rows of an event.
#[derive(Debug)]
pub struct Rows<'a> {
    plan: &'a Plan,
    event: RowsEvent<'a>,
    reader: Reader<'a>,
    before_columns: usize,
    after_columns: usize,
}

/// Bit of the options of a row after: some of its documents are edits.
const PARTIAL_JSON: u64 = 1;

impl<'a> Rows<'a> {
    /// Checks that the event fits the plan and holds whole rows. Rows after a change may leave out columns that did not
    /// change (`FULL_NODUP`): they are taken from the row before.
    ///
    /// # Errors
    /// If not, with what to do about it.
    pub fn new(plan: &'a Plan, event: RowsEvent<'a>) -> Result<Self, RowError> {
        let columns = plan.columns();
        if event.table() != plan.id() {
            return Err(error(plan, None, RowProblem::OtherTable));
        }
        if event.columns() != columns.len() {
            let problem = RowProblem::OtherColumns { rows: event.columns(), map: columns.len() };
            return Err(error(plan, None, problem));
        }
        if let Some(missing) = (0..columns.len()).find(|at| !event.present().get(*at)) {
            return Err(error(plan, Some(missing), RowProblem::NotWhole));
        }
        Ok(Self {
            plan,
            event,
            reader: Reader::new("rows", event.rows()),
            before_columns: event.present().count(columns.len()),
            after_columns: event.present_after().count(columns.len()),
        })
    }

    /// What happened to the rows.
    #[must_use]
    pub fn kind(&self) -> RowsKind {
        self.event.kind()
    }

    /// Reads the next row. `false`: there was none.
    ///
    /// # Errors
    /// If it cannot be read. Nothing after it can then.
    pub fn next(&mut self, images: &mut Images) -> Result<bool, RowError> {
        if self.reader.left() == 0 {
            return Ok(false);
        }
        images.before.clear();
        images.after.clear();
        images.documents.clear();
        let begin = self.reader.left();
        match self.event.kind() {
            RowsKind::Insert => self.whole(false, images)?,
            RowsKind::Delete => self.whole(true, images)?,
            RowsKind::Update | RowsKind::PartialUpdate => {
                self.whole(true, images)?;
                self.after(images)?;
            }
        }
        // A row of a table without columns would take no bytes for ever.
        if self.reader.left() == begin {
            let kind = "row without columns";
            return Err(error(self.plan, None, RowProblem::Impossible { kind }));
        }
        Ok(true)
    }

    /// Reads a row with all columns.
    fn whole(&mut self, before: bool, images: &mut Images) -> Result<(), RowError> {
        let plan = self.plan;
        let nulls = self.nulls(self.before_columns)?;
        let keep_documents = self.event.kind() == RowsKind::PartialUpdate;
        let Images { before: old, after: new, changed, documents } = images;
        let image = if before { old } else { new };
        let mut context = Context { policies: plan.policies(), changed };
        for (at, column) in plan.columns().iter().enumerate() {
            if nulls.get(at) {
                image.fields.push(Field::Null);
                if keep_documents && matches!(column.kind, Kind::Json { .. }) {
                    documents.push(0..0);
                }
                continue;
            }
            let start = self.reader.left();
            let begin = image.text.len();
            let written = write(column, &mut self.reader, &mut image.text, &mut context);
            match written.map_err(|problem| error(plan, Some(at), problem))? {
                Written::Text => image.fields.push(Field::Text { begin, end: image.text.len() }),
                Written::Null => image.fields.push(Field::Null),
            }
            if let (true, Kind::Json { prefix }) = (keep_documents, column.kind) {
                let all = self.event.rows().len();
                documents.push(all - start + prefix..all - self.reader.left());
            }
        }
        Ok(())
    }

    /// Reads a row after a change.
    fn after(&mut self, images: &mut Images) -> Result<(), RowError> {
        let plan = self.plan;
        let partial = self.partial()?;
        let nulls = self.nulls(self.after_columns)?;
        let Images { before, after: image, changed, documents } = images;
        let mut context = Context { policies: plan.policies(), changed };
        let (mut given, mut document) = (0, 0);
        for (at, column) in plan.columns().iter().enumerate() {
            let is_document = matches!(column.kind, Kind::Json { .. });
            let edits = is_document && partial.get(document);
            let old = documents.get(document).cloned().unwrap_or_default();
            document += usize::from(is_document);
            if !self.event.present_after().get(at) {
                image.copy(before, at);
                continue;
            }
            let null = nulls.get(given);
            given += 1;
            if null {
                image.fields.push(Field::Null);
                continue;
            }
            let begin = image.text.len();
            let written = if edits {
                let old = self.event.rows().get(old).unwrap_or_default();
                json::edited(&mut self.reader, old, column, &mut image.text, &mut context)
            } else {
                write(column, &mut self.reader, &mut image.text, &mut context)
            };
            match written.map_err(|problem| error(plan, Some(at), problem))? {
                Written::Text => image.fields.push(Field::Text { begin, end: image.text.len() }),
                Written::Null => image.fields.push(Field::Null),
            }
        }
        Ok(())
    }

    fn nulls(&mut self, columns: usize) -> Result<Bits<'a>, RowError> {
        let bits = self.reader.bytes(columns.div_ceil(8), "which values are NULL");
        bits.map(Bits).map_err(|problem| error(self.plan, None, problem.into()))
    }

    /// Which documents of the row after are edits, one bit for each JSON column of the table.
    fn partial(&mut self) -> Result<Bits<'a>, RowError> {
        if self.event.kind() != RowsKind::PartialUpdate {
            return Ok(Bits(&[]));
        }
        let is_document = |kind: &Kind| matches!(kind, Kind::Json { .. });
        let documents = self.plan.columns().iter().filter(|column| is_document(&column.kind)).count();
        let mut read = || {
            let options = self.reader.packed("the options of a row")?;
            let bytes = if options & PARTIAL_JSON == 0 { 0 } else { documents.div_ceil(8) };
            self.reader.bytes(bytes, "which documents are edits").map(Bits)
        };
        read().map_err(|problem| error(self.plan, None, problem.into()))
    }
}

#[cold]
fn error(plan: &Plan, at: Option<usize>, problem: RowProblem) -> RowError {
    RowError {
        table: format!("{}.{}", plan.database(), plan.table()),
        column: at.and_then(|at| plan.columns().get(at)).map(|column| column.name().to_owned()),
        problem,
    }
}
