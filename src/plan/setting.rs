//! A value and its origin: a flag, the environment, a file, or the default.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;

/// Where a value comes from.
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
    /// The program's default.
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

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A default value.
    pub fn default(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }

    /// Converts the value; the origin stays.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Setting<U> {
        Setting {
            value: to(self.value),
            origin: self.origin,
        }
    }
}

/// The setting of each option, recorded as it is decided.
#[derive(Default)]
pub(super) struct Decisions(Vec<(&'static str, Setting<String>)>);

impl Decisions {
    /// What was asked for, else the default; recorded as text.
    pub(super) fn choose<T: ToString>(
        &mut self,
        name: &'static str,
        asked: Option<Setting<T>>,
        default: T,
    ) -> T {
        let chosen = asked.unwrap_or_else(|| Setting::default(default));
        self.note(name, chosen, ToString::to_string)
    }

    /// The same for a choice with names; recorded as its name.
    pub(super) fn choose_name<T: ValueEnum>(
        &mut self,
        name: &'static str,
        asked: Option<Setting<T>>,
        default: T,
    ) -> T {
        let chosen = asked.unwrap_or_else(|| Setting::default(default));
        self.note(name, chosen, name_of)
    }

    /// Records a setting as `show` formats it, and returns its value.
    pub(super) fn note<T>(
        &mut self,
        name: &'static str,
        chosen: Setting<T>,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let Setting { value, origin } = chosen;
        let shown = Setting {
            value: show(&value),
            origin,
        };
        self.0.push((name, shown));
        value
    }

    /// All settings, in the order of the decisions.
    pub(super) fn into_settings(self) -> Vec<(&'static str, Setting<String>)> {
        self.0
    }
}

/// The name of a choice on the command line.
pub(super) fn name_of<T: ValueEnum>(value: &T) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}
