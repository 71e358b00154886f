//! Finds the bundled models, backgrounds and samples, ONNX Runtime's library, and the cache folder.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::error::Fault;

/// The environment variable that names the folder with `models`, `backgrounds` and `samples`.
pub(crate) const HOME_VARIABLE: &str = "LIPSYNC_HOME";
/// The environment variable that names ONNX Runtime's library.
pub(crate) const RUNTIME_VARIABLE: &str = "ORT_DYLIB_PATH";
/// The folder in `models` that holds the networks that find faces. It is not a model.
pub(crate) const FACE_NETWORKS: &str = "face";
const RUNTIME_NAME: &str = "libonnxruntime.so";

/// The folder that holds `models`, `backgrounds` and `samples`: `LIPSYNC_HOME` if set. Otherwise that of the installation:
/// next to the executable, in `share/lipsync` next to it or to its folder `bin`, or the project it was built in.
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
    let mut homes = Installation::of_this_program().homes().into_iter();
    Ok(homes.find(|folder| is_home(folder)).ok_or_else(|| {
        Fault::machine("cannot find the bundled models and backgrounds")
            .because("there is no folder with `models` and `backgrounds` next to the executable or in its project")
            .hint("run the program from its project (scripts/demo.sh builds it), or set LIPSYNC_HOME to the project's folder")
    })?)
}

/// ONNX Runtime's library: `ORT_DYLIB_PATH` if set. Otherwise that of the installation: next to the executable, in `lib` next
/// to it or to its folder `bin`, or in the project's target folder; or in the system's folders. Nowhere else: a library in a
/// folder that others can write to, such as /tmp, would run with the user's rights.
pub fn runtime_library() -> Result<PathBuf> {
    if let Some(path) = env::var_os(RUNTIME_VARIABLE).map(PathBuf::from) {
        // The dynamic loader would search for a bare name elsewhere.
        if let Ok(path) = fs::canonicalize(&path)
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
    let near = Installation::of_this_program().library_folders();
    let near = near.into_iter().map(|folder| folder.join(RUNTIME_NAME));
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

/// Where the parts of an installation are, as seen from its executable. If the system does not say where that is (without
/// /proc), nowhere: a relative path would lead into the working directory.
#[derive(Debug)]
struct Installation {
    /// The executable's folder.
    folder: PathBuf,
    /// Cargo's target folder, if the executable is in it.
    target: Option<PathBuf>,
}

impl Installation {
    fn of_this_program() -> Self {
        let executable = env::current_exe().and_then(fs::canonicalize);
        Self::of(&executable.unwrap_or_default())
    }

    fn of(executable: &Path) -> Self {
        // TARGET/[TRIPLE/]PROFILE/[deps/]PROGRAM.
        let above = executable.ancestors().skip(2).take(3);
        Self {
            folder: executable.parent().unwrap_or(Path::new("")).to_owned(),
            target: above.map(Path::to_owned).find(|folder| is_target(folder)),
        }
    }

    /// The folder above, if the executable is in `bin`.
    fn prefix(&self) -> Option<&Path> {
        let is_bin = self.folder.file_name().is_some_and(|name| name == "bin");
        self.folder.parent().filter(|_| is_bin)
    }

    fn homes(&self) -> Vec<PathBuf> {
        let installed = self.prefix().map(|prefix| prefix.join("share/lipsync"));
        let project = self.target.as_deref().and_then(Path::parent);
        [self.folder.join("share/lipsync"), self.folder.clone()]
            .into_iter()
            .chain(installed)
            .chain(project.map(Path::to_owned))
            .filter(|folder| folder.is_absolute())
            .collect()
    }

    fn library_folders(&self) -> Vec<PathBuf> {
        let installed = self.prefix().map(|prefix| prefix.join("lib"));
        let built = self
            .target
            .as_deref()
            .map(|target| target.join("onnxruntime"));
        [self.folder.clone(), self.folder.join("lib")]
            .into_iter()
            .chain(installed)
            .chain(built)
            .filter(|folder| folder.is_absolute())
            .collect()
    }
}

/// Whether Cargo builds into this folder, and nobody else may write into it.
fn is_target(folder: &Path) -> bool {
    let others_write = |about: fs::Metadata| about.permissions().mode() & 0o002 != 0;
    folder.join(".rustc_info.json").is_file()
        && fs::metadata(folder).is_ok_and(|about| !others_write(about))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_the_installation_are_searched() {
        let installed = Installation::of(Path::new("/opt/lipsync/bin/lipsync"));
        let folders = [
            "/opt/lipsync/bin",
            "/opt/lipsync/bin/lib",
            "/opt/lipsync/lib",
        ];
        assert_eq!(installed.library_folders(), folders.map(PathBuf::from));
        assert!(
            installed
                .homes()
                .contains(&"/opt/lipsync/share/lipsync".into())
        );
        let unpacked = Installation::of(Path::new("/tmp/unpacked/lipsync"));
        assert_eq!(
            unpacked.library_folders(),
            ["/tmp/unpacked", "/tmp/unpacked/lib"].map(PathBuf::from)
        );
        let unknown = Installation::of(Path::new(""));
        assert!(unknown.library_folders().is_empty() && unknown.homes().is_empty());
        for folder in unpacked.homes() {
            assert!(folder.starts_with("/tmp/unpacked"), "{}", folder.display());
        }
    }

    #[test]
    fn a_target_folder_is_cargos_and_not_open_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::create_dir_all(target.join("release/deps")).unwrap();
        let found = |program: &str| Installation::of(&target.join(program)).target;
        assert_eq!(found("release/lipsync"), None);
        fs::write(target.join(".rustc_info.json"), "{}").unwrap();
        for program in [
            "release/lipsync",
            "release/deps/it",
            "x86_64-unknown-linux-gnu/release/deps/it",
        ] {
            assert_eq!(found(program), Some(target.clone()), "{program}");
        }
        fs::set_permissions(&target, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(found("release/lipsync"), None);
    }
}
