//! The flags of `lipsync render`, of which `lipsync batch` shares the settings, and what they ask for.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueHint};

use crate::background::order::Order;
use crate::encode::codec::Codec;
#[cfg(feature = "credentials")]
use crate::encode::credentials::SignerFiles;
use crate::encode::segment::Part;
use crate::face::Paste;
use crate::inference::onnx::Device;
use crate::inference::precision::Precision;
use crate::plan::request;
use crate::plan::{BatchSize, Origin, Request, Setting, Silence};
use crate::timeline::FrameRate;

/// Render one clip
#[derive(Debug, Args)]
#[command(
    after_help = "Each option that shapes the clip can also be set in the environment, as LIPSYNC_ and its name: \
    LIPSYNC_FPS=30.\nFlags win over the environment, that over lipsync.yaml (docs/config.md), that over the defaults.\n\n\
    Examples:\n  \
    lipsync render                            the bundled sample and presenter -> hello.mp4\n  \
    lipsync render speech.wav                 -> speech.mp4\n  \
    lipsync render speech.mp3 -o out/talk.mp4 -b frames/anna -m models/anna\n  \
    lipsync render speech.wav --fps 29.97 --silence rest\n  \
    lipsync render speech.wav --frames pngs --limit 2\n  \
    lipsync render talk.wav --part 0/4            a quarter of a long clip -> talk.part0-of-4.mp4
  \
    lipsync render speech.wav -o - | ffplay -     fragmented MP4 through a pipe\n  \
    lipsync render speech.wav --contact-sheet look.png      twelve moments, no clip\n  \
    lipsync render speech.wav --dry-run -v        what would be done, and who decided it"
)]
pub(in crate::cli) struct RenderArgs {
    /// Speech: any sound file, or a video's sound; without it, the bundled sample
    #[arg(value_hint = ValueHint::FilePath)]
    audio: Option<PathBuf>,
    /// Clip to write: .mp4, .mov, .mkv or .webm; - is stdout (fragmented MP4) [default: the audio's name with .mp4, or
    /// .mov for prores4444, in the current folder]
    #[arg(short, long, value_name = "FILE", conflicts_with = "frames", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Write PNGs 000000.png, .. into this folder instead of a clip
    #[arg(long, value_name = "DIR", conflicts_with = "credentials", value_hint = ValueHint::DirPath)]
    frames: Option<PathBuf>,
    /// Write a PNG of twelve moments; without --output and --frames, nothing else
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    contact_sheet: Option<PathBuf>,
    /// Render the K-th of N parts of a long clip, from 0, as an MP4 or MOV; `lipsync join` puts them together without encoding
    /// again [default output: the audio's name with .partK-of-N.mp4]
    #[arg(long, value_name = "K/N", conflicts_with_all = ["frames", "contact_sheet", "credentials"])]
    part: Option<Part>,
    #[command(flatten)]
    settings: ClipArgs,
    /// Replace an existing output
    #[arg(short, long)]
    force: bool,
    /// Check everything, print the plan, write nothing; with -v, who decided each setting
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Write a JSON report of the run, on failure too (docs/report.schema.json)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) report: Option<PathBuf>,
}

