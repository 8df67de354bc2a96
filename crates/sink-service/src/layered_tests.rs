//! Tests of the precedence of settings.

use super::*;
use crate::logging::LoggingArgs;
use crate::secret::Secret;
use clap::Subcommand;

/// A program with the shapes our binaries have.
#[derive(Debug, Parser)]
#[command(name = "prog", version)]
struct Cli {
    #[command(flatten)]
    config: ConfigFileArgs,
    #[command(flatten)]
    logging: LoggingArgs,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    Start(StartArgs),
    Status {
        #[arg(long = "schema", alias = "sch")]
        schema: Option<String>,
    },
}

#[derive(Debug, Args)]
struct StartArgs {
    #[arg(long = "targetConn", aliases = ["target-conn", "conn"], env = "CDC_TEST_CONN")]
    target_conn: Option<Secret>,
    #[arg(long = "fanShards", alias = "fan-shards", env = "CDC_TEST_FAN", default_value_t = 16)]
    fan_shards: u32,
    #[arg(long = "immediate", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, action = ArgAction::Set)]
    immediate: bool,
    #[arg(long = "plainSwitch")]
    plain_switch: bool,
    #[arg(long = "allow", short = 'a')]
    allow: Vec<String>,
    #[arg(last = true)]
    rest: Vec<String>,
}

fn merged(line: &str, env: &[&str], file: &str) -> Result<Vec<String>, LayeredError> {
    let argv = line.split(' ').map(OsString::from).collect();
    let env = |name: &OsStr| env.iter().find(|set| name == **set).map(|_| OsString::from("x"));
    let merged = merge(argv, env, &file.parse().unwrap(), <Cli as clap::CommandFactory>::command())?;
    Ok(merged.into_iter().map(|arg| arg.into_string().unwrap()).collect())
}

fn line(line: &str, env: &[&str], file: &str) -> String {
    merged(line, env, file).unwrap().join(" ")
}

#[test]
fn the_file_fills_what_nobody_else_sets() {
    let file = "fanShards = 4\ntarget-conn = 'postgres://x'";
    assert_eq!(
        line("prog start", &[], file),
        "prog start --fanShards=4 --targetConn=postgres://x",
        "both spellings"
    );
    assert_eq!(line("prog start --fanShards 8", &[], "fanShards = 4"), "prog start --fanShards 8");
    assert_eq!(line("prog start --fan-shards=8", &[], "fanShards = 4"), "prog start --fan-shards=8");
    assert_eq!(line("prog start --conn y", &[], "targetConn = 'x'"), "prog start --conn y");
    assert_eq!(line("prog start", &["CDC_TEST_FAN"], "fanShards = 4"), "prog start");
    assert_eq!(line("prog start", &["CDC_TEST_CONN"], "fanShards = 4"), "prog start --fanShards=4");
}

#[test]
fn the_default_counts_as_not_set_even_if_equal() {
    assert_eq!(line("prog start --fanShards 16", &[], "fanShards = 4"), "prog start --fanShards 16");
    assert_eq!(line("prog start", &[], "fanShards = 16"), "prog start --fanShards=16");
}

#[test]
fn every_kind_of_value_becomes_arguments_that_parse() {
    let file =
        "immediate = true\nplainSwitch = true\nallow = ['a.b', 'c.d']\nverbose = 2\nlog-format = 'json'";
    let argv = merged("prog start", &[], file).unwrap();
    let cli = Cli::try_parse_from(argv).unwrap();
    let Commands::Start(start) = cli.command else { panic!("start was given") };
    assert!(start.immediate && start.plain_switch);
    assert_eq!((start.allow, start.fan_shards), (vec!["a.b".to_owned(), "c.d".to_owned()], 16));
    assert_eq!((cli.logging.verbose, cli.logging.log_format), (2, crate::logging::LogFormat::Json));
    assert_eq!(
        line("prog start", &[], "plainSwitch = false\nimmediate = false"),
        "prog start --immediate=false"
    );
    assert_eq!(line("prog start", &[], "allow = 'one'"), "prog start --allow=one");
    assert_eq!(line("prog start -a x", &[], "allow = ['one']"), "prog start -a x");
}

#[test]
fn global_options_are_seen_before_and_after_the_subcommand() {
    for given in ["prog -v start", "prog start -v", "prog --logFormat text -v start --log-filter info"] {
        assert_eq!(line(given, &[], "verbose = 2"), given);
    }
    assert_eq!(line("prog start", &["CDC_LOG"], "logFilter = 'info'"), "prog start");
}

#[test]
fn arguments_go_before_a_double_dash() {
    assert_eq!(line("prog start -- a b", &[], "fanShards = 4"), "prog start --fanShards=4 -- a b");
}

