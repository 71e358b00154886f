//! Where the bundled models, backgrounds and samples are, and ONNX Runtime's library.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::error::Fault;

/// The environment variable that names the folder with `models`, `backgrounds` and `samples`.
pub(crate) const HOME_VARIABLE: &str = "LIPSYNC_HOME";
/// The environment variable that names ONNX Runtime's library.
pub(crate) const RUNTIME_VARIABLE: &str = "ORT_DYLIB_PATH";
const RUNTIME_NAME: &str = "libonnxruntime.so";

/// The folder that holds `models`, `backgrounds` and `samples`: `LIPSYNC_HOME` if set, else the first one upwards from
/// the executable, each folder's `share/lipsync` included.
pub fn home() -> Result<PathBuf> {
    if let Some(home) = env::var_os(HOME_VARIABLE).map(PathBuf::from) {
        if is_home(&home) {
            return Ok(home);
        }
        return Err(Fault::machine(format!(
            "{HOME_VARIABLE} is `{}`, which holds no models and backgrounds",
            home.display()
        ))
        .hint("name the folder that holds `models` and `backgrounds`, or unset it")
        .into());
    }
    let found = above_executable()
        .flat_map(|folder| [folder.join("share/lipsync"), folder])
        .find(|folder| is_home(folder));
    Ok(found.ok_or_else(|| {
        Fault::machine("the bundled models and backgrounds are not found")
            .because("no folder from the executable upwards holds `models` and `backgrounds`")
            .hint("run the program from its project (scripts/demo.sh builds it), or set LIPSYNC_HOME to the project's folder")
    })?)
}

/// ONNX Runtime's library: `ORT_DYLIB_PATH` if set, else beside the executable, in the project or installation
/// (`onnxruntime/` or `lib/` upwards from the executable), in the system's folders.
pub fn runtime_library() -> Result<PathBuf> {
    if let Some(path) = env::var_os(RUNTIME_VARIABLE).map(PathBuf::from) {
        // The loader would look for a bare name elsewhere.
        if let Ok(path) = std::fs::canonicalize(&path)
            && path.is_file()
        {
            return Ok(path);
        }
        return Err(Fault::machine(format!(
            "{RUNTIME_VARIABLE} is `{}`, which is not a file",
            path.display()
        ))
        .hint("name the file libonnxruntime.so itself, or unset it")
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
        Fault::machine(format!("ONNX Runtime ({RUNTIME_NAME}) is not found"))
            .because("it is neither beside the executable nor in the project nor in the system's library folders")
            .hint("run scripts/demo.sh, which puts it in place, or set ORT_DYLIB_PATH to the library")
    })?)
}

/// The user's folder for what can be made again: `lipsync` in `$XDG_CACHE_HOME`, else in `~/.cache`.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let caches = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))?;
    caches.is_absolute().then(|| caches.join("lipsync"))
}

fn is_home(folder: &Path) -> bool {
    folder.join("models").is_dir() && folder.join("backgrounds").is_dir()
}

/// The executable's folder and all above it.
fn above_executable() -> impl Iterator<Item = PathBuf> {
    let executable = env::current_exe()
        .and_then(std::fs::canonicalize)
        .unwrap_or_default();
    let folders: Vec<PathBuf> = executable.ancestors().skip(1).map(Path::to_owned).collect();
    folders.into_iter()
}
