//! Errors for users, and exit codes for scripts.

mod limits;

use std::error::Error;
use std::fmt;
use std::path::Path;

/// Exit codes. The numbers are part of the command line's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Bad input, or a failed clip.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Some clips of a batch failed, or a comparison found differences.
    Partial = 3,
    /// Something is missing on this machine: a library, a GPU, an encoder, disk space.
    Machine = 4,
    /// Stopped by the user.
    Interrupted = 130,
}

/// An error for the user: what failed (with path and numbers), why, and a hint on how to fix it.
///
/// Messages are lower case, without a full stop, with paths in backticks.
#[derive(Debug)]
pub struct Fault {
    message: String,
    hint: Option<String>,
    exit: Exit,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            exit,
            cause: None,
        }
    }

    /// Bad input, or a failed clip (exit code 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Wrong usage (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Some clips of a batch failed, or a comparison found differences (exit code 3).
    pub fn partial(message: impl Into<String>) -> Self {
        Self::new(Exit::Partial, message)
    }

    /// Something is missing on this machine (exit code 4).
    pub fn machine(message: impl Into<String>) -> Self {
        Self::new(Exit::Machine, message)
    }

    /// The user stopped the program (exit code 130).
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the underlying error, printed as the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Puts `to` in the place of the name `from`, in message and hint.
    #[must_use]
    pub(crate) fn renamed(mut self, from: &str, to: &str) -> Self {
        self.message = self.message.replace(from, to);
        self.hint = self.hint.map(|hint| hint.replace(from, to));
        self
    }

    /// Adds that the value in the message is that of a variable.
    #[must_use]
    pub(crate) fn of_variable(mut self, name: &str) -> Self {
        self.message = format!("{} (from {name})", self.message);
        self
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// A network gave a value that is not finite. As the error of a batch, it says for which item; [`NotFinite::place`] says
/// where in the clip that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotFinite {
    /// The network's file.
    pub(crate) network: String,
    /// The first such item of the batch.
    pub(crate) item: usize,
    /// `NaN` or `infinity`.
    pub(crate) value: &'static str,
}

impl NotFinite {
    /// The item at `index` of a batch gave `value`; the network's file is added by [`NotFinite::of_network`].
    pub(crate) fn new(item: usize, value: f32) -> Self {
        Self {
            network: String::new(),
            item,
            value: if value.is_nan() { "NaN" } else { "infinity" },
        }
    }

    /// The same, with the path of the network, and `items` of the batch before it.
    pub(crate) fn of_network(&self, path: &std::path::Path, items: usize) -> Self {
        Self {
            network: path.display().to_string(),
            item: self.item + items,
            value: self.value,
        }
    }

    /// `error`; if it is this one, with the place in the clip that `place` names for the item.
    pub(crate) fn place(
        error: anyhow::Error,
        place: impl FnOnce(usize) -> String,
    ) -> anyhow::Error {
        match error.downcast::<Self>() {
            Ok(found) => Fault::failed(format!("{found} {}", place(found.item)))
                .hint("try --precision exact; if that fails too, the network is damaged or overflows in half precision: export it again in float32")
                .into(),
            Err(other) => other,
        }
    }
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network `{}` gives {}", self.network, self.value)
    }
}

impl Error for NotFinite {}

/// The parts of an error, ready to print.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorReport {
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What the user can do.
    pub hint: Option<String>,
    /// The exit code.
    pub exit: Exit,
}

impl ErrorReport {
    /// Message and causes from the chain; hint and exit code from the outermost [`Fault`] in it.
    pub fn of(error: &anyhow::Error) -> Self {
        let mut texts = error.chain().map(ToString::to_string);
        let message = texts.next().unwrap_or_default();
        let mut causes: Vec<String> = Vec::new();
        for text in texts {
            // Many libraries include their source's text in their own, and return it as source as well.
            if !causes.last().is_some_and(|above| above.ends_with(&text)) {
                causes.push(text);
            }
        }
        let fault = error.chain().find_map(|e| e.downcast_ref::<Fault>());
        let mut report = Self {
            message,
            causes,
            hint: fault.and_then(|f| f.hint.clone()),
            exit: fault.map_or(Exit::Failed, Fault::exit),
        };
        report.name_limit();
        report
    }

    /// Adds the limit of the system that is behind the error, if it is one.
    fn name_limit(&mut self) {
        let mut texts = vec![self.message.clone()];
        texts.extend_from_slice(&self.causes);
        if let Some(limit) = limits::behind(&texts) {
            self.causes.push(limit.cause);
            self.hint = Some(limit.hint.into());
            self.exit = Exit::Machine;
        }
    }

    /// Message and first cause on one line.
    pub fn line(&self) -> String {
        let cause = self.causes.first().and_then(|cause| cause.lines().next());
        match cause {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message.clone(),
        }
    }

    /// `message`, `causes`, `hint` and `exit_code`, as reports and events carry them.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "message": self.message,
            "causes": self.causes,
            "hint": self.hint,
            "exit_code": self.exit as u8,
        })
    }
}

/// The error for a thread that cannot be started.
pub(crate) fn no_thread(error: &std::io::Error) -> Fault {
    Fault::machine(limits::NO_THREAD).because(plain_io(error))
}

/// What this process can get no more of, threads or memory, for libraries that do not say why they fail.
pub(crate) fn exhausted() -> Option<&'static str> {
    limits::exhausted()
}

/// The operating system's message, without Rust's `(os error 2)`.
pub fn plain_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// A path, quoted for a shell: for commands in hints.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_takes_hint_and_exit_from_the_outermost_fault() {
        let inner = Fault::machine("no encoder").hint("install it");
        let error = anyhow::Error::new(inner).context("cannot write `a.mp4`");
        assert_eq!(
            ErrorReport::of(&error),
            ErrorReport {
                message: "cannot write `a.mp4`".into(),
                causes: vec!["no encoder".into()],
                hint: Some("install it".into()),
                exit: Exit::Machine,
            }
        );
    }

    #[test]
    fn plain_errors_exit_with_failed() {
        let report = ErrorReport::of(&anyhow::anyhow!("boom"));
        assert_eq!((report.exit, report.hint), (Exit::Failed, None));
    }

    #[test]
    fn io_errors_lose_their_number() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(plain_io(&error), "no such file or directory");
    }
}
