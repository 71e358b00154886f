//! `lipsync doctor`: checks for missing dependencies.

use std::path::Path;

use anyhow::Result;
use clap::Args;

use super::ui::Ui;
use crate::doctor::{self, Finding, State};
use crate::error::Fault;

/// Check for missing dependencies and show how to install them
///
/// Each finding is `ok`, `warning` (something is slower or unavailable) or `missing` (nothing can be rendered without it),
/// with the command that fixes it. Everything is tried: libraries are loaded, and each model runs once. The exit code is 0, or
/// 4 if something is missing.
#[derive(Debug, Clone, Copy, Args)]
#[command(after_help = "\
Examples:
  lipsync doctor
  lipsync doctor --json | jq '.findings[] | select(.state != \"ok\")'")]
pub(super) struct DoctorArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Prints the findings; fails if a required dependency is missing. `config` is the file given with `--config`.
pub(super) fn doctor(args: DoctorArgs, config: Option<&Path>, ui: &Ui) -> Result<()> {
    let findings = doctor::examine(config);
    if args.json {
        ui.data(&(json(&findings)? + "\n"))?;
    } else {
        ui.data(&(lines(&findings) + "\n"))?;
    }
    let is_missing = |finding: &&Finding| finding.state == State::Missing;
    match findings.iter().filter(is_missing).count() {
        0 => Ok(()),
        n => {
            let dependencies = if n == 1 { "dependency" } else { "dependencies" };
            Err(
                Fault::machine(format!("{n} missing {dependencies} on this machine"))
                    .hint("see the lines above that begin with `missing`")
                    .into(),
            )
        }
    }
}

fn json(findings: &[Finding]) -> Result<String> {
    let is_missing = |finding: &Finding| finding.state == State::Missing;
    Ok(serde_json::to_string_pretty(&serde_json::json!({
        "schema_version": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "ok": !findings.iter().any(is_missing),
        "findings": findings,
    }))?)
}

/// One line per finding; its remedy is on a line of its own below it.
fn lines(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.chars().count());
    let width = width.max().unwrap_or(0);
    let line = |finding: &Finding| {
        let state = finding.state.word();
        let indent = format!("\n{:9}{:width$}  ", "", "");
        let mut detail = finding.detail.clone();
        if let Some(remedy) = &finding.remedy {
            detail = format!("{detail}\n-> {remedy}");
        }
        let detail = detail.replace('\n', &indent);
        format!("{state:<7}  {:width$}  {detail}", finding.name)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned() {
        let findings = [
            Finding::ok("disk", "9 GiB free"),
            Finding::new(State::Missing, "aac", "none\nat all").remedy("install it"),
        ];
        let aligned = "\
ok       disk  9 GiB free
missing  aac   none
               at all
               -> install it";
        assert_eq!(lines(&findings), aligned);
    }
}
