//! Streams made by hand.

use super::*;
use crate::pgoutput::{
    Delete, Insert, RelationColumn, RelationDescription, ReplicaIdentity, SourceTime, TypeDescription,
    Update, decode,
};

const TABLE: RelationOid = RelationOid(7);

fn begin(at: u64) -> Message<'static> {
    Message::Begin(Begin { final_lsn: Lsn::new(at), commit_time: SourceTime::default(), xid: 1 })
}

fn commit(at: u64) -> Message<'static> {
    Message::Commit(Commit {
        lsn: Lsn::new(at),
        end_lsn: Lsn::new(at + 1),
        commit_time: SourceTime::default(),
    })
}

fn relation(columns: &[&'static str]) -> Message<'static> {
    let column = |name: &&'static str| RelationColumn {
        in_identity: false,
        name,
        type_oid: TypeOid(23),
        type_modifier: -1,
    };
    let columns = columns.iter().map(column).collect();
    let identity = ReplicaIdentity::Default;
    Message::Relation(RelationDescription { oid: TABLE, schema: "s", name: "t", identity, columns })
}

fn row<const N: usize>() -> Tuple<'static> {
    // Rows can only be read, so this is one: so many NULLs.
    let bytes: &'static [u8] = match N {
        1 => b"I\0\0\0\x07N\0\x01n",
        2 => b"I\0\0\0\x07N\0\x02nn",
        _ => panic!("no such row"),
    };
    match decode(bytes) {
        Ok(Message::Insert(insert)) => insert.new,
        other => panic!("{other:?}"),
    }
}

fn insert<const N: usize>() -> Message<'static> {
    Message::Insert(Insert { relation: TABLE, new: row::<N>() })
}

fn logical(transactional: bool) -> Message<'static> {
    Message::Logical(LogicalMessage { transactional, lsn: Lsn::ZERO, prefix: "p", content: b"" })
}

fn origin() -> Message<'static> {
    Message::Origin(Origin { lsn: Lsn::ZERO, name: "o" })
}

fn words(event: &Event<'_>) -> String {
    match event {
        Event::Begin(_) => "begin".to_owned(),
        Event::Origin(origin) => format!("origin {}", origin.name),
        Event::Relation(described) => format!("relation changed={}", described.changed),
        Event::Type(oid) => format!("type {}", oid.0),
        Event::Change(relation, RowChange::Insert(_)) => format!("insert of {}", relation.columns.len()),
        Event::Change(_, RowChange::Update(..)) => "update".to_owned(),
        Event::Change(_, RowChange::Delete(_)) => "delete".to_owned(),
        Event::Truncate(truncated) => format!("truncate {}", truncated.relations.len()),
        Event::Message(_) => "message".to_owned(),
        Event::Commit(_) => "commit".to_owned(),
    }
}

fn run(messages: Vec<Message<'_>>) -> Result<Vec<String>, OutOfOrder> {
    let mut assembler = Assembler::default();
    messages.into_iter().map(|message| assembler.push(message).map(|event| words(&event))).collect()
}

#[test]
fn a_table_that_changes_in_the_middle_of_a_transaction_is_followed() {
    let stream = vec![
        begin(10),
        relation(&["a"]),
        insert::<1>(),
        relation(&["a", "b"]),
        insert::<2>(),
        relation(&["a", "b"]),
        insert::<2>(),
        commit(10),
    ];
    let expected = [
        "begin",
        "relation changed=true",
        "insert of 1",
        "relation changed=true",
        "insert of 2",
        "relation changed=false",
        "insert of 2",
        "commit",
    ];
    assert_eq!(run(stream).unwrap(), expected);
}

#[test]
fn every_kind_of_change_passes_with_its_relation() {
    let type_name = Message::Type(TypeDescription { oid: TypeOid(99), schema: "s", name: "mood" });
    let update = Update { relation: TABLE, old: Some(OldRow::Full(row::<1>())), new: row::<1>() };
    let delete = Delete { relation: TABLE, old: OldRow::Key(row::<1>()) };
    let truncate = Truncate { relations: vec![TABLE], cascade: false, restart_identity: false };
    let stream = vec![
        begin(10),
        origin(),
        origin(),
        type_name,
        relation(&["a"]),
        Message::Update(update),
        Message::Delete(delete),
        Message::Truncate(truncate),
        logical(true),
        commit(10),
    ];
    let expected = [
        "begin",
        "origin o",
        "origin o",
        "type 99",
        "relation changed=true",
        "update",
        "delete",
        "truncate 1",
        "message",
        "commit",
    ];
    assert_eq!(run(stream).unwrap(), expected);
}

#[test]
fn messages_outside_transactions_come_between_them() {
    assert_eq!(run(vec![logical(false), begin(10), commit(10), logical(false)]).unwrap().len(), 4);
    let misplaced = OutOfOrder::Unexpected { message: "Message", state: "outside of a transaction" };
    assert_eq!(run(vec![logical(true)]), Err(misplaced));
}

#[test]
fn changes_and_ends_outside_of_transactions_are_refused() {
    for (message, name) in [(commit(1), "Commit"), (origin(), "Origin"), (insert::<1>(), "Insert")] {
        let refused = OutOfOrder::Unexpected { message: name, state: "outside of a transaction" };
        assert_eq!(run(vec![relation(&["a"]), message]), Err(refused));
    }
    let refused = OutOfOrder::Unexpected { message: "Begin", state: "inside of a transaction" };
    assert_eq!(run(vec![begin(1), begin(2)]), Err(refused));
}

#[test]
fn a_commit_must_be_the_announced_one_and_later_than_the_last() {
    let other = OutOfOrder::OtherCommit { announced: Lsn::new(10), found: Lsn::new(12) };
    assert_eq!(run(vec![begin(10), commit(12)]), Err(other));
    let back = OutOfOrder::WentBack { last: Lsn::new(11), found: Lsn::new(10) };
    assert_eq!(run(vec![begin(10), commit(10), begin(9), commit(9)]), Err(back));
}

#[test]
fn rows_of_unknown_tables_or_of_another_width_are_refused() {
    assert_eq!(run(vec![begin(1), insert::<1>()]), Err(OutOfOrder::UnknownRelation { oid: TABLE }));
    let (schema, table) = ("s".to_owned(), "t".to_owned());
    let width = OutOfOrder::ColumnCount { schema, table, expected: 1, found: 2 };
    assert_eq!(run(vec![begin(1), relation(&["a"]), insert::<2>()]), Err(width));
}

#[test]
fn after_an_error_nothing_is_accepted() {
    let mut assembler = Assembler::default();
    assembler.push(commit(1)).unwrap_err();
    let refused = assembler.push(begin(1)).unwrap_err();
    assert_eq!(refused.to_string(), "Begin after a message out of order");
    assert!(!assembler.is_inside());
}
