//! The connection to a real source: who may enter, slots and snapshots, acknowledgement, limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sink_core::failure::Disposition;
use source_pglogical::Lsn;
use source_pglogical::pgoutput::{Frame, SourceTime, Status};
use source_pglogical::transport::{
    Config, NewSlot, Session, SnapshotAction, StartRequest, Stream, TransportError,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tests::harness::database::Database;
use tests::harness::postgres::Shutdown;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::replication::{
    LIMIT, config, confirmed, create_slot, end_of_log, in_words, messages_until, server, stream,
};

pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::PostgresBinaries];
    vec![
        scenario("pgoutput::a_new_slots_snapshot_ends_where_its_stream_begins", NEEDS, |_| snapshot()),
        scenario("pgoutput::a_slot_in_use_is_told_apart_and_freed_by_the_end_of_its_stream", NEEDS, |_| {
            busy()
        }),
        scenario(
            "pgoutput::an_idle_source_moves_on_and_stops_quickly_if_positions_are_answered",
            NEEDS,
            |_| idle(),
        ),
        scenario("pgoutput::a_row_above_the_limit_is_refused_and_a_large_one_below_passes", NEEDS, |_| {
            large()
        }),
        scenario("pgoutput::passwords_and_certificates_are_checked_as_asked", NEEDS, entrance),
    ]
}

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t;
                     CREATE TABLE other (id int PRIMARY KEY)";

async fn run(connection: &mut PgConnection, statements: &str) -> Result<()> {
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await;
    done.map(|_| ()).with_context(|| statements.to_owned())
}

async fn snapshot() -> Result<()> {
    let server = server().await?;
    let database = server.create_database("snapshot").await?;
    let mut writer = database.connect().await?;
    run(&mut writer, TABLE).await?;
    run(&mut writer, "INSERT INTO t VALUES (1, 'before')").await?;

    let config = config(&database)?;
    let mut session = Session::connect(&config).await?;
    let identity = session.identify_system(LIMIT).await?;
    let system: String = sqlx::query_scalar("SELECT system_identifier::text FROM pg_control_system()")
        .fetch_one(&mut writer)
        .await?;
    ensure!((identity.system_id == system, identity.timeline) == (true, 1), "{identity:?}");
    ensure!(identity.database == database.name() && identity.end_of_log <= end_of_log(&mut writer).await?);
    ensure!(session.wal_sender_timeout(LIMIT).await? == Duration::from_secs(60));

    let slot = NewSlot { name: "s".to_owned(), temporary: false, snapshot: SnapshotAction::Export };
    let created = session.create_slot(&slot, LIMIT).await?;
    run(&mut writer, "INSERT INTO t VALUES (2, 'after')").await?;

    let import = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
        created.snapshot.context("no snapshot")?
    );
    let mut reader = database.connect().await?;
    run(&mut reader, &import).await?;
    let seen: Vec<i32> = sqlx::query_scalar("SELECT id FROM t").fetch_all(&mut reader).await?;
    ensure!(seen == [1], "the snapshot holds {seen:?}");

    // The next command ends the snapshot for those who come later, not for those who have it.
    session.query("SELECT 1", LIMIT).await?;
    let late = run(&mut database.connect().await?, &import).await;
    ensure!(late.is_err(), "the snapshot outlived its session's next command");
    run(&mut reader, "COMMIT").await?;

    // A refused command leaves the session usable.
    let again = session.create_slot(&slot, LIMIT).await.err().context("a slot was made twice")?;
    ensure!(again.sqlstate() == Some("42710"), "{again}");
    let request =
        StartRequest { slot: "s".to_owned(), from: created.consistent_point, publications: vec!["p".into()] };
    let stream = session.start(&request, LIMIT).await?;
    let words = in_words(&messages_until(stream, end_of_log(&mut writer).await?).await?)?;
    ensure!(words[2..3] == ["t: insert '2' 'after'"] && words.len() == 4, "{words:?}");
    Ok(())
}

async fn busy() -> Result<()> {
    let server = server().await?;
    let database = server.create_database("busy").await?;
    let mut connection = database.connect().await?;
    run(&mut connection, TABLE).await?;
    create_slot(&mut connection, "s").await?;
    let config = config(&database)?;
    let first = stream(&config, "s", &["p"]).await?;
    let refused = stream(&config, "s", &["p"]).await.err().context("two streams from one slot")?;
    let refused: TransportError = refused.downcast()?;
    ensure!(refused.sqlstate() == Some("55006") && refused.disposition() == Disposition::Retry, "{refused}");
    first.finish(Status::at(Lsn::ZERO, SourceTime::default()), LIMIT).await?;
    // No wait: the end was answered after the slot was freed.
    let second = stream(&config, "s", &["p"]).await?;
    drop(second);
    let missing: TransportError =
        stream(&config, "none", &["p"]).await.err().context("no slot")?.downcast()?;
    ensure!(missing.sqlstate() == Some("42704") && missing.disposition() == Disposition::Halt, "{missing}");
    Ok(())
}

