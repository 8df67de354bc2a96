//! What is drained: a table, its first rows, and the history that becomes the backlog.

use anyhow::{Result, bail};

use super::servers::{MAKER, Servers};
use crate::rows::NARROW;

/// Shown last: a drain is over when its row is there.
const MARKER: &str = "CREATE TABLE marker (id int PRIMARY KEY)";
/// The columns of [`NARROW`] as the source has them.
const NARROW_AT_SOURCE: &str = "(id bigint PRIMARY KEY, a int NOT NULL, b varchar(64) CHARACTER SET utf8mb4 NOT NULL, \
                                c double NOT NULL, d tinyint(1) NOT NULL)";
/// Tables of every history.
pub(crate) const TABLES: [&str; 2] = ["t", "marker"];

/// One history.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Name of the figures.
    pub(crate) title: &'static str,
    /// Rows that are there before it.
    pub(crate) keys: i64,
    /// The call that makes it.
    pub(crate) history: String,
    /// Changes of rows.
    pub(crate) changes: i64,
    /// Transactions.
    pub(crate) transactions: i64,
    /// Rows per second as a ratio to the rival, no less.
    pub(crate) least: Option<f64>,
    /// So many pairs are enough.
    pub(crate) pairs: Option<u32>,
}

/// What makes histories, at the source alone. Keys of updates are far apart from one transaction to the next, and no key
/// comes twice within many thousand changes: folding has nothing to gain.
pub(crate) const PROCEDURES: [&str; 4] = [
    "CREATE TABLE numbers (n bigint PRIMARY KEY)",
    "INSERT INTO numbers SELECT seq FROM seq_0_to_999",
    "CREATE PROCEDURE inserts(transactions bigint, size bigint)
     BEGIN
         DECLARE at bigint DEFAULT 0;
         WHILE at < transactions DO
             INSERT INTO bench.t SELECT id, id % 1000000, MD5(id), id / 7e0, id % 2
             FROM (SELECT at * size + big.n * 1000 + small.n + 1 AS id
                   FROM numbers AS big STRAIGHT_JOIN numbers AS small
                   WHERE big.n <= (size - 1) DIV 1000 AND small.n < size - big.n * 1000) AS ids;
             SET at = at + 1;
         END WHILE;
     END",
    "CREATE PROCEDURE updates(transactions bigint, size bigint, key_count bigint)
     BEGIN
         DECLARE at bigint DEFAULT 0;
         WHILE at < transactions DO
             UPDATE numbers STRAIGHT_JOIN bench.t ON t.id = 1 + ((at * size + n) * 7919) % key_count
             SET a = a + 1, b = MD5(id + at), c = c + 0.5 WHERE n < size;
             SET at = at + 1;
         END WHILE;
     END",
];

/// The history of this name.
pub(crate) fn named(servers: &Servers, name: &str) -> Result<Workload> {
    let size = |full, quick| servers.size(full, quick);
    Ok(match name {
        // The serial rival waits for the disk at each of them.
        "insert-1" => insert("insert, 1 row/tx", size(100_000, 20_000), 1),
        "insert-10" => insert("insert, 10 rows/tx", size(50_000, 10_000), 10).at_least(1.0),
        "insert-1000" => insert("insert, 1,000 rows/tx", size(1_000, 300), 1_000),
        "update-10" => update("update, 10 rows/tx", size(40_000, 10_000), 10).at_least(1.0),
        "update-1000" => update("update, 1,000 rows/tx", size(800, 200), 1_000),
        // Reading alone is faster, and needs more to be measured by.
        "decode-10" => insert("decode to nothing, 10 rows/tx", size(100_000, 50_000), 10),
        "decode-1000" => insert("decode to nothing, 1,000 rows/tx", size(3_000, 1_000), 1_000),
        "decode-updates" => update("decode to nothing, updates", size(1_500, 500), 1_000),
        // Its memory matters, which does not vary.
        "large" => Workload { pairs: Some(1), ..insert("one transaction", 1, size(1_000_000, 500_000)) },
        other => bail!("there is no history {other:?}"),
    })
}

fn insert(title: &'static str, transactions: i64, size: i64) -> Workload {
    let history = format!("CALL {MAKER}.inserts({transactions}, {size})");
    let changes = transactions * size;
    Workload { title, keys: 0, history, changes, transactions, least: None, pairs: None }
}

fn update(title: &'static str, transactions: i64, size: i64) -> Workload {
    // Not a multiple of the distance of keys, which is a prime: every key comes once before one comes again.
    let keys = 200_000;
    let history = format!("CALL {MAKER}.updates({transactions}, {size}, {keys})");
    let changes = transactions * size;
    Workload { title, keys, history, changes, transactions, least: None, pairs: None }
}

impl Workload {
    fn at_least(self, least: f64) -> Workload {
        Workload { least: Some(least), ..self }
    }

    /// Makes tables and first rows at the source and at the replica.
    pub(crate) fn at_source(&self) -> Vec<String> {
        let mut sql = vec![format!("CREATE TABLE t {NARROW_AT_SOURCE}"), MARKER.to_owned()];
        if self.keys > 0 {
            sql.push(format!(
                "INSERT INTO t SELECT seq, seq % 1000000, MD5(seq), seq / 7e0, seq % 2 FROM seq_1_to_{}",
                self.keys
            ));
        }
        sql
    }

    /// The same in the target's words.
    pub(crate) fn at_target(&self) -> String {
        format!(
            "CREATE TABLE t {NARROW}; {MARKER}; \
             INSERT INTO t SELECT id, id % 1000000, md5(id::text), id / 7::float8, id % 2 = 1 \
             FROM generate_series(1, {}) AS id",
            self.keys
        )
    }
}
