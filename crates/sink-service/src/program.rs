//! What every program does around its own work: reads flags, makes a runtime, tells errors to people and codes to machines.

use std::fmt::Display;
use std::process::ExitCode;

use clap::Parser;

use crate::exit::Exit;
use crate::layered;
use crate::settings::Setting;

/// Runs a program whose command is `start` if none is named. An error is printed with what led to it.
pub fn run<P, F, E>(work: impl FnOnce(P, Vec<Setting>) -> F) -> ExitCode
where
    P: Parser,
    F: Future<Output = Result<Exit, (Exit, E)>>,
    E: Display,
{
    let (parsed, settings) = match layered::parse_with_settings(std::env::args_os(), Some("start")) {
        Ok(parsed) => parsed,
        Err(error) => return error.report().into(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return Exit::Failure.into();
        }
    };
    let done = runtime.block_on(work(parsed, settings));
    // Nothing is left that matters; a blocked helper thread must not keep the process alive.
    runtime.shutdown_background();
    match done {
        Ok(exit) => exit.into(),
        Err((exit, error)) => {
            eprintln!("error: {error:#}");
            exit.into()
        }
    }
}
