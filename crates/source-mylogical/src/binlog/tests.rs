//! Events, as servers write them, and as nobody should.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use mysql_common::binlog::consts::EventType;
use mysql_common::binlog::events::GtidEvent;
use mysql_common::packets::Tag as SentTag;
use mysql_common::proto::MySerialize as _;
use proptest::prelude::*;

use super::*;

fn header(kind: u8, body: usize) -> Vec<u8> {
    let mut bytes = 7_u32.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(5_u32.to_le_bytes());
    bytes.extend(u32::try_from(19 + body).unwrap().to_le_bytes());
    bytes.extend([0; 6]);
    bytes
}

fn event(kind: u8, body: &[u8]) -> Result<Event, EventError> {
    let bytes = [header(kind, body.len()), body.to_vec()].concat();
    Event::parse(Frame::parse(&bytes.into(), Checksum::None).unwrap())
}

#[test]
fn a_checksum_is_verified_and_taken_off() {
    let mut whole = [header(16, 8 + 4), vec![1; 8]].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&whole);
    whole.extend(crc.sum().to_le_bytes());
    let frame = Frame::parse(&whole.clone().into(), Checksum::Crc32).unwrap();
    assert_eq!((frame.body.len(), frame.header.kind, frame.header.server), (8, 16, 5));
    for at in 0..whole.len() {
        let mut wrong = whole.clone();
        *wrong.get_mut(at).unwrap() ^= 4;
        assert!(Frame::parse(&wrong.into(), Checksum::Crc32).is_err(), "byte {at}");
        assert!(
            Frame::parse(&whole.get(..at).unwrap().to_vec().into(), Checksum::Crc32).is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn names_of_transactions_are_read_as_the_client_library_writes_them() {
    let sent = GtidEvent::new([3; 16], 9_000).with_lc_typecode();
    let sent = sent.with_immediate_commit_timestamp(1_700_000_000_000_001);
    for tag in [None, Some("rome_2")] {
        let sent = match tag {
            None => sent.clone(),
            Some(tag) => sent.clone().with_tag(SentTag::new(tag).unwrap()),
        };
        let mut body = Vec::new();
        sent.serialize(&mut body);
        let kind = if tag.is_some() { EventType::GTID_TAGGED_LOG_EVENT } else { EventType::GTID_EVENT };
        let Ok(Event::MySqlStart(start)) = event(kind as u8, &body) else { panic!() };
        assert_eq!((start.gtid.number, start.gtid.tsid.uuid), (9_000, [3; 16]));
        assert_eq!(start.gtid.tsid.tag.as_ref().map(|tag| tag.as_str()), tag);
        assert_eq!(start.committed_micros, 1_700_000_000_000_001);
    }
    // Committed elsewhere first.
    let mut body = Vec::new();
    sent.with_original_commit_timestamp(5).serialize(&mut body);
    let Ok(Event::MySqlStart(start)) = event(33, &body) else { panic!() };
    assert_eq!(start.committed_micros, 5);
}

#[test]
fn the_list_before_a_file_names_the_newest_of_each_domain() {
    let mut body = 0x1000_0003_u32.to_le_bytes().to_vec();
    for (domain, server, seq) in [(0_u32, 1_u32, 5_u64), (0, 2, 6), (7, 1, 1)] {
        body.extend(domain.to_le_bytes());
        body.extend(server.to_le_bytes());
        body.extend(seq.to_le_bytes());
    }
    let Ok(Event::GtidList(list)) = event(163, &body) else { panic!() };
    assert_eq!(list.to_string(), "0-2-6,7-1-1");
}

/// As MariaDB writes it.
fn packed(plain: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    bytes.extend(u16::try_from(plain.len()).unwrap().to_be_bytes());
    let mut encoder = ZlibEncoder::new(bytes, Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_events_are_their_plain_siblings() {
    let data = vec![5; 300];
    for (kind, plain_kind) in (166..=171).zip([23, 24, 25, 30, 31, 32]) {
        let mut head = vec![9, 0, 0, 0, 0, 0, 1, 0];
        if plain_kind >= 30 {
            head.extend([4, 0, 77, 77]);
        }
        let bitmaps = if matches!(plain_kind, 24 | 31) { 4 } else { 2 };
        head.push(9);
        head.extend(vec![0xff; bitmaps]);
        let Ok(Event::Rows(rows)) = event(kind, &[head.clone(), packed(&data)].concat()) else {
            panic!("{kind}")
        };
        assert_eq!((rows.kind, rows.id, rows.body), (plain_kind, 9, [head, data.clone()].concat().into()));
    }
    let mut head = vec![0; 8];
    head.extend([1, 0, 0, 0, 0, b'd', 0]);
    let Ok(Event::Query(query)) = event(165, &[head, packed(b"BEGIN")].concat()) else { panic!() };
    assert_eq!((query.database.as_str(), query.text), ("d", Bytes::from_static(b"BEGIN")));
}

#[test]
fn compressed_events_that_are_damaged_are_refused() {
    let head = [9, 0, 0, 0, 0, 0, 1, 0, 1, 1];
    let whole = [head.to_vec(), packed(&[5; 300])].concat();
    for at in 0..whole.len() {
        let error = event(166, whole.get(..at).unwrap()).unwrap_err();
        assert!(matches!(error, EventError::Unpack(_) | EventError::Malformed), "cut at {at}");
    }
    let claims = |size: [u8; 2]| {
        let mut other = whole.clone();
        other.splice(11..13, size);
        match event(166, &other).unwrap_err() {
            EventError::Unpack(error) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(claims([1, 43]), UnpackError::Size { expected: 299, found: 300 });
    assert_eq!(claims([1, 45]), UnpackError::Size { expected: 301, found: 300 });
    assert!(matches!(claims([255, 255]), UnpackError::TooLarge { .. } | UnpackError::Size { .. }));
    let mut other = whole;
    other.splice(10..11, [0x92]);
    assert!(matches!(event(166, &other), Err(EventError::Unpack(UnpackError::Method { .. }))));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(kind: u8, body in proptest::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(Event::Payload(payload)) = event(kind, &body) {
            let Ok(mut events) = payload.events() else { return Ok(()) };
            while let Ok(Some(_)) = events.next_event() {}
        }
    }

    #[test]
    fn any_text_is_some_statement(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Statement::parse(&text);
    }

    #[test]
    fn any_words_are_some_statement(words in proptest::collection::vec(proptest::sample::select(vec![
        "CREATE", "OR", "REPLACE", "TABLE", "ALTER", "RENAME", "TO", "DROP", "PARTITION", "`a``b`", "'", "`", ".", ",", "/*!50000",
        "*/", "/*", "--", " ", "SET", "STATEMENT", "FOR", "XA", "COMMIT", "X'61'", "SAVEPOINT", "ROLLBACK", "t", "é", "INSERT",
    ]), 0..15)) {
        let _ = Statement::parse(words.join(" ").as_bytes());
    }
}
