//! Where log lines go, which of them, and in which form.
//!
//! Every line is one write, made before the logging call returns: none is lost at exit, not even
//! when the process is killed. The price is that a destination which doesn't take lines (a full
//! pipe) holds up the process; a destination which fails loses them silently.

mod format;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use clap::{ArgAction, Args, ValueEnum};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, registry};

use format::{FluentFormat, TextFields, TextFormat};

/// Crates whose lines below `warn` interest only who suspects them; they come with `-vv`.
const QUIET: [&str; 10] = [
    "sqlx",
    "hyper", // and hyper_util: the filter compares beginnings
    "h2",
    "rustls",
    "tokio_rustls",
    "tokio_util",
    "mio",
    "mysql_async",
    "pgwire_replication",
    "want",
];

/// Access rights of a new log file: everyone may read it.
const FILE_MODE: u32 = 0o644;

/// Logging, for every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Logging")]
pub struct LoggingArgs {
    /// Append logs to a file, instead of writing them to stdout; opened again on SIGHUP.
    #[arg(
        long = "logDestination",
        alias = "log-destination",
        env = "CDC_LOG_DESTINATION",
        value_name = "FILE",
        global = true
    )]
    pub log_destination: Option<PathBuf>,

    /// Form of log lines.
    #[arg(
        long = "logFormat",
        alias = "log-format",
        env = "CDC_LOG_FORMAT",
        value_enum,
        default_value_t,
        global = true
    )]
    pub log_format: LogFormat,

    /// Log more: debug; twice: trace, and what the libraries have to say.
    #[arg(short = 'v', long = "verbose", env = "CDC_VERBOSE", action = ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Log exactly this, whatever -v says: comma-separated LEVEL or MODULE=LEVEL.
    #[arg(long = "logFilter", alias = "log-filter", env = "CDC_LOG", value_name = "FILTER", global = true)]
    pub log_filter: Option<String>,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: `INFO[Jan  2 15:04:05] message key=value`, in UTC.
    #[default]
    Text,
    /// For log collectors: one flat JSON object per line, with `severity`, `time` and `message`.
    Fluent,
    /// One JSON object per line as tracing-subscriber writes it, with the spans in full.
    Json,
}

/// Why logging can't start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The log file can't be opened.
    #[error("can't open the log file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// `--logFilter` is malformed.
    #[error("--logFilter (CDC_LOG) is malformed")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// There is one logger per process.
    #[error("a logger is installed already")]
    Installed,
}

/// Controls the running logger.
#[derive(Debug, Clone)]
pub struct LogHandle(LogOutput);

impl LogHandle {
    /// Opens the log file again, after it was moved away by a log rotation. Nothing happens when the
    /// log goes to stdout. No line is lost or torn: those on their way end up in the old file.
    ///
    /// # Errors
    /// The file can't be opened; the log then goes on into the old one.
    pub fn reopen(&self) -> Result<(), LoggingError> {
        self.0.reopen()
    }
}

/// A time as log lines write it: RFC 3339, in UTC.
#[must_use]
pub(crate) fn rfc3339(time: time::OffsetDateTime) -> String {
    format::Rfc3339(time).to_string()
}

/// Installs the process's logger.
///
/// # Errors
/// See [`LoggingError`].
pub fn init(args: &LoggingArgs) -> Result<LogHandle, LoggingError> {
    let output = LogOutput::open(args.log_destination.as_deref())?;
    let subscriber = registry().with(layer(args, output.clone())?);
    subscriber.try_init().map_err(|_| LoggingError::Installed)?;
    Ok(LogHandle(output))
}

