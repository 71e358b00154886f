//! Inputs -> jobs: folders of audio files, audio files, and jobs files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use walkdir::{DirEntry, WalkDir};

use super::job::{Job, Obstacle, make_unique};
use super::jobs_file::{self, Format, ListedJob};
use crate::config::file::ConfigFile;
use crate::encode::container::Container;
use crate::error::{Fault, plain_io};
use crate::plan::Request;

/// File name extensions of audio files, and of videos with an audio track.
const AUDIO_EXTENSIONS: [&str; 34] = [
    "3gp", "aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "au", "avi", "caf", "flac", "flv",
    "m2ts", "m4a", "m4v", "mka", "mkv", "mov", "mp3", "mp4", "mpeg", "mpg", "mts", "oga", "ogg",
    "ogv", "opus", "ts", "wav", "webm", "wma", "wmv", "wv",
];

/// The jobs of all `inputs`: in the order of the inputs, in folders by name, in jobs files by line. The order depends on names
/// alone. `defaults` are the settings of all clips, which go into the folder `output`.
pub(crate) fn collect(
    inputs: &[PathBuf],
    output: &Path,
    defaults: &Request,
    config: Option<&ConfigFile>,
) -> Result<Vec<Job>> {
    let mut collector = Collector {
        output,
        defaults,
        config,
        jobs: Vec::new(),
    };
    for input in inputs {
        if input.is_dir() {
            collector.add_folder(input)?;
        } else if let Some(format) = Format::of(input) {
            for listed in jobs_file::read(input, format, config)? {
                collector.add_listed(input, listed)?;
            }
        } else {
            let name = input.file_name().unwrap_or_default();
            collector.add_audio(input.clone(), Path::new(name))?;
        }
    }
    if collector.jobs.is_empty() {
        return Err(Fault::usage("there is nothing to render: the inputs contain no jobs").into());
    }
    make_unique(&mut collector.jobs)?;
    Ok(collector.jobs)
}

struct Collector<'a> {
    output: &'a Path,
    defaults: &'a Request,
    config: Option<&'a ConfigFile>,
    jobs: Vec<Job>,
}

impl Collector<'_> {
    /// All audio files in `folder` and its subfolders, except in the output folder.
    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let output = self.output.canonicalize().ok();
        let is_output = |path: &Path| output.is_some() && path.canonicalize().ok() == output;
        if is_output(folder) {
            return Err(Fault::usage(format!(
                "the output folder `{}` is also an input",
                self.output.display()
            ))
            .hint("choose another folder with -o: files in input folders are taken as audio")
            .into());
        }
        let walk = WalkDir::new(folder)
            .follow_links(true)
            .sort_by(|a, b| {
                let [a, b] = [a, b].map(DirEntry::file_name);
                natord::compare(&a.to_string_lossy(), &b.to_string_lossy()).then_with(|| a.cmp(b))
            })
            .into_iter()
            .filter_entry(|entry| {
                let skipped = is_hidden(entry.path()) && entry.depth() > 0;
                !(skipped || entry.file_type().is_dir() && is_output(entry.path()))
            });
        let before = self.jobs.len();
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.add_unreadable(folder, &error);
                    continue;
                }
            };
            let path = entry.path();
            if entry.file_type().is_file() && is_audio(path) {
                let inside = path.strip_prefix(folder).unwrap_or(path);
                self.add_audio(path.to_owned(), inside)?;
            }
        }
        if self.jobs.len() == before {
            return Err(Fault::usage(format!(
                "folder `{}` contains no audio files",
                folder.display()
            ))
            .hint("audio files are those named .wav, .mp3, .m4a, .flac, .ogg, .mp4 and the like")
            .into());
        }
        Ok(())
    }

    /// An entry of `folder` that cannot be read becomes a job that fails: the others are rendered.
    fn add_unreadable(&mut self, folder: &Path, error: &walkdir::Error) {
        let path = error.path().unwrap_or(folder);
        let inside = path.strip_prefix(folder).unwrap_or(path);
        // Hidden files are skipped: some editors lock a file with a link that leads nowhere.
        if is_hidden(inside) {
            return;
        }
        let named = Path::new(path.file_name().unwrap_or(path.as_os_str()));
        let inside = if inside.as_os_str().is_empty() {
            named
        } else {
            inside
        };
        let obstacle = obstacle(path, error);
        self.jobs.push(Job::unreadable(inside, obstacle));
    }

    /// An audio file, found at `inside` in its input folder.
    fn add_audio(&mut self, path: PathBuf, inside: &Path) -> Result<()> {
        let source = format!("`{}`", path.display());
        let request = Request {
            audio: Some(path),
            ..Request::default()
        };
        self.add(request, inside, None, source)
    }

    /// A job of the jobs file at `path`.
    fn add_listed(&mut self, path: &Path, listed: ListedJob) -> Result<()> {
        let source = format!("`{}`, line {}", path.display(), listed.line);
        let audio = listed.request.audio.clone().unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new(""));
        // Audio outside the folder of the jobs file keeps only its name.
        let inside = match audio.strip_prefix(folder) {
            Ok(inside) if inside.is_relative() && !inside.starts_with("..") => inside,
            _ => Path::new(audio.file_name().unwrap_or_default()),
        };
        self.add(listed.request, inside, listed.id, source)
    }

    fn add(
        &mut self,
        request: Request,
        inside: &Path,
        id: Option<String>,
        source: String,
    ) -> Result<()> {
        let mut request = request.or(self.defaults).filled_from(self.config);
        request.force = self.defaults.force;
        if request.output.is_none() && request.frames.is_none() {
            let codec = request.codec.as_ref().map(|codec| &codec.value);
            let extension = Container::preferred(codec).extension();
            request.output = Some(inside.with_extension(extension));
        }
        self.jobs.push(Job::new(request, id, source)?);
        Ok(())
    }
}

fn is_audio(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        AUDIO_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
    })
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

/// Why the entry at `path` cannot be read.
fn obstacle(path: &Path, error: &walkdir::Error) -> Obstacle {
    let target = path.read_link().ok();
    let is_missing = error
        .io_error()
        .is_some_and(|e| e.kind() == ErrorKind::NotFound);
    let (cause, hint) = match (error.io_error(), error.loop_ancestor(), target) {
        (_, Some(above), _) => (
            format!("it is a link to `{}`, which contains it", above.display()),
            "remove the link",
        ),
        (_, _, Some(target)) if is_missing => (
            format!(
                "it is a link to `{}`, which does not exist",
                target.display()
            ),
            "put the file back, or remove the link",
        ),
        (Some(io), ..) => (
            plain_io(io),
            "make it readable, or name the folders and files to render",
        ),
        (None, None, _) => (error.to_string(), "remove it"),
    };
    Obstacle {
        path: path.to_owned(),
        cause,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_sorted_and_unique() {
        assert!(AUDIO_EXTENSIONS.is_sorted_by(|a, b| a < b));
        assert!(is_audio(Path::new("a/B.WAV")));
        assert!(!is_audio(Path::new("wav")) && !is_audio(Path::new("notes.txt")));
    }
}
