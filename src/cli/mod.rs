//! The command line: what is typed -> a subcommand, its messages and the exit code.

mod batch;
mod bench;
mod compare;
mod completions;
mod doctor;
mod inspect;
mod join;
mod render;
mod ui;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::cancel::Cancel;
use crate::error::{Exit, Report};
use ui::{Ui, UiArgs};

/// Batch lip-sync renderer: speech and background frames in, a talking MP4 out
#[derive(Debug, Parser)]
#[command(name = "lipsync", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 compare: they differ, batch: some clips failed, 4 the machine lacks something, 130 interrupted.\n\
    Environment: LIPSYNC_HOME (folder with models, backgrounds, samples), ORT_DYLIB_PATH (ONNX Runtime's library)."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    ui: UiArgs,
    /// Configuration file [default: $LIPSYNC_CONFIG, else lipsync.yaml here or above, else in the user's config folder]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Render(Box<render::RenderArgs>),
    Batch(Box<batch::BatchArgs>),
    Compare(compare::CompareArgs),
    Join(join::JoinArgs),
    Inspect(inspect::InspectArgs),
    Doctor(doctor::DoctorArgs),
    Bench(Box<bench::BenchArgs>),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

/// Parses the command line, runs what it says, and tells how that ended.
pub fn main() -> ExitCode {
    quiet_libraries();
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let ui = Ui::new(cli.ui);
    let cancel = Cancel::default();
    if let Err(error) = stop_on_signals(&cancel) {
        ui.warn(&format!("Ctrl-C will not clean up: {error}"));
    }
    let config = cli.config.as_deref();
    let result = match cli.command {
        Command::Render(args) => {
            render::render(*args, of_subcommand(&matches), config, &ui, &cancel)
        }
        Command::Batch(args) => batch::batch(*args, of_subcommand(&matches), config, &ui, &cancel),
        Command::Compare(args) => compare::compare(args, &ui, &cancel),
        Command::Join(args) => join::join(&args, &ui, &cancel),
        Command::Inspect(args) => inspect::inspect(args, &ui, &cancel),
        Command::Doctor(args) => doctor::doctor(args, config, &ui),
        Command::Bench(args) => bench::bench(&args, config, &ui, &cancel),
        Command::Completions(args) => completions::completions(args, Cli::command(), &ui),
        Command::Man(args) => completions::man(&args, Cli::command(), &ui),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let report = Report::of(&error);
            ui.error(&report);
            ExitCode::from(report.exit as u8)
        }
    }
}

/// The same matches again, for who decided each argument.
fn of_subcommand(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, of)| of)
}

/// What libraries take from the environment alone: SVT-AV1 writes a banner to stderr unless it is to write only errors, and
/// ONNX Runtime collects what it runs for its maker, in files in the user's cache at first.
#[expect(unsafe_code, reason = "the libraries have no other switch for it")]
fn quiet_libraries() {
    // SAFETY: no other thread was started yet that could read the environment meanwhile.
    unsafe {
        std::env::set_var("SVT_LOG", "1");
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
}

/// The first signal asks the stages to stop; the second ends the program at once.
fn stop_on_signals(cancel: &Cancel) -> std::io::Result<()> {
    // A file that grows past the user's limit is then an error of the write, and not the end of the program.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let cancel = cancel.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                if cancel.cancel() {
                    #[expect(
                        clippy::exit,
                        reason = "the user asked a second time; what stays is hidden and removed by the next run"
                    )]
                    std::process::exit(Exit::Interrupted as i32);
                }
            }
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// `--dry-run -v` names the variable that decided a setting by this rule.
    #[test]
    fn a_variable_is_named_after_its_flag() {
        let command = super::Cli::command();
        let subcommands = command.get_subcommands();
        let of_subcommands = subcommands.flat_map(clap::Command::get_arguments);
        for argument in command.get_arguments().chain(of_subcommands) {
            if let Some(variable) = argument.get_env() {
                let id = argument.get_id().as_str().to_uppercase();
                assert_eq!(variable.to_str(), Some(format!("LIPSYNC_{id}").as_str()));
            }
        }
    }
}