#[test]
fn one_file_serves_all_subcommands() {
    assert_eq!(line("prog status", &[], "fanShards = 4\nsch = 'x'"), "prog status --schema=x");
}

#[test]
fn help_and_version_are_left_to_clap() {
    assert_eq!(line("prog start --help", &[], "nonsense = 1"), "prog start --help");
    assert_eq!(line("prog --version", &[], "nonsense = 1"), "prog --version");
}

#[test]
fn mistakes_in_the_file_are_named() {
    let error = |file: &str| merged("prog start", &[], file).unwrap_err().to_string();
    assert_eq!(error("fanShard = 4"), "unknown setting `fanShard` in the configuration file");
    for reserved in ["config = 'x'", "help = true", "version = true", "rest = 'x'", "[section]\na = 1"] {
        assert!(error(reserved).starts_with("unknown setting"), "{reserved}");
    }
    assert!(error("targetConn = 'a'\nconn = 'b'").contains("are the same"));
    assert!(error("fanShards = [1, 2]").ends_with("must be a single value"));
    assert!(error("allow = [[1]]").ends_with("must be a list of texts"));
    assert!(error("verbose = -1").ends_with("must be a number from 0 to 255"));
    assert!(error("plainSwitch = 1").ends_with("must be true or false"));
    // Also when the command line overrides the setting.
    assert!(merged("prog start --fanShards 1", &[], "fanShards = [1]").is_err());
}

#[test]
fn a_file_is_read_and_its_secrets_stay_out_of_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "fanShards = 4\ntargetConn = 'postgres://root:hunter2@db\n").unwrap();
    let argv = |path: &Path| {
        ["prog", "start", "--config"].iter().map(OsString::from).chain([path.into()]).collect::<Vec<_>>()
    };
    let error = parse::<Cli>(argv(&path), None).unwrap_err();
    assert!(matches!(error, LayeredError::Syntax { line: 2, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert_eq!(error.report(), Exit::Usage);

    std::fs::write(&path, "fanShards = 4\n").unwrap();
    let Commands::Start(start) = parse::<Cli>(argv(&path), None).unwrap().command else {
        panic!("start was given")
    };
    assert_eq!(start.fan_shards, 4);
    assert!(matches!(parse::<Cli>(argv(folder.path()), None), Err(LayeredError::Read { .. })));
}

#[test]
fn names_turn_into_kebab_case() {
    let cases = [
        ("logFormat", "log-format"),
        ("targetDB", "target-db"),
        ("targetDBConns", "target-db-conns"),
        ("defaultGTIDSet", "default-gtid-set"),
        ("tlsSelfSigned", "tls-self-signed"),
        ("conn", "conn"),
        ("log-format", "log-format"),
    ];
    for (camel, kebab) in cases {
        assert_eq!(kebab_case(camel), kebab);
    }
}

#[test]
fn a_counter_can_come_from_the_environment_as_a_number() {
    // A variable which Cargo sets for tests, with a small number in it; a test can't set its own.
    let expected: u8 = std::env::var("CARGO_PKG_VERSION_MINOR").map_or(0, |minor| minor.parse().unwrap());
    let verbose = Arg::new("verbose").short('v').action(ArgAction::Count).env("CARGO_PKG_VERSION_MINOR");
    let command = Command::new("prog").arg(verbose);
    assert_eq!(command.clone().get_matches_from(["prog"]).get_count("verbose"), expected);
    assert_eq!(command.get_matches_from(["prog", "-vv"]).get_count("verbose"), 2);
}

#[test]
fn the_default_subcommand_is_put_where_none_is_given() {
    let cases = [
        ("prog", "prog start"),
        ("prog --conn x", "prog start --conn x"),
        ("prog -v --conn status", "prog start -v --conn status"),
        ("prog -v", "prog start -v"),
        ("prog --log-format json --fanShards 3", "prog start --log-format json --fanShards 3"),
        ("prog --logFormat=json", "prog start --logFormat=json"),
        ("prog -- x", "prog start -- x"),
        ("prog start --conn x", "prog start --conn x"),
        ("prog --logFormat json status", "prog --logFormat json status"),
        ("prog -vv status", "prog -vv status"),
        ("prog strat", "prog strat"), // clap's own message names the nearest subcommand
        ("prog help", "prog help"),
        ("prog --help", "prog --help"),
        ("prog -v -h", "prog -v -h"),
        ("prog -V", "prog -V"),
    ];
    for (given, wanted) in cases {
        let argv = given.split(' ').map(OsString::from).collect();
        let got = with_default_subcommand(argv, "start", <Cli as clap::CommandFactory>::command());
        assert_eq!(got.join(OsStr::new(" ")), wanted, "{given}");
    }
}
