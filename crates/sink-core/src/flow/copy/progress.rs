//! How far the copy is, how fast, and when it will be done: estimates from what the source says of the sizes of its tables
//! and from what went by so far. Pure but for [`Board`], which puts a lock and a clock around it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::table::SourceName;

/// Rates are taken over this time: long enough to be calm, short enough to follow.
const WINDOW: Duration = Duration::from_secs(10);
/// Least time between two points of the rate.
const SAMPLE: Duration = Duration::from_millis(250);

/// Where a table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not begun.
    Waiting,
    /// Under way.
    Copying,
    /// All there.
    Done,
}

/// One table's figures.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figures {
    stage: Stage,
    estimated_rows: u64,
    /// Bytes at the source, in pages; what pieces are weighed by.
    weight: u64,
    /// Of finished pieces.
    weight_done: u64,
    /// Text of finished pieces, in bytes.
    text_done: u64,
    rows: u64,
    bytes: u64,
}

impl Figures {
    /// Done, in bytes at the source; pieces under way by the text they gave so far.
    fn done(&self) -> u64 {
        match self.stage {
            Stage::Waiting => 0,
            Stage::Done => self.weight,
            Stage::Copying => {
                let under_way = u128::from(self.bytes.saturating_sub(self.text_done));
                // Finished pieces tell how much text a byte of the source makes; until then it is taken as one.
                let (weight, text) = match (self.weight_done, self.text_done) {
                    (0, _) | (_, 0) => (1, 1),
                    (weight, text) => (u128::from(weight), u128::from(text)),
                };
                let under_way = u64::try_from(under_way * weight / text).unwrap_or(u64::MAX);
                // What is not finished is never shown as finished.
                self.weight_done.saturating_add(under_way).min(self.weight.saturating_sub(1))
            }
        }
    }
}

/// The figures of all tables.
#[derive(Debug, Default)]
pub struct Progress {
    tables: BTreeMap<SourceName, Figures>,
    /// Time, text and work done by then; work in bytes at the source.
    samples: VecDeque<(Duration, u64, u64)>,
}

/// A table as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct TableView {
    /// Its name.
    pub table: SourceName,
    /// Where it stands.
    pub stage: Stage,
    /// Rows so far.
    pub rows: u64,
    /// Rows in all, guessed until it is done.
    pub estimated_rows: u64,
    /// Text so far, in bytes.
    pub bytes: u64,
    /// From 0 to 100; 100 only when done.
    pub percent: u8,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Tables by name.
    pub tables: Vec<TableView>,
    /// Rows of all tables so far.
    pub rows: u64,
    /// Text of all tables so far, in bytes.
    pub bytes: u64,
    /// From 0 to 100; 100 only when all are done.
    pub percent: u8,
    /// Text in bytes per second, lately.
    pub bytes_per_second: u64,
    /// Until it is done, if it goes on like this; none while that cannot be told.
    pub left: Option<Duration>,
}

impl Progress {
    /// Adds a table, or puts it back to the beginning: `weight` in bytes at the source.
    pub fn expect(&mut self, table: &SourceName, estimated_rows: u64, weight: u64) {
        let figures = Figures {
            stage: Stage::Waiting,
            estimated_rows,
            // So that an empty table counts for something, and is not done before it is.
            weight: weight.max(1),
            weight_done: 0,
            text_done: 0,
            rows: 0,
            bytes: 0,
        };
        self.tables.insert(table.clone(), figures);
        // What was done before no longer counts; rates over the gap would be wrong.
        self.samples.clear();
    }

    /// A table that was copied before.
    pub fn expect_done(&mut self, table: &SourceName, rows: u64, bytes: u64) {
        self.expect(table, rows, bytes);
        if let Some(figures) = self.tables.get_mut(table) {
            *figures = Figures { stage: Stage::Done, rows, bytes, ..figures.clone() };
        }
    }

    fn table(&mut self, table: &SourceName, change: impl FnOnce(&mut Figures)) {
        if let Some(figures) = self.tables.get_mut(table) {
            change(figures);
        }
    }

    /// The first piece of a table is under way.
    pub fn begin(&mut self, table: &SourceName) {
        self.table(table, |figures| figures.stage = Stage::Copying);
    }

    /// Rows and text went by at a time.
    pub fn seen(&mut self, table: &SourceName, rows: u64, bytes: u64, now: Duration) {
        self.table(table, |figures| {
            figures.rows += rows;
            figures.bytes += bytes;
        });
        self.sample(now);
    }

    /// A piece that was guessed to take `weight` is committed; it made so much text.
    pub fn piece(&mut self, table: &SourceName, weight: u64, text: u64) {
        self.table(table, |figures| {
            figures.weight_done += weight;
            figures.text_done += text;
        });
    }

    /// All of a table is there.
    pub fn finish(&mut self, table: &SourceName) {
        self.table(table, |figures| {
            figures.stage = Stage::Done;
            figures.estimated_rows = figures.rows;
        });
    }

