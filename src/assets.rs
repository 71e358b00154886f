//! Finds the bundled models, backgrounds and samples, ONNX Runtime's library, and the cache folder.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::error::Fault;

/// The environment variable that names the folder with `models`, `backgrounds` and `samples`.
pub(crate) const HOME_VARIABLE: &str = "LIPSYNC_HOME";
/// The environment variable that names ONNX Runtime's library.
pub(crate) const RUNTIME_VARIABLE: &str = "ORT_DYLIB_PATH";
const RUNTIME_NAME: &str = "libonnxruntime.so";

/// The folder that holds `models`, `backgrounds` and `samples`: `LIPSYNC_HOME` if set. Otherwise the first one found from
/// the executable's folder upwards; in each folder, `share/lipsync` is tried first.
pub fn home() -> Result<PathBuf> {
    if let Some(home) = env::var_os(HOME_VARIABLE).map(PathBuf::from) {
        if is_home(&home) {
            return Ok(home);
        }
        return Err(Fault::machine(format!(
            "{HOME_VARIABLE} is `{}`, which does not hold `models` and `backgrounds`",
            home.display()
        ))
        .hint("set it to the folder that holds `models` and `backgrounds`, or unset it")
        .into());
    }
    let found = above_executable()
        .flat_map(|folder| [folder.join("share/lipsync"), folder])
        .find(|folder| is_home(folder));
    Ok(found.ok_or_else(|| {
        Fault::machine("cannot find the bundled models and backgrounds")
            .because("no folder above the executable holds `models` and `backgrounds`")
            .hint("run the program from its project (scripts/demo.sh builds it), or set LIPSYNC_HOME to the project's folder")
    })?)
}

/// ONNX Runtime's library: `ORT_DYLIB_PATH` if set. Otherwise next to the executable, in the project or installation
/// (`onnxruntime/` or `lib/` from the executable upwards), or in the system's folders.
pub fn runtime_library() -> Result<PathBuf> {
    if let Some(path) = env::var_os(RUNTIME_VARIABLE).map(PathBuf::from) {
        // The dynamic loader would search for a bare name elsewhere.
        if let Ok(path) = std::fs::canonicalize(&path)
            && path.is_file()
        {
            return Ok(path);
        }
        return Err(Fault::machine(format!(
            "{RUNTIME_VARIABLE} is `{}`, which is not a file",
            path.display()
        ))
        .hint("set it to the path of libonnxruntime.so, or unset it")
        .into());
    }
    let near = above_executable().flat_map(|folder| {
        ["", "onnxruntime", "lib"].map(|place| folder.join(place).join(RUNTIME_NAME))
    });
    let system = [
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
    ]
    .map(|folder| Path::new(folder).join(RUNTIME_NAME));
    Ok(near.chain(system).find(|path| path.is_file()).ok_or_else(|| {
        Fault::machine(format!("cannot find ONNX Runtime ({RUNTIME_NAME})"))
            .because("it is not next to the executable, in the project, or in the system's library folders")
            .hint("run scripts/demo.sh to download it, or set ORT_DYLIB_PATH to the library")
    })?)
}

/// The user's cache folder: `lipsync` in `$XDG_CACHE_HOME` or `~/.cache`.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let caches = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        // The specification says to ignore relative paths.
        .filter(|folder| folder.is_absolute())
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))?;
    caches.is_absolute().then(|| caches.join("lipsync"))
}

fn is_home(folder: &Path) -> bool {
    folder.join("models").is_dir() && folder.join("backgrounds").is_dir()
}

/// The executable's folder and all folders above it.
fn above_executable() -> impl Iterator<Item = PathBuf> {
    let executable = env::current_exe()
        .and_then(std::fs::canonicalize)
        .unwrap_or_default();
    let folders: Vec<PathBuf> = executable.ancestors().skip(1).map(Path::to_owned).collect();
    folders.into_iter()
}
