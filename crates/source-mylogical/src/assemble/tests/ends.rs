//! Where transactions end.

use super::script::*;
use crate::Flavor::{MariaDb, MySql};
use crate::binlog::Frame;

const A: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";

#[test]
fn rows_are_handed_on_as_they_come() {
    let mut assembler = at(MySql, "");
    let frames = all([vec![format(1), mysql(1), query("BEGIN")], row("t", 7), row("u", 8), row("t", 9)]);
    assert_eq!(play(&mut assembler, frames).0, ["begin", "t 7", "u 8", "t 9"]);
    assert_eq!(assembler.position().to_string(), "");
    assert_eq!(play(&mut assembler, [xid()]).0, ["commit"]);
    assert_eq!(assembler.position().to_string(), format!("{A}:1"));
}

#[test]
fn each_end_ends() {
    for end in [xid(), query("COMMIT")] {
        let (said, position) =
            plays(MySql, "", all([vec![mysql(1), query("BEGIN")], row("t", 1), vec![end.clone()]]));
        assert_eq!((said.as_str(), position), ("begin, t 1, commit", format!("{A}:1")));
        // BEGIN is not written there.
        let (said, position) = plays(MariaDb, "", all([vec![mariadb(0, 1, 0)], row("t", 1), vec![end]]));
        assert_eq!((said.as_str(), position.as_str()), ("begin, t 1, commit", "0-1-1"));
    }
}

#[test]
fn what_has_nothing_for_us_moves_the_position() {
    for nothing in [vec![], row("other", 1)] {
        let frames = all([vec![mysql(1), query("BEGIN")], nothing, vec![query("COMMIT")]]);
        assert_eq!(plays(MySql, "", frames), ("passed".into(), format!("{A}:1")));
    }
    for alone in ["GRANT ALL ON x.* TO y", "CREATE VIEW v AS SELECT 1", "CREATE TABLE e.t (a int)", "# x"] {
        assert_eq!(
            plays(MySql, "", [mysql(1), query(alone)]),
            ("passed".into(), format!("{A}:1")),
            "{alone}"
        );
        assert_eq!(plays(MariaDb, "", [mariadb(3, 1, 1), query(alone)]), ("passed".into(), "3-1-1".into()));
    }
}

#[test]
fn definitions_are_told_and_end_only_where_they_stand_alone() {
    let (said, _) =
        plays(MySql, "", [mysql(1), query("ALTER TABLE t ADD x INT"), mysql(2), query("BEGIN"), xid()]);
    assert_eq!(said, "ALTER TABLE t, passed, passed");
    let (said, _) = plays(MySql, "", [mysql(1), query_in("e", "RENAME TABLE d.t TO u"), mysql(2)]);
    assert_eq!(said, "RENAME TABLE t, passed");
    // In a transaction, temporary tables come and go.
    let drop = query("DROP TEMPORARY TABLE IF EXISTS x");
    let (said, _) = plays(MySql, "", all([vec![mysql(1), query("BEGIN"), drop], row("t", 1), vec![xid()]]));
    assert_eq!(said, "begin, t 1, commit");
}

#[test]
fn a_table_made_from_a_query_is_one_transaction_with_its_rows() {
    let create = query("CREATE TABLE `t` (`a` int) START TRANSACTION");
    let (said, position) = plays(MySql, "", all([vec![mysql(1), create], row("t", 1), vec![xid()]]));
    assert_eq!((said.as_str(), position), ("CREATE TABLE t, begin, t 1, commit", format!("{A}:1")));
    let create = query("CREATE TABLE `t` (`a` int)");
    let (said, _) = plays(MariaDb, "", all([vec![mariadb(0, 1, 0x28), create], row("t", 1), vec![xid()]]));
    assert_eq!(said, "CREATE TABLE t, begin, t 1, commit");
}