    fn sample(&mut self, now: Duration) {
        if self.samples.back().is_some_and(|(at, ..)| now < *at + SAMPLE) {
            return;
        }
        let (bytes, done) = (self.sum(|figures| figures.bytes), self.sum(Figures::done));
        self.samples.push_back((now, bytes, done));
        // One sample before the window is kept, so that the rate is over all of it.
        while self.samples.get(1).is_some_and(|(at, ..)| *at + WINDOW <= now) {
            self.samples.pop_front();
        }
    }

    fn sum(&self, of: impl Fn(&Figures) -> u64) -> u64 {
        self.tables.values().map(of).fold(0, u64::saturating_add)
    }

    /// All figures at a time.
    #[must_use]
    pub fn view(&self, now: Duration) -> View {
        let tables = self.tables.iter().map(|(table, figures)| TableView {
            table: table.clone(),
            stage: figures.stage,
            rows: figures.rows,
            estimated_rows: figures.estimated_rows.max(figures.rows),
            bytes: figures.bytes,
            percent: percent(figures.done(), figures.weight),
        });
        let (bytes, done) = (self.sum(|figures| figures.bytes), self.sum(Figures::done));
        let weight = self.sum(|figures| figures.weight);
        let (mut bytes_per_second, mut left) = (0, None);
        if let Some((at, bytes_then, done_then)) = self.samples.front() {
            let millis = now.saturating_sub(*at).as_millis();
            let per_second = |amount: u64| {
                let rate = (u128::from(amount) * 1000).checked_div(millis).unwrap_or(0);
                u64::try_from(rate).unwrap_or(u64::MAX)
            };
            bytes_per_second = per_second(bytes.saturating_sub(*bytes_then));
            let rate = per_second(done.saturating_sub(*done_then));
            left = weight.saturating_sub(done).checked_div(rate).map(Duration::from_secs);
        }
        View {
            tables: tables.collect(),
            rows: self.sum(|figures| figures.rows),
            bytes,
            percent: percent(done, weight),
            bytes_per_second,
            left,
        }
    }
}

fn percent(done: u64, of: u64) -> u8 {
    let percent = (u128::from(done) * 100).checked_div(u128::from(of)).unwrap_or(100);
    u8::try_from(percent.min(100)).unwrap_or(100)
}

impl View {
    /// As lines for a terminal: one for everything, and one for each table under way, at most `most` of those.
    #[must_use]
    pub fn lines(&self, most: usize) -> Vec<String> {
        let done = self.tables.iter().filter(|table| table.stage == Stage::Done).count();
        let mut lines = vec![format!(
            "snapshot {:>3} %  {done}/{} tables  {} rows  {}  {}/s  {}",
            self.percent,
            self.tables.len(),
            Count(self.rows),
            Bytes(self.bytes),
            Bytes(self.bytes_per_second),
            Left(self.left),
        )];
        let under_way = self.tables.iter().filter(|table| table.stage == Stage::Copying);
        lines.extend(under_way.take(most).map(ToString::to_string));
        lines
    }
}

impl fmt::Display for TableView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names come from the source; a line of ours stays one line whatever they hold.
        let name: String = self.table.to_string().chars().filter(|c| !c.is_control()).take(40).collect();
        let (rows, all) = (Count(self.rows), Count(self.estimated_rows));
        write!(f, "  {name:<40} {:>3} %  {rows} of about {all} rows  {}", self.percent, Bytes(self.bytes))
    }
}

/// A number with thousands apart.
struct Count(u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// Bytes in the unit that leaves one to four digits.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut tenths = u128::from(self.0) * 10;
        let mut unit = 0;
        while tenths >= 10_240 && unit + 1 < UNITS.len() {
            tenths /= 1024;
            unit += 1;
        }
        match unit {
            0 => write!(f, "{} B", self.0),
            _ => write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
        }
    }
}

/// Time left.
struct Left(Option<Duration>);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(left) = self.0 else { return f.write_str("time left unknown") };
        let seconds = left.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, s) => write!(f, "{s} s left"),
            (0, m, s) => write!(f, "{m} min {s:02} s left"),
            (h, m, _) => write!(f, "{h} h {m:02} min left"),
        }
    }
}

/// The progress of a process, told by its workers and shown to people.
#[derive(Debug)]
pub struct Board {
    begun: Instant,
    progress: Mutex<Progress>,
}

impl Default for Board {
    fn default() -> Self {
        Self { begun: Instant::now(), progress: Mutex::default() }
    }
}

