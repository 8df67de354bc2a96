//! Who may depend on whom, held as data.
//!
//! Dependencies of tests are left out: an in-memory stand-in may use what it stands in for.

use toml::Table;

use super::{Finding, Tree};

/// What one package may use.
struct Allowed {
    package: &'static str,
    /// Packages of this workspace.
    ours: &'static [&'static str],
    /// Database drivers and protocol crates.
    drivers: &'static [&'static str],
}

const PACKAGES: &[Allowed] = &[
    Allowed { package: "sink-core", ours: &[], drivers: &["sqlx", "mysql_async"] },
    Allowed { package: "sink-service", ours: &[], drivers: &[] },
    // What the programs of log sources share beside the engine: it joins the two.
    Allowed { package: "sink-feed", ours: &["sink-core", "sink-service"], drivers: &[] },
    Allowed { package: "sink-testkit", ours: &["sink-core"], drivers: &[] },
    // A webhook is an HTTP server: it shares the limits on bodies with the server. The log sources have no such need.
    Allowed { package: "source-webhook", ours: &["sink-core", "sink-service"], drivers: &[] },
    Allowed { package: "source-pglogical", ours: &["sink-core"], drivers: &["pgwire-replication"] },
    Allowed { package: "source-mylogical", ours: &["sink-core"], drivers: &["mysql_async", "mysql_common"] },
    Allowed { package: "cdc-webhook", ours: &["sink-core", "sink-service", "source-webhook"], drivers: &[] },
    Allowed {
        package: "cdc-pglogical",
        ours: &["sink-core", "sink-feed", "sink-service", "source-pglogical"],
        drivers: &[],
    },
    Allowed {
        package: "cdc-mylogical",
        ours: &["sink-core", "sink-feed", "sink-service", "source-mylogical"],
        drivers: &[],
    },
    Allowed {
        package: "tests",
        ours: &[
            "sink-core",
            "sink-service",
            "sink-testkit",
            "source-webhook",
            "source-pglogical",
            "source-mylogical",
        ],
        drivers: DRIVERS,
    },
    // cargo-fuzz targets, outside the workspace.
    Allowed { package: "cdc-sink-fuzz", ours: &["tests"], drivers: &[] },
    Allowed { package: "xtask", ours: &[], drivers: &[] },
];

/// Crates that speak to a database.
const DRIVERS: &[&str] = &[
    "sqlx",
    "tokio-postgres",
    "postgres",
    "pgwire-replication",
    "mysql_async",
    "mysql_common",
    "mysql",
    "diesel",
];

/// Uses of our own packages that the table does not allow, and packages the table does not know.
pub(super) fn packages(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.manifests() {
        let (name, used) = match read(text) {
            Ok(read) => read,
            Err(error) => {
                findings.push(Finding::error(path, error));
                continue;
            }
        };
        let Some(allowed) = PACKAGES.iter().find(|allowed| allowed.package == name) else {
            let text = format!("package {name} is not in the dependency table of tidy; add it");
            findings.push(Finding::error(path, text));
            continue;
        };
        let ours = |used: &&String| PACKAGES.iter().any(|package| package.package == used.as_str());
        for used in used.iter().filter(ours).filter(|used| !allowed.ours.contains(&used.as_str())) {
            findings.push(Finding::error(path, format!("{name} must not depend on {used}")));
        }
    }
    findings
}

/// Database drivers in packages that must not know one.
pub(super) fn drivers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.manifests() {
        let Ok((name, used)) = read(text) else { continue };
        let allowed = PACKAGES.iter().find(|allowed| allowed.package == name);
        let allowed = allowed.map_or(&[][..], |allowed| allowed.drivers);
        let driver = |used: &&String| DRIVERS.contains(&used.as_str());
        for used in used.iter().filter(driver).filter(|used| !allowed.contains(&used.as_str())) {
            findings.push(Finding::error(path, format!("{name} must not use the driver {used}")));
        }
    }
    findings
}

/// A manifest's package name and what it depends on outside tests, by real name.
fn read(manifest: &str) -> Result<(String, Vec<String>), String> {
    let table: Table = toml::from_str(manifest).map_err(|error| error.message().to_owned())?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    let name = name.ok_or("the manifest names no package")?.to_owned();
    let mut used = Vec::new();
    collect(&table, &mut used);
    let targets = table.get("target").and_then(toml::Value::as_table);
    for target in targets.into_iter().flat_map(Table::values).filter_map(toml::Value::as_table) {
        collect(target, &mut used);
    }
    Ok((name, used))
}

fn collect(table: &Table, used: &mut Vec<String>) {
    for section in ["dependencies", "build-dependencies"] {
        let Some(section) = table.get(section).and_then(toml::Value::as_table) else { continue };
        for (key, value) in section {
            let renamed = value.get("package").and_then(toml::Value::as_str);
            used.push(renamed.unwrap_or(key).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{rest}")
    }

    fn errors(rule: fn(&Tree) -> Vec<Finding>, manifest: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/x/Cargo.toml", manifest)]);
        rule(&tree).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn an_edge_outside_the_table_is_found() {
        let text = manifest("source-webhook", "[dependencies]\nsink-core.workspace = true\n");
        assert_eq!(errors(packages, &text), [""; 0]);
        let text = manifest("source-pglogical", "[dependencies]\nsink-service.workspace = true\n");
        assert_eq!(errors(packages, &text), ["source-pglogical must not depend on sink-service"]);
    }

    #[test]
    fn a_renamed_or_platform_dependency_does_not_hide() {
        let text = manifest("sink-core", "[dependencies]\nx = { package = \"sink-service\", path = \"\" }\n");
        assert_eq!(errors(packages, &text), ["sink-core must not depend on sink-service"]);
        let text = manifest("sink-core", "[target.'cfg(unix)'.dependencies]\nsink-service = \"1\"\n");
        assert_eq!(errors(packages, &text), ["sink-core must not depend on sink-service"]);
        let text = manifest("sink-core", "[build-dependencies]\nsink-service = \"1\"\n");
        assert_eq!(errors(packages, &text), ["sink-core must not depend on sink-service"]);
    }

    #[test]
    fn dependencies_of_tests_are_free() {
        let text = manifest("sink-core", "[dev-dependencies]\nsink-testkit.workspace = true\n");
        assert_eq!(errors(packages, &text), [""; 0]);
    }

    #[test]
    fn a_package_the_table_does_not_know_is_found() {
        let found = errors(packages, &manifest("sink-new", ""));
        assert_eq!(found, ["package sink-new is not in the dependency table of tidy; add it"]);
    }

    #[test]
    fn a_driver_outside_its_packages_is_found() {
        let text = manifest("sink-core", "[dependencies]\nsqlx = \"0.9\"\n");
        assert_eq!(errors(drivers, &text), [""; 0]);
        let text = manifest("source-webhook", "[dependencies]\nsqlx = \"0.9\"\n");
        assert_eq!(errors(drivers, &text), ["source-webhook must not use the driver sqlx"]);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_found() {
        assert_eq!(errors(packages, "[package").len(), 1);
        assert_eq!(errors(packages, "[lib]\n"), ["the manifest names no package"]);
    }
}