#[test]
fn rows_that_go_without_an_event_are_told_inside_of_a_transaction() {
    let said = |text: &str| plays(MySql, "", [mysql(1), query(text)]).0;
    assert_eq!(said("TRUNCATE t"), "begin, Truncate t, commit");
    assert_eq!(said("DROP TABLE e.x, t, u"), "begin, Drop t, Drop u, DROP TABLE t u, commit");
    assert_eq!(said("CREATE OR REPLACE TABLE t (a int)"), "begin, Replace t, CREATE TABLE t, commit");
    assert_eq!(said("ALTER TABLE t DROP PARTITION p"), "begin, Alter t, ALTER TABLE t, commit");
    assert_eq!(said("DROP DATABASE d"), "begin, gone d, DROP DATABASE , commit");
    assert_eq!(said("DROP DATABASE e"), "passed");
}

#[test]
fn what_is_applied_is_passed_over() {
    let position = format!("{A}:1-3");
    let again = all([
        vec![mysql(2), query("BEGIN")],
        row("t", 1),
        vec![xid(), mysql(3), query("TRUNCATE t"), mysql(4)],
    ]);
    assert_eq!(plays(MySql, &position, again), (String::new(), position));
}

#[test]
fn a_compressed_transaction_is_unpacked() {
    let many: Vec<Frame> = (0..200).flat_map(|value| row("t", value)).collect();
    let inside = all([vec![query("BEGIN")], many, vec![xid()]]);
    let (said, position) = plays(MySql, "", [mysql(1), payload(&inside), mysql(2), query("BEGIN"), xid()]);
    assert_eq!(said.matches("t ").count(), 200);
    assert!(said.starts_with("begin, t 0, t 1, ") && said.ends_with("t 199, commit, passed"));
    assert_eq!(position, format!("{A}:1-2"));
}

#[test]
fn a_transaction_cut_off_by_a_crash_of_the_source_never_was() {
    let cut = all([vec![mysql(1), query("BEGIN")], row("t", 1)]);
    let again = all([vec![format(2), mysql(1), query("BEGIN")], row("t", 2), vec![xid()]]);
    let mut assembler = at(MySql, "");
    let (said, stop) = play(&mut assembler, all([cut.clone(), again.clone()]));
    assert_eq!(said, ["begin", "t 1"]);
    let Some(crate::assemble::Stop::TakenBack { gtid }) = stop else { panic!("{stop:?}") };
    // The next connection knows.
    let mut assembler = at(MySql, "").careful(Some(gtid));
    let (said, stop) = play(&mut assembler, all([cut, again]));
    assert_eq!((said.join(", ").as_str(), stop.is_none()), ("begin, t 2, commit", true));
}

#[test]
fn a_description_sent_again_is_the_same_table_and_another_one_is_not() {
    let mut assembler = at(MySql, "");
    let mut numbers = Vec::new();
    let altered = |id| {
        let mut body = bytes(&map(id, "t")).to_vec();
        body.push(1);
        frame(19, body)
    };
    let transactions = [map(5, "t"), map(5, "t"), altered(5), map(6, "t"), map(5, "u")];
    for (number, map) in (1..).zip(transactions) {
        let id = u64::from(*map.body.first().unwrap());
        for frame in [mysql(number), query("BEGIN"), map, rows(id, 1), xid()] {
            assembler.push(frame);
            while let Some(item) = assembler.next_item().unwrap() {
                if let crate::assemble::Item::Rows(rows) = item {
                    numbers.push(rows.table.number);
                }
            }
        }
    }
    assert_eq!(numbers, [1, 1, 2, 3, 4]);
}

#[test]
fn commit_times_are_the_sources() {
    let mut assembler = at(MariaDb, "");
    for frame in [mariadb(0, 1, 0), xid()] {
        assembler.push(frame);
    }
    let micros = i64::from(SECS) * 1_000_000;
    assert_eq!(assembler.next_item().unwrap(), Some(crate::assemble::Item::Passed { at_micros: micros }));
    let mut assembler = at(MySql, "");
    for frame in [mysql(1), query("BEGIN"), xid()] {
        assembler.push(frame);
    }
    assert_eq!(assembler.next_item().unwrap(), Some(crate::assemble::Item::Passed { at_micros: 1_000_000 }));
}
