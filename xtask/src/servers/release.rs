//! Which server comes from which packages, and what of them is kept.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a product's packages are called and hold. `{}` stands for the version.
pub(super) struct Product {
    /// For people.
    pub(super) name: &'static str,
    /// Begin of the cache folder's name.
    pub(super) folder: &'static str,
    /// Resolved with everything they need; the server's own is the first.
    packages: &'static [&'static str],
    /// Taken without what they need: a few programs of them run with the others' libraries.
    pub(super) alone: &'static [&'static str],
    /// Libraries the closure names and a server never opens. They are most of its size.
    unused: &'static [&'static str],
    /// The server's program.
    server: &'static str,
    /// Folders of programs.
    programs: &'static [&'static str],
    /// Folders, and what stays in them.
    pub(super) kept: &'static [(&'static str, &'static [&'static str])],
    /// Further files that go.
    surplus: &'static [&'static str],
}

/// PostgreSQL. Left out: other languages, just-in-time compilation, translations.
pub(super) const POSTGRES: Product = Product {
    name: "PostgreSQL",
    folder: "postgresql",
    packages: &["postgresql-{}", "postgresql-client-{}"],
    alone: &[],
    unused: &["libperl", "libllvm", "libz3", "libc-l10n", "libc-bin", "libsystemd-shared"],
    server: "usr/lib/postgresql/{}/bin/postgres",
    programs: &["usr/lib/postgresql/{}/bin"],
    kept: &[],
    // Its compiler was left out: with the module gone the server knows it cannot compile, with
    // the module present every larger query would fail to load it.
    surplus: &["usr/lib/postgresql/{}/lib/llvmjit.so"],
};

/// MySQL. Left out: plugins and components, what those link to, other languages' messages.
pub(super) const MYSQL: Product = Product {
    name: "MySQL",
    folder: "mysql",
    packages: &["mysql-server-core", "mysql-client-core"],
    alone: &[],
    unused: &[
        "libperl",
        "libgdbm",
        "libdb5",
        "libcurl",
        "libldap",
        "libsasl2",
        "libngtcp2",
        "libnghttp",
        "libmecab",
        "libssh2",
        "libfido2",
        "libcbor",
        "libudev",
        "libunistring",
        "libprotobuf32",
        "libtirpc",
    ],
    server: "usr/sbin/mysqld",
    programs: &["usr/sbin", "usr/bin"],
    kept: &[
        ("usr/sbin", &["mysqld"]),
        ("usr/bin", &["mysql", "mysqldump", "mysqlbinlog"]),
        ("usr/lib/mysql/plugin", &["mysql_native_password.so"]),
        ("usr/share/mysql", &["charsets", "english"]),
    ],
    surplus: &[],
};

/// What initialises a data directory, and what every start reads.
const MARIADB_SHARE: &[&str] = &[
    "charsets",
    "english",
    "mariadb_system_tables.sql",
    "mariadb_performance_tables.sql",
    "mariadb_system_tables_data.sql",
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
];

/// MariaDB. Its dump and log programs are in a package that also wants a scripting language.
pub(super) const MARIADB: Product = Product {
    name: "MariaDB",
    folder: "mariadb",
    packages: &["mariadb-server-core", "mariadb-client-core"],
    alone: &["mariadb-client"],
    unused: &["libperl"],
    server: "usr/sbin/mariadbd",
    programs: &["usr/sbin", "usr/bin"],
    kept: &[
        ("usr/sbin", &["mariadbd"]),
        ("usr/bin", &["mariadb", "mariadb-dump", "mariadb-binlog"]),
        ("usr/share/mariadb", MARIADB_SHARE),
        ("usr/share/mysql", MARIADB_SHARE),
    ],
    surplus: &[],
};

/// One version of a product and the suite that has it.
pub(super) struct Release {
    pub(super) product: &'static Product,
    pub(super) version: &'static str,
    pub(super) suite: &'static str,
}

