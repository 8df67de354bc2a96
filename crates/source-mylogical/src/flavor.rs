//! Which of the two products answers.

use std::fmt;

/// The product that wrote a log: their events, positions and catalogues differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MySQL 8 and later.
    MySql,
    /// MariaDB 10.11 and later.
    MariaDb,
}

impl Flavor {
    /// Judges by the answer to `SELECT VERSION()`: MariaDB names itself there (seen on 10.11 and 11.8), MySQL does not.
    #[must_use]
    pub fn of_version(version: &str) -> Self {
        if version.to_ascii_lowercase().contains("mariadb") { Self::MariaDb } else { Self::MySql }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_the_product() {
        assert_eq!(Flavor::of_version("11.8.6-MariaDB-0+deb13u1-log"), Flavor::MariaDb);
        assert_eq!(Flavor::of_version("5.5.5-10.11.18-mariadb"), Flavor::MariaDb);
        assert_eq!(Flavor::of_version("9.7.4-1"), Flavor::MySql);
    }
}
