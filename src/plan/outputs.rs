//! Where the results of a render go, and how a clip is compressed.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::request::Request;
use super::setting::{Decisions, Origin, Setting};
use crate::audio::AudioFile;
use crate::encode::clip::ClipFormat;
use crate::encode::codec::{Codec, VideoEncoder};
use crate::encode::container::Container;
#[cfg(feature = "credentials")]
use crate::encode::credentials::Signer;
#[cfg(feature = "credentials")]
use crate::encode::mark::Mark;
use crate::encode::segment::Part;
use crate::error::Fault;
use crate::output::{OutputKind, Target};

/// What is written.
pub(super) struct Outputs {
    /// The clip with its container, or the folder of frames.
    pub(super) clip: Option<(Target, Option<Container>)>,
    /// The contact sheet.
    pub(super) contact_sheet: Option<Target>,
}

impl Outputs {
    /// Decides where everything goes; a clip without a name is named after `audio`.
    pub(super) fn decide(request: &mut Request, audio: &Path) -> Result<Self> {
        let force = request.force;
        let contact_sheet = request.contact_sheet.take().map(|path| Target {
            path,
            kind: OutputKind::Streamable,
            force,
        });
        let clip = match (request.output.take(), request.frames.take()) {
            (None, Some(path)) => {
                reject_compression(request)?;
                let kind = OutputKind::Frames;
                Some((Target { path, kind, force }, None))
            }
            (None, None) if contact_sheet.is_some() => {
                reject_compression(request)?;
                None
            }
            (output, _) => {
                let codec = request.codec.as_ref().map(|codec| &codec.value);
                let (target, container) = clip_target(audio, output, codec, request.part, force)?;
                if request.part.is_some() {
                    check_holds_parts(container)?;
                }
                Some((target, Some(container)))
            }
        };
        Ok(Self {
            clip,
            contact_sheet,
        })
    }

    /// Fails if an output could not be written. `makes_folders`: whether missing folders will be created.
    pub(super) fn check(&self, makes_folders: bool) -> Result<()> {
        let clip = self.clip.as_ref().map(|(target, _)| target);
        for target in clip.into_iter().chain(&self.contact_sheet) {
            if makes_folders {
                target.check_allowing_missing_folders()?;
            } else {
                target.check()?;
            }
        }
        Ok(())
    }

    /// How the clip is compressed: an encoder that FFmpeg has here, with checked settings. None if no clip is written.
    pub(super) fn format(
        &self,
        request: &mut Request,
        audio: &AudioFile,
        decisions: &mut Decisions,
    ) -> Result<Option<ClipFormat>> {
        let Some((_, Some(container))) = self.clip else {
            return Ok(None);
        };
        let codec = request.codec.take();
        let codec = codec.unwrap_or_else(|| Setting::default(container.default_codec()));
        let encoder = VideoEncoder::find(&codec.value)?;
        container.check(encoder)?;
        let [crf, preset] = [
            origin_of(request.crf.as_ref()),
            origin_of(request.preset.as_ref()),
        ];
        let video = encoder.settings(
            request.crf.take().map(|crf| crf.value),
            request.preset.take().map(|preset| preset.value),
        )?;
        decisions.note("codec", codec, |codec| {
            format!("{codec} ({})", encoder.name)
        });
        if let Some(value) = video.crf {
            let crf = Setting { value, origin: crf };
            decisions.note("crf", crf, ToString::to_string);
        }
        if let Some(value) = video.preset.clone() {
            let origin = preset;
            decisions.note("preset", Setting { value, origin }, Clone::clone);
        }
        let audio_bitrate = request.audio_kilobits.take().map(|kilobits| {
            1000 * decisions.note("audio-bitrate", kilobits, |n| format!("{n} kbit/s")) as usize
        });
        if let Some(bits) = audio_bitrate {
            let codec = container.audio_codec();
            codec.check_bitrate(bits, audio.channels, audio.rate)?;
        }
        Ok(Some(ClipFormat {
            container,
            video,
            audio_bitrate,
        }))
    }
}