/// What can be fetched, newest first within a product. PostgreSQL 16 is in no suite.
const RELEASES: &[Release] = &[
    Release { product: &POSTGRES, version: "18", suite: "sid" },
    Release { product: &POSTGRES, version: "17", suite: "trixie" },
    Release { product: &POSTGRES, version: "15", suite: "bookworm" },
    Release { product: &MYSQL, version: "9.7", suite: "sid" },
    Release { product: &MARIADB, version: "11.8", suite: "trixie" },
    Release { product: &MARIADB, version: "10.11", suite: "bookworm" },
];

/// The releases of a product, newest first.
pub(super) fn of(product: &'static Product) -> impl Iterator<Item = &'static Release> {
    RELEASES.iter().filter(|release| release.product.folder == product.folder)
}

/// A release by its version.
pub(super) fn find(product: &'static Product, version: &str) -> Option<&'static Release> {
    of(product).find(|release| release.version == version)
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product.name, self.version)
    }
}

impl Release {
    fn named(&self, text: &str) -> String {
        text.replace("{}", self.version)
    }

    /// Names of the packages to resolve; the server's own is the first.
    pub(super) fn packages(&self) -> Vec<String> {
        self.product.packages.iter().map(|name| self.named(name)).collect()
    }

    /// The server, its client programs and libraries; not the tools around the installed package.
    pub(super) fn uses(&self, package: &str) -> bool {
        let library = package.starts_with("lib") && !package.ends_with("-perl");
        let unused = self.product.unused.iter().any(|unused| package.starts_with(unused));
        package == "zlib1g" || self.packages().iter().any(|name| name == package) || (library && !unused)
    }

    /// Whether `mariadb-server-core=1:11.8.6-0+deb13u1` is this release: what is called the same
    /// in every version may have moved on.
    pub(super) fn is_of_version(&self, package: &str) -> bool {
        let version = package.split_once('=').map_or("", |(_, version)| version);
        let version = version.split_once(':').map_or(version, |(_, version)| version);
        let rest = version.strip_prefix(self.version);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// The server's program under an unpacked root.
    pub(super) fn server(&self, root: &Path) -> PathBuf {
        root.join(self.named(self.product.server))
    }

    /// Folders of programs, relative to the root.
    pub(super) fn programs(&self) -> Vec<String> {
        self.product.programs.iter().map(|folder| self.named(folder)).collect()
    }

    /// Files that go, relative to the root.
    pub(super) fn surplus(&self) -> Vec<String> {
        self.product.surplus.iter().map(|path| self.named(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_server_opens_is_downloaded() {
        let postgres = find(&POSTGRES, "17").unwrap();
        for name in ["postgresql-17", "postgresql-client-17", "libc6", "libicu76", "zlib1g", "libpq5"] {
            assert!(postgres.uses(name), "{name}");
        }
        for name in ["perl", "libperl5.40", "libllvm19", "postgresql-common", "passwd", "libjson-perl"] {
            assert!(!postgres.uses(name), "{name}");
        }
        let mysql = find(&MYSQL, "9.7").unwrap();
        for name in ["mysql-server-core", "mysql-client-core", "libssl3t64", "libprotobuf-lite32t64"] {
            assert!(mysql.uses(name), "{name}");
        }
        for name in ["mysql-common", "libcurl4t64", "libprotobuf32t64", "perl-base"] {
            assert!(!mysql.uses(name), "{name}");
        }
    }

    #[test]
    fn a_package_that_moved_on_is_noticed() {
        let mariadb = find(&MARIADB, "11.8").unwrap();
        assert!(mariadb.is_of_version("mariadb-server-core=1:11.8.6-0+deb13u1"));
        assert!(!mariadb.is_of_version("mariadb-server-core=1:12.2.1-1"));
        assert!(!mariadb.is_of_version("mariadb-server-core=1:11.80.1-1"));
        assert!(find(&POSTGRES, "17").unwrap().is_of_version("postgresql-17=17.5-1"));
        assert!(find(&MYSQL, "9.7").unwrap().is_of_version("mysql-server-core=9.7.4-2"));
    }

    #[test]
    fn releases_are_found_by_product_and_version() {
        assert_eq!(find(&MARIADB, "10.11").unwrap().to_string(), "MariaDB 10.11");
        assert!(find(&MYSQL, "11.8").is_none());
        assert_eq!(of(&POSTGRES).next().unwrap().version, "18");
    }
}
