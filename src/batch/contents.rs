//! What a clip is made of, as a number: it changes whenever the clip would.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use serde_json::json;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::job::Job;
use crate::config::Plan;
use crate::error::{Fault, plain_io};
use crate::frame::BackgroundIndex;

/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// A digest of what a clip is made of, in hexadecimal digits.
pub type Key = String;

/// Digests of models and backgrounds, which many clips share: each is read once a run.
#[derive(Debug, Default)]
pub struct Contents(Mutex<HashMap<PathBuf, u128>>);

impl Contents {
    /// The key of `job`: of the bytes of its sound, networks and background pictures, of the rectangles, of every setting
    /// that shapes the clip, of its outputs, and of lipsync's version.
    pub fn key(&self, job: &Job, plan: &Plan) -> Result<Key> {
        let model = &plan.model;
        let mut files = vec![of_file(plan.sound.path())?];
        for network in [&model.generator, &model.audio_encoder] {
            files.push(self.known(network, || of_network(network))?);
        }
        let pictures = || of_files(plan.backgrounds.files());
        files.push(self.known(&plan.background, pictures)?);
        let rects: Vec<[u32; 4]> = (0..plan.backgrounds.count())
            .map(|n| plan.backgrounds.rect(BackgroundIndex(n)))
            .map(|rect| [rect.x0, rect.y0, rect.x1, rect.y1])
            .collect();
        let request = &job.request;
        let files: Vec<String> = files
            .iter()
            .map(|digest| format!("{digest:032x}"))
            .collect();
        let settings = json!({
            "lipsync": env!("CARGO_PKG_VERSION"),
            "files": files,
            "rects": rects,
            "model": model.id,
            "shape": plan.shape(),
            "limit": request.limit,
            "deterministic": plan.hardware.deterministic,
            "outputs": [&request.output, &request.frames, &request.contact_sheet],
            "signed": signer(job),
        });
        Ok(format!(
            "{:032x}",
            xxh3_128(settings.to_string().as_bytes())
        ))
    }

    fn known(&self, path: &Path, digest: impl FnOnce() -> Result<u128>) -> Result<u128> {
        // Held meanwhile: whoever needs the same waits for it instead of reading it too.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(path) {
            return Ok(*known);
        }
        let digest = digest()?;
        known.insert(path.to_owned(), digest);
        Ok(digest)
    }
}

/// The file of certificates that a clip is signed with.
#[cfg(feature = "credentials")]
fn signer(job: &Job) -> Option<&Path> {
    let signer = job.request.signer.as_ref();
    signer.map(|signer| signer.value.certificates.as_path())
}

/// Nothing is signed without the feature.
#[cfg(not(feature = "credentials"))]
fn signer(_: &Job) -> Option<&Path> {
    None
}

/// A network's file, and the files beside it whose names begin with its own: its weights, where they lie outside.
fn of_network(path: &Path) -> Result<u128> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(folder).map_err(|e| unreadable(folder, &e))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(name))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    of_files(files.iter().map(PathBuf::as_path))
}

fn of_files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<u128> {
    let mut all = Xxh3::new();
    for file in files {
        all.update(&of_file(file)?.to_le_bytes());
    }
    Ok(all.digest128())
}

/// The digest of a file's bytes.
pub(super) fn of_file(path: &Path) -> Result<u128> {
    let mut hash = Xxh3::new();
    let mut piece = vec![0; PIECE];
    let mut read = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut piece) {
                Ok(0) => break Ok(()),
                Ok(n) => hash.update(&piece[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => (),
                Err(e) => break Err(e),
            }
        }
    };
    read().map_err(|e| unreadable(path, &e))?;
    Ok(hash.digest128())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::failed(format!("cannot read `{}`", path.display())).because(plain_io(error))
}
