//! What a clip is made of, as a number: it changes whenever the clip would.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use serde_json::json;

use super::job::Job;
use crate::output::fingerprint::Fingerprint;
use crate::plan::Plan;
use crate::timeline::BackgroundIndex;

/// A digest of what a clip is made of, in hexadecimal digits.
pub(crate) type ClipDigest = String;

/// Digests of models and backgrounds, which many clips share: each is read once a run.
#[derive(Debug, Default)]
pub(crate) struct ContentDigests(Mutex<HashMap<PathBuf, Fingerprint>>);

impl ContentDigests {
    /// The key of `job`: of the bytes of its sound, networks and background pictures, of the rectangles, of every setting
    /// that shapes the clip, of its outputs, and of lipsync's version.
    pub(crate) fn key(&self, job: &Job, plan: &Plan) -> Result<ClipDigest> {
        let model = &plan.model;
        let mut files = vec![Fingerprint::of_file(plan.sound.path())?];
        for network in [&model.generator, &model.audio_encoder] {
            files.push(self.known(network, || Fingerprint::of_network(network))?);
        }
        let pictures = || Fingerprint::of_files(plan.backgrounds.files());
        files.push(self.known(&plan.background, pictures)?);
        let rects: Vec<[u32; 4]> = (0..plan.backgrounds.count())
            .map(|n| plan.backgrounds.rect(BackgroundIndex(n)))
            .map(|rect| [rect.x0, rect.y0, rect.x1, rect.y1])
            .collect();
        let request = &job.request;
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        let settings = json!({
            "lipsync": env!("CARGO_PKG_VERSION"),
            "files": files,
            "rects": rects,
            "model": model.id,
            "shape": plan.clip_settings(),
            "limit": request.limit,
            "deterministic": plan.hardware.deterministic,
            "outputs": [&request.output, &request.frames, &request.contact_sheet],
            "signed": signer(job),
        });
        Ok(Fingerprint::of_text(&settings.to_string()).to_string())
    }

    fn known(
        &self,
        path: &Path,
        digest: impl FnOnce() -> Result<Fingerprint>,
    ) -> Result<Fingerprint> {
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
