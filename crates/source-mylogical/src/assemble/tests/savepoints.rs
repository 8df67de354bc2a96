//! What is undone within a transaction.

use super::script::*;
use crate::Flavor::{MariaDb, MySql};
use crate::assemble::{Assembler, Holds, Stop};
use crate::binlog::Frame;
use crate::gtid::LogPosition;

fn mariadb_with(parts: Vec<Frame>) -> String {
    plays(MariaDb, "", all([vec![mariadb(0, 1, 0)], parts, vec![xid()]])).0
}

#[test]
fn rows_behind_a_mark_vanish_and_the_others_stay() {
    let said = mariadb_with(all([
        row("t", 1),
        vec![query("SAVEPOINT a")],
        row("t", 2),
        vec![query("SAVEPOINT b")],
        row("u", 3),
        vec![query("ROLLBACK TO `b`")],
        row("u", 4),
        vec![query("ROLLBACK TO a")],
        row("t", 5),
    ]));
    assert_eq!(said, "begin, t 1, t 5, commit");
}

#[test]
fn rows_of_a_table_without_transactions_stay() {
    let said = mariadb_with(all([
        vec![query("SAVEPOINT a")],
        row("t", 1),
        row("myisam", 2),
        row("t", 3),
        row("myisam", 4),
        vec![query("ROLLBACK TO a")],
        row("t", 5),
    ]));
    assert_eq!(said, "begin, myisam 2, myisam 4, t 5, commit");
    let all_undone =
        all([row("myisam", 1), vec![query("SAVEPOINT a")], row("t", 1), vec![query("ROLLBACK TO a")]]);
    let frames = all([vec![mariadb(0, 1, 0)], all_undone, vec![query("ROLLBACK")]]);
    assert_eq!(plays(MariaDb, "", frames).0, "begin, myisam 1, commit");
}

#[test]
fn a_mark_set_again_moves_and_a_released_one_is_gone() {
    let said = mariadb_with(all([
        vec![query("SAVEPOINT a")],
        row("t", 1),
        vec![query("SAVEPOINT A")],
        row("t", 2),
        vec![query("ROLLBACK TO a")],
    ]));
    assert_eq!(said, "begin, t 1, commit");
    let released = all([
        vec![mariadb(0, 1, 0), query("SAVEPOINT a"), query("SAVEPOINT b")],
        row("t", 1),
        vec![query("RELEASE SAVEPOINT a"), query("ROLLBACK TO b")],
    ]);
    assert!(matches!(stops(MariaDb, released), Stop::OutOfOrder { .. }));
}

#[test]
fn without_marks_rows_are_handed_on_again() {
    let mut assembler = at(MariaDb, "");
    let frames = all([vec![mariadb(0, 1, 0), query("SAVEPOINT a")], row("t", 1)]);
    assert_eq!(play(&mut assembler, frames).0, [""; 0]);
    let (said, _) = play(&mut assembler, all([vec![query("RELEASE SAVEPOINT a")], row("t", 2)]));
    assert_eq!(said, ["begin", "t 1", "t 2"]);
    // They cannot be undone any more; nothing but the end of all can ask for it.
    let (_, stop) = play(&mut assembler, [query("ROLLBACK")]);
    assert!(matches!(stop, Some(Stop::TakenBack { .. })));
}

#[test]
fn what_was_handed_on_and_is_undone_is_read_again_with_care() {
    let undone = [
        all([row("t", 1), vec![query("SAVEPOINT a")], row("t", 2), vec![query("ROLLBACK TO a"), xid()]]),
        all([row("t", 1), row("t", 2), vec![query("ROLLBACK")]]),
    ];
    for (frames, said_then) in undone.into_iter().zip(["begin, t 1, commit", "passed"]) {
        let frames = all([vec![mysql(1), query("BEGIN")], frames]);
        let Stop::TakenBack { gtid } = stops(MySql, frames.clone()) else { panic!() };
        let mut assembler = at(MySql, "").careful(Some(gtid));
        let (said, stop) = play(&mut assembler, frames);
        assert!(stop.is_none());
        assert_eq!(said.join(", "), said_then);
    }
    // Where nothing was handed on behind the mark, nothing is read again.
    let frames = all([
        vec![mysql(1), query("BEGIN")],
        row("t", 1),
        vec![query("SAVEPOINT a"), query("ROLLBACK TO a"), xid()],
    ]);
    assert_eq!(plays(MySql, "", frames).0, "begin, t 1, commit");
}

#[test]
fn rows_wait_on_disk_beyond_the_limit_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let holds = Holds::new(60, folder.path().to_owned());
    let position = LogPosition::parse(MariaDb, "").unwrap();
    let mut assembler = Assembler::new(position, OneDatabase, holds.clone());
    let first: Vec<Frame> = (0..5).flat_map(|value| row("t", value)).collect();
    let second: Vec<Frame> = (5..50).flat_map(|value| row("t", value)).collect();
    let third: Vec<Frame> = (50..60).flat_map(|value| row("u", value)).collect();
    let frames = all([
        vec![mariadb(0, 1, 0), query("SAVEPOINT a")],
        first,
        vec![query("SAVEPOINT b")],
        second,
        vec![query("ROLLBACK TO b")],
        third,
        vec![xid()],
    ]);
    let (said, stop) = play(&mut assembler, frames);
    assert!(stop.is_none(), "{stop:?}");
    let expected: Vec<String> =
        (0..5).map(|value| format!("t {value}")).chain((50..60).map(|value| format!("u {value}"))).collect();
    assert_eq!(said, [vec!["begin".to_owned()], expected, vec!["commit".to_owned()]].concat());
    assert_eq!(holds.memory_bytes(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn without_room_the_stream_stops() {
    let position = LogPosition::parse(MariaDb, "").unwrap();
    let mut assembler = Assembler::new(position, OneDatabase, Holds::in_memory(60));
    let many: Vec<Frame> = (0..50).flat_map(|value| row("t", value)).collect();
    let (_, stop) = play(&mut assembler, all([vec![mariadb(0, 1, 0), query("SAVEPOINT a")], many]));
    assert!(matches!(stop, Some(Stop::Hold { .. })));
}
