//! What cannot be followed.

use super::script::*;
use crate::Flavor::{MariaDb, MySql};
use crate::assemble::Stop;
use crate::binlog::{Frame, UnpackError};

fn inside(frames: Vec<Frame>) -> Vec<Frame> {
    all([vec![mysql(1), query("BEGIN")], frames, vec![xid()]])
}

#[test]
fn statements_on_what_is_replicated_stop_with_table_transaction_and_advice() {
    let stop = stops(MySql, inside(vec![frame(5, vec![0; 9]), query("INSERT INTO t VALUES (RAND())")]));
    let message = stop.to_string();
    for part in ["INSERT on table `d`.`t`", "aaaaaaaaaaaa:1", "binlog_format=ROW", "snapshot"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("RAND"), "{message}");
    for text in ["UPDATE e.x SET a=1", "LOAD DATA INFILE 'f' INTO TABLE t", "SELECT f()", "FROBNICATE"] {
        assert!(matches!(stops(MySql, inside(vec![query(text)])), Stop::Statement { .. }), "{text}");
    }
    let elsewhere = stops(MySql, inside(vec![query_in("e", "DELETE FROM d.t")]));
    assert!(matches!(elsewhere, Stop::Statement { table: Some(table), .. } if table == "t"));
    // Of a LOAD DATA.
    let mut load = query_body("d", b"LOAD DATA INFILE 'f' INTO TABLE t");
    load.splice(13..13, [0; 13]);
    let frames = inside(vec![frame(17, vec![0; 9]), frame(18, load)]);
    assert!(matches!(stops(MySql, frames), Stop::Statement { verb: "LOAD", .. }));
}

#[test]
fn statements_elsewhere_pass() {
    let parts =
        vec![frame(13, vec![0; 16]), frame(14, vec![0; 9]), query_in("e", "INSERT INTO x VALUES (RAND())")];
    assert_eq!(plays(MySql, "", inside(parts)).0, "passed");
    assert_eq!(plays(MySql, "", inside(vec![query_in("", "UPDATE e.x SET a=1")])).0, "passed");
}

#[test]
fn lost_events_stop() {
    assert!(matches!(stops(MySql, [frame(26, vec![1, 0, 0])]), Stop::Incident { gtid: None }));
    assert!(matches!(stops(MySql, inside(vec![frame(26, vec![1, 0, 0])])), Stop::Incident { gtid: Some(_) }));
}

#[test]
fn unknown_kinds_stop_unless_they_say_that_they_may_be_left_out() {
    let mut unknown = frame(99, vec![1, 2, 3]);
    assert!(matches!(stops(MySql, inside(vec![unknown.clone()])), Stop::UnknownKind { kind: 99, .. }));
    unknown.header.flags = 0x80;
    assert_eq!(plays(MySql, "", inside(vec![unknown])).0, "passed");
    // What is known and means nothing here.
    let nothing = [3, 4, 27, 29, 35, 36, 37, 41, 160, 161, 164].map(|kind| frame(kind, vec![]));
    assert_eq!(plays(MySql, "", inside(nothing.to_vec())).0, "passed");
}

#[test]
fn transactions_without_a_name_stop() {
    assert!(matches!(stops(MySql, [frame(34, vec![0; 25])]), Stop::Anonymous));
    for text in ["BEGIN", "DROP TABLE t", "INSERT INTO t VALUES (1)"] {
        assert!(matches!(stops(MariaDb, [query(text)]), Stop::Anonymous), "{text}");
    }
    // In place of an event that this server does not send.
    assert_eq!(plays(MariaDb, "", [query("# Dummy event replacing event type 160")]).0, "");
}

