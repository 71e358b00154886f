//! Environment variables: an empty one counts as unset, and errors about a value name the variable that holds it.

use std::env;
use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

use super::ui::Ui;
use crate::assets::{HOME_VARIABLE, RUNTIME_VARIABLE};

const PREFIX: &str = "LIPSYNC_";
/// Other variables that lipsync or its libraries read. `TMPDIR` would otherwise mean the current folder.
const OTHERS: [&str; 5] = [
    RUNTIME_VARIABLE,
    "NO_COLOR",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

/// Unsets the variables that are empty.
#[expect(unsafe_code, reason = "the environment is shared by all threads")]
pub(super) fn forget_empty() {
    let is_ours = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with(PREFIX) || OTHERS.contains(&&*name)
    };
    let empty = env::vars_os().filter(|(name, value)| value.is_empty() && is_ours(name));
    let names: Vec<OsString> = empty.map(|(name, _)| name).collect();
    for name in names {
        // SAFETY: this runs at the start of `main`: no other thread exists that could read the environment.
        unsafe { env::remove_var(name) };
    }
}

/// The error of `command`, with the name of the variable if the fault is in one.
pub(super) fn named(mut error: Error, command: Command) -> Error {
    let variable = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => variable_of(flag, &command),
        _ => None,
    };
    let Some(variable) = variable else {
        return error;
    };
    let fine_without = without_variables(command).try_get_matches().is_ok();
    if fine_without {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    error
}

/// The variable for the flag that an error shows as `--flag <VALUE>`.
fn variable_of(shown: &str, command: &Command) -> Option<String> {
    let flag = shown.strip_prefix("--")?;
    let flag = flag.split([' ', '=', '[']).next()?;
    let argument =
        arguments(command).find(|a| a.get_long() == Some(flag) && a.get_env().is_some())?;
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let of_subcommands = command.get_subcommands().flat_map(Command::get_arguments);
    command.get_arguments().chain(of_subcommands)
}

fn without_variables(command: Command) -> Command {
    let plain = |argument: Arg| argument.env(Resettable::Reset);
    command
        .mut_args(plain)
        .mut_subcommands(move |subcommand| subcommand.mut_args(plain))
}

/// Warns about variables whose names look misspelt. Others may belong to other programs: an orchestrator sets some for every
/// service.
pub(super) fn warn_of_misspelt(command: &Command, ui: &Ui) {
    let known: Vec<String> = arguments(command)
        .filter_map(|argument| Some(argument.get_env()?.to_string_lossy().into_owned()))
        .chain([HOME_VARIABLE.into(), "LIPSYNC_CONFIG".into()])
        .collect();
    for (name, _) in env::vars_os() {
        if let Some(near) = name.to_str().and_then(|name| misspelt(name, &known)) {
            ui.warn(&format!(
                "the variable {} is unknown: did you mean {near}?",
                name.display()
            ));
        }
    }
}

/// The known variable that `name` was probably meant to be: it differs in at most a quarter of its letters.
fn misspelt<'k>(name: &str, known: &'k [String]) -> Option<&'k str> {
    let word = name.strip_prefix(PREFIX)?;
    let distances = known.iter().filter_map(|variable| {
        let distance = strsim::damerau_levenshtein(word, variable.strip_prefix(PREFIX)?);
        Some((distance, variable.as_str()))
    });
    let (distance, near) = distances.min_by_key(|(distance, _)| *distance)?;
    (1..=word.len().div_ceil(4))
        .contains(&distance)
        .then_some(near)
}

#[cfg(test)]
mod tests {
    use super::misspelt;

    #[test]
    fn near_names_are_misspelt_and_others_are_not_ours() {
        let known = ["CODEC", "FPS", "HOME", "MEMORY_LIMIT"].map(|word| format!("LIPSYNC_{word}"));
        for (name, meant) in [
            ("LIPSYNC_CODEX", Some("LIPSYNC_CODEC")),
            ("LIPSYNC_FSP", Some("LIPSYNC_FPS")),
            ("LIPSYNC_MEM_LIMIT", Some("LIPSYNC_MEMORY_LIMIT")),
            ("LIPSYNC_CODEC", None),
            ("LIPSYNC_PORT", None),
            ("LIPSYNC_HOST", None),
            ("LIPSYNC_SERVICE_HOST", None),
            ("LIPSYNC_", None),
            ("CODEX", None),
        ] {
            assert_eq!(misspelt(name, &known), meant, "{name}");
        }
    }
}
