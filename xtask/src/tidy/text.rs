//! Rules about the text of single files: size, header, notes, driver types.

use super::{Finding, Tree};

/// Above this a file should be split.
const LINES_WARN: usize = 500;
/// Above this it must be.
const LINES_FAIL: usize = 800;

/// Words that mark unfinished work; `concat!` keeps this file from accusing itself.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Where types of a driver may appear inside the engine.
const DRIVER_FOLDERS: &[&str] = &["target", "sql"];
const DRIVER_FILES: &[&str] = &["sql.rs", "store.rs"];
const DRIVER_PATHS: &[&str] = &[concat!("sqlx", "::"), concat!("mysql_async", "::")];

/// Files with too many lines, tests not counted.
pub(super) fn sizes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let lines = code(path, text).count();
        let say = format!("{lines} lines outside tests; split it");
        if lines > LINES_FAIL {
            findings.push(Finding::error(path, format!("{say} (the limit is {LINES_FAIL})")));
        } else if lines > LINES_WARN {
            findings.push(Finding::warning(path, format!("{say} (good is up to {LINES_WARN})")));
        }
    }
    findings
}

/// Files that do not open with what they are for.
pub(super) fn headers(tree: &Tree) -> Vec<Finding> {
    let opens =
        |text: &str| text.lines().find(|line| !line.trim().is_empty()).unwrap_or("").starts_with("//!");
    let without = tree.rust().filter(|(_, text)| !opens(text));
    without.map(|(path, _)| Finding::error(path, "does not open with a //! comment")).collect()
}

/// Notes of unfinished work that name no issue: `(…)` after the word makes one.
pub(super) fn notes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in text.lines().enumerate() {
            for note in NOTES.iter().filter(|note| bare(line, note)) {
                let text = format!("bare {note}: finish it, or name an issue as {note}(#1)");
                findings.push(Finding::error(format!("{path}:{}", number + 1), text));
            }
        }
    }
    findings
}

/// Whether `word` stands in the line by itself and no bracket follows it.
fn bare(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joined(before.chars().next_back()) && !joined(after.chars().next()) && !after.starts_with('(')
    })
}

/// Types of a driver in the engine outside the places that talk to the database.
pub(super) fn driver_types(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let Some(inside) = path.strip_prefix("crates/sink-core/src/") else { continue };
        let mut parts: Vec<_> = inside.split('/').collect();
        let file = parts.pop().unwrap_or_default();
        if DRIVER_FILES.contains(&file) || parts.iter().any(|part| DRIVER_FOLDERS.contains(part)) {
            continue;
        }
        for (number, line) in code(path, text) {
            let said = line.split("//").next().unwrap_or_default();
            if let Some(used) = DRIVER_PATHS.iter().find(|used| said.contains(**used)) {
                let text = format!("{used} belongs in target/, sql/, sql.rs or store.rs");
                findings.push(Finding::error(format!("{path}:{number}"), text));
            }
        }
    }
    findings
}

/// The lines of a file that are not tests, numbered from one.
///
/// Tests are the files of a crate's `tests` folder, files named `tests.rs`, and the part of any
/// other file from `#[cfg(test)]` before a module at the left margin to that module's end.
fn code<'a>(path: &str, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let all_tests = path.starts_with("crates/") && path.contains("/tests/") || path.ends_with("/tests.rs");
    let mut inside = false;
    let mut marked = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if inside {
            inside = line != "}";
            return None;
        }
        let module = line.starts_with("mod ") || line.starts_with("pub mod ");
        if marked && module && line.ends_with('{') {
            inside = true;
        }
        let hidden = all_tests || inside;
        marked = line == "#[cfg(test)]" || marked && line.starts_with("#[");
        (!hidden).then_some((index + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<Finding> {
        rule(&Tree::of(&[(path, text)]))
    }

    #[test]
    fn a_long_file_is_warned_of_and_a_longer_one_fails() {
        let path = "crates/x/src/lib.rs";
        assert_eq!(found(sizes, path, &"x\n".repeat(500)), []);
        assert!(!found(sizes, path, &"x\n".repeat(501))[0].fatal);
        assert!(found(sizes, path, &"x\n".repeat(801))[0].fatal);
    }

    #[test]
    fn tests_do_not_count_as_size_and_code_after_them_does() {
        let path = "crates/x/src/lib.rs";
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    x\n".repeat(2000));
        assert_eq!(found(sizes, path, &tests), []);
        assert_eq!(found(sizes, path, &format!("{tests}{}", "x\n".repeat(801))).len(), 1);
        assert_eq!(found(sizes, "crates/x/tests/a.rs", &"x\n".repeat(2000)), []);
        assert_eq!(found(sizes, "tests/src/lib.rs", &"x\n".repeat(2000)).len(), 1);
    }

    #[test]
    fn an_attribute_on_a_single_item_hides_nothing() {
        let text = format!("#[cfg(test)]\nfn helper() {{}}\n{}", "x\n".repeat(900));
        assert_eq!(found(sizes, "crates/x/src/lib.rs", &text).len(), 1);
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        assert_eq!(found(headers, "a.rs", "\n//! What it is for.\n"), []);
        assert_eq!(found(headers, "a.rs", "use std::io;\n//! Too late.\n").len(), 1);
        assert_eq!(found(headers, "a.rs", "").len(), 1);
    }

    #[test]
    fn a_note_without_an_issue_is_found() {
        let note = NOTES[0];
        assert_eq!(found(notes, "a.rs", &format!("// {note}(#7): later\n")), []);
        assert_eq!(found(notes, "a.rs", &format!("let {note}S = 1;\n")), []);
        let finding = &found(notes, "a.toml", &format!("x\n# {note}: later\n"))[0];
        assert_eq!(finding.place, "a.toml:2");
    }

    #[test]
    fn a_driver_type_outside_its_places_is_found() {
        let used = format!("use {}Row;\n", DRIVER_PATHS[0]);
        for good in ["target/pool.rs", "staging/sql.rs", "apply/sql/write.rs", "apply_config/store.rs"] {
            assert_eq!(found(driver_types, &format!("crates/sink-core/src/{good}"), &used), [], "{good}");
        }
        for bad in ["lib.rs", "model/time.rs", "mysql.rs", "apply/sqlish/a.rs"] {
            assert_eq!(found(driver_types, &format!("crates/sink-core/src/{bad}"), &used).len(), 1, "{bad}");
        }
        let mentioned = format!("// unlike {}Row\n", DRIVER_PATHS[0]);
        assert_eq!(found(driver_types, "crates/sink-core/src/lib.rs", &mentioned), []);
    }
}