/// Settings that shape a clip, and how it is worked out
#[derive(Debug, Args)]
pub(in crate::cli) struct ClipArgs {
    /// A model_id of the configuration or of a bundled model; or a folder with generator.onnx and audio_encoder.onnx; or
    /// the generator's file [default: the configuration's first, else ada]
    #[arg(short, long, value_name = "ID|PATH", env = "LIPSYNC_MODEL", hide_env = true, value_hint = ValueHint::AnyPath)]
    model: Option<PathBuf>,
    /// Folder of numbered JPEG or PNG frames, or a video [default: the model's]
    #[arg(short, long, value_name = "DIR|VIDEO", env = "LIPSYNC_BACKGROUND", hide_env = true, value_hint = ValueHint::AnyPath)]
    background: Option<PathBuf>,
    /// Crop rectangles: a JSON file, or a folder of landmark files [default: in or beside the background]
    #[arg(long, value_name = "FILE", env = "LIPSYNC_CROP_RECTS", hide_env = true, value_hint = ValueHint::AnyPath)]
    crop_rects: Option<PathBuf>,
    /// Order of the background frames [default: ping-pong]
    #[arg(long, value_enum, env = "LIPSYNC_ORDER", hide_env = true)]
    order: Option<Order>,
    /// First background frame, from 0 [default: 0]
    #[arg(long, value_name = "N", env = "LIPSYNC_START_FRAME", hide_env = true)]
    start_frame: Option<usize>,
    /// Frames a second: 24, 25, 29.97, 30000/1001, .. [default: 25]
    #[arg(long, value_name = "N[/D]", env = "LIPSYNC_FPS", hide_env = true)]
    fps: Option<FrameRate>,
    /// How the new mouth gets into the frame [default: seamless]
    #[arg(long, value_enum, env = "LIPSYNC_PASTE", hide_env = true)]
    paste: Option<Paste>,
    /// What the mouth does in silence [default: model]
    #[arg(long, value_enum, env = "LIPSYNC_SILENCE", hide_env = true)]
    silence: Option<Silence>,
    /// Render only so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = request::seconds)]
    limit: Option<f64>,
    /// Where the networks run: auto, cpu, cuda, cuda:N, cuda:N,M (several GPUs) or trt (TensorRT); cuda and trt are errors
    /// where they cannot be used [default: auto]
    #[arg(long, value_name = "DEVICE", env = "LIPSYNC_DEVICE", hide_env = true)]
    device: Option<Device>,
    /// How exactly the networks are computed [default: exact]
    #[arg(long, value_enum, env = "LIPSYNC_PRECISION", hide_env = true)]
    precision: Option<Precision>,
    /// Frames that go through the generator at a time: auto or a number [default: auto]
    #[arg(long, value_name = "auto|N", env = "LIPSYNC_BATCH", hide_env = true)]
    batch: Option<BatchSize>,
    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N", env = "LIPSYNC_THREADS", hide_env = true)]
    threads: Option<NonZeroUsize>,
    /// Memory to stay within: what networks and encoder leave of it holds decoded backgrounds and the generator's work on
    /// them [default: 0.4, and 0.9 with large networks]
    #[arg(long, value_name = "GB", env = "LIPSYNC_MEMORY_LIMIT", hide_env = true, value_parser = request::gigabytes)]
    memory_limit: Option<f64>,
    /// The same bytes on every run on the same machine, whatever --threads and --batch say
    #[arg(long, env = "LIPSYNC_DETERMINISTIC", hide_env = true, value_parser = FalseyValueParser::new())]
    deterministic: bool,
    /// Video codec: h264, h265, av1, prores4444 (keeps alpha), or an encoder by FFmpeg's name, such as h264_nvenc
    /// [default: h264; av1 for .webm]
    #[arg(
        long,
        value_name = "CODEC",
        env = "LIPSYNC_CODEC",
        hide_env = true,
        help_heading = "Compression"
    )]
    codec: Option<Codec>,
    /// Constant rate factor, smaller is better [default: 18 for h264, 20 for h265, 24 for av1]
    #[arg(
        long,
        value_name = "N",
        env = "LIPSYNC_CRF",
        hide_env = true,
        help_heading = "Compression"
    )]
    crf: Option<u32>,
    /// The encoder's trade of speed for size [default: veryfast for h264 and h265, 10 for av1]
    #[arg(
        long,
        value_name = "P",
        env = "LIPSYNC_PRESET",
        hide_env = true,
        help_heading = "Compression"
    )]
    preset: Option<String>,
    /// Encode the sound at so many kbit/s: 128 or 128k [default: the sound is copied where the clip can hold it, else 192]
    #[arg(
        long,
        value_name = "N",
        env = "LIPSYNC_AUDIO_BITRATE",
        hide_env = true,
        value_parser = request::kilobits,
        help_heading = "Compression"
    )]
    audio_bitrate: Option<u32>,
    /// Leave out the mark that the clip is AI-generated
    #[arg(long, env = "LIPSYNC_NO_MARK", hide_env = true, value_parser = FalseyValueParser::new())]
    no_mark: bool,
    /// Sign the clip (.mp4 or .mov) as Content Credentials (C2PA): a chain of certificates in PEM, the signer's own first
    #[cfg(feature = "credentials")]
    #[arg(long, value_name = "CERT", requires = "key", value_hint = ValueHint::FilePath)]
    credentials: Option<PathBuf>,
    /// The private key of the signer's certificate: an unencrypted PKCS#8 key in PEM (EC, RSA or Ed25519)
    #[cfg(feature = "credentials")]
    #[arg(long, value_name = "KEY", requires = "credentials", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    #[cfg(not(feature = "credentials"))]
    #[arg(long, hide = true, value_parser = without_credentials)]
    credentials: Option<Never>,
    #[cfg(not(feature = "credentials"))]
    #[arg(long, hide = true, value_parser = without_credentials)]
    key: Option<Never>,
}