impl Board {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Progress, Duration) -> T) -> T {
        let now = self.begun.elapsed();
        work(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// See [`Progress::expect`].
    pub fn expect(&self, table: &SourceName, estimated_rows: u64, weight: u64) {
        self.with(|progress, _| progress.expect(table, estimated_rows, weight));
    }

    /// See [`Progress::expect_done`].
    pub fn expect_done(&self, table: &SourceName, rows: u64, bytes: u64) {
        self.with(|progress, _| progress.expect_done(table, rows, bytes));
    }

    /// See [`Progress::begin`].
    pub fn begin(&self, table: &SourceName) {
        self.with(|progress, _| progress.begin(table));
    }

    /// See [`Progress::seen`].
    pub fn seen(&self, table: &SourceName, rows: u64, bytes: u64) {
        self.with(|progress, now| progress.seen(table, rows, bytes, now));
    }

    /// See [`Progress::piece`].
    pub fn piece(&self, table: &SourceName, weight: u64, text: u64) {
        self.with(|progress, _| progress.piece(table, weight, text));
    }

    /// See [`Progress::finish`].
    pub fn finish(&self, table: &SourceName) {
        self.with(|progress, _| progress.finish(table));
    }

    /// See [`Progress::view`].
    #[must_use]
    pub fn view(&self) -> View {
        self.with(|progress, now| progress.view(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> SourceName {
        SourceName { schema: "s".into(), name: name.into() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_left_is_told_from_the_rate_so_far() {
        let mut progress = Progress::default();
        progress.expect(&table("a"), 1000, 8000);
        progress.begin(&table("a"));
        for at in 0..=4 {
            progress.seen(&table("a"), 100, 1000, seconds(at));
        }
        progress.piece(&table("a"), 5000, 5000);
        let view = progress.view(seconds(4));
        assert_eq!((view.rows, view.bytes, view.percent), (500, 5000, 62));
        // The first sample holds the first portion: four more in four seconds.
        assert_eq!((view.bytes_per_second, view.left), (1000, Some(seconds(3))));
        assert_eq!(view.tables[0].estimated_rows, 1000);
    }

    #[test]
    fn finished_pieces_tell_how_much_text_the_rest_makes() {
        let mut progress = Progress::default();
        progress.expect(&table("a"), 0, 4000);
        progress.begin(&table("a"));
        progress.seen(&table("a"), 1, 500, seconds(0));
        progress.piece(&table("a"), 1000, 500);
        progress.seen(&table("a"), 1, 250, seconds(1));
        assert_eq!(progress.view(seconds(1)).percent, 37);
    }

    #[test]
    fn nothing_is_done_before_it_is_done() {
        let mut progress = Progress::default();
        progress.expect(&table("empty"), 0, 0);
        progress.expect(&table("grown"), 10, 100);
        progress.begin(&table("grown"));
        progress.seen(&table("grown"), 5000, 100_000, seconds(1));
        let view = progress.view(seconds(1));
        assert!(view.percent < 100 && view.tables.iter().all(|table| table.percent < 100), "{view:?}");
        // More rows than were guessed are shown as they are.
        assert_eq!(view.tables[1].estimated_rows, 5000);
        progress.finish(&table("grown"));
        progress.finish(&table("empty"));
        let view = progress.view(seconds(1));
        assert_eq!((view.percent, view.tables[0].percent), (100, 100));
    }

    #[test]
    fn a_table_that_is_begun_anew_starts_at_nothing() {
        let mut progress = Progress::default();
        progress.expect(&table("a"), 10, 100);
        progress.begin(&table("a"));
        progress.seen(&table("a"), 5, 50, seconds(1));
        progress.expect(&table("a"), 10, 100);
        let view = progress.view(seconds(2));
        assert_eq!((view.rows, view.percent, view.left), (0, 0, None));
    }

    #[test]
    fn a_standstill_has_no_end() {
        let mut progress = Progress::default();
        progress.expect(&table("a"), 10, 100);
        progress.begin(&table("a"));
        progress.seen(&table("a"), 1, 10, seconds(0));
        assert_eq!(progress.view(seconds(30)).left, None);
    }

    #[test]
    fn lines_name_the_tables_under_way_only() {
        let mut progress = Progress::default();
        progress.expect_done(&table("copied"), 1_234_567, 5 << 20);
        progress.expect(&table("under\nway"), 4000, 2 << 20);
        progress.expect(&table("waiting"), 0, 1 << 20);
        progress.begin(&table("under\nway"));
        progress.seen(&table("under\nway"), 1000, 1 << 19, seconds(0));
        let lines = progress.view(seconds(0)).lines(9);
        let first = "snapshot  68 %  1/3 tables  1,235,567 rows  5.5 MiB  0 B/s  time left unknown";
        let second = format!("  {:<40}  25 %  1,000 of about 4,000 rows  512.0 KiB", "s.underway");
        assert_eq!(lines, [first.to_owned(), second]);
    }

    #[test]
    fn times_and_amounts_are_short() {
        let left = |seconds| Left(Some(Duration::from_secs(seconds))).to_string();
        assert_eq!([left(59), left(61), left(7300)], ["59 s left", "1 min 01 s left", "2 h 01 min left"]);
        let bytes = [0, 1023, 1024, 1 << 40, 5000 << 40].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(bytes, ["0 B", "1023 B", "1.0 KiB", "1.0 TiB", "5000.0 TiB"]);
        assert_eq!([Count(0), Count(999), Count(1000)].map(|n| n.to_string()), ["0", "999", "1,000"]);
    }
}
