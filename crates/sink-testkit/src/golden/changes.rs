//! Statements that write the changes of a log.

use sink_core::flow::{Binding, Change, Folder, Limits, Row, TableNet, Value};
use sink_core::target::dialect::postgres::changes::{Form, clear, statement};

use super::{Case, Examples};

/// Collects changes of the example tables. A value `-` is not given.
struct Log<'a> {
    examples: &'a Examples,
    folder: Folder,
}

fn values<'a>(texts: &[&'a str]) -> Vec<Value<'a>> {
    texts.iter().map(|text| if *text == "-" { Value::Absent } else { Value::Text(text) }).collect()
}

impl Log<'_> {
    fn binding(&self, table: &str) -> Binding {
        let found = self.examples.tables.iter().find(|t| t.id.table.as_str() == table);
        let table = found.expect("the example exists");
        let columns: Vec<&str> = match table.rules() {
            Some(_) => VERSIONED.to_vec(),
            None => table.columns.iter().map(|c| c.name.as_str()).collect(),
        };
        Binding::new(table.clone(), &columns).expect("the example fits itself")
    }

    fn push(mut self, table: &str, make: impl FnOnce(&Binding) -> Change) -> Self {
        let binding = self.binding(table);
        self.folder.push(&binding, make(&binding));
        self
    }

    fn insert(self, table: &str, row: &[&str]) -> Self {
        let row = values(row);
        self.push(table, |to| Change::Insert { key: key(to, &row), row: to.row(&row) })
    }

    fn update(self, table: &str, row: &[&str]) -> Self {
        let row = values(row);
        self.push(table, |to| Change::Update { key: key(to, &row), row: to.row(&row) })
    }

    fn rekey(self, table: &str, from: &[&str], row: &[&str]) -> Self {
        let (from, row) = (values(from), values(row));
        self.push(table, |to| Change::Rekey { from: key(to, &from), to: key(to, &row), row: to.row(&row) })
    }

    fn delete(self, table: &str, row: &[&str]) -> Self {
        let row = values(row);
        self.push(table, |to| Change::Delete { key: key(to, &row) })
    }

    fn finish(mut self, name: &str) -> Case {
        let nets: Vec<TableNet> = self.folder.take();
        let form = |plain| Form { fence: true, plain };
        let write = |plain| statement(&self.examples.area, &nets, form(plain)).sql;
        let mut statements = vec![write(false)];
        statements.extend(Some(write(true)).filter(|plain| *plain != statements[0]));
        Case { name: name.into(), statements }
    }
}

impl Log<'_> {
    fn finish_cleared(mut self, name: &str) -> Case {
        let nets: Vec<TableNet> = self.folder.take();
        let clear = clear(&nets).expect("something to clear");
        let write = statement(&self.examples.area, &nets, Form { fence: false, plain: true });
        Case { name: name.into(), statements: vec![clear.sql, write.sql] }
    }
}

/// What the source has of the table with behaviours.
const VERSIONED: [&str; 7] = ["id", "major", "minor", "at", "title", "unwanted", "more"];

fn key(binding: &Binding, row: &[Value<'_>]) -> Row {
    binding.key(row).expect("the example has its key")
}

pub(super) fn cases(examples: &Examples) -> Vec<Case> {
    let log = || Log { examples, folder: Folder::new(Limits::default()) };
    let wide = ["u", "{}", "-", "2020-01-01", "{}", "10101", "-"];
    vec![
        log().finish("changes-nothing"),
        log()
            .insert("parents", &["1", "a"])
            .delete("parents", &["2"])
            .insert("children", &["1", "1", "2.5"])
            .finish("changes-two-tables"),
        log()
            .insert("wide", &["a", "{}", "{}", "2020-01-01", "{}", "10101", "\\x"])
            .insert("wide", &["b", "-", "-", "2020-01-01", "-", "-", "-"])
            .update("wide", &["c", "{}", "-", "2020-01-01", "{}", "10101", "-"])
            .rekey("wide", &["d"], &wide)
            .finish("changes-every-way"),
        log()
            .delete("prices", &["2020-01-01", "1.00"])
            .insert("prices", &["2020-01-01", "1.0", "x"])
            .update("prices", &["2020-01-02", "1.0", "x"])
            .finish("changes-equal-keys"),
        log()
            .push("prices", |_| Change::Truncate)
            .insert("prices", &["2020-01-01", "1.0", "x"])
            .finish("changes-emptied"),
        log().push("parents", |_| Change::Truncate).finish("changes-emptied-for-good"),
        log()
            .insert("tags", &["1", "b"])
            .rekey("tags", &["2", "b"], &["3", "c"])
            .finish("changes-key-is-all"),
        log()
            .insert("numbered", &["1", "1", "-", "-"])
            .update("numbered", &["2", "2", "-", "4"])
            .rekey("numbered", &["4"], &["3", "-", "3", "6"])
            .finish("changes-identity-and-computed"),
        log()
            .insert("products", &["1", "a", "1"])
            .update("products", &["2", "-", "2"])
            .rekey("products", &["3"], &["4", "-", "4"])
            .delete("products", &["5"])
            .insert("seats", &["1", "1"])
            .finish_cleared("changes-cleared"),
        log()
            .insert("versioned", &["1", "1", "1", "2020-01-01", "x", "-", "y"])
            .delete("versioned", &["2"])
            .insert("parents", &["1", "a"])
            .finish("changes-steps"),
        log()
            .update("versioned", &["1", "1", "1", "2020-01-01", "-", "-", "-"])
            .rekey("versioned", &["2"], &["3", "1", "-", "-", "x", "-", "-"])
            .finish("changes-steps-that-go-on"),
        log()
            .push("versioned", |_| Change::Truncate)
            .insert("versioned", &["1", "1", "1", "2020-01-01", "x", "-", "y"])
            .finish("changes-steps-emptied"),
        log().update("od\"d; --", &["1", "x"]).finish("changes-odd-names"),
    ]
}
