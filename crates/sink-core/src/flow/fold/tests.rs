//! Folding against a target in memory that takes the changes one by one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::flow::change::Value;
use crate::model::schema::examples::{column, table};
use crate::model::{Behaviours, ColumnRule, TableRules, ValueClass};

/// Columns: the key, two that the source has, one that only the target has.
fn binding() -> Binding {
    let int = ValueClass::Integer(64);
    let columns = ["id", "a", "b", "own"].map(|name| column(name, "bigint", int)).to_vec();
    Binding::new(Arc::new(table("t", 1, columns)), &["b", "id", "a"]).unwrap()
}

/// Values that are not the key's; `None` is the default.
type Stored = [Option<String>; 3];
type Model = BTreeMap<String, Stored>;

const DEFAULT: Stored = [None, None, None];

fn row(values: [Option<&str>; 3], binding: &Binding) -> Row {
    let given: Vec<Value<'_>> = values.into_iter().map(|v| v.map_or(Value::Absent, Value::Text)).collect();
    binding.row(&given)
}

fn key(text: &str) -> Row {
    [Value::Text(text)].into_iter().collect()
}

fn text(row: &Row, at: usize) -> Option<String> {
    match row.value(at) {
        Value::Text(text) => Some(text.to_owned()),
        Value::Absent | Value::Null => None,
    }
}

fn lay(row: &Row, over: &Stored) -> Stored {
    [0, 1, 2].map(|at| text(row, at + 1).or_else(|| over[at].clone()))
}

fn one_by_one(model: &mut Model, change: &Change) {
    match change {
        Change::Insert { key, row } => {
            model.insert(text(key, 0).unwrap(), lay(row, &DEFAULT));
        }
        Change::Update { key, row } => {
            let stored = model.get_mut(&text(key, 0).unwrap()).unwrap();
            *stored = lay(row, stored);
        }
        Change::Rekey { from, to, row } => {
            let stored = model.remove(&text(from, 0).unwrap()).unwrap();
            model.insert(text(to, 0).unwrap(), lay(row, &stored));
        }
        Change::Delete { key } => {
            model.remove(&text(key, 0).unwrap());
        }
        Change::Truncate => model.clear(),
    }
}

/// All at once, from one snapshot, as the statement does.
fn at_once(before: &Model, net: &TableNet) -> Model {
    let mut after = if net.emptied { Model::new() } else { before.clone() };
    let mut keys = BTreeSet::new();
    for (key, outcome) in &net.rows {
        let name = text(key, 0).unwrap();
        assert!(keys.insert(name.clone()), "one outcome per key");
        match outcome {
            Outcome::Gone => drop(after.remove(&name)),
            Outcome::Live(origin, row) => {
                let base = match origin {
                    Origin::Fresh => DEFAULT,
                    Origin::Kept => before[&name].clone(),
                    Origin::Moved(from) => before[&text(from, 0).unwrap()].clone(),
                };
                after.insert(name, lay(row, &base));
            }
        }
    }
    after
}

#[derive(Debug, Clone)]
struct Wish {
    kind: u8,
    key: u8,
    to: u8,
    a: Option<u8>,
    b: Option<u8>,
}

fn wishes(most: usize) -> impl Strategy<Value = Vec<Wish>> {
    let number = || proptest::option::of(0..9_u8);
    let wish = (0..20_u8, 0..5_u8, 0..5_u8, number(), number());
    let wish = wish.prop_map(|(kind, key, to, a, b)| Wish { kind, key, to, a, b });
    proptest::collection::vec(wish, 0..most)
}

/// The wish as a change that is possible now, if it is.
fn possible(wish: &Wish, live: &Model, binding: &Binding) -> Option<Change> {
    let (at, to) = (wish.key.to_string(), wish.to.to_string());
    let [a, b] = [wish.a, wish.b].map(|number| number.map(|number| number.to_string()));
    let values = |id: &str| row([b.as_deref(), Some(id), a.as_deref()], binding);
    let change = match (wish.kind, live.contains_key(&at)) {
        (0, _) => Change::Truncate,
        (1..=8, false) => Change::Insert { key: key(&at), row: values(&at) },
        (1..=6, true) => Change::Update { key: key(&at), row: values(&at) },
        (7..=14, true) if !live.contains_key(&to) => {
            Change::Rekey { from: key(&at), to: key(&to), row: values(&to) }
        }
        (15..=19, true) => Change::Delete { key: key(&at) },
        _ => return None,
    };
    Some(change)
}

proptest! {
    #[test]
    fn a_batch_equals_its_changes_one_by_one(first in wishes(8), rest in wishes(40), cut in 1..12_usize) {
        let binding = binding();
        let mut live = Model::new();
        for (number, wish) in first.iter().enumerate() {
            if let Some(change) = possible(wish, &live, &binding) {
                one_by_one(&mut live, &change);
                // What the target has of its own.
                live.values_mut().for_each(|stored| _ = stored[2].get_or_insert(format!("own {number}")));
            }
        }
        let (mut target, mut folder) = (live.clone(), Folder::default());
        for (number, wish) in rest.iter().enumerate() {
            if let Some(change) = possible(wish, &live, &binding) {
                one_by_one(&mut live, &change);
                folder.push(&binding, change);
            }
            if number % cut == 0 {
                target = folder.take().iter().fold(target, |target, net| at_once(&target, net));
                prop_assert_eq!(&target, &live);
            }
        }
        prop_assert_eq!(folder.skipped(), 0);
        target = folder.take().iter().fold(target, |target, net| at_once(&target, net));
        prop_assert_eq!(target, live);
    }
}

