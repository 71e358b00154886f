//! Audio that comes through a pipe: stdin, or a named pipe such as the shell's `<(..)`. It is copied to a file without a
//! name, which is gone when the program ends, however it ends.

use std::fs::{self, File};
use std::io::{IsTerminal, Write, stdin};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::audio::AudioSource;
use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};
use crate::plan::Request;

/// The path that stands for stdin.
const STDIN: &str = "-";
/// How often a wait for data looks whether it was interrupted.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// If the audio of `request` is a stream, copies it and adds the copy to the request.
pub(super) fn copy(request: &mut Request, cancel: &Cancel) -> Result<()> {
    let Some(path) = &request.audio else {
        return Ok(());
    };
    let is_stdin = path == Path::new(STDIN);
    let is_pipe = || fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    if !is_stdin && !is_pipe() {
        return Ok(());
    }
    check(request, path)?;
    let copy = if is_stdin {
        if stdin().is_terminal() {
            return Err(Fault::usage("stdin is a terminal, not audio")
                .hint(
                    "pipe audio into it: espeak-ng --stdout hello | lipsync render - -o hello.mp4",
                )
                .into());
        }
        read(stdin().as_fd(), path, cancel)?
    } else {
        // Opening it otherwise would block until somebody writes to it.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = rustix::fs::open(path, flags, Mode::empty());
        let pipe = pipe.map_err(|e| unreadable(path).because(plain_io(&e.into())))?;
        read(pipe.as_fd(), path, cancel)?
    };
    request.audio_stream = Some(AudioSource::stream(path, copy));
    Ok(())
}

/// Fails if the request needs an audio file.
fn check(request: &Request, path: &Path) -> Result<(), Fault> {
    if request.part.is_some() {
        return Err(Fault::usage("--part needs an audio file, not a pipe")
            .because("a joined clip takes its audio from that file")
            .hint("write the audio to a file first"));
    }
    // The shell's pipes are called /dev/fd/63.
    let is_nameless =
        path == Path::new(STDIN) || path.starts_with("/dev") || path.starts_with("/proc");
    let outputs = [&request.output, &request.frames, &request.contact_sheet];
    if is_nameless && outputs.iter().all(|output| output.is_none()) {
        return Err(Fault::usage(format!(
            "no output is named for the audio from `{}`",
            path.display()
        ))
        .hint("name the clip with -o"));
    }
    Ok(())
}

/// Copies all that comes out of `from`.
fn read(from: BorrowedFd<'_>, path: &Path, cancel: &Cancel) -> Result<File> {
    let cannot_write = |e: &std::io::Error| {
        let folder = std::env::temp_dir();
        Fault::machine(format!(
            "cannot keep the audio from `{}` in `{}`",
            path.display(),
            folder.display()
        ))
        .because(plain_io(e))
        .hint("free space there, or set TMPDIR to another folder")
    };
    let mut copy = tempfile::tempfile().map_err(|e| cannot_write(&e))?;
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        cancel.check()?;
        let mut ready = [PollFd::from_borrowed_fd(from, PollFlags::IN)];
        match poll(&mut ready, Some(&WAIT)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(e) => return Err(unreadable(path).because(plain_io(&e.into())).into()),
        }
        match rustix::io::read(from, &mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                total += count;
                copy.write_all(&buffer[..count])
                    .map_err(|e| cannot_write(&e))?;
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(unreadable(path).because(plain_io(&e.into())).into()),
        }
    }
    if total == 0 {
        return Err(unreadable(path)
            .because("nothing came through the pipe (0 bytes)")
            .hint("check the program that writes into it")
            .into());
    }
    Ok(copy)
}

fn unreadable(path: &Path) -> Fault {
    Fault::failed(format!("cannot read audio `{}`", path.display()))
}
