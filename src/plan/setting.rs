//! A value that was decided, and who decided it: a flag, the environment, the configuration file or nobody.

use std::fmt;
use std::path::PathBuf;

/// Who decided a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment variable of this name.
    Environment(String),
    /// A line (from 1) of a configuration file.
    File(PathBuf, usize),
    /// A `model.yaml`.
    Model(PathBuf),
    /// Nobody.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Model(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and who decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// What was decided.
    pub value: T,
    /// By whom.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value that nobody asked for.
    pub fn default(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }

    /// The same decision about another value.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Setting<U> {
        Setting {
            value: to(self.value),
            origin: self.origin,
        }
    }
}

/// The choice for each setting, written down as it is made.
#[derive(Default)]
pub(super) struct Decisions(pub(super) Vec<(&'static str, Setting<String>)>);

impl Decisions {
    /// What was asked for wins over the default.
    pub(super) fn choose<T>(
        &mut self,
        name: &'static str,
        asked: Option<Setting<T>>,
        default: T,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let chosen = asked.unwrap_or_else(|| Setting::default(default));
        self.note(name, chosen, show)
    }

    /// Writes a choice down, as `show` says it.
    pub(super) fn note<T>(
        &mut self,
        name: &'static str,
        chosen: Setting<T>,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let text = show(&chosen.value);
        let Setting { value, origin } = chosen;
        self.0.push((
            name,
            Setting {
                value: text,
                origin,
            },
        ));
        value
    }
}
