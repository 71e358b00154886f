//! What a run reads and writes: no two outputs may be one file, and no output may be an input.

use std::path::{Path, PathBuf};

use super::{Plan, Request};
use crate::config::file::ConfigFile;
use crate::output::{OutputKind, RunFiles, Target};

const AUDIO: &str = "the audio file";
const BACKGROUND: &str = "the background";
const CROP_RECTS: &str = "the crop rectangles";

impl Plan {
    /// Everything that it reads and writes.
    pub(crate) fn files(&self) -> RunFiles {
        let mut files = RunFiles::default()
            .input(AUDIO, self.sound.path())
            .input(BACKGROUND, &self.background)
            .inputs(CROP_RECTS, self.crop_rects.as_deref())
            .input("the generator", &self.model.generator)
            .input("the audio encoder", &self.model.audio_encoder);
        for (role, path) in &self.other_inputs {
            files = files.input(*role, path);
        }
        // Only what exists can overwrite one of them, which may be thousands.
        if self.outputs().any(|target| target.path.exists()) {
            files = files.inputs("the background frame", self.backgrounds.files());
        }
        for target in self.outputs() {
            files = files.output(role_of(target), target);
        }
        files
    }
}

impl Request {
    /// What it reads and writes as far as it says so: all that can be checked before anything is read.
    pub(crate) fn files(&self) -> RunFiles {
        let setting = |setting: &Option<super::Setting<PathBuf>>| {
            setting.as_ref().map(|setting| setting.value.clone())
        };
        let mut files = RunFiles::default()
            .inputs(AUDIO, self.audio.as_deref())
            .inputs(BACKGROUND, setting(&self.background).as_deref())
            .inputs(CROP_RECTS, setting(&self.crop_rects).as_deref());
        let kind_of_clip = if self.output.as_deref() == Some(Path::new("-")) {
            OutputKind::Stdout
        } else {
            OutputKind::File
        };
        for (role, path, kind) in [
            ("the output", &self.output, kind_of_clip),
            ("--frames", &self.frames, OutputKind::Frames),
            (
                "--contact-sheet",
                &self.contact_sheet,
                OutputKind::Streamable,
            ),
        ] {
            if let Some(path) = path.clone() {
                let force = self.force;
                files = files.output(role, &Target { path, kind, force });
            }
        }
        files
    }
}

/// What messages call an output of a plan.
fn role_of(target: &Target) -> &'static str {
    match target.kind {
        OutputKind::Frames | OutputKind::Pictures | OutputKind::Prepared => "--frames",
        OutputKind::Streamable => "--contact-sheet",
        OutputKind::File | OutputKind::Stdout => "the output",
    }
}

/// Files that a plan does not name otherwise.
pub(super) fn other_inputs(
    request: &Request,
    config: Option<&ConfigFile>,
) -> Vec<(&'static str, PathBuf)> {
    let config = config.map(|config| ("the configuration", config.path.clone()));
    #[cfg(feature = "credentials")]
    let signer = request.signer.iter().flat_map(|files| {
        let files = files.value.clone();
        [
            ("the certificate", files.certificates),
            ("the key", files.key),
        ]
    });
    #[cfg(not(feature = "credentials"))]
    let signer = {
        let _ = request;
        []
    };
    config.into_iter().chain(signer).collect()
}