/// The logger as a layer: the filter and one of the formats.
fn layer(
    args: &LoggingArgs,
    output: LogOutput,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, LoggingError> {
    let filter = EnvFilter::try_new(directives(args)).map_err(LoggingError::Filter)?;
    let layer = fmt::layer().with_ansi(false).log_internal_errors(false);
    Ok(match args.log_format {
        LogFormat::Text => layer
            .fmt_fields(TextFields)
            .event_format(TextFormat)
            .with_writer(output)
            .with_filter(filter)
            .boxed(),
        LogFormat::Fluent => layer
            .fmt_fields(JsonFields::new())
            .event_format(FluentFormat)
            .with_writer(output)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_writer(output).with_filter(filter).boxed(),
    })
}

/// What is logged, in the filter's own language.
fn directives(args: &LoggingArgs) -> String {
    if let Some(filter) = &args.log_filter {
        return filter.clone();
    }
    let level = match args.verbose {
        0 => "info",
        1 => "debug",
        2.. => return "trace".to_owned(),
    };
    QUIET.iter().fold(level.to_owned(), |all, name| format!("{all},{name}=warn"))
}

/// Where lines go.
#[derive(Debug, Clone)]
enum LogOutput {
    Stdout,
    File { path: Arc<Path>, file: Arc<RwLock<Arc<File>>> },
}

impl LogOutput {
    fn open(path: Option<&Path>) -> Result<Self, LoggingError> {
        let Some(path) = path else { return Ok(Self::Stdout) };
        Ok(Self::File { path: path.into(), file: Arc::new(RwLock::new(Arc::new(append_to(path)?))) })
    }

    fn reopen(&self) -> Result<(), LoggingError> {
        if let Self::File { path, file } = self {
            let new = Arc::new(append_to(path)?);
            // Only whole values are stored, so a poisoned lock still guards a good one.
            *file.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> Result<File, LoggingError> {
    let opened = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path);
    opened.map_err(|source| LoggingError::Open { path: path.to_path_buf(), source })
}

impl MakeWriter<'_> for LogOutput {
    type Writer = LineWriter;

    fn make_writer(&self) -> LineWriter {
        match self {
            Self::Stdout => LineWriter::Stdout(io::stdout()),
            Self::File { file, .. } => {
                LineWriter::File(Arc::clone(&file.read().unwrap_or_else(PoisonError::into_inner)))
            }
        }
    }
}

/// Writes one line. tracing-subscriber hands over the line as a whole; stdout, which Rust buffers up
/// to the end of a line, has nothing left to flush after it.
#[derive(Debug)]
enum LineWriter {
    Stdout(io::Stdout),
    File(Arc<File>),
}

impl io::Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(line),
            Self::File(file) => (&**file).write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => (&**file).flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        logging: LoggingArgs,
    }

    fn args(args: &[&str]) -> LoggingArgs {
        Cli::try_parse_from(["test"].iter().chain(args)).unwrap().logging
    }

    /// What `action` logs under the given flags.
    fn logged(flags: &[&str], action: impl FnOnce()) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let output = LogOutput::open(Some(file.path())).unwrap();
        tracing::subscriber::with_default(registry().with(layer(&args(flags), output).unwrap()), action);
        std::fs::read_to_string(file.path()).unwrap()
    }

    fn example() {
        let span = tracing::info_span!("stage", feed = "a feed", table = "t");
        let _inside = span.enter();
        tracing::warn!(rows = 3, ok = true, share = 0.5, time = "now", error = %"broken\npipe", "two\nlines");
        tracing::debug!("hidden");
    }

    #[test]
    fn text_lines_are_one_line_with_fields_behind() {
        let text = logged(&[], example);
        let (stamp, rest) = text.strip_prefix("WARN[").unwrap().split_once(']').unwrap();
        assert_eq!(stamp.len(), "Jan _2 15:04:05".len());
        assert_eq!(
            rest,
            " two\\nlines rows=3 ok=true share=0.5 time=now error=\"broken\\npipe\" feed=\"a feed\" table=t\n"
        );
    }

    #[test]
    fn fluent_lines_are_flat_objects() {
        let text = logged(&["--logFormat", "fluent"], example);
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["severity"], "WARNING");
        assert_eq!(line["message"], "two\nlines");
        assert_eq!(line["rows"].to_string(), "3");
        assert_eq!(line["ok"], true);
        assert_eq!(line["fields.time"], "now");
        assert_eq!(line["error"], "broken\npipe");
        assert_eq!((&line["feed"], &line["table"]), (&"a feed".into(), &"t".into()));
        let time = line["time"].as_str().unwrap();
        assert!(time.len() == "2006-01-02T15:04:05.000000Z".len() && time.ends_with('Z'), "{time}");
    }

    #[test]
    fn json_lines_have_the_fields_at_the_top() {
        let text = logged(&["--log-format=json"], example);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"two\nlines".into()));
        assert_eq!(line["span"]["feed"], "a feed");
    }

    #[test]
    fn verbosity_opens_our_lines_first_and_the_libraries_last() {
        let lines = || {
            tracing::debug!("ours at debug");
            tracing::trace!("ours at trace");
            tracing::info!(target: "sqlx::query", "theirs at info");
            tracing::warn!(target: "hyper_util::x", "theirs at warn");
        };
        let count = |flags: &[&str]| logged(flags, lines).lines().count();
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&["-v"]), 2);
        assert_eq!(count(&["-vv"]), 4);
        assert_eq!(count(&["-vv", "--logFilter=error,sqlx=info"]), 1);
        let bad = layer(&args(&["--logFilter=a=b=c"]), LogOutput::Stdout);
        assert!(matches!(bad, Err(LoggingError::Filter(_))));
    }

    #[test]
    fn a_moved_file_is_opened_again_and_a_failure_keeps_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let output = LogOutput::open(Some(&path)).unwrap();
        let handle = LogHandle(output.clone());
        tracing::subscriber::with_default(registry().with(layer(&args(&[]), output).unwrap()), || {
            tracing::info!("one");
            std::fs::rename(&path, &moved).unwrap();
            tracing::info!("two");
            std::fs::create_dir(&path).unwrap();
            assert!(matches!(handle.reopen(), Err(LoggingError::Open { .. })));
            tracing::info!("three");
            std::fs::remove_dir(&path).unwrap();
            handle.reopen().unwrap();
            tracing::info!("four");
        });
        assert_eq!(std::fs::read_to_string(&moved).unwrap().lines().count(), 3);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert!(LogHandle(LogOutput::Stdout).reopen().is_ok());
    }
}
