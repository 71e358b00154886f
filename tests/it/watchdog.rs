//! Child processes that must end by themselves.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Far longer than any of these tests takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running child whose output is read. If it does not end in time, it is killed and the test fails.
pub(crate) struct Watched {
    child: Child,
    readers: [Option<thread::JoinHandle<Vec<u8>>>; 2],
    started: Instant,
}

impl Watched {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let readers = [
            child.stdout.take().map(read_all),
            child.stderr.take().map(read_all),
        ];
        Self {
            child,
            readers,
            started: Instant::now(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until `is_done`; fails if the child ends before.
    pub(crate) fn until(&mut self, what: &str, is_done: impl Fn() -> bool) {
        while !is_done() {
            assert!(self.is_running(), "it ended before {what}");
            self.check_patience();
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended meanwhile, but its id is not reused before it is waited for.
        kill_process(Pid::from_raw(self.id() as i32).unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Output {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.check_patience();
            thread::sleep(Duration::from_millis(2));
        };
        let [stdout, stderr] = self.readers.map(|reader| reader.unwrap().join().unwrap());
        Output {
            status,
            stdout,
            stderr,
        }
    }

    fn check_patience(&mut self) {
        if self.started.elapsed() > PATIENCE {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            panic!("it did not end within {PATIENCE:?}");
        }
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Runs a command to its end.
pub(crate) fn watched(command: &mut Command) -> Output {
    Watched::start(command).end()
}

/// The only error on stderr: the lines after `error:`. Fails on a second one, and on a panic.
pub(crate) fn the_error(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(
        stderr.lines().filter(|l| l.starts_with("error: ")).count(),
        1,
        "{} wrote {stderr:?}",
        ended(output)
    );
    stderr
        .split_once("error: ")
        .unwrap()
        .1
        .trim_end()
        .to_owned()
}

/// Exit code or signal, in words.
pub(crate) fn ended(output: &Output) -> String {
    match (output.status.code(), output.status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (_, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}