/// What a program without the feature has no value for.
#[cfg(not(feature = "credentials"))]
#[derive(Debug, Clone)]
enum Never {}

#[cfg(not(feature = "credentials"))]
fn without_credentials(_: &str) -> Result<Never, String> {
    Err("this program was built without Content Credentials: cargo build --release --features credentials".into())
}

impl RenderArgs {
    /// What is asked for, and whether by a flag or by the environment. `matches` are those that `self` was made from.
    pub(super) fn into_request(self, matches: &ArgMatches) -> Request {
        Request {
            audio: self.audio,
            output: self.output,
            frames: self.frames,
            contact_sheet: self.contact_sheet,
            part: self.part,
            force: self.force,
            ..self.settings.into_request(matches)
        }
    }
}

impl ClipArgs {
    /// What is asked for of all clips, and whether by a flag or by the environment. `matches` are those that `self` was
    /// made from.
    pub(in crate::cli) fn into_request(self, matches: &ArgMatches) -> Request {
        let asked = Asked(matches);
        Request {
            model: asked.setting("model", self.model),
            background: asked.setting("background", self.background),
            crop_rects: asked.setting("crop_rects", self.crop_rects),
            order: asked.setting("order", self.order),
            start_frame: asked.setting("start_frame", self.start_frame),
            fps: asked.setting("fps", self.fps),
            paste: asked.setting("paste", self.paste),
            silence: asked.setting("silence", self.silence),
            limit: self.limit,
            device: asked.setting("device", self.device),
            precision: asked.setting("precision", self.precision),
            batch: asked.setting("batch", self.batch),
            threads: asked.setting("threads", self.threads),
            memory_limit: asked.setting("memory_limit", self.memory_limit),
            deterministic: asked.setting("deterministic", Some(self.deterministic)),
            codec: asked.setting("codec", self.codec),
            crf: asked.setting("crf", self.crf),
            preset: asked.setting("preset", self.preset),
            audio_kilobits: asked.setting("audio_bitrate", self.audio_bitrate),
            no_mark: asked.setting("no_mark", Some(self.no_mark)),
            #[cfg(feature = "credentials")]
            signer: asked.setting(
                "credentials",
                self.credentials
                    .zip(self.key)
                    .map(|(certificates, key)| SignerFiles { certificates, key }),
            ),
            ..Request::default()
        }
    }
}

/// Knows which arguments were given, and where.
struct Asked<'a>(&'a ArgMatches);

impl Asked<'_> {
    fn setting<T>(&self, id: &str, value: Option<T>) -> Option<Setting<T>> {
        let origin = match self.0.value_source(id)? {
            ValueSource::CommandLine => Origin::Flag,
            ValueSource::EnvVariable => {
                Origin::Environment(format!("LIPSYNC_{}", id.to_uppercase()))
            }
            _ => return None,
        };
        Some(Setting {
            value: value?,
            origin,
        })
    }
}
