//! The command line: arguments in, messages and an exit code out. Only this room knows the terminal.
//!
//! Each command has a file or folder of its name, which holds its arguments (`RenderArgs`) and the function that runs it
//! (`render`):
//!
//! - `render/`, `batch/`: make clips
//! - `prepare.rs`: makes background folders
//! - `join.rs`: puts parts of a clip together
//! - `compare.rs`, `inspect.rs`, `doctor.rs`, `bench.rs`: examine clips, files, the machine and its speed
//! - `completions.rs`: shell completions and man pages
//!
//! They share `ui/` (everything that is printed), `process.rs` (signals, threads, log level) `notices.rs` (messages
//! about the networks) and `variables.rs` (the environment).

mod batch;
mod bench;
mod compare;
mod completions;
mod doctor;
mod inspect;
mod join;
mod notices;
mod prepare;
mod process;
mod render;
mod ui;
mod variables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

use crate::cancel::Cancel;
use crate::error::ErrorReport;
use ui::{Ui, UiArgs};

/// Turn speech and frames of a presenter into a clip of the presenter saying it
#[derive(Debug, Parser)]
#[command(name = "lipsync", version, arg_required_else_help = true)]
#[command(after_help = "\
Run `lipsync COMMAND --help` for the options of a command, with examples.

Exit codes:
  0    success
  1    failed: bad input, or an output that cannot be written
  2    wrong usage or configuration
  3    batch: some clips failed; compare: the clips differ
  4    missing dependency: a library, a GPU, an encoder, disk space
  130  interrupted

Environment variables:
  LIPSYNC_CONFIG   configuration file, like --config
  LIPSYNC_HOME     folder that holds `models`, `backgrounds` and `samples`
  ORT_DYLIB_PATH   ONNX Runtime's library, libonnxruntime.so

Examples:
  lipsync render speech.wav             render one clip with the bundled presenter
  lipsync batch talks -o clips          render a clip for each audio file in a folder
  lipsync inspect frames/anna           check a presenter's frames
  lipsync doctor                        check for missing dependencies")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    ui: UiArgs,
    /// Configuration file [default: $LIPSYNC_CONFIG, else the nearest lipsync.yaml]
    ///
    /// Without it, lipsync takes the file that $LIPSYNC_CONFIG names, else lipsync.yaml in the current folder or the nearest
    /// folder above it, else lipsync.yaml in the user's configuration folder.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Render(Box<render::RenderArgs>),
    Batch(Box<batch::BatchArgs>),
    Prepare(prepare::PrepareArgs),
    Compare(compare::CompareArgs),
    Join(join::JoinArgs),
    Inspect(inspect::InspectArgs),
    Doctor(doctor::DoctorArgs),
    Bench(Box<bench::BenchArgs>),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

/// Parses the command line, runs the command, and returns its exit code.
pub fn main() -> ExitCode {
    process::silence_libraries();
    variables::forget_empty();
    let matches = Cli::command()
        .try_get_matches()
        .unwrap_or_else(|error| variables::named(error, Cli::command()).exit());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let ui = Ui::new(cli.ui);
    variables::warn_of_misspelt(&Cli::command(), &ui);
    let cancel = Cancel::default();
    if let Err(error) = process::cancel_on_signals(&cancel) {
        ui.warn(&format!("Ctrl-C will not clean up: {error}"));
    }
    let config = cli.config.as_deref();
    let result = match cli.command {
        Command::Render(args) => {
            render::render(*args, of_subcommand(&matches), config, &ui, &cancel)
        }
        Command::Batch(args) => batch::batch(*args, of_subcommand(&matches), config, &ui, &cancel),
        Command::Prepare(args) => prepare::prepare(args, &ui, &cancel),
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
            let report = ErrorReport::of(&error);
            ui.error(&report);
            ExitCode::from(report.exit as u8)
        }
    }
}

/// The matches of the subcommand, which say where each argument came from.
fn of_subcommand(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, of)| of)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// `--dry-run -v` derives the name of an environment variable from its flag.
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
