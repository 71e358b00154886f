//! A plan in words, for `--dry-run` and `--verbose`.

use std::path::Path;

use clap::ValueEnum;

use crate::encode::clip::{ClipAudio, ClipFormat};
use crate::plan::Plan;

/// One line each for the audio, model, background, output, computation and runtime. `device` runs the networks on `batch`
/// frames at a time; `runtime` is ONNX Runtime's library.
pub(super) fn lines(plan: &Plan, device: &str, batch: usize, runtime: &Path) -> Vec<String> {
    [
        ("audio", audio(plan)),
        ("model", model(plan)),
        ("background", background(plan)),
        ("output", output(plan)),
        (
            "compute",
            format!(
                "{device}, batches of {batch}, {} threads",
                plan.hardware.threads,
            ),
        ),
        ("runtime", format!("`{}`", runtime.display())),
    ]
    .map(|(what, value)| format!("{what:>10}  {value}"))
    .into()
}

fn audio(plan: &Plan) -> String {
    let audio = &plan.sound;
    let channels = match audio.channels {
        1 => "mono".to_owned(),
        n => format!("{n} channels"),
    };
    let track = audio.tracks.get(audio.track);
    let track = track.filter(|_| audio.tracks.len() > 1);
    let track = track.map(|track| format!(", track {track} of {}", audio.tracks.len()));
    let joined = match audio.joined() {
        1 => String::new(),
        n => format!(", joined from {n} files"),
    };
    format!(
        "`{}`: {:.2} s, {} Hz, {channels}{}{joined}",
        audio.path().display(),
        audio.seconds(),
        audio.rate,
        track.unwrap_or_default(),
    )
}

fn model(plan: &Plan) -> String {
    format!(
        "{}: `{}`, `{}`",
        plan.model.id,
        plan.model.generator.display(),
        plan.model.audio_encoder.display()
    )
}

fn background(plan: &Plan) -> String {
    format!(
        "`{}`: {} frames of {}, from frame {}, {} order",
        plan.background.display(),
        plan.backgrounds.count(),
        plan.backgrounds.size(),
        plan.start.0,
        name(&plan.order),
    )
}

fn output(plan: &Plan) -> String {
    let targets = [&plan.target, &plan.contact_sheet];
    let names: Vec<String> = targets
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    format!(
        "{}: {}{} frames at {} fps{}, {} paste",
        names.join(" and "),
        part(plan),
        plan.range.count(),
        plan.fps,
        encoding(plan),
        name(&plan.paste),
    )
}

/// Which part of the clip this is.
fn part(plan: &Plan) -> String {
    let range = &plan.range;
    range.part.map_or(String::new(), |part| {
        format!(
            "part {part} of {} frames, from frame {}: ",
            plan.frames, range.frames.start
        )
    })
}

/// How the video is encoded.
fn encoding(plan: &Plan) -> String {
    let Some(format) = &plan.format else {
        return String::new();
    };
    let video = &format.video;
    let crf = video.crf.map(|crf| format!(", crf {crf}"));
    let preset = video.preset.as_ref().map(|preset| format!(", {preset}"));
    format!(
        ", {}{}{}, {}",
        video.encoder.name,
        crf.unwrap_or_default(),
        preset.unwrap_or_default(),
        sound(plan, format)
    )
}

/// How the audio is written.
fn sound(plan: &Plan, format: &ClipFormat) -> String {
    let part = plan.range.part.is_some();
    // An audio file that cannot be read any more is an error soon enough.
    match format.sound(&plan.sound, part) {
        Ok(ClipAudio {
            codec,
            copied: true,
        }) => format!("audio copied ({codec})"),
        Ok(ClipAudio { codec, .. }) => format!("audio encoded as {codec}"),
        Err(_) => "audio".into(),
    }
}

/// The value as it is written on the command line.
fn name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}
