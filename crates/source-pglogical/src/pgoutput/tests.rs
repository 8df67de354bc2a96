//! Messages made by hand after the documentation, and everything that is not a message.

use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::Lsn;

/// Real messages, one a line: what the server sent, in hexadecimal. Made by a scenario of the package `tests`.
const CAPTURED: &str = include_str!("../../corpus/messages.hex");

static MESSAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let lines = CAPTURED.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
});

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn refused(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

#[test]
fn a_transactions_borders_are_read() {
    let begin = bytes(&[b"B", &5_u64.to_be_bytes(), &7_i64.to_be_bytes(), &9_u32.to_be_bytes()]);
    let expected = Begin { final_lsn: Lsn::new(5), commit_time: SourceTime::from_micros(7), xid: 9 };
    assert_eq!(decode(&begin), Ok(Message::Begin(expected)));

    let commit = bytes(&[b"C\0", &5_u64.to_be_bytes(), &6_u64.to_be_bytes(), &7_i64.to_be_bytes()]);
    let commit_time = SourceTime::from_micros(7);
    let expected = Commit { lsn: Lsn::new(5), end_lsn: Lsn::new(6), commit_time };
    assert_eq!(decode(&commit), Ok(Message::Commit(expected)));
}

#[test]
fn flags_that_mean_nothing_yet_are_refused() {
    let commit = bytes(&[b"C\x01", &[0; 24]]);
    assert_eq!(refused(&commit), "Commit message, byte 1: expected no flags, found byte 0x01");
    let truncate = b"T\0\0\0\0\x04";
    assert_eq!(
        refused(truncate),
        "Truncate message, byte 5: expected the options of TRUNCATE, found byte 0x04"
    );
    let message = bytes(&[b"M\x02", &[0; 8], b"p\0", &[0; 4]]);
    assert_eq!(refused(&message), "Message message, byte 1: expected the message's flags, found byte 0x02");
}

#[test]
fn a_relation_is_read_with_its_columns() {
    let relation =
        b"R\0\0\0\x07sch\0t\xc3\xa4b\0i\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0v\0\0\0\x04\x13\0\0\0\x0e";
    let Ok(Message::Relation(relation)) = decode(relation) else { panic!("not a relation") };
    assert_eq!((relation.oid, relation.schema, relation.name), (RelationOid(7), "sch", "täb"));
    assert_eq!(relation.identity, ReplicaIdentity::Index);
    let column = |in_identity, name, oid, type_modifier| RelationColumn {
        in_identity,
        name,
        type_oid: TypeOid(oid),
        type_modifier,
    };
    assert_eq!(relation.columns, [column(true, "id", 23, -1), column(false, "v", 1043, 14)]);
}

#[test]
fn each_kind_of_value_is_told_apart_from_the_others() {
    let insert = b"I\0\0\0\x07N\0\x05nut\0\0\0\0t\0\0\0\x02hib\0\0\0\x01\xff";
    let Ok(Message::Insert(insert)) = decode(insert) else { panic!("not an insert") };
    let expected =
        [Value::Null, Value::Unchanged, Value::Text(""), Value::Text("hi"), Value::Binary(&[0xff])];
    assert_eq!(insert.new.values(), expected);
}

#[test]
fn updates_and_deletes_say_what_they_know_of_the_old_row() {
    let update = |bytes| match decode(bytes) {
        Ok(Message::Update(update)) => update.old,
        other => panic!("not an update: {other:?}"),
    };
    assert_eq!(update(b"U\0\0\0\x07N\0\x01n"), None);
    assert!(matches!(update(b"U\0\0\0\x07K\0\x01nN\0\x01n"), Some(OldRow::Key(_))));
    assert!(matches!(update(b"U\0\0\0\x07O\0\x01nN\0\x01n"), Some(OldRow::Full(_))));
    let delete = |bytes| match decode(bytes) {
        Ok(Message::Delete(delete)) => delete.old,
        other => panic!("not a delete: {other:?}"),
    };
    assert!(matches!(delete(b"D\0\0\0\x07K\0\x01n"), OldRow::Key(_)));
    assert!(matches!(delete(b"D\0\0\0\x07O\0\x01n"), OldRow::Full(_)));
    assert_eq!(
        refused(b"D\0\0\0\x07N\0\x01n"),
        "Delete message, byte 5: expected the old row, found byte 0x4e"
    );
}

#[test]
fn counts_beyond_the_message_are_refused_before_room_is_made() {
    let many_tables = b"T\x7f\xff\xff\xff\0\0\0\0\x01";
    let said = refused(many_tables);
    assert!(
        said.starts_with("Truncate message, byte 1: expected the number of tables of 8589934588 bytes"),
        "{said}"
    );
    let many_columns = b"I\0\0\0\x07N\x7f\xffn";
    assert!(
        refused(many_columns).starts_with("Insert message, byte 6: expected the number of columns of 32767")
    );
    let long_value = b"I\0\0\0\x07N\0\x01t\x7f\xff\xff\xffx";
    assert!(refused(long_value).starts_with("Insert message, byte 9, column 0: expected a column's length"));
    assert!(refused(b"I\0\0\0\x07N\xff\xff").contains("found a negative number"));
}

#[test]
fn errors_name_the_place_and_never_the_value() {
    let not_utf8 = b"I\0\0\0\x07N\0\x02nt\0\0\0\x03ab\xff";
    let expected = "Insert message, byte 14, column 1: expected a column's text in UTF-8, found other bytes";
    assert_eq!(refused(not_utf8), expected);
    assert!(!format!("{:?}", decode(b"I\0\0\0\x07N\0\x01t\0\0\0\x06secret")).contains("secret"));
}

#[test]
fn what_is_not_a_message_is_refused() {
    assert_eq!(refused(b""), "pgoutput message, byte 0: expected a message's kind of 1 bytes, 0 are left");
    assert_eq!(refused(b"S"), "pgoutput message, byte 0: expected a message's kind, found byte 0x53");
    assert!(refused(b"Y\0\0\0\x01s\0n").ends_with("expected the type's name, its closing zero is missing"));
    assert!(refused(b"Y\0\0\0\x01s\0n\0!").ends_with("expected the end, 1 bytes are left"));
}

#[test]
fn frames_are_read_and_share_the_buffer() {
    let data =
        Bytes::from(bytes(&[b"w", &1_u64.to_be_bytes(), &2_u64.to_be_bytes(), &3_i64.to_be_bytes(), b"xy"]));
    let Ok(Frame::Wal(wal)) = Frame::parse(&data) else { panic!("not log data") };
    assert_eq!((wal.start, wal.end, wal.sent_at.micros()), (Lsn::new(1), Lsn::new(2), 3));
    assert_eq!(&wal.payload[..], b"xy");
    assert_eq!(wal.payload.as_ptr(), data[25..].as_ptr());

    let data = Bytes::from(bytes(&[b"k", &1_u64.to_be_bytes(), &3_i64.to_be_bytes(), b"\x01"]));
    let Ok(Frame::Keepalive(keepalive)) = Frame::parse(&data) else { panic!("not a keepalive") };
    assert!(keepalive.reply_requested);
    assert!(Frame::parse(&data.slice(..17)).is_err());
    assert!(Frame::parse(&Bytes::from_static(b"z")).is_err());
    assert!(Frame::parse(&Bytes::new()).is_err());
}

#[test]
fn times_convert_between_the_epochs() {
    assert_eq!(SourceTime::from_micros(0).unix_micros(), 946_684_800_000_000);
    assert_eq!(SourceTime::from_unix_micros(946_684_800_000_001).micros(), 1);
    assert_eq!(SourceTime::from_micros(i64::MAX).unix_micros(), i64::MAX);
}

#[test]
fn every_captured_message_is_understood_and_no_shortened_one_is() {
    assert!(MESSAGES.len() >= 40, "{} messages", MESSAGES.len());
    for message in MESSAGES.iter() {
        decode(message).unwrap();
        for length in 0..message.len().min(300) {
            decode(&message[..length]).unwrap_err();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes);
        let _ = Frame::parse(&Bytes::from(bytes));
    }

    #[test]
    fn no_bytes_behind_a_known_kind_panic(kind in "[BCORYIUDTM]", bytes: Vec<u8>) {
        let _ = decode(&[kind.as_bytes(), &bytes].concat());
    }

    #[test]
    fn no_mutation_of_real_bytes_panics(
        which: Index,
        places in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        cut: Option<Index>,
    ) {
        let mut message = which.get(&MESSAGES).clone();
        for (place, byte) in places {
            let at = place.index(message.len());
            message[at] = byte;
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()));
        }
        let _ = decode(&message);
    }
}