/// Answers every keepalive with its position, until the stream ends.
async fn answer(stream: &mut Stream) -> TransportError {
    let mut position = Lsn::ZERO;
    loop {
        match stream.next().await {
            Ok(Frame::Keepalive(keepalive)) => position = position.max(keepalive.wal_end),
            Ok(Frame::Wal(_)) => return TransportError::Protocol("a change of an unpublished table"),
            Err(error) => return error,
        }
        // Asked for at once, so that the test need not wait for the server's own rhythm.
        let status = Status { reply_requested: true, ..Status::at(position, SourceTime::default()) };
        if let Err(error) = stream.send_status(status).await {
            return error;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn idle() -> Result<()> {
    let mut server = server().await?;
    let database = server.create_database("idle").await?;
    let mut connection = database.connect().await?;
    run(&mut connection, TABLE).await?;
    create_slot(&mut connection, "s").await?;
    let mut stream = stream(&config(&database)?, "s", &["p"]).await?;
    let kick = Status { reply_requested: true, ..Status::at(Lsn::ZERO, SourceTime::default()) };
    stream.send_status(kick).await?;
    let shutdown = async {
        run(&mut connection, "INSERT INTO other SELECT generate_series(1, 1000)").await?;
        let end = end_of_log(&mut connection).await?;
        wait::eventually(LIMIT, "the slot to move over unpublished changes", async || {
            let at = confirmed(&mut connection, "s").await?;
            if at >= end { Ok(()) } else { Err(anyhow::anyhow!("at {at}, not {end}")) }
        })
        .await?;
        run(&mut connection, "INSERT INTO other VALUES (0)").await?;
        connection.close().await?;
        // Hangs until its limit if the last position is not answered.
        tokio::time::timeout(Duration::from_secs(5), server.stop(Shutdown::Fast))
            .await
            .context("shutdown hangs")?
    };
    let (ended, stopped) = tokio::join!(answer(&mut stream), shutdown);
    stopped?;
    ensure!(ended.disposition() == Disposition::Retry, "the stream ended with {ended}");
    Ok(())
}

async fn large() -> Result<()> {
    const ROW: usize = 20 << 20;
    let server = server().await?;
    let database = server.create_database("large").await?;
    let mut connection = database.connect().await?;
    run(&mut connection, TABLE).await?;
    create_slot(&mut connection, "s").await?;
    run(&mut connection, &format!("INSERT INTO t VALUES (1, repeat('x', {ROW}))")).await?;
    let end = end_of_log(&mut connection).await?;

    let mut narrow = config(&database)?;
    narrow.limits.message_bytes = ROW / 2;
    let refused = messages_until(stream(&narrow, "s", &["p"]).await?, end).await;
    match refused.err().context("the row passed")?.downcast()? {
        TransportError::TooLarge { bytes, limit } => ensure!(bytes > ROW && limit == ROW / 2),
        other => bail!("refused with {other}"),
    }
    // The refused stream's connection is cut, not ended: the server takes a moment to notice.
    let wide = config(&database)?;
    let opened = wait::eventually(LIMIT, "the slot to be free", async || stream(&wide, "s", &["p"]).await);
    let words = in_words(&messages_until(opened.await?, end).await?)?;
    ensure!(words[2] == format!("t: insert '1' ({ROW} bytes)"), "{}", words[2]);
    Ok(())
}

const HBA: &str = "host all postgres all trust
host all common all trust
host all modern all scram-sha-256
host all old all md5
hostssl all plain all password
hostssl all bearer all cert
";

const ROLES: &str = "
    SET password_encryption = 'scram-sha-256'; CREATE ROLE modern LOGIN REPLICATION PASSWORD 'pa ss:w@rd';
    SET password_encryption = 'md5'; CREATE ROLE old LOGIN REPLICATION PASSWORD 'old';
    CREATE ROLE plain LOGIN REPLICATION PASSWORD 'plain';
    CREATE ROLE bearer LOGIN REPLICATION;
    CREATE ROLE common LOGIN";

/// An authority, a server's certificate for localhost, and a client's for the role `bearer`.
struct Papers {
    authority: String,
    server: (String, String),
    client: (String, String),
}

impl Papers {
    fn make() -> Result<Papers> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = authority.self_signed(&key)?.pem();
        let issuer = Issuer::new(authority, key);
        let signed = |names: Vec<String>, role: &str| -> Result<(String, String)> {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name.push(DnType::CommonName, role);
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
        };
        let server = signed(vec!["localhost".to_owned()], "server")?;
        let client = signed(Vec::new(), "bearer")?;
        Ok(Papers { authority: certificate, server, client })
    }
}

/// Lets the server write into its own folder, so that the owner and the rights are what it wants.
async fn install(connection: &mut PgConnection, file: &str, text: &str) -> Result<()> {
    let lines: Vec<_> = text.lines().map(|line| format!("('{line}')")).collect();
    run(connection, &format!("COPY (VALUES {}) TO PROGRAM 'umask 077; cat > {file}'", lines.join(","))).await
}

fn at(database: &Database, user: &str, host: &str, rest: &str) -> Result<Config> {
    let port = database.address()?.port();
    Ok(Config::from_url(&format!("postgres://{user}@{host}:{port}/{}?{rest}", database.name()))?)
}

async fn enters(config: &Config) -> Result<(), TransportError> {
    let mut session = Session::connect(config).await?;
    session.identify_system(LIMIT).await.map(|_| ())
}

async fn entrance(ctx: Ctx) -> Result<()> {
    let server = server().await?;
    let database = server.create_database("entrance").await?;
    let mut connection = database.connect().await?;
    run(&mut connection, ROLES).await?;
    let papers = Papers::make()?;
    install(&mut connection, "pg_hba.conf", HBA).await?;
    install(&mut connection, "server.crt", &papers.server.0).await?;
    install(&mut connection, "server.key", &papers.server.1).await?;
    install(&mut connection, "root.crt", &papers.authority).await?;

    let refused = enters(&at(&database, "postgres", "localhost", "sslmode=require")?).await;
    ensure!(matches!(refused, Err(TransportError::NoTls)), "{refused:?}");
    enters(&at(&database, "postgres", "localhost", "sslmode=prefer")?).await?;

    for setting in ["ssl_ca_file = 'root.crt'", "ssl = on"] {
        run(&mut connection, &format!("ALTER SYSTEM SET {setting}")).await?;
    }
    run(&mut connection, "SELECT pg_reload_conf()").await?;
    let secure = at(&database, "postgres", "localhost", "sslmode=require")?;
    wait::eventually(LIMIT, "the server to accept TLS", async || enters(&secure).await).await?;

    passwords(&database).await?;
    certificates(&database, ctx.folder(), &papers).await
}

async fn passwords(database: &Database) -> Result<()> {
    for user in ["modern:pa%20ss%3Aw%40rd", "old:old"] {
        for mode in ["disable", "prefer", "require"] {
            let config = at(database, user, "localhost", &format!("sslmode={mode}"))?;
            enters(&config).await.with_context(|| format!("{user} with {mode}"))?;
        }
    }
    enters(&at(database, "plain:plain", "localhost", "sslmode=require")?).await?;
    for user in ["modern:wrong", "old:wrong", "modern"] {
        let refused = enters(&at(database, user, "localhost", "sslmode=disable")?).await.err();
        let refused = refused.with_context(|| format!("{user} entered"))?;
        ensure!(
            refused.sqlstate() == Some("28P01") && refused.disposition() == Disposition::Halt,
            "{refused}"
        );
    }
    Ok(())
}

async fn certificates(database: &Database, folder: &Path, papers: &Papers) -> Result<()> {
    let keep = |name: &str, text: &str| -> Result<PathBuf> {
        let file = folder.join(name);
        std::fs::write(&file, text)?;
        Ok(file)
    };
    let root = keep("root.pem", &papers.authority)?;
    let other = keep("other.pem", &Papers::make()?.authority)?;
    let certificate = keep("client.pem", &papers.client.0)?;
    let key = keep("client.key", &papers.client.1)?;
    let with = |host: &str, mode: &str, root: &Path| {
        let rest = format!("sslmode={mode}&sslrootcert={}", root.display());
        at(database, "postgres", host, &rest)
    };
    enters(&with("localhost", "verify-full", &root)?).await?;
    // The certificate is made out to the name, not to the address.
    enters(&with("127.0.0.1", "verify-ca", &root)?).await?;
    let by_name = with("127.0.0.1", "verify-full", &root)?;
    let strangers = [with("localhost", "verify-ca", &other)?, with("localhost", "require", &other)?];
    let public = at(database, "postgres", "localhost", "sslmode=verify-full")?;
    for config in [&by_name, &public].into_iter().chain(&strangers) {
        let refused = enters(config).await;
        ensure!(matches!(refused, Err(TransportError::Tls(_))), "{config:?}: {refused:?}");
    }
    let (certificate, key) = (certificate.display(), key.display());
    let rest =
        format!("sslmode=verify-full&sslrootcert={}&sslcert={certificate}&sslkey={key}", root.display());
    enters(&at(database, "bearer", "localhost", &rest)?).await?;
    let without = enters(&at(database, "bearer", "localhost", "sslmode=require")?).await.err();
    ensure!(without.as_ref().and_then(TransportError::sqlstate) == Some("28000"), "{without:?}");
    let missing = Session::connect(&with("localhost", "verify-full", &folder.join("none"))?).await.err();
    ensure!(matches!(missing, Some(TransportError::Config(_))), "{missing:?}");
    // Not allowed to stream at all.
    let common = enters(&at(database, "common", "localhost", "sslmode=disable")?).await.err();
    ensure!(common.as_ref().and_then(TransportError::sqlstate) == Some("42501"), "{common:?}");
    Ok(())
}
