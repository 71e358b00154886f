//! Flags and defaults -> a plan in which everything is decided.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use anyhow::Result;

use crate::assets;
use crate::audio::Sound;
use crate::background::Backgrounds;
use crate::error::Fault;
use crate::face::Paste;
use crate::frame::{BackgroundIndex, FrameRate};
use crate::infer::onnx::{Device, Placement};
use crate::model::{DEFAULT_MODEL, ModelFiles};
use crate::order::Order;
use crate::output::{Kind, Target};

/// Frames that go through the generator at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// What suits the device.
    Auto,
    /// So many.
    Fixed(NonZeroUsize),
}

impl BatchSize {
    /// The number for networks that run at `placement`.
    pub fn on(self, placement: &Placement) -> usize {
        match self {
            Self::Fixed(n) => n.get(),
            // A CPU is no faster with more, and each frame takes memory; a GPU needs them to be busy.
            Self::Auto if placement.device == "CPU" => 2,
            Self::Auto => 16,
        }
    }
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= 256);
        number
            .map(Self::Fixed)
            .ok_or_else(|| "expected auto or 1 to 256".into())
    }
}

/// What was asked for, as it was typed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The sound; the bundled sample if none.
    pub audio: Option<PathBuf>,
    /// The clip to write.
    pub output: Option<PathBuf>,
    /// The folder of PNGs to write instead.
    pub frames: Option<PathBuf>,
    /// A model's name or path.
    pub model: Option<PathBuf>,
    /// A background folder or video.
    pub background: Option<PathBuf>,
    /// A file or folder of rectangles.
    pub crop_rects: Option<PathBuf>,
    /// Order of the backgrounds.
    pub order: Order,
    /// Number of the first background.
    pub start_frame: usize,
    /// Way of pasting.
    pub paste: Paste,
    /// Seconds to render.
    pub limit: Option<f64>,
    /// Where to run the networks.
    pub device: Device,
    /// Frames at a time.
    pub batch: BatchSize,
    /// CPU threads; all cores if none.
    pub threads: Option<NonZeroUsize>,
    /// Whether to replace what exists.
    pub force: bool,
}

/// A render in which everything is decided and checked, except what the machine can do.
#[derive(Debug)]
pub struct Plan {
    /// The speech, checked.
    pub sound: Sound,
    /// The networks' files.
    pub model: ModelFiles,
    /// The path of the background folder or video.
    pub background: PathBuf,
    /// The backgrounds, checked.
    pub backgrounds: Backgrounds,
    /// Order of the backgrounds.
    pub order: Order,
    /// The first background.
    pub start: BackgroundIndex,
    /// Way of pasting.
    pub paste: Paste,
    /// Where the result goes.
    pub target: Target,
    /// Frames a second of the clip.
    pub fps: FrameRate,
    /// Frames of the clip.
    pub frames: u64,
    /// Where to run the networks.
    pub device: Device,
    /// Frames at a time.
    pub batch: BatchSize,
    /// CPU threads.
    pub threads: usize,
}

impl Plan {
    /// Decides and checks all that `request` leaves open. Nothing is written.
    pub fn new(request: Request) -> Result<Self> {
        let audio = match request.audio {
            Some(path) => path,
            None => assets::home()?.join("samples/hello.wav"),
        };
        let target = target(&audio, request.output, request.frames, request.force)?;
        let sound = Sound::open(&audio, request.limit)?;
        target.check()?;
        if same_file(&target.path, &audio) {
            return Err(Fault::usage(format!(
                "the output would overwrite the sound `{}`",
                audio.display()
            ))
            .hint("choose another name with -o")
            .into());
        }
        let name = request.model.unwrap_or_else(|| DEFAULT_MODEL.into());
        let model = ModelFiles::find(&name, assets::home)?;
        let background = match (request.background, &model.background) {
            (Some(path), _) => path,
            (None, Some(name)) => assets::home()?.join("backgrounds").join(name),
            (None, None) => {
                return Err(
                    Fault::usage(format!("model `{}` names no background", model.id))
                        .hint("name a folder of frames or a video with --background")
                        .into(),
                );
            }
        };
        let fps = FrameRate::TRAINED;
        // PNGs can be transparent, H.264 cannot.
        let keep_alpha = target.kind == Kind::Frames;
        let backgrounds =
            Backgrounds::open(&background, request.crop_rects.as_deref(), fps, keep_alpha)?;
        if request.start_frame >= backgrounds.count() {
            return Err(Fault::usage(format!(
                "--start-frame {} is past the last background: `{}` has 0 to {}",
                request.start_frame,
                background.display(),
                backgrounds.count() - 1
            ))
            .into());
        }
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            fps,
            frames: fps.frames_covering(sound.frames, sound.rate),
            sound,
            model,
            background,
            backgrounds,
            order: request.order,
            start: BackgroundIndex(request.start_frame),
            paste: request.paste,
            target,
            device: request.device,
            batch: request.batch,
            threads: request.threads.unwrap_or(cores).get(),
        })
    }
}

fn target(
    audio: &Path,
    output: Option<PathBuf>,
    frames: Option<PathBuf>,
    force: bool,
) -> Result<Target> {
    if let Some(path) = frames {
        return Ok(Target {
            path,
            kind: Kind::Frames,
            force,
        });
    }
    let path = output.unwrap_or_else(|| {
        let mut name = audio.file_stem().unwrap_or_default().to_owned();
        name.push(".mp4");
        name.into()
    });
    if path
        .extension()
        .is_none_or(|e| !e.eq_ignore_ascii_case("mp4"))
        && !path.is_dir()
    {
        return Err(Fault::usage(format!("output `{}` does not end in .mp4", path.display()))
            .hint("clips are written as MP4: name the file NAME.mp4, or write PNGs with --frames DIR")
            .into());
    }
    Ok(Target {
        path,
        kind: Kind::File,
        force,
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_is_named_after_the_sound() {
        let name = |audio: &str| target(Path::new(audio), None, None, false).unwrap().path;
        assert_eq!(name("talks/day one.wav"), Path::new("day one.mp4"));
        assert_eq!(name("v1.2.wav"), Path::new("v1.2.mp4"));
    }

    #[test]
    fn batch_sizes_are_checked() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert!("0".parse::<BatchSize>().is_err());
        assert!("257".parse::<BatchSize>().is_err());
    }
}