#[test]
fn nothing_stands_where_it_cannot() {
    let outside = [xid(), map(1, "t"), rows(1, 1), xa_prepare("x", false), payload(&[xid()])];
    for frame in outside {
        assert!(matches!(stops(MySql, [frame]), Stop::OutOfOrder { .. }));
    }
    assert!(matches!(stops(MySql, [mysql(1), mysql(2)]), Stop::OutOfOrder { .. }));
    assert!(matches!(stops(MySql, [mysql(1), rows(1, 1)]), Stop::OutOfOrder { .. }));
    // As the other product names it.
    assert!(matches!(stops(MySql, [mariadb(0, 1, 0)]), Stop::OutOfOrder { .. }));
    assert!(matches!(stops(MariaDb, [mysql(1)]), Stop::OutOfOrder { .. }));
    // A number that no transaction has.
    for number in [0, u64::MAX] {
        assert!(matches!(stops(MySql, [mysql(number)]), Stop::Malformed { kind: 33, .. }));
    }
    // Described in another transaction.
    let mut assembler = at(MySql, "");
    let (_, stop) = play(&mut assembler, all([inside(vec![map(1, "t")]), vec![mysql(2), rows(1, 1)]]));
    assert!(matches!(stop, Some(Stop::OutOfOrder { .. })));
    // Of no table at all.
    assert_eq!(plays(MySql, "", inside(vec![rows(0x00ff_ffff, 1)])).0, "passed");
}

#[test]
fn events_that_are_cut_off_stop() {
    let whole = [mysql(1), query("BEGIN"), map(1, "t"), format(1), xa_prepare("x", false), mariadb(0, 1, 0)];
    for frame in whole {
        let mut cut = frame.clone();
        cut.body = cut.body.slice(..3);
        let frames = if matches!(cut.header.kind, 33 | 162 | 15) { vec![cut] } else { vec![mysql(1), cut] };
        assert!(matches!(stops(MySql, frames), Stop::Malformed { .. }), "{frame:?}");
    }
}

#[test]
fn a_damaged_compressed_transaction_stops_and_is_never_empty() {
    let plain = payload(&[query("BEGIN"), map(1, "t"), rows(1, 1), xid()]);
    let error = |body: Vec<u8>| match stops(MySql, [mysql(1), frame(40, body)]) {
        Stop::Unpack { source, .. } => source,
        other => panic!("{other:?}"),
    };
    for at in 0..plain.body.len() {
        // Cut anywhere.
        let cut = plain.body.slice(..at).to_vec();
        error(cut);
    }
    let mut rest = plain.body.to_vec();
    rest.push(0);
    assert!(matches!(error(rest), UnpackError::Size { .. }));
    assert_eq!(error(vec![2, 1, 7, 1, 1, 0, 3, 1, 5, 0]), UnpackError::Method { method: 7 });
    let huge = [vec![2, 1, 0, 1, 1, 0, 3, 9, 254], vec![0xff; 8], vec![0]].concat();
    assert!(matches!(error(huge), UnpackError::TooLarge { .. }));
}

#[test]
fn a_compressed_transaction_of_another_size_does_not_commit() {
    let mut plain = Vec::new();
    for event in [query("BEGIN"), xid()] {
        plain.extend([0, 0, 0, 0, event.header.kind, 1, 0, 0, 0]);
        plain.extend(event.header.size_bytes.to_le_bytes());
        plain.extend([0; 6]);
        plain.extend(&event.body);
    }
    for announced in [plain.len() - 1, plain.len() + 1, plain.len() - 27] {
        let frames = [mysql(1), frame(40, payload_body(&plain, announced))];
        assert!(matches!(stops(MySql, frames), Stop::Unpack { .. }), "{announced}");
    }
    // Something behind the end.
    let behind = payload(&[query("BEGIN"), xid(), query("BEGIN")]);
    assert!(matches!(stops(MySql, [mysql(1), behind]), Stop::OutOfOrder { .. }));
    // A compressed one inside of a compressed one.
    let nested = payload(&[payload(&[query("BEGIN"), xid()])]);
    assert!(matches!(stops(MySql, [mysql(1), nested]), Stop::Malformed { kind: 40, .. }));
}
