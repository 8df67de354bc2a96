//! What is drained: tables, their first rows, and the history that becomes the backlog.

use anyhow::{Result, bail};

use super::commits::Commits;
use super::servers::Servers;
use crate::rows::NARROW;

/// What the issue asks for: rows per second and processor time, each as a ratio to the rival.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    /// Rows per second, no less.
    pub(crate) rate: f64,
    /// What a prototype reached.
    pub(crate) rate_hoped: f64,
    /// Processor time, no more.
    pub(crate) cpu: f64,
    /// What a prototype reached.
    pub(crate) cpu_hoped: f64,
}

/// One history.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Name of the figures.
    pub(crate) title: &'static str,
    /// Tables with changes, besides the marker's.
    pub(crate) tables: Vec<&'static str>,
    /// SQL that makes the tables and their first rows, the same on both sides.
    pub(crate) start: String,
    /// Statements that make the history, each in a session of its own, at the same time.
    pub(crate) history: Vec<String>,
    /// Changes of rows.
    pub(crate) changes: i64,
    /// Transactions.
    pub(crate) transactions: i64,
    /// What is asked for, if anything is.
    pub(crate) goal: Option<Goal>,
    /// So many pairs are enough.
    pub(crate) pairs: Option<u32>,
}

/// Procedures that make histories, at the source alone. Keys of updates are far apart from one transaction to the
/// next, and no key comes twice within many thousand changes: folding has nothing to gain.
pub(crate) const PROCEDURES: &str = "
CREATE PROCEDURE inserts(transactions int8, size int8) LANGUAGE plpgsql AS $$
BEGIN
    FOR at IN 0 .. transactions - 1 LOOP
        INSERT INTO t SELECT id, id % 1000000, md5(id::text), id / 7.0, id % 2 = 0
        FROM generate_series(at * size + 1, (at + 1) * size) AS id;
        COMMIT;
    END LOOP;
END $$;
CREATE PROCEDURE updates(transactions int8, size int8, keys int8) LANGUAGE plpgsql AS $$
BEGIN
    FOR at IN 0 .. transactions - 1 LOOP
        UPDATE t SET a = a + 1, b = md5((id + at)::text), c = c + 0.5
        WHERE id IN (SELECT 1 + (n * 7919) % keys FROM generate_series(at * size, (at + 1) * size - 1) AS n);
        COMMIT;
    END LOOP;
END $$;
CREATE PROCEDURE deletes(transactions int8, size int8) LANGUAGE plpgsql AS $$
BEGIN
    FOR at IN 0 .. transactions - 1 LOOP
        DELETE FROM t WHERE id > at * size * 5 / 4 AND id <= (at + 1) * size * 5 / 4 AND id % 5 <> 0;
        COMMIT;
    END LOOP;
END $$;
CREATE PROCEDURE tpcb(transactions int8, scale int4) LANGUAGE plpgsql AS $$
DECLARE account int4; teller int4; branch int4; change int4;
BEGIN
    FOR at IN 1 .. transactions LOOP
        account := 1 + floor(random() * 100000 * scale);
        teller := 1 + floor(random() * 10 * scale);
        branch := 1 + floor(random() * scale);
        change := floor(random() * 10001) - 5000;
        UPDATE pgbench_accounts SET abalance = abalance + change WHERE aid = account;
        PERFORM abalance FROM pgbench_accounts WHERE aid = account;
        UPDATE pgbench_tellers SET tbalance = tbalance + change WHERE tid = teller;
        UPDATE pgbench_branches SET bbalance = bbalance + change WHERE bid = branch;
        INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
        VALUES (teller, branch, account, change, clock_timestamp());
        COMMIT;
    END LOOP;
END $$;";

/// Shown last: a drain is over when the target has its row.
pub(crate) const MARKER: &str = "CREATE TABLE marker (id int4 PRIMARY KEY)";

