//! Completion scripts and man pages: they cover the whole command line, and shells and roff accept them.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::Place;

/// What a command writes to stdout.
fn stdout(place: &Place, args: &[&str]) -> String {
    let output = place.run(args);
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// All subcommands, as `--help` lists them.
fn commands(place: &Place) -> Vec<String> {
    let help = stdout(place, &["--help"]);
    let (_, after) = help.split_once("Commands:\n").unwrap();
    let lines = after.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let names: Vec<String> = names.filter(|n| *n != "help").map(Into::into).collect();
    assert!(names.contains(&"render".into()) && names.contains(&"doctor".into()));
    names
}

/// The long options of a subcommand, as its `--help` lists them, without the dashes.
fn flags(place: &Place, command: &str) -> Vec<String> {
    let help = stdout(place, &[command, "--help"]);
    let options = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'));
    let words = options.flat_map(str::split_whitespace);
    let flags = words.filter_map(|word| word.strip_prefix("--"));
    let flags: Vec<String> = flags
        .map(|f| f.trim_end_matches(['.', ',']).into())
        .collect();
    assert!(flags.contains(&"help".into()), "{command}: {flags:?}");
    flags
}

/// Runs a program with `input`; returns what it wrote to stdout, after checking that it found nothing wrong.
fn check(program: &str, args: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{program}: {said}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn scripts_cover_the_command_line() {
    let place = Place::new();
    let commands = commands(&place);
    for (shell, dashes) in [("bash", "--"), ("zsh", "--"), ("fish", "-l ")] {
        let script = stdout(&place, &["completions", shell]);
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
            for flag in flags(&place, command) {
                let flag = format!("{dashes}{flag}");
                assert!(script.contains(&flag), "{shell}: {command} {flag}");
            }
        }
    }
}

// Ignored tests need what not every machine has; scripts/test.sh runs those whose needs are met.

#[test]
#[ignore = "needs bash"]
fn bash_reads_its_script() {
    let place = Place::new();
    check("bash", &["-n"], &stdout(&place, &["completions", "bash"]));
}

#[test]
#[ignore = "needs zsh"]
fn zsh_reads_its_script() {
    let place = Place::new();
    check("zsh", &["-n"], &stdout(&place, &["completions", "zsh"]));
}

#[test]
#[ignore = "needs fish"]
fn fish_reads_its_script() {
    let place = Place::new();
    let script = stdout(&place, &["completions", "fish"]);
    check("fish", &["--no-execute"], &script);
}

#[test]
#[ignore = "needs bash"]
fn bash_completes() {
    let place = Place::new();
    let script = stdout(&place, &["completions", "bash"]);
    let complete = |words: &str, last: &str| {
        let count = words.split(' ').count() - 1;
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={count}; COMP_LINE='{words}'\n\
            _lipsync lipsync '{last}' lipsync; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
        check("bash", &["--norc"], &ask)
    };
    for (words, last, completed) in [
        ("lipsync ren", "ren", "render"),
        ("lipsync completions fi", "fi", "fish"),
        ("lipsync doctor --js", "--js", "--json"),
    ] {
        assert_eq!(complete(words, last).trim(), completed);
    }
}

#[test]
fn scripts_survive_a_reader_that_goes_away() {
    let place = Place::new();
    let mut child = place
        .command(&["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
}

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::new();
    let said = place.ok(&["man", "-o", "man/man1"]);
    let commands = commands(&place);
    let count = commands.len() + 1;
    assert_eq!(said, format!("wrote {count} man pages to `man/man1`\n"));
    let page = |name: &str| fs::read_to_string(place.join("man/man1").join(name)).unwrap();
    let main = page("lipsync.1");
    assert!(main.contains(".SH SUBCOMMANDS") && main.contains("LIPSYNC_HOME"));
    for command in &commands {
        let text = page(&format!("lipsync-{command}.1"));
        for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXAMPLES"] {
            let heading = format!("\n.SH {section}\n");
            assert!(
                text.contains(&heading),
                "{command} has no {section}:\n{text}"
            );
        }
        for flag in flags(&place, command) {
            let flag = flag.replace('-', "\\-");
            assert!(text.contains(&format!("\\-\\-{flag}")), "{command} {flag}");
        }
    }
}

#[test]
#[ignore = "needs groff"]
fn groff_reads_the_manual_pages() {
    let place = Place::new();
    place.ok(&["man", "-o", "man/man1"]);
    let shown = |name: &str| {
        let page = fs::read_to_string(place.join("man/man1").join(name)).unwrap();
        check("groff", &["-man", "-Tutf8", "-ww"], &page)
    };
    assert!(shown("lipsync.1").contains("lipsync"));
    for command in commands(&place) {
        let shown = shown(&format!("lipsync-{command}.1"));
        assert!(shown.contains(&format!("lipsync {command}")), "{shown}");
    }
}

#[test]
fn pages_need_a_folder() {
    let place = Place::new();
    fs::write(place.join("taken"), "").unwrap();
    let output = place.run(&["man", "-o", "taken"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: cannot create `taken`\n  Caused by: "),
        "{said}"
    );
}
