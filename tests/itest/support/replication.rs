//! A server with logical decoding, and its stream as a list of events in words.

use std::time::Duration;

use anyhow::{Context as _, Result};
use source_pglogical::Lsn;
use source_pglogical::assemble::{Assembler, Event, OldValues, RowChange};
use source_pglogical::pgoutput::{Frame, ReplicaIdentity, SourceTime, Status, Value, decode};
use source_pglogical::relations::Relation;
use source_pglogical::transport::{Config, Session, StartRequest, Stream};
use sqlx::PgConnection;
use tests::harness::database::Database;
use tests::harness::postgres::{PostgresServer, Settings};

/// Longest wait for an answer or a frame.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A server that can be decoded.
pub(crate) async fn server() -> Result<PostgresServer> {
    let settings = Settings { fsync: false, ..Settings::default() };
    PostgresServer::start(&settings.with("wal_level", "logical")).await
}

/// Connection settings for a database of it.
pub(crate) fn config(database: &Database) -> Result<Config> {
    Ok(Config::from_url(database.url())?)
}

/// The end of the log.
pub(crate) async fn end_of_log(connection: &mut PgConnection) -> Result<Lsn> {
    let end: String = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(connection).await?;
    Ok(end.parse()?)
}

/// Makes a slot; not possible in a transaction that has written. Transactions that other databases of the server have
/// under way are waited for a while: whether a publication is older than a slot cannot be told beyond them.
pub(crate) async fn create_slot(connection: &mut PgConnection, slot: &str) -> Result<()> {
    let now = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8";
    let now: i64 = sqlx::query_scalar(now).fetch_one(&mut *connection).await?;
    let ended = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8 >= $1";
    for _ in 0..500 {
        if sqlx::query_scalar::<_, bool>(ended).bind(now).fetch_one(&mut *connection).await? {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let create = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')";
    sqlx::query(create).bind(slot).execute(connection).await?;
    Ok(())
}

/// What the slot considers acknowledged.
pub(crate) async fn confirmed(connection: &mut PgConnection, slot: &str) -> Result<Lsn> {
    let statement = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
    let confirmed: String = sqlx::query_scalar(statement).bind(slot).fetch_one(connection).await?;
    Ok(confirmed.parse()?)
}

/// Opens a slot's stream from where the slot is.
pub(crate) async fn stream(config: &Config, slot: &str, publications: &[&str]) -> Result<Stream> {
    let session = Session::connect(config).await?;
    let publications = publications.iter().map(|name| (*name).to_owned()).collect();
    let request = StartRequest { slot: slot.to_owned(), from: Lsn::ZERO, publications };
    Ok(session.start(&request, LIMIT).await?)
}

/// The plugin's messages up to a position of the log, then the end of the stream in good order.
pub(crate) async fn messages_until(mut stream: Stream, end: Lsn) -> Result<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    loop {
        let frame = tokio::time::timeout(LIMIT, stream.next()).await.context("no frame")??;
        match frame {
            Frame::Wal(data) => messages.push(data.payload.to_vec()),
            Frame::Keepalive(keepalive) if keepalive.wal_end >= end => break,
            Frame::Keepalive(_) => {
                // So that the next keepalive comes at once and not after the server's own interval.
                let status = Status { reply_requested: true, ..Status::at(Lsn::ZERO, SourceTime::default()) };
                stream.send_status(status).await?;
            }
        }
    }
    stream.finish(Status::at(Lsn::ZERO, SourceTime::default()), LIMIT).await?;
    Ok(messages)
}

/// The events of some messages in words. What differs from run to run is left out.
pub(crate) fn in_words(messages: &[Vec<u8>]) -> Result<Vec<String>> {
    let mut assembler = Assembler::default();
    let mut words = Vec::new();
    for message in messages {
        let event = assembler.push(decode(message)?)?;
        words.push(event_in_words(&assembler, &event));
    }
    Ok(words)
}

fn event_in_words(assembler: &Assembler, event: &Event<'_>) -> String {
    match event {
        Event::Begin(_) => "begin".to_owned(),
        Event::Commit(_) => "commit".to_owned(),
        Event::Origin(origin) => format!("origin {} {}", origin.name, origin.lsn),
        Event::Type(oid) => {
            let name = assembler.relations().type_name(*oid);
            name.map_or_else(|| "type?".to_owned(), |name| format!("type {}.{}", name.schema, name.name))
        }
        Event::Relation(described) => relation_in_words(&described.relation),
        Event::Change(relation, change) => format!("{}: {}", relation.name, change_in_words(change)),
        Event::Truncate(truncated) => {
            let names: Vec<_> = truncated.relations.iter().map(|relation| relation.name.as_str()).collect();
            let cascade = if truncated.cascade { " cascade" } else { "" };
            let restart = if truncated.restart_identity { " restart" } else { "" };
            format!("truncate {}{cascade}{restart}", names.join(" "))
        }
        Event::Message(message) => {
            let kind = if message.transactional { "transactional" } else { "immediate" };
            format!("message {kind} {} {}", message.prefix, String::from_utf8_lossy(message.content))
        }
    }
}

fn relation_in_words(relation: &Relation) -> String {
    let identity = match relation.identity {
        ReplicaIdentity::Default => "default",
        ReplicaIdentity::Nothing => "nothing",
        ReplicaIdentity::Full => "full",
        ReplicaIdentity::Index => "index",
    };
    let mut words = format!("relation {}.{} {identity}", relation.schema, relation.name);
    for column in &relation.columns {
        words.push(' ');
        words.push_str(&column.name);
        if column.in_identity {
            words.push('*');
        }
    }
    words
}

fn change_in_words(change: &RowChange<'_>) -> String {
    match change {
        RowChange::Insert(new) => format!("insert {}", row_in_words(new)),
        RowChange::Update(None, new) => format!("update {}", row_in_words(new)),
        RowChange::Update(Some(old), new) => format!("update {} -> {}", old_in_words(old), row_in_words(new)),
        RowChange::Delete(old) => format!("delete {}", old_in_words(old)),
    }
}

fn old_in_words(old: &OldValues<'_>) -> String {
    match old {
        OldValues::Identity(row) => format!("key {}", row_in_words(row)),
        OldValues::Row(row) => format!("row {}", row_in_words(row)),
    }
}

/// Long values are told by their length.
fn row_in_words(row: &[Value<'_>]) -> String {
    const LONG: usize = 100;
    let word = |value: &Value<'_>| match value {
        Value::Null => "NULL".to_owned(),
        Value::Unchanged => "unchanged".to_owned(),
        Value::Text(text) if text.len() > LONG => format!("({} bytes)", text.len()),
        Value::Text(text) => format!("'{text}'"),
        Value::Binary(bytes) => format!("binary {} bytes", bytes.len()),
    };
    row.iter().map(word).collect::<Vec<_>>().join(" ")
}
