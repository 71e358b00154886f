//! Paths in `lipsync.yaml`: `~` and `${VAR}`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::yaml::shortened;

/// Looks up an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Replaces `~` at the beginning and `${VAR}` anywhere; `$${` becomes `${`, any other `$` stays. The error is the problem and a
/// hint.
pub(super) fn expand(
    text: &str,
    environment: Environment<'_>,
) -> Result<PathBuf, (String, String)> {
    let variable = |name: &str| {
        let value = environment(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            (
                format!("the environment variable {} is not set", shortened(name)),
                format!("set {}, or write out the path", shortened(name)),
            )
        })
    };
    let mut path = OsString::new();
    let mut rest = text;
    if rest == "~" || rest.starts_with("~/") {
        path.push(variable("HOME")?);
        rest = &rest[1..];
    }
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            path.push(before);
            path.push("${");
            rest = after;
            continue;
        }
        path.push(before);
        let name = after.split_once('}').filter(|(name, _)| is_variable(name));
        let Some((name, after)) = name else {
            return Err((
                "`${` must be followed by a variable name and `}`".into(),
                "write ${NAME}; for a literal `${` write $${".into(),
            ));
        };
        path.push(variable(name)?);
        rest = after;
    }
    path.push(OsStr::new(rest));
    Ok(path.into())
}

fn is_variable(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;

    /// The environment of these tests.
    pub(in crate::config) fn variables(name: &str) -> Option<OsString> {
        match name {
            "HOME" => Some("/home/eve".into()),
            "FRAMES" => Some("/mnt/frames".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        }
    }

    #[test]
    fn home_and_variables_are_put_into_paths() {
        let expanded = |text: &str| expand(text, &variables).unwrap();
        assert_eq!(expanded("~"), Path::new("/home/eve"));
        assert_eq!(expanded("~/a"), Path::new("/home/eve/a"));
        assert_eq!(expanded("~eve/a~"), Path::new("~eve/a~"));
        assert_eq!(
            expanded("${HOME}${FRAMES}/é"),
            Path::new("/home/eve/mnt/frames/é")
        );
        assert_eq!(expanded("$HOME/a$$b$"), Path::new("$HOME/a$$b$"));
        assert_eq!(expanded("a/$${HOME}"), Path::new("a/${HOME}"));
        for wrong in [
            "${",
            "${}",
            "${A B}",
            "${1}",
            "${HOME",
            "${NOT_SET}",
            "${EMPTY}",
        ] {
            assert!(expand(wrong, &variables).is_err(), "{wrong}");
        }
    }
}