/// The history of this name.
pub(crate) fn named(servers: &Servers, name: &str, commits: Commits) -> Result<Workload> {
    let size = |full, quick| servers.size(full, quick);
    // Where the rival waits for the disk at every row, it is shorter.
    let singly = |full, quick| match commits {
        Commits::On => size(full / 10, quick / 5),
        Commits::Default => size(full, quick),
    };
    Ok(match name {
        "insert-1" => insert("insert, 1 row/tx", singly(500_000, 100_000), 1).asking([1.7, 2.0], [0.6, 0.48]),
        "insert-10" => {
            insert("insert, 10 rows/tx", size(100_000, 20_000), 10).asking([1.3, 1.4], [0.8, 0.75])
        }
        "insert-1000" => {
            insert("insert, 1,000 rows/tx", size(1_000, 200), 1_000).asking([1.3, 1.6], [0.8, 0.66])
        }
        "update-1" => {
            update("update, 1 row/tx", singly(400_000, 100_000), 1).asking([1.3, 1.4], [0.85, 0.73])
        }
        "update-1000" => {
            update("update, 1,000 rows/tx", size(800, 200), 1_000).asking([1.3, 1.56], [0.85, 0.8])
        }
        "delete-1000" => delete(size(800, 200)).asking([1.25, 1.4], [0.9, 0.87]),
        "tpcb" => tpcb(singly(200_000, 40_000)).asking([1.5, 1.8], [0.75, 0.71]),
        // Its memory matters, which does not vary.
        "large" => Workload { pairs: Some(1), ..insert("one transaction", 1, size(5_000_000, 500_000)) },
        other => bail!("there is no history {other:?}"),
    })
}

impl Workload {
    /// What the issue asks for and what a prototype reached: rows per second, processor time.
    fn asking(self, [rate, rate_hoped]: [f64; 2], [cpu, cpu_hoped]: [f64; 2]) -> Workload {
        Workload { goal: Some(Goal { rate, rate_hoped, cpu, cpu_hoped }), ..self }
    }
}

fn narrow(keys: i64) -> String {
    format!(
        "CREATE TABLE t {NARROW}; INSERT INTO t SELECT id, id % 1000000, md5(id::text), id / 7.0, id % 2 = 0 \
         FROM generate_series(1, {keys}) AS id; {MARKER}"
    )
}

fn insert(title: &'static str, transactions: i64, size: i64) -> Workload {
    let history = vec![format!("CALL inserts({transactions}, {size})")];
    let changes = transactions * size;
    Workload {
        title,
        tables: vec!["t"],
        start: narrow(0),
        history,
        changes,
        transactions,
        goal: None,
        pairs: None,
    }
}

fn update(title: &'static str, transactions: i64, size: i64) -> Workload {
    // Not a multiple of the distance of keys, which is a prime: every key comes once before one comes again.
    let keys = 200_000;
    let history = vec![format!("CALL updates({transactions}, {size}, {keys})")];
    let changes = transactions * size;
    Workload {
        title,
        tables: vec!["t"],
        start: narrow(keys),
        history,
        changes,
        transactions,
        goal: None,
        pairs: None,
    }
}

fn delete(transactions: i64) -> Workload {
    let size = 1_000;
    Workload {
        title: "delete, 1,000 rows/tx",
        tables: vec!["t"],
        // One row in five stays.
        start: narrow(transactions * size * 5 / 4),
        history: vec![format!("CALL deletes({transactions}, {size})")],
        changes: transactions * size,
        transactions,
        goal: None,
        pairs: None,
    }
}

/// Tables and transactions of PostgreSQL's `pgbench`, ten branches, four sessions; only that its history has a key, by
/// which a target can find a row again.
fn tpcb(transactions: i64) -> Workload {
    const SCALE: i64 = 10;
    const SESSIONS: i64 = 4;
    let start = format!(
        "CREATE TABLE pgbench_history (id int8 GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
             tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
         CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
         CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
         CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
         INSERT INTO pgbench_branches (bid, bbalance) SELECT id, 0 FROM generate_series(1, {SCALE}) AS id;
         INSERT INTO pgbench_tellers (tid, bid, tbalance)
         SELECT id, (id - 1) / 10 + 1, 0 FROM generate_series(1, {SCALE} * 10) AS id;
         INSERT INTO pgbench_accounts (aid, bid, abalance, filler)
         SELECT id, (id - 1) / 100000 + 1, 0, '' FROM generate_series(1, {SCALE} * 100000) AS id;
         {MARKER}"
    );
    let call = format!("CALL tpcb({}, {SCALE})", transactions / SESSIONS);
    Workload {
        title: "pgbench TPC-B",
        tables: vec!["pgbench_accounts", "pgbench_tellers", "pgbench_branches", "pgbench_history"],
        start,
        history: (0..SESSIONS).map(|_| call.clone()).collect(),
        changes: transactions * 4,
        transactions,
        goal: None,
        pairs: None,
    }
}
