//! The SQL of every statement shape, held against files. `UPDATE_GOLDEN=1 cargo test -p sink-core --test golden`
//! writes them anew; read the difference before you commit it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use sink_core::target::Product;
use sink_testkit::golden::cases;

fn folder(product: Product) -> PathBuf {
    let name = match product {
        Product::CockroachDb => "cockroachdb",
        Product::PostgreSql => "postgresql",
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// One line per clause, so that a difference can be read.
fn readable(statements: &[String]) -> String {
    let broken = statements.iter().map(|statement| {
        [" SELECT ", " FROM ", " WHERE ", " ORDER BY ", " ON CONFLICT ", " USING ", " SET "]
            .iter()
            .fold(statement.clone(), |text, clause| {
                text.replace(clause, &format!("\n   {}", &clause[..clause.len()]))
            })
    });
    broken.collect::<Vec<_>>().join(";\n\n") + ";\n"
}

fn check(product: Product) {
    let folder = folder(product);
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut names = BTreeSet::new();
    for case in cases(product, "shop") {
        assert!(names.insert(format!("{}.sql", case.name)), "{} stands twice", case.name);
        let file = folder.join(format!("{}.sql", case.name));
        let text = readable(&case.statements);
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, text).unwrap();
        } else {
            let golden = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(text, golden, "{} differs; see the head of this test", file.display());
        }
    }
    let files =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), names, "files without a case, or cases without a file");
}

#[test]
fn postgresql_statements_are_as_reviewed() {
    check(Product::PostgreSql);
}

#[test]
fn cockroachdb_statements_are_as_reviewed() {
    check(Product::CockroachDb);
}