/// Fails if a flag sets compression where no clip is written. Settings of the environment and the configuration are for clips
/// in general, and are ignored.
fn reject_compression(request: &Request) -> Result<()> {
    let is_flag = |origin: Option<&Origin>| origin == Some(&Origin::Flag);
    let bitrate = request.audio_kilobits.as_ref();
    let flags = [
        ("--codec", request.codec.as_ref().map(|s| &s.origin)),
        ("--crf", request.crf.as_ref().map(|s| &s.origin)),
        ("--preset", request.preset.as_ref().map(|s| &s.origin)),
        ("--audio-bitrate", bitrate.map(|s| &s.origin)),
    ];
    match flags.into_iter().find(|(_, origin)| is_flag(*origin)) {
        None => Ok(()),
        Some((flag, _)) => Err(Fault::usage(format!("{flag} does not apply to pictures"))
            .hint(format!("leave {flag} out, or write a clip with -o"))
            .into()),
    }
}

fn origin_of<T>(setting: Option<&Setting<T>>) -> Origin {
    setting.map_or(Origin::Default, |setting| setting.origin.clone())
}

/// Where the clip goes, and its container.
fn clip_target(
    audio: &Path,
    output: Option<PathBuf>,
    codec: Option<&Codec>,
    part: Option<Part>,
    force: bool,
) -> Result<(Target, Container)> {
    let path = output.unwrap_or_else(|| {
        let mut name = audio.file_stem().unwrap_or_default().to_owned();
        if let Some(Part { index, of }) = part {
            name.push(format!(".part{index}-of-{of}"));
        }
        name.push(".");
        name.push(Container::preferred(codec).extension());
        name.into()
    });
    let container = Container::named_by(&path)?;
    let kind = container.kind();
    Ok((Target { path, kind, force }, container))
}

/// Fails if `container` cannot hold a part of a clip.
fn check_holds_parts(container: Container) -> Result<()> {
    if container.holds_parts() {
        return Ok(());
    }
    Err(
        Fault::usage(format!("--part writes MP4 or MOV files, not {container}"))
            .because("parts need exact timestamps and lossless audio")
            .hint(
                "name a file with -o that ends in .mp4 or .mov; lipsync join can then write any container",
            )
            .into(),
    )
}

/// Who signs the clip; fails if it cannot be signed.
#[cfg(feature = "credentials")]
pub(super) fn signer(
    request: &mut Request,
    format: Option<&ClipFormat>,
    mark: Option<&Mark>,
    deterministic: bool,
    decisions: &mut Decisions,
) -> Result<Option<Signer>> {
    let Some(files) = request.signer.take() else {
        return Ok(None);
    };
    let files = decisions.note("credentials", files, |files| {
        files.certificates.display().to_string()
    });
    let contradicts = |flag: &str, why: &str| {
        Fault::usage(format!("--credentials and {flag} contradict each other")).because(why)
    };
    let Some(format) = format else {
        return Err(Fault::usage("--credentials does not apply to pictures")
            .hint("write a clip with -o")
            .into());
    };
    if format.container.signed_as().is_none() {
        return Err(Fault::usage(format!(
            "--credentials signs MP4 and MOV files, not {}",
            format.container
        ))
        .hint("name a file with -o that ends in .mp4 or .mov")
        .into());
    }
    if mark.is_none() {
        return Err(contradicts(
            "--no-mark",
            "the signature states that the clip is AI-generated",
        )
        .hint("leave out one of them; `mark: false` in lipsync.yaml means --no-mark")
        .into());
    }
    if deterministic {
        return Err(
            contradicts("--deterministic", "no two signatures are the same")
                .hint("leave out one of them")
                .into(),
        );
    }
    Signer::open(&files).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_is_named_after_the_audio_file() {
        let named = |audio: &str, codec| clip_target(Path::new(audio), None, codec, None, false);
        let name = |audio: &str| named(audio, None).unwrap().0.path;
        assert_eq!(name("talks/day one.wav"), Path::new("day one.mp4"));
        assert_eq!(name("v1.2.wav"), Path::new("v1.2.mp4"));
        let (edited, container) = named("talk.wav", Some(&Codec::ProRes4444)).unwrap();
        assert_eq!(edited.path, Path::new("talk.mov"));
        assert_eq!(container, Container::Mov);
        let part = Some(Part { index: 1, of: 3 });
        let (part, _) = clip_target(Path::new("a/talk.wav"), None, None, part, false).unwrap();
        assert_eq!(part.path, Path::new("talk.part1-of-3.mp4"));
    }
}