/// The same table with compare-and-set, whose changes are kept as steps.
fn versioned() -> Binding {
    let int = ValueClass::Integer(64);
    let columns = ["id", "a", "b", "own"].map(|name| column(name, "bigint", int)).to_vec();
    let mut table = table("t", 1, columns);
    let rules = TableRules {
        columns: vec![ColumnRule::default(); 4],
        cas: vec![1],
        deadlines: Vec::new(),
        extras: None,
        ignored: Vec::new(),
    };
    table.behaviours = Behaviours::Configured(Arc::new(rules));
    Binding::new(Arc::new(table), &["b", "id", "a"]).unwrap()
}

proptest! {
    /// What a step leaves out is what the target has before the stage, and all steps are there, in order.
    #[test]
    fn steps_leave_out_only_what_their_stage_has_not_changed(wishes in wishes(60)) {
        let binding = versioned();
        let (mut live, mut folder) = (Model::new(), Folder::default());
        let mut pushed = Vec::new();
        for wish in &wishes {
            if let Some(change) = possible(wish, &live, &binding) {
                one_by_one(&mut live, &change);
                match &change {
                    Change::Truncate => pushed.push(None),
                    Change::Insert { key, .. } | Change::Update { key, .. } | Change::Delete { key } => {
                        pushed.push(Some(key.clone()));
                    }
                    Change::Rekey { from, to, .. } => pushed.extend([Some(from.clone()), Some(to.clone())]),
                }
                folder.push(&binding, change);
            }
        }
        let nets = folder.take();
        let mut found = Vec::new();
        for (at, net) in nets.iter().enumerate() {
            prop_assert_eq!(net.stage, at);
            prop_assert!(net.rows.is_empty());
            if net.emptied {
                found.push(None);
            }
            let (mut touched, mut moved) = (BTreeSet::new(), BTreeSet::new());
            for part in net.one_by_one() {
                for step in &part.steps {
                    let key = text(step.key(), 0);
                    match step {
                        RowStep::Delete { .. } => {}
                        RowStep::Put { .. } => prop_assert!(!moved.contains(&key)),
                        RowStep::Patch { .. } => prop_assert!(!touched.contains(&key)),
                        RowStep::Move { from, .. } => {
                            prop_assert!(!touched.contains(&text(from, 0)));
                            moved.insert(key.clone());
                        }
                    }
                    found.push(Some(step.key().clone()));
                }
                touched.extend(part.steps.iter().map(|step| text(step.key(), 0)));
            }
        }
        // What came before the table was emptied for the last time may be left out.
        let since = |all: &[Option<Row>]| {
            let begin = all.iter().rposition(Option::is_none).map_or(0, |at| at + 1);
            all[begin..].to_vec()
        };
        prop_assert_eq!(since(&found), since(&pushed));
    }
}

#[test]
fn two_keys_change_places() {
    let binding = binding();
    let mut folder = Folder::default();
    for (from, to) in [("1", "9"), ("2", "1"), ("9", "2")] {
        let row = row([None, Some(to), None], &binding);
        folder.push(&binding, Change::Rekey { from: key(from), to: key(to), row });
    }
    let net = folder.take().remove(0);
    let origins: Vec<_> = net.rows.iter().map(|(key, outcome)| (text(key, 0).unwrap(), outcome)).collect();
    assert!(
        matches!(&origins[0], (k, Outcome::Live(Origin::Moved(from), _)) if k == "1" && *from == key("2"))
    );
    assert!(
        matches!(&origins[1], (k, Outcome::Live(Origin::Moved(from), _)) if k == "2" && *from == key("1"))
    );
    assert!(matches!(&origins[2], (k, Outcome::Gone) if k == "9"));
}

#[test]
fn a_row_that_comes_back_is_a_row_of_its_own() {
    let binding = binding();
    let mut folder = Folder::default();
    folder.push(&binding, Change::Delete { key: key("1") });
    // The source is consistent, so nothing is known of such a row.
    folder.push(&binding, Change::Update { key: key("1"), row: row([None, Some("1"), None], &binding) });
    assert_eq!(folder.skipped(), 1);
    folder.push(&binding, Change::Insert { key: key("1"), row: row([None, Some("1"), None], &binding) });
    let net = folder.take().remove(0);
    assert!(matches!(net.rows[0].1, Outcome::Live(Origin::Fresh, _)));
    assert!(folder.is_empty() && folder.bytes() == 0);
}

#[test]
fn a_batch_is_full_by_changes_or_by_bytes() {
    let binding = binding();
    let mut folder = Folder::new(Limits { changes: 2, bytes: 1 << 20, ..Limits::default() });
    folder.push(&binding, Change::Truncate);
    assert!(!folder.is_full());
    folder.push(&binding, Change::Truncate);
    assert!(folder.is_full());
    let _ = folder.take();
    let long = "x".repeat(1 << 20);
    folder.push(&binding, Change::Delete { key: key(&long) });
    assert!(folder.is_full());
}

#[test]
fn a_batch_is_full_by_the_columns_of_its_statement() {
    let binding = binding();
    let mut folder = Folder::new(Limits { columns: 5, ..Limits::default() });
    let given =
        |number: usize, values| Change::Update { key: key(&number.to_string()), row: row(values, &binding) };
    for number in 0..100 {
        folder.push(&binding, given(number, [None, Some("1"), Some("2")]));
    }
    assert!(!folder.is_full(), "two columns of many rows alike");
    folder.push(&binding, given(7, [Some("3"), Some("1"), None]));
    assert!(folder.is_full(), "three more columns of a row that is unlike the others");
    assert!(!folder.is_overfull());
    let _ = folder.take();
    assert!(!folder.is_full());
}

#[test]
fn no_value_is_shown() {
    let shown = format!("{:?}", Change::Delete { key: key("secret") });
    assert!(!shown.contains("secret"), "{shown}");
}
