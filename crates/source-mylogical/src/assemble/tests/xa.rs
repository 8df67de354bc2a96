//! Transactions that are prepared and decided later.

use super::script::*;
use crate::Flavor::{MariaDb, MySql};
use crate::assemble::Stop;
use crate::binlog::Frame;

const A: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";

fn prepare(start: Frame, name: &str, value: u8) -> Vec<Frame> {
    let ends = vec![query(&format!("XA END '{name}'")), xa_prepare(name, false)];
    all([vec![start, query(&format!("XA START '{name}'"))], row("t", value), ends])
}

fn decide(start: Frame, what: &str, name: &str) -> Vec<Frame> {
    vec![start, query(&format!("XA {what} '{name}'"))]
}

fn other(start: Frame, value: u8) -> Vec<Frame> {
    all([vec![start, query("BEGIN")], row("u", value), vec![xid()]])
}

#[test]
fn rows_come_with_the_commit_and_the_set_has_a_hole_until_then() {
    let mut assembler = at(MySql, "");
    let (said, _) = play(&mut assembler, all([prepare(mysql(1), "x", 1), other(mysql(2), 2)]));
    assert_eq!(said, ["passed", "begin", "u 2", "commit"]);
    assert_eq!(assembler.position().to_string(), format!("{A}:2"));
    let (said, _) = play(&mut assembler, decide(mysql(3), "COMMIT", "x"));
    assert_eq!(said, ["begin", "t 1", "commit"]);
    assert_eq!(assembler.position().to_string(), format!("{A}:1-3"));
}

#[test]
fn a_restart_between_reads_the_rows_again() {
    // The server sends what the set lacks.
    let frames = all([prepare(mysql(1), "x", 1), decide(mysql(3), "COMMIT", "x")]);
    assert_eq!(
        plays(MySql, &format!("{A}:2"), frames),
        ("passed, begin, t 1, commit".into(), format!("{A}:1-3"))
    );

    // MariaDB sends everything from before the prepared one.
    let log =
        all([other(mariadb(0, 1, 0), 1), prepare(mariadb(0, 2, 0x40), "x", 2), other(mariadb(0, 3, 0), 3)]);
    let mut assembler = at(MariaDb, "");
    let (said, _) = play(&mut assembler, log.clone());
    assert_eq!(said, ["begin", "u 1", "commit", "passed", "begin", "u 3", "commit"]);
    let stored = assembler.position().to_string();
    assert_eq!(stored, "0-1-3;prepared=0-1-1>0-1-2");
    assert_eq!(assembler.position().resume().to_string(), "0-1-1");
    let again = log.into_iter().skip(other(mysql(1), 1).len()).collect();
    let frames = all([again, other(mariadb(0, 4, 0), 4), decide(mariadb(0, 5, 0x81), "COMMIT", "x")]);
    let (said, position) = plays(MariaDb, &stored, frames);
    assert_eq!(
        (said.as_str(), position.as_str()),
        ("passed, begin, u 4, commit, begin, t 2, commit", "0-1-5")
    );
}

#[test]
fn one_that_is_rolled_back_leaves_nothing() {
    let frames = all([prepare(mysql(1), "x", 1), decide(mysql(2), "ROLLBACK", "x")]);
    assert_eq!(plays(MySql, "", frames), ("passed, passed".into(), format!("{A}:1-2")));
    let frames = all([prepare(mariadb(0, 1, 0x40), "x", 1), decide(mariadb(0, 2, 0x81), "ROLLBACK", "x")]);
    assert_eq!(plays(MariaDb, "", frames), ("passed, passed".into(), "0-1-2".into()));
    // Nor does one of which nothing is known.
    assert_eq!(plays(MySql, "", decide(mysql(1), "ROLLBACK", "x")), ("passed".into(), format!("{A}:1")));
}

#[test]
fn one_phase_is_an_ordinary_commit() {
    let ends = vec![query("XA END 'x'"), xa_prepare("x", true)];
    let frames = all([vec![mysql(1), query("XA START 'x'")], row("t", 1), ends]);
    assert_eq!(plays(MySql, "", frames), ("begin, t 1, commit".into(), format!("{A}:1")));
}

#[test]
fn a_commit_of_what_was_never_sent_stops() {
    let stop = stops(MySql, decide(mysql(1), "COMMIT", "x"));
    let message = stop.to_string();
    assert!(matches!(stop, Stop::UnknownPrepared { .. }));
    assert!(message.contains(&format!("{A}:1")) && message.contains("X'78',X'',1"), "{message}");
}

#[test]
fn several_wait_at_once_and_the_first_keeps_the_place() {
    let mut assembler = at(MariaDb, "0-1-10,7-1-1");
    let frames = all([
        prepare(mariadb(0, 11, 0x40), "x", 1),
        prepare(mariadb(0, 12, 0x40), "y", 2),
        prepare(mariadb(9, 1, 0x40), "z", 3),
        decide(mariadb(0, 13, 0x81), "COMMIT", "x"),
    ]);
    let (said, _) = play(&mut assembler, frames);
    assert_eq!(said.join(", "), "passed, passed, passed, begin, t 1, commit");
    let position = assembler.position();
    assert_eq!(position.to_string(), "0-1-13,7-1-1,9-1-1;prepared=0-1-11>0-1-12,>9-1-1");
    assert_eq!(position.resume().to_string(), "0-1-11,7-1-1");
    assert_eq!(assembler.prepared_count(), 2);
}

#[test]
fn a_name_in_use_is_no_name() {
    let frames = all([prepare(mysql(1), "x", 1), prepare(mysql(2), "x", 1)]);
    assert!(matches!(stops(MySql, frames), Stop::OutOfOrder { .. }));
}

#[test]
fn another_history_stops_before_anything_is_lost() {
    // 0-1-5 stands in the position, and the server goes from 4 to 6.
    let mut assembler = at(MariaDb, "0-1-5;prepared=0-1-2>0-1-3");
    let frames =
        all([prepare(mariadb(0, 3, 0x40), "x", 1), other(mariadb(0, 4, 0), 1), other(mariadb(0, 6, 0), 1)]);
    let (said, stop) = play(&mut assembler, frames);
    assert_eq!(said, ["passed"]);
    assert!(matches!(stop, Some(Stop::Diverged { .. })), "{stop:?}");
}
