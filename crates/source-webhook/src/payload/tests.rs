//! Bodies of every kind, good and bad.

use proptest::prelude::*;
use sink_core::staging::admission::IncomingKey;

use super::*;

#[test]
fn rows_keep_their_text() {
    let body = br#"{"payload":[{"after": {"id": 1, "n": 1E+2}, "key": [1], "topic": "people", "updated": "5.0000000003"},
        {"after": null, "before": {"id": 2}, "key": [2], "topic": "people", "updated": "6.0", "mvcc_timestamp": "1.0"}],"length":2}"#;
    let payload = parse(body).unwrap();
    assert_eq!(payload.rows[0].after, Some(r#"{"id": 1, "n": 1E+2}"#));
    assert_eq!(payload.rows[0].time.unwrap().to_string(), "5.0000000003");
    assert_eq!((payload.rows[1].after, payload.rows[1].before), (None, Some(r#"{"id": 2}"#)));
    assert_eq!(payload.resolved, None);
}

#[test]
fn marks_are_read_in_both_forms() {
    for body in [r#"{"resolved":"7.0000000000"}"#, r#"{"__crdb__":{"resolved":"7.0000000000"}}"#] {
        assert_eq!(parse(body.as_bytes()).unwrap().resolved, HlcTimestamp::new(7, 0));
    }
    assert!(parse(b"").unwrap().resolved.is_none());
    assert!(parse(br#"{"resolved":""}"#).unwrap().resolved.is_none());
}

#[test]
fn what_cannot_be_applied_is_refused_with_the_option_to_change() {
    for (body, hint) in [
        (r#"{"payload":[{"after": {"id": 1}, "updated": "1.0", "topic": "t"}]}"#, "key_in_value"),
        (r#"{"payload":[{"after": {"id": 1}, "updated": "1.0", "key": [1]}]}"#, "topic_in_value"),
        (r#"{"payload":[{"__crdb__": {"updated": "1.0"}, "id": 1}]}"#, "envelope=wrapped"),
        (
            r#"{"payload":[{"after": {"id": 1}, "key": {"id": 1}, "op": "c", "ts_ns": 1}]}"#,
            "enriched_properties='source'",
        ),
        (
            r#"{"payload":[{"payload": {"after": {"id": 1}, "key": {"id": 1}, "op": "c"}, "schema": {}}]}"#,
            "enriched_properties='source'",
        ),
        (r#"{"payload":[{"payload": {"payload": {"after": {}}}, "schema": {}}]}"#, "no `after`"),
        (r#"{"payload":[{"payload": 7, "schema": {}}]}"#, "payload.after"),
        (r#"{"payload":[{"after": {}, "source": {"ts_hlc": "1.0"}}]}"#, "enriched_properties='source'"),
        (r#"{"payload":[{"after": {}, "source": 7}]}"#, "enriched_properties='source'"),
        (r#"{"payload":[{"after": null, "source": {"table_name": "t"}, "key": {}}]}"#, "WITH updated"),
        (r#"{"payload":[{"after": null, "key": [1], "topic": "t"}]}"#, "WITH updated"),
        (r#"{"payload":[{"after": {}, "before": null, "key": [1], "topic": "t"}]}"#, "WITH updated"),
        (r#"{"payload":[{"after": {}, "mvcc_timestamp": "1.0", "key": [1], "topic": "t"}]}"#, "WITH updated"),
        (r#"{"payload":[{"after": null, "updated": "1.0", "topic": "t"}]}"#, "diff"),
        (r#"{"payload":[{"after": {}, "key": [1], "topic": "t", "updated": "0.0000000001"}]}"#, "time zero"),
        (r#"{"payload":[{"city": "oslo", "kind": "bike"}]}"#, "envelope=wrapped"),
        (r#"{"payload":[{"after": {}, "key": [1], "topic": "t", "updated": "1"}]}"#, "row 0"),
        (r#"{"payload":[{"key": [1], "topic": "t", "updated": "1.0"}]}"#, "no `after`"),
        (r#"{"payload":[{},{},{}]}"#, "row 0"),
        (r#"{"payload":7}"#, "wrong kind"),
        ("[]", "wrong kind"),
        (r#"{"payload":[[{"id": 1}, null, [1], "t", "5.0"]]}"#, "wrong kind"),
        (r#"{"payload":[]"#, "early end"),
        (r#"{"payload":[]} x"#, "syntax"),
        (r#"{"payload":[],"payload":[]}"#, "twice"),
        ("\u{feff}{}", "syntax"),
    ] {
        let error = parse(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(hint), "{body}: {error}");
    }
    assert_eq!(parse(b"{\"payload\":\"\xff\"}").unwrap_err(), PayloadError::Utf8(12));
}

/// Every row in short: topic, time, key, whether it is an upsert, whether it has an old row.
fn short(payload: &Payload<'_>) -> Vec<String> {
    let each = payload.rows.iter().map(|row| {
        let key = match row.key {
            IncomingKey::Array(key) | IncomingKey::Object(key) => key,
            IncomingKey::OfRow => "-",
        };
        let time = row.time.map_or("-".to_owned(), |time| time.nanos().to_string());
        let topic = row.topic.as_deref().unwrap_or("-");
        format!("{topic} {time} {key} {} {}", row.after.is_some(), row.before.is_some())
    });
    each.collect()
}

#[test]
fn rows_of_query_changefeeds_need_neither_key_nor_topic() {
    let body = br#"{"payload":[
        {"after": {"id": 1}, "before": null, "updated": "5.0"},
        {"after": {"id": 1}, "before": {"id": 1}, "updated": "6.0"},
        {"after": null, "before": {"id": 1}, "updated": "7.0"},
        {"before": {"id": 2}, "updated": "7.0"},
        {"after": null, "before": null, "updated": "8.0"},
        {"before": null, "updated": "8.0"}],"length":6}"#;
    let payload = parse_for_table(body).unwrap();
    let expected = ["- 5 - true false", "- 6 - true true", "- 7 - false true", "- 7 - false true"];
    assert_eq!(short(&payload), expected);
    assert!(parse(body).unwrap_err().to_string().contains("topic_in_value"));
    let keyed =
        br#"{"payload":[{"after": null, "before": null, "key": [1], "topic": "t", "updated": "5.0"}]}"#;
    assert_eq!(
        short(&parse_for_table(keyed).unwrap()),
        ["t 5 [1] false false"],
        "a key says which row is gone"
    );
    assert_eq!(short(&parse(keyed).unwrap()).len(), 1);
    let several = br#"{"payload":[{"after": {}, "key": [1], "topic": "t", "updated": "5.0"},
        {"after": {}, "key": [1], "topic": "u", "updated": "5.0"}]}"#;
    assert_eq!(parse_for_table(several).unwrap_err(), PayloadError::SeveralTopics);
    assert_eq!(parse_for_table(br#"{"resolved":"7.0"}"#).unwrap().resolved, HlcTimestamp::new(7, 0));
}

#[test]
fn enriched_rows_carry_their_origin_in_source() {
    let row = r#"{"after": {"id": 1}, "before": null, "key": {"id": 1}, "op": "c", "source": {"database_name": "elsewhere",
        "job_id": "42", "mvcc_timestamp": "4.0", "schema_name": "nowhere", "table_name": "people", "ts_hlc": "5.0000000001",
        "ts_ns": 5}, "ts_ns": 9}"#;
    for row in [row.to_owned(), format!(r#"{{"payload": {row}, "schema": {{"fields": []}}}}"#)] {
        let body = format!(r#"{{"payload":[{row}],"length":1}}"#);
        let payload = parse(body.as_bytes()).unwrap();
        assert_eq!(short(&payload), [r#"people 5 {"id": 1} true false"#]);
        assert_eq!(payload.rows[0].time, HlcTimestamp::new(5, 1));
        assert_eq!(payload.job.as_deref(), Some("42"));
    }
    let gone = r#"{"payload":[{"after": null, "key": {"id": 1}, "op": "d", "source": {"table_name": "t", "ts_hlc": "5.0"}}]}"#;
    assert_eq!(short(&parse(gone.as_bytes()).unwrap()), [r#"t 5 {"id": 1} false false"#]);
}

#[test]
fn rows_of_an_initial_scan_have_no_time() {
    let body = br#"{"payload":[{"after": {"id": 1}, "key": [1], "topic": "t", "updated": "5.0"},
        {"after": {"id": 2}, "key": [2], "topic": "t"}]}"#;
    let payload = parse(body).unwrap();
    assert_eq!(short(&payload), ["t 5 [1] true false", "t - [2] true false"]);
    let error = payload.expect_times().unwrap_err().to_string();
    for words in ["row 1", "`updated`", "WITH updated", "initial_scan='only'", "?immediate=true"] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn files_have_one_row_per_line() {
    let file = b"{\"after\": {\"id\": 1}, \"key\": [1], \"updated\": \"5.0\", \"new\": {}}\r\n\n  \n\
        {\"after\": null, \"key\": [2], \"topic\": \"u\", \"updated\": \"6.0\"}";
    assert_eq!(short(&parse_lines(file).unwrap()), ["- 5 [1] true false", "u 6 [2] false false"]);
    assert!(parse_lines(b"").unwrap().rows.is_empty());
    let good = r#"{"after": {"id": 1}, "key": [1], "updated": "5.0"}"#;
    for (line, words) in [
        ("{", "line 3"),
        ("[]", "line 3"),
        (r#"{"after": {}, "after": {}}"#, "twice"),
        (r#"{"after": {}, "key": [1], "updated": "x"}"#, "`updated` of line 3"),
        (r#"{"after": null, "key": [1]}"#, "line 3 has no `updated`; create the changefeed WITH updated"),
        (r#"{"__crdb__": {}}"#, "line 3 is of the bare envelope"),
        (r#"{"after": {}} {"after": {}}"#, "syntax"),
    ] {
        let error = parse_lines(format!("{good}\n\n{line}\n{good}").as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{line}: {error}");
    }
}

#[test]
fn rows_are_counted() {
    let many = format!(r#"{{"payload":[{}{{"after":{{}}}}]}}"#, r#"{"after":{}},"#.repeat(MAX_ROWS));
    assert_eq!(parse_for_table(many.as_bytes()).unwrap_err(), PayloadError::TooManyRows);
    let many = r#"{"after":{}}"#.to_owned() + &"\n{\"after\":{}}".repeat(MAX_ROWS);
    assert_eq!(parse_lines(many.as_bytes()).unwrap_err(), PayloadError::TooManyRows);
}

#[test]
fn depth_is_no_danger() {
    let deep = format!(r#"{{"payload":[{{"after": {}"#, "[".repeat(100_000));
    assert!(parse(deep.as_bytes()).is_err());
    let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body =
        format!(r#"{{"payload":[{{"after": {closed}, "key": [1], "topic": "t", "updated": "1.0"}}]}}"#);
    assert!(parse(body.as_bytes()).is_ok(), "depth is judged when the row is matched with its table");
}

fn everything(body: &[u8]) {
    let _ = parse(body);
    let _ = parse_for_table(body);
    let _ = parse_lines(body);
}

proptest! {
    #[test]
    fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        everything(&body);
    }

    #[test]
    fn mutated_bodies_never_panic(at in 0_usize..200, byte in any::<u8>()) {
        let mut body = br#"{"payload":[{"after": {"id": 1, "n": 1E+2}, "key": [1], "topic": "t", "updated": "5.0000000003"}],"length":1,"resolved":"1.0"}"#.to_vec();
        let at = at % body.len();
        body[at] = byte;
        everything(&body);
    }

    #[test]
    fn mutated_enriched_rows_never_panic(at in 0_usize..400, byte in any::<u8>()) {
        let mut body = br#"{"payload":[{"payload":{"after":{"id":1},"key":{"id":1},"op":"u","source":{"table_name":"t","ts_hlc":"5.0000000003","job_id":"1"}},"schema":{}}],"length":1}"#.to_vec();
        let at = at % body.len();
        body[at] = byte;
        everything(&body);
    }
}
