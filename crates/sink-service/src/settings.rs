//! The settings in effect, for support: every option of the chosen command with its value and where that came from,
//! secrets masked.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use crate::secret;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The flag's long name.
    pub name: String,
    /// Its value or values, without secrets; `None` if it has none.
    pub value: Option<String>,
    /// `default`, `environment`, or `given` on the command line or in the configuration file.
    pub origin: &'static str,
}

/// Settings as JSON: by name, the value and where it came from.
#[must_use]
pub fn to_json(settings: &[Setting]) -> Value {
    let each = settings
        .iter()
        .map(|setting| (setting.name.clone(), json!({ "value": setting.value, "from": setting.origin })));
    Value::Object(each.collect())
}

/// The settings of a command. Options whose environment value is hidden in `--help` hold secrets.
pub(crate) fn of(command: &Command, matches: &ArgMatches) -> Vec<Setting> {
    let options = command.get_arguments().filter(|arg| !is_request(arg));
    options.filter_map(|option| setting(option, matches)).collect()
}

fn setting(option: &Arg, matches: &ArgMatches) -> Option<Setting> {
    let name = option.get_long()?.to_owned();
    let id = option.get_id().as_str();
    let origin = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "given",
        Some(ValueSource::EnvVariable) => "environment",
        _ => "default",
    };
    let value = match option.get_action() {
        ArgAction::Count => Some(matches.get_count(id).to_string()),
        ArgAction::SetTrue | ArgAction::SetFalse => Some(matches.get_flag(id).to_string()),
        _ => values(option, matches),
    };
    Some(Setting { name, value, origin })
}

fn values(option: &Arg, matches: &ArgMatches) -> Option<String> {
    let values = matches.try_get_raw(option.get_id().as_str()).ok()??;
    let shown: Vec<String> = values
        .map(|value| {
            let value = value.to_string_lossy();
            if option.is_hide_env_values_set() { secret::masked_url(&value) } else { value.into_owned() }
        })
        .collect();
    Some(shown.join(", "))
}

/// Whether an option asks clap for help or the version.
pub(crate) fn is_request(option: &Arg) -> bool {
    matches!(
        option.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    )
}
