//! `lipsync completions` and `lipsync man`: shell completions and man pages, generated from the command line definition.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;

use super::ui::Ui;
use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};
use crate::output::{OutputKind, Target};

/// Print a completion script for a shell
#[derive(Debug, Clone, Copy, Args)]
#[command(after_help = "\
Examples:
  lipsync completions bash > ~/.local/share/bash-completion/completions/lipsync
  lipsync completions zsh > ~/.zfunc/_lipsync          with fpath+=~/.zfunc before compinit in ~/.zshrc
  lipsync completions fish > ~/.config/fish/completions/lipsync.fish")]
pub(super) struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

/// Write man pages, one for each command
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lipsync man -o ~/.local/share/man/man1
  man lipsync-render")]
pub(super) struct ManArgs {
    /// Folder for lipsync.1, lipsync-render.1 and so on; existing pages are replaced
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: PathBuf,
}

/// Prints the script for `command`, the whole command line.
pub(super) fn completions(args: CompletionsArgs, mut command: Command, ui: &Ui) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "lipsync", &mut script);
    Ok(ui.data(&String::from_utf8_lossy(&script))?)
}

/// Writes a page for `command`, the whole command line, and for each of its subcommands.
pub(super) fn man(args: &ManArgs, command: Command, ui: &Ui) -> Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let folder = &args.output;
    fs::create_dir_all(folder).map_err(|e| {
        Fault::failed(format!("cannot create `{}`", folder.display())).because(plain_io(&e))
    })?;
    let subcommands = command.get_subcommands();
    let commands: Vec<&Command> = std::iter::once(&command).chain(subcommands).collect();
    for command in &commands {
        write_page(folder, command)?;
    }
    ui.say(&format!(
        "wrote {} man pages to `{}`",
        commands.len(),
        folder.display()
    ));
    Ok(())
}

fn write_page(folder: &Path, command: &Command) -> Result<()> {
    let man = Man::new(command.clone());
    let path = folder.join(man.get_filename());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend(notes(command).into_bytes());
    // Only the program itself has a version.
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    let (kind, force) = (OutputKind::File, true);
    Target { path, kind, force }.save(&page, &Cancel::default())
}

/// The text below the options in `--help` as two sections, notes and examples, with its line breaks.
fn notes(command: &Command) -> String {
    let text = command.get_after_help().map(ToString::to_string);
    let text = text.unwrap_or_default();
    let (notes, examples) = text.split_once("Examples:\n").unwrap_or((&text, ""));
    let section = |(name, text): (&str, &str)| {
        let lines: Vec<String> = text.trim_end().lines().map(roff_line).collect();
        match &lines[..] {
            [] => String::new(),
            lines => format!(".SH {name}\n.nf\n{}\n.fi\n", lines.join("\n")),
        }
    };
    [("NOTES", notes), ("EXAMPLES", examples)]
        .map(section)
        .concat()
}

/// A line of text, escaped so that roff finds no commands in it.
fn roff_line(line: &str) -> String {
    let line = line.trim().replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) {
        return format!("\\&{line}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_roff() {
        assert_eq!(roff_line("  lipsync -o x"), "lipsync \\-o x");
        assert_eq!(roff_line(".SH \\fB"), "\\&.SH \\efB");
    }

    #[test]
    fn notes_and_examples_are_sections() {
        let command = Command::new("x").after_help("Codes: 0.\n\nExamples:\n  x -a\n  x -b");
        assert_eq!(
            notes(&command),
            ".SH NOTES\n.nf\nCodes: 0.\n.fi\n.SH EXAMPLES\n.nf\nx \\-a\nx \\-b\n.fi\n"
        );
        assert_eq!(notes(&Command::new("x")), "");
    }
}
