//! The stream of a PostgreSQL source, and how to reach one.

use bytes::Bytes;
use source_pglogical::Lsn;
use source_pglogical::assemble::{Assembler, Event, OldValues, RowChange};
use source_pglogical::pgoutput::{Frame, decode};
use source_pglogical::transport::{Config, ConfigError};

/// One message. What is understood is understood again, and no error quotes what was sent.
pub(super) fn message(bytes: &[u8]) {
    match decode(bytes) {
        Ok(message) => assert_eq!(decode(bytes), Ok(message)),
        Err(error) => assert!(error.to_string().len() < 300, "an error as long as a row"),
    }
}

/// One frame. Its payload is part of what was sent, and nothing is left over.
pub(super) fn frame(bytes: &[u8]) {
    const HEADER_BYTES: usize = 25;
    let all = Bytes::copy_from_slice(bytes);
    if let Ok(Frame::Wal(data)) = Frame::parse(&all) {
        assert_eq!(data.payload.len() + HEADER_BYTES, bytes.len());
        assert!(bytes.ends_with(&data.payload));
    }
}

/// A stream of messages, each behind its length in two bytes. Every row has as many values as its table was described
/// with, and after an error nothing is taken any more.
pub(super) fn stream(mut bytes: &[u8]) {
    let mut assembler = Assembler::default();
    let mut failed = false;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (one, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
        bytes = rest;
        let Ok(message) = decode(one) else { continue };
        match assembler.push(message) {
            Ok(event) => {
                assert!(!failed, "a message was taken after one out of order");
                if let Event::Change(relation, change) = event {
                    rows(&change).for_each(|columns| assert_eq!(columns, relation.columns.len()));
                    assert!(assembler.is_inside());
                }
            }
            Err(_) => failed = true,
        }
    }
}

fn rows(change: &RowChange<'_>) -> impl Iterator<Item = usize> {
    let old = |old: &OldValues<'_>| match old {
        OldValues::Identity(row) | OldValues::Row(row) => row.len(),
    };
    match change {
        RowChange::Insert(new) => vec![new.len()],
        RowChange::Update(before, new) => before.iter().map(old).chain([new.len()]).collect(),
        RowChange::Delete(before) => vec![old(before)],
    }
    .into_iter()
}

/// A position is read back as it is written.
pub(super) fn lsn(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(lsn) = text.parse::<Lsn>() else { return };
    assert_eq!(lsn.to_string().parse::<Lsn>(), Ok(lsn));
}

/// A connection string. Neither its settings in words nor an error tell the password.
pub(super) fn source_url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::from_url(text) {
        Ok(config) => {
            let long = config.password.len() >= 8;
            let elsewhere =
                [&config.user, &config.database].iter().any(|other| other.contains(&config.password));
            let words = format!("{config:?}");
            let host = format!("{:?}", config.endpoint);
            if long && !elsewhere && !host.contains(&config.password) {
                assert!(!words.contains(&config.password), "the password is told");
            }
        }
        // A parameter's name is not a secret.
        Err(ConfigError::UnknownParameter { .. }) => {}
        Err(error) => {
            assert!(!error.to_string().contains("secret-canary"), "an error quotes the connection string");
        }
    }
}
