//! Names of staging tables, and the stretches of source time they are indexed by. Pure.

use sha2::{Digest, Sha256};

use crate::model::mutation::hex;
use crate::model::{HlcTimestamp, TableId};

/// Longest identifier of PostgreSQL, in bytes; longer ones are cut silently.
const MAX_IDENTIFIER_BYTES: usize = 63;
/// Hexadecimal digits of the digest that keeps names apart.
const DIGEST_DIGITS: usize = 12;

/// A stretch of source time, ten seconds long; see [`bucket_of`].
const BUCKET_NANOS: i64 = 10_000_000_000;

/// The names in the staging area for a target table: readable, and different for different tables even where the
/// joined names would be equal (`a_b.c` and `a.b_c`) or differ only after byte 63.
#[must_use]
pub fn staging_table(table: &TableId) -> String {
    name(table, "")
}

/// The name of the table that guards immediate writes to a target table.
#[must_use]
pub fn guard_table(table: &TableId) -> String {
    name(table, "guard_")
}

fn name(table: &TableId, prefix: &str) -> String {
    let (database, schema, table) = (&table.schema.database, &table.schema.schema, &table.table);
    let digest = hex(&Sha256::digest(format!("{database}\0{schema}\0{table}")));
    let readable = format!("{prefix}{database}_{schema}_{table}");
    let room = MAX_IDENTIFIER_BYTES - DIGEST_DIGITS - 1;
    let end = (0..=room.min(readable.len())).rev().find(|at| readable.is_char_boundary(*at)).unwrap_or(0);
    format!("{}_{}", &readable[..end], &digest[..DIGEST_DIGITS])
}

/// The number of the ten-second stretch of source time that `at` lies in.
#[must_use]
pub fn bucket_of(at: HlcTimestamp) -> i64 {
    at.nanos() / BUCKET_NANOS
}

/// The last timestamp of a stretch.
#[must_use]
pub fn bucket_end(bucket: i64) -> HlcTimestamp {
    let next = bucket.saturating_add(1).saturating_mul(BUCKET_NANOS);
    HlcTimestamp::new(next, 0).map_or(HlcTimestamp::MAX, HlcTimestamp::predecessor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Ident, SchemaId};
    use proptest::prelude::*;

    fn id(database: &str, schema: &str, table: &str) -> TableId {
        let ident = |text| Ident::new(text).unwrap();
        TableId { schema: SchemaId { database: ident(database), schema: ident(schema) }, table: ident(table) }
    }

    #[test]
    fn joined_names_do_not_collide() {
        assert_ne!(staging_table(&id("d", "a_b", "c")), staging_table(&id("d", "a", "b_c")));
        let long = "x".repeat(63);
        assert_ne!(
            staging_table(&id("d", "s", &format!("{long}1"))),
            staging_table(&id("d", "s", &format!("{long}2")))
        );
    }

    proptest! {
        #[test]
        fn names_fit_an_identifier(table in "\\PC{1,80}") {
            for name in [staging_table(&id("db", "s", &table)), guard_table(&id("db", "s", &table))] {
                prop_assert!(name.len() <= MAX_IDENTIFIER_BYTES);
            }
        }

        #[test]
        fn a_time_lies_in_its_bucket(nanos in 0..=i64::MAX) {
            let at = HlcTimestamp::new(nanos, 7).unwrap();
            prop_assert!(at <= bucket_end(bucket_of(at)));
            prop_assert!(bucket_of(at) == 0 || at > bucket_end(bucket_of(at) - 1));
        }
    }
}
