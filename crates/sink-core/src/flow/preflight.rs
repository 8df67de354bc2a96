//! What is found wrong before a log is followed, and the statements that mend it. Pure; sources and `preflight::target`
//! find, this says it.

pub mod sql;
pub mod target;

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// It works, and may end in a way that was not meant.
    Warning,
    /// It would not work, or lose or invent rows: nothing is started.
    Error,
}

impl Severity {
    /// The word for people and for JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where statements are to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The database that is read.
    Source,
    /// The database that is written.
    Target,
}

impl Side {
    /// The word for people and for JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// One way to mend a finding; of several ways one is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// Where.
    pub side: Side,
    /// Whole statements, without a semicolon at the end, in this order.
    pub statements: Vec<String>,
    /// What the statements cannot do or what to know before; empty if nothing.
    pub note: String,
    /// Statements that undo the others when the time has come, at the same side; empty if there is nothing to undo.
    pub afterwards: Vec<String>,
}

impl Remedy {
    /// Statements that are enough by themselves.
    #[must_use]
    pub fn run(side: Side, statements: impl IntoIterator<Item = String>) -> Self {
        let statements = statements.into_iter().collect();
        Self { side, statements, note: String::new(), afterwards: Vec::new() }
    }

    /// Adds what to know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Adds the statements that undo the others.
    #[must_use]
    pub fn afterwards(mut self, statements: impl IntoIterator<Item = String>) -> Self {
        self.afterwards = statements.into_iter().collect();
        self
    }

    fn to_json(&self) -> Value {
        json!({
            "side": self.side.as_str(),
            "statements": self.statements,
            "note": self.note,
            "afterwards": self.afterwards,
        })
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A name for programs that stays the same from release to release: `target_table_missing`.
    pub code: &'static str,
    /// What it is about, such as a table; never a row's value.
    pub subject: String,
    /// What is wrong, in one sentence.
    pub what: String,
    /// Ways to mend it, the best first. None if it needs no mending.
    pub remedies: Vec<Remedy>,
}

impl Finding {
    /// A finding without a remedy yet.
    #[must_use]
    pub fn new(
        severity: Severity,
        code: &'static str,
        subject: impl fmt::Display,
        what: impl Into<String>,
    ) -> Self {
        let (subject, what) = (subject.to_string(), what.into());
        Self { severity, code, subject, what, remedies: Vec::new() }
    }

    /// Adds a way to mend it.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }

    /// Adds statements that mend it.
    #[must_use]
    pub fn mend(self, side: Side, statements: impl IntoIterator<Item = String>) -> Self {
        self.remedy(Remedy::run(side, statements))
    }

    fn to_json(&self) -> Value {
        let remedies: Vec<Value> = self.remedies.iter().map(Remedy::to_json).collect();
        json!({
            "severity": self.severity.as_str(),
            "code": self.code,
            "subject": self.subject,
            "what": self.what,
            "remedies": remedies,
        })
    }
}

/// Everything that was found, the worst first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
}

impl FromIterator<Finding> for Report {
    fn from_iter<I: IntoIterator<Item = Finding>>(findings: I) -> Self {
        let mut findings: Vec<Finding> = findings.into_iter().collect();
        // The order in which things are to be mended is kept within a severity.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { findings }
    }
}

impl Report {
    /// The findings, the worst first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether a feed may be started: nothing is an error.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// One line that counts.
    #[must_use]
    pub fn summary(&self) -> String {
        let [errors, warnings, infos] =
            [Severity::Error, Severity::Warning, Severity::Info].map(|severity| self.count(severity));
        let verdict = if self.passes() { "ready" } else { "not ready" };
        format!("{verdict}: {errors} errors, {warnings} warnings, {infos} remarks")
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let findings: Vec<Value> = self.findings.iter().map(Finding::to_json).collect();
        json!({
            "passes": self.passes(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "infos": self.count(Severity::Info),
            "findings": findings,
        })
    }
}

/// Widest column of the table; longer texts push the rest of their line to the right.
const WIDEST: usize = 44;

/// For people: a line per finding in columns, below it the statements that mend it, and the count at the end.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: &dyn Fn(&Finding) -> usize| {
            self.findings.iter().map(text).max().unwrap_or_default().min(WIDEST)
        };
        let code = width(&|finding| finding.code.chars().count());
        let subject = width(&|finding| finding.subject.chars().count());
        for finding in &self.findings {
            let mut line = String::new();
            write!(
                line,
                "{:<7}  {:<code$}  {:<subject$}  {}",
                finding.severity.as_str(),
                finding.code,
                one_line(&finding.subject),
                one_line(&finding.what)
            )?;
            writeln!(f, "{}", line.trim_end())?;
            for (at, remedy) in finding.remedies.iter().enumerate() {
                write_remedy(f, remedy, at > 0)?;
            }
        }
        writeln!(f, "{}", self.summary())
    }
}

fn write_remedy(f: &mut fmt::Formatter<'_>, remedy: &Remedy, other: bool) -> fmt::Result {
    let or = if other { "or " } else { "" };
    let note = if remedy.note.is_empty() { String::new() } else { format!("; {}", one_line(&remedy.note)) };
    writeln!(f, "    -- {or}on the {}{note}", remedy.side.as_str())?;
    for statement in &remedy.statements {
        writeln!(f, "    {statement};")?;
    }
    if !remedy.afterwards.is_empty() {
        writeln!(f, "    -- afterwards")?;
        for statement in &remedy.afterwards {
            writeln!(f, "    {statement};")?;
        }
    }
    Ok(())
}

/// Names may hold anything; a line break must not look like another finding.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let info = Finding::new(Severity::Info, "note", "a", "is so");
        let error = Finding::new(Severity::Error, "table_missing", "public.t\nx", "there is none")
            .mend(Side::Target, ["CREATE TABLE t ()".to_owned()])
            .remedy(
                Remedy::run(Side::Source, ["DROP TABLE t".to_owned()])
                    .note("loses it")
                    .afterwards(["CREATE TABLE t ()".to_owned()]),
            );
        [info, error].into_iter().collect()
    }

    #[test]
    fn the_worst_comes_first_and_decides() {
        let report = report();
        assert_eq!(report.findings()[0].code, "table_missing");
        assert!(!report.passes());
        let lesser: Report = report.findings()[1..].iter().cloned().collect();
        assert!(lesser.passes());
        assert!(Report::default().passes());
    }

    #[test]
    fn people_get_columns_and_the_statements_below() {
        let expected = "\
error    table_missing  public.t\u{fffd}x  there is none
    -- on the target
    CREATE TABLE t ();
    -- or on the source; loses it
    DROP TABLE t;
    -- afterwards
    CREATE TABLE t ();
info     note           a           is so
not ready: 1 errors, 0 warnings, 1 remarks
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn programs_get_the_same_with_stable_names() {
        let json = report().to_json();
        assert_eq!((&json["passes"], &json["errors"]), (&json!(false), &json!(1)));
        let first = &json["findings"][0];
        assert_eq!(first["code"], "table_missing");
        assert_eq!(first["remedies"][1]["afterwards"][0], "CREATE TABLE t ()");
        assert_eq!(first["remedies"][0]["side"], "target");
    }
}
