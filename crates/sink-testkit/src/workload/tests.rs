//! The workload keeps its own constraints and invariants at every commit.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::source::Row;

fn texts(rows: &[BTreeMap<crate::source::Key, Row>], table: usize, column: usize) -> Vec<Option<String>> {
    rows[table].values().map(|row| row.values()[column].text().map(str::to_owned)).collect()
}

fn cents(text: &str) -> i64 {
    text.replace('.', "").parse().unwrap()
}

/// What the DDL and the invariants say, checked without a database.
fn assert_consistent(workload: &Workload, at: HlcTimestamp) {
    let rows = workload.source().snapshot_at(at);
    for (position, table) in tables().iter().enumerate() {
        for (row, column) in rows[position].values().flat_map(|row| row.values().iter().zip(&table.columns)) {
            assert!(column.nullable || row.text().is_some(), "{}.{} is NULL", table.name, column.name);
        }
        if let Some(reference) = table.references {
            let targets: BTreeSet<_> = texts(&rows, reference.table, 0).into_iter().collect();
            for value in texts(&rows, position, reference.column).into_iter().filter(Option::is_some) {
                assert!(targets.contains(&value), "{} refers to {value:?} at {at}", table.name);
            }
        }
        if let Some(unique) = table.unique {
            let values = texts(&rows, position, unique);
            let distinct: BTreeSet<_> = values.iter().collect();
            assert_eq!(distinct.len(), values.len(), "{} repeats a unique value at {at}", table.name);
        }
    }
    let mut counts: BTreeMap<Option<String>, i64> = BTreeMap::new();
    for parent in texts(&rows, CHILDREN, 1) {
        *counts.entry(parent).or_default() += 1;
    }
    for (id, count) in texts(&rows, PARENTS, 0).into_iter().zip(texts(&rows, PARENTS, 2)) {
        let actual = counts.get(&id).copied().unwrap_or_default();
        assert_eq!(count, Some(actual.to_string()), "parent {id:?} at {at}");
    }
    let sum: i64 = texts(&rows, ACCOUNTS, 2).into_iter().flatten().map(|text| cents(&text)).sum();
    assert_eq!(sum, workload.balance_cents, "at {at}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_commit_keeps_constraints_and_invariants(seed: u64, max_rows_per_transaction in 1..16usize) {
        let config = WorkloadConfig { initial_rows: 40, transactions: 60, max_rows_per_transaction, ..WorkloadConfig::default() };
        let workload = Workload::generate(seed, &config);
        for commit in workload.source().commits().iter().filter(|commit| **commit >= workload.scan_at()) {
            assert_consistent(&workload, *commit);
        }
        assert_consistent(&workload, workload.scan_at());
    }

    #[test]
    fn a_seed_determines_the_history(seed: u64) {
        let config = WorkloadConfig { transactions: 30, ..WorkloadConfig::default() };
        let histories = [Workload::generate(seed, &config), Workload::generate(seed, &config)]
            .map(|workload| (0..tables().len()).map(|table| workload.source().history(table).clone()).collect::<Vec<_>>());
        prop_assert_eq!(&histories[0], &histories[1]);
    }

    #[test]
    fn transactions_stay_within_their_size(seed: u64, max_rows_per_transaction in 1..16usize) {
        let config = WorkloadConfig { max_rows_per_transaction, ..WorkloadConfig::default() };
        let workload = Workload::generate(seed, &config);
        let mut sizes: BTreeMap<HlcTimestamp, usize> = BTreeMap::new();
        for version in (0..tables().len()).flat_map(|table| workload.source().history(table).values()).flatten() {
            *sizes.entry(version.at).or_default() += 1;
        }
        let largest = sizes.range(workload.scan_at()..).map(|(_, size)| *size).max();
        prop_assert!(largest <= Some(max_rows_per_transaction));
    }
}

#[test]
fn the_hard_cases_do_occur() {
    let workload =
        Workload::generate(1, &WorkloadConfig { transactions: 2_000, ..WorkloadConfig::default() });
    let source = workload.source();
    for (position, table) in tables().iter().enumerate() {
        let versions = || source.history(position).values();
        assert!(versions().flatten().any(|version| version.row.is_none()), "{} loses no row", table.name);
        let back =
            versions().any(|all| all.windows(2).any(|pair| pair[0].row.is_none() && pair[1].row.is_some()));
        assert!(back, "no key of {} comes back", table.name);
    }
    let passed_on = source
        .history(PRODUCTS)
        .values()
        .flatten()
        .filter_map(|version| Some((version.row.as_ref()?.values()[1].text()?.to_owned(), version.at)));
    let mut owners: BTreeMap<String, BTreeSet<HlcTimestamp>> = BTreeMap::new();
    passed_on.for_each(|(sku, at)| {
        owners.entry(sku).or_default().insert(at);
    });
    assert!(owners.values().any(|times| times.len() > 3), "no sku changes places");
    assert!(source.history(WIDE).values().any(|all| all[0].row.is_none()), "no lone delete");
    assert!(source.commits().windows(2).any(|pair| pair[0].nanos() == pair[1].nanos()), "no logical times");
}

#[test]
fn ddl_quotes_names_and_declares_constraints() {
    let ddl = ddl("s");
    assert_eq!(ddl[0], "CREATE SCHEMA IF NOT EXISTS \"s\"");
    assert_eq!(
        ddl[3],
        "CREATE TABLE \"s\".\"tree\" (\"id\" int8 NOT NULL, \"parent_id\" int8, \"label\" text NOT NULL, \
         PRIMARY KEY (\"id\"), FOREIGN KEY (\"parent_id\") REFERENCES \"s\".\"tree\" (\"id\"))"
    );
    assert!(ddl[4].contains("UNIQUE (\"sku\")"));
    assert!(ddl[6].contains("PRIMARY KEY (\"region\", \"id\")"));
}
