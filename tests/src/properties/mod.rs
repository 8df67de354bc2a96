//! What must hold for every input of the parsers of outside bytes.
//!
//! A property is a function that takes any bytes and panics if it does not hold. The same functions run in three ways:
//! over the committed inputs and over random changes of them in the ordinary tests of this package, for as long as one
//! likes with `cargo xtask fuzz`, and guided by coverage with cargo-fuzz (`tests/fuzz`).
//!
//! To add one: a line in [`PROPERTIES`], a file in `tests/fuzz/corpus/<name>/`, and a `[[bin]]` in
//! `tests/fuzz/Cargo.toml` with a target of one line. A test fails until all three are there.

mod binlog_events;
mod binlog_rows;
mod bodies;
pub mod corpus;
pub mod mutate;
mod names;
mod pgoutput;
mod rows;
mod tokens;

/// A property by name.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The name of its corpus and of its cargo-fuzz target.
    pub name: &'static str,
    /// Panics if the property does not hold for these bytes.
    pub check: fn(&[u8]),
}

/// Every property.
pub const PROPERTIES: &[Property] = &[
    Property { name: "admission", check: rows::admission },
    Property { name: "binlog_events", check: binlog_events::events },
    Property { name: "binlog_frame", check: binlog_events::frame },
    Property { name: "binlog_rows", check: binlog_rows::rows },
    Property { name: "binlog_statement", check: binlog_events::statement },
    Property { name: "claims", check: tokens::claims },
    Property { name: "encoding", check: bodies::encoding },
    Property { name: "expression", check: rows::expression },
    Property { name: "gtid", check: binlog_events::gtid },
    Property { name: "hlc", check: names::hlc },
    Property { name: "ident", check: names::ident },
    Property { name: "json_text", check: rows::json_text },
    Property { name: "key", check: tokens::key },
    Property { name: "key_text", check: rows::key_text },
    Property { name: "lines", check: bodies::lines },
    Property { name: "lsn", check: pgoutput::lsn },
    Property { name: "pgoutput", check: pgoutput::message },
    Property { name: "pgoutput_frame", check: pgoutput::frame },
    Property { name: "pgoutput_stream", check: pgoutput::stream },
    Property { name: "route", check: names::route },
    Property { name: "secret", check: names::secret },
    Property { name: "source_url", check: pgoutput::source_url },
    Property { name: "table_body", check: bodies::table_body },
    Property { name: "token", check: tokens::token },
    Property { name: "webhook", check: bodies::webhook },
];

/// Checks the property of this name.
///
/// # Panics
/// If there is none, or it does not hold.
pub fn check(name: &str, bytes: &[u8]) {
    let property = PROPERTIES.iter().find(|property| property.name == name);
    (property.expect("a property of this name").check)(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn every_committed_input_holds() {
        for property in PROPERTIES {
            let inputs = corpus::inputs(property.name).unwrap();
            assert!(!inputs.is_empty(), "{} has no inputs", property.name);
            for input in inputs {
                (property.check)(&input);
            }
        }
    }

    #[test]
    fn every_property_has_a_corpus_and_a_target_and_the_other_way_round() {
        let names: BTreeSet<String> = PROPERTIES.iter().map(|property| property.name.to_owned()).collect();
        assert_eq!(names.len(), PROPERTIES.len());
        let folders = std::fs::read_dir(corpus::folder("")).unwrap();
        let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(folders.collect::<BTreeSet<_>>(), names);
        let manifest = include_str!("../../fuzz/Cargo.toml");
        let targets = manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/"));
        let targets = targets.filter_map(|rest| rest.strip_suffix(".rs\"")).map(str::to_owned);
        assert_eq!(targets.collect::<BTreeSet<_>>(), names);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn changes_of_the_committed_inputs_hold(seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            for property in PROPERTIES {
                let inputs = corpus::inputs(property.name).unwrap();
                (property.check)(&mutate::changed(&inputs, &mut rng));
            }
        }

        #[test]
        fn any_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for property in PROPERTIES {
                (property.check)(&bytes);
            }
        }

        #[test]
        fn any_text_holds(text in "\\PC{0,80}|[\\[\\]{}\",:0-9eE+.\\\\u-]{0,80}") {
            for property in PROPERTIES {
                (property.check)(text.as_bytes());
            }
        }
    }
}
