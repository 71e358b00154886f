//! The `lipsync` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    lipsync::main()
}
