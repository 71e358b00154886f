//! Where `lipsync.yaml` is found.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::expansion::Environment;
use crate::error::Fault;

/// The file's name where it is searched for.
const FILE_NAME: &str = "lipsync.yaml";
/// The environment variable that names the file.
const VARIABLE: &str = "LIPSYNC_CONFIG";

/// The file's path: `explicit` (`--config`), else `LIPSYNC_CONFIG`, else `lipsync.yaml` in the current folder or the
/// nearest one above it, else in the user's config folder. None if there is no such file.
pub(super) fn find(explicit: Option<&Path>) -> Result<Option<PathBuf>> {
    let folder = env::current_dir().unwrap_or_default();
    find_from(explicit, &folder, &|name| env::var_os(name))
}

/// The same from `folder` up; a file in `folder` itself keeps a relative path.
fn find_from(
    explicit: Option<&Path>,
    folder: &Path,
    environment: Environment<'_>,
) -> Result<Option<PathBuf>> {
    if let Some(path) = explicit {
        return Ok(Some(path.to_owned()));
    }
    // An empty variable counts as unset, as everywhere in a shell.
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(path) = variable(VARIABLE).map(PathBuf::from) {
        if path.exists() {
            return Ok(Some(path));
        }
        return Err(Fault::usage(format!(
            "{VARIABLE} is `{}`, which does not exist",
            path.display()
        ))
        .hint("set it to an existing configuration file, or unset it")
        .into());
    }
    if folder.join(FILE_NAME).is_file() {
        return Ok(Some(FILE_NAME.into()));
    }
    let above = folder
        .ancestors()
        .skip(1)
        .map(|folder| folder.join(FILE_NAME));
    let config_folder = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        // The specification says to ignore relative paths.
        .filter(|folder| folder.is_absolute())
        .or_else(|| Some(Path::new(&variable("HOME")?).join(".config")));
    let users = config_folder.map(|folder| folder.join("lipsync").join(FILE_NAME));
    Ok(above.chain(users).find(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_nearest_file_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let deep = root.join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let file = |folder: &Path| {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(FILE_NAME), "").unwrap();
            folder.join(FILE_NAME)
        };
        let find = |pairs: &[(&str, &Path)]| {
            let variables = |name: &str| {
                let pair = pairs.iter().find(|(known, _)| *known == name)?;
                Some(pair.1.as_os_str().to_owned())
            };
            find_from(None, &deep, &variables).unwrap()
        };
        let home = root.join("home");
        assert_eq!(find(&[("HOME", &home)]), None);
        let users = file(&home.join(".config/lipsync"));
        assert_eq!(find(&[("HOME", &home)]), Some(users));
        let other = file(&root.join("xdg/lipsync"));
        let xdg = root.join("xdg");
        let both = [("HOME", home.as_path()), ("XDG_CONFIG_HOME", &xdg)];
        assert_eq!(find(&both), Some(other));
        let above = file(&root.join("a"));
        assert_eq!(find(&both), Some(above));
        file(&deep);
        assert_eq!(find(&both), Some(FILE_NAME.into()));
        let named = file(&root.join("named"));
        assert_eq!(find(&[(VARIABLE, &named)]), Some(named));
        assert_eq!(find(&[(VARIABLE, Path::new(""))]), Some(FILE_NAME.into()));
        let nowhere = |name: &str| (name == VARIABLE).then(|| "no/where".into());
        let error = find_from(None, &deep, &nowhere).unwrap_err();
        assert_eq!(
            error.to_string(),
            "LIPSYNC_CONFIG is `no/where`, which does not exist"
        );
        let explicit = find_from(Some(Path::new("x")), &deep, &nowhere).unwrap();
        assert_eq!(explicit, Some("x".into()));
    }
}
