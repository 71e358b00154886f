//! Sends bytes to a pipe, a device or an open descriptor, and waits for its reader no longer than the user does.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::place::Stream;
use crate::cancel::Cancel;

/// How often a wait looks whether the run was interrupted.
const TICK: Duration = Duration::from_millis(50);
/// What a pipe takes at once when it is ready (Linux's `PIPE_BUF`).
const CHUNK: usize = 4096;

/// Why not all bytes were sent.
#[derive(Debug)]
pub(super) enum Unsent {
    Failed(io::Error),
    Interrupted,
}

impl<E: Into<io::Error>> From<E> for Unsent {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Sends all `bytes`. Waits for a reader, but not once the run is cancelled.
pub(super) fn send(bytes: &[u8], stream: &Stream, cancel: &Cancel) -> Result<(), Unsent> {
    match stream {
        Stream::Descriptor(1) => {
            // What was printed before comes before.
            io::stdout().flush()?;
            send_to(&io::stdout(), bytes, cancel)
        }
        Stream::Descriptor(2) => send_to(&io::stderr(), bytes, cancel),
        _ => loop {
            if let Some(file) = stream.open()? {
                return send_to(&file, bytes, cancel);
            }
            check(cancel)?;
            thread::sleep(TICK);
        },
    }
}

fn send_to(to: &impl AsFd, mut bytes: &[u8], cancel: &Cancel) -> Result<(), Unsent> {
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: TICK.as_nanos() as i64,
    };
    while !bytes.is_empty() {
        let mut state = [PollFd::new(to, PollFlags::OUT)];
        match poll(&mut state, Some(&tick)) {
            Ok(0) => {
                check(cancel)?;
                continue;
            }
            Err(Errno::INTR) => continue,
            ready => ready?,
        };
        match rustix::io::write(to, &bytes[..bytes.len().min(CHUNK)]) {
            Err(Errno::INTR | Errno::AGAIN) => (),
            written => bytes = &bytes[written?..],
        }
    }
    Ok(())
}

fn check(cancel: &Cancel) -> Result<(), Unsent> {
    cancel.check().map_err(|_| Unsent::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read as _;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    fn pipe() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        (dir, path)
    }

    #[test]
    fn a_pipe_takes_all_however_slowly_it_is_read() {
        let (_dir, path) = pipe();
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let reader = {
            let path = path.clone();
            thread::spawn(move || {
                // Comes late.
                thread::sleep(Duration::from_millis(100));
                let (mut file, mut read) = (File::open(path).unwrap(), Vec::new());
                thread::sleep(Duration::from_millis(100));
                file.read_to_end(&mut read).unwrap();
                read
            })
        };
        send(&bytes, &Stream::Pipe(path), &Cancel::default()).unwrap();
        assert_eq!(reader.join().unwrap(), bytes);
    }

    #[test]
    fn waiting_for_a_reader_ends_with_the_run() {
        let (_dir, path) = pipe();
        let cancel = Cancel::default();
        let sender = {
            let (path, cancel) = (path.clone(), cancel.clone());
            thread::spawn(move || send(&vec![0; 300_000], &Stream::Pipe(path), &cancel))
        };
        cancel.cancel();
        assert!(matches!(sender.join().unwrap(), Err(Unsent::Interrupted)));
        // A reader that does not read.
        let stuck = fs::OpenOptions::new().read(true).write(true).open(&path);
        let unsent = send(&vec![0; 300_000], &Stream::Pipe(path), &cancel);
        assert!(matches!(unsent, Err(Unsent::Interrupted)));
        drop(stuck);
    }

    #[test]
    fn a_full_device_is_an_error() {
        let full = Stream::Device("/dev/full".into());
        let unsent = send(b"report", &full, &Cancel::default());
        let Err(Unsent::Failed(error)) = unsent else {
            panic!("{unsent:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let null = Stream::Device("/dev/null".into());
        send(b"report", &null, &Cancel::default()).unwrap();
    }
}
