//! A digest of everything that determines a clip: it changes whenever the clip would.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use serde_json::json;

use super::job::Job;
use super::path_json::PathJson;
use crate::inference::external::files_of_network;
use crate::output::fingerprint::Fingerprint;
use crate::plan::Plan;
use crate::timeline::BackgroundIndex;

/// The digest of a clip, in hexadecimal digits.
pub(crate) type ClipDigest = String;

/// Digests of the files that many clips share, models and backgrounds: each is read once per run.
#[derive(Debug, Default)]
pub(crate) struct ContentDigests(Mutex<HashMap<PathBuf, Fingerprint>>);

impl ContentDigests {
    /// The digest of the clip of `job`: of the bytes of its audio, networks and background pictures, of the crop rectangles,
    /// of every setting that changes the clip, of its outputs, and of the version of lipsync.
    pub(crate) fn key(&self, job: &Job, plan: &Plan) -> Result<ClipDigest> {
        let model = &plan.model;
        let mut files = vec![Fingerprint::of_file(plan.sound.path())?];
        for network in [&model.generator, &model.audio_encoder] {
            let digest = || {
                let files = files_of_network(network)?;
                Fingerprint::of_files(files.iter().map(PathBuf::as_path))
            };
            files.push(self.cached(network, digest)?);
        }
        let pictures = || Fingerprint::of_files(plan.backgrounds.files());
        files.push(self.cached(&plan.background, pictures)?);
        let rects: Vec<[u32; 4]> = (0..plan.backgrounds.count())
            .map(|n| plan.backgrounds.rect(BackgroundIndex(n)))
            .map(|rect| [rect.x0, rect.y0, rect.x1, rect.y1])
            .collect();
        let request = &job.request;
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        let outputs = [&request.output, &request.frames, &request.contact_sheet];
        let outputs = outputs.map(Option::as_deref);
        let settings = json!({
            "lipsync": env!("CARGO_PKG_VERSION"),
            "files": files,
            "rects": rects,
            "model": model.id,
            // A key of the digest: another name would make every finished clip outdated.
            "shape": plan.clip_settings(),
            "limit": request.limit,
            "deterministic": plan.hardware.deterministic,
            "outputs": outputs.map(|path| path.map(PathJson::from)),
            "signed": signer(job).map(PathJson::from),
        });
        Ok(Fingerprint::of_text(&settings.to_string()).to_string())
    }

    fn cached(
        &self,
        path: &Path,
        digest: impl FnOnce() -> Result<Fingerprint>,
    ) -> Result<Fingerprint> {
        // Locked while reading: whoever needs the same file waits instead of reading it too.
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = cache.get(path) {
            return Ok(*digest);
        }
        let digest = digest()?;
        cache.insert(path.to_owned(), digest);
        Ok(digest)
    }
}

/// The certificate file that signs the clip.
#[cfg(feature = "credentials")]
fn signer(job: &Job) -> Option<&Path> {
    let signer = job.request.signer.as_ref();
    signer.map(|signer| signer.value.certificates.as_path())
}

/// Without the feature, no clip is signed.
#[cfg(not(feature = "credentials"))]
fn signer(_: &Job) -> Option<&Path> {
    None
}
