//! The options of `lipsync render`, the settings that `lipsync batch` shares with it, and the request that they make.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueHint};

use crate::audio::track::TrackName;
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
///
/// The mouth of the presenter in the background frames follows the speech. The clip has ceil(seconds x fps) frames and the
/// whole audio.
#[derive(Debug, Args)]
#[command(after_help = "\
Options that shape the clip can also be set in the environment (LIPSYNC_FPS=30), and many of
them in lipsync.yaml (docs/config.md). Options win over the environment, the environment over
the file, and the file over the defaults.

Examples:
  lipsync render                              the bundled sample and presenter -> hello.mp4
  lipsync render speech.wav                   -> speech.mp4
  lipsync render speech.mp3 -o out/talk.mp4 -b frames/anna -m models/anna
  lipsync render speech.wav --fps 29.97 --silence rest
  lipsync render speech.wav --frames pngs --limit 2       the first two seconds as PNGs
  lipsync render talk.wav --part 0/4          the first quarter -> talk.part0-of-4.mp4
  lipsync render speech.wav -o - | ffplay -   fragmented MP4 through a pipe
  espeak-ng --stdout hello | lipsync render - -o hello.mp4
  lipsync render interview.mkv --audio-track 1            the second audio track
  lipsync render speech.wav --contact-sheet look.png      twelve frames in one picture
  lipsync render speech.wav --dry-run -v      the plan, and where each setting came from")]
pub(in crate::cli) struct RenderArgs {
    /// Speech: an audio file, or a video with an audio track; - for stdin [default: the bundled sample]
    ///
    /// WAV, and every format that FFmpeg decodes: MP3, M4A, FLAC, Ogg, Opus and others. Audio from a pipe is copied to a
    /// temporary file first; with `-`, name the output.
    #[arg(value_hint = ValueHint::FilePath)]
    audio: Option<PathBuf>,
    /// Clip to write: .mp4, .mov, .mkv or .webm, or - for stdout [default: the audio's name with .mp4]
    ///
    /// By default, the clip is written to the current folder, as .mov with --codec prores4444. `-` writes fragmented MP4 to
    /// stdout.
    #[arg(short, long, value_name = "FILE", conflicts_with = "frames", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Write the frames as PNGs into this folder instead of a clip
    ///
    /// They are named 000000.png, 000001.png and so on.
    #[arg(long, value_name = "DIR", conflicts_with = "credentials", value_hint = ValueHint::DirPath)]
    frames: Option<PathBuf>,
    /// Write a PNG that shows twelve frames of the clip
    ///
    /// Without --output and --frames, nothing else is rendered. FILE may be a pipe, a device or - for stdout.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    contact_sheet: Option<PathBuf>,
    /// Render only the K-th of N parts of a long clip, counted from 0
    ///
    /// Parts are MP4 or MOV files, by default named after the audio: NAME.partK-of-N.mp4. `lipsync join` puts them together
    /// without encoding the video again.
    #[arg(long, value_name = "K/N", conflicts_with_all = ["frames", "contact_sheet", "credentials"])]
    part: Option<Part>,
    #[command(flatten)]
    settings: ClipArgs,
    /// Replace an existing output
    #[arg(short, long)]
    force: bool,
    /// Check everything and print the plan, but write nothing
    ///
    /// With --verbose, also print where each setting came from.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Write a JSON report of the run, also if it fails
    ///
    /// docs/report.schema.json describes it. An earlier report is replaced. FILE may be a pipe, a device or - for stdout.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) report: Option<PathBuf>,
}

/// Settings that shape a clip and decide how it is computed.
#[derive(Debug, Args)]
pub(in crate::cli) struct ClipArgs {
    /// Model: an id, a folder, or a generator's .onnx file [default: the first in lipsync.yaml, else ada]
    ///
    /// An id is the model_id of a model in lipsync.yaml or of a bundled one. A folder holds generator.onnx and
    /// audio_encoder.onnx; next to a generator's file, audio_encoder.onnx is expected too.
    #[arg(short, long, value_name = "ID|PATH", env = "LIPSYNC_MODEL", hide_env = true, value_hint = ValueHint::AnyPath)]
    model: Option<PathBuf>,
    /// Presenter: a folder of numbered pictures, a picture or a video [default: the model's]
    #[arg(short, long, value_name = "DIR|VIDEO", env = "LIPSYNC_BACKGROUND", hide_env = true, value_hint = ValueHint::AnyPath)]
    background: Option<PathBuf>,
    /// Crop rectangles: a JSON file or a folder of landmark files [default: in or next to the background]
    #[arg(long, value_name = "FILE", env = "LIPSYNC_CROP_RECTS", hide_env = true, value_hint = ValueHint::AnyPath)]
    crop_rects: Option<PathBuf>,
    /// Order of the background frames [default: ping-pong]
    #[arg(long, value_enum, env = "LIPSYNC_ORDER", hide_env = true)]
    order: Option<Order>,
    /// First background frame, counted from 0 [default: 0]
    #[arg(long, value_name = "N", env = "LIPSYNC_START_FRAME", hide_env = true)]
    start_frame: Option<usize>,
    /// Frames per second, such as 24, 29.97 or 30000/1001 [default: 25]
    #[arg(long, value_name = "N[/D]", env = "LIPSYNC_FPS", hide_env = true)]
    fps: Option<FrameRate>,
    /// How the new mouth is pasted into the frame [default: seamless]
    #[arg(long, value_enum, env = "LIPSYNC_PASTE", hide_env = true)]
    paste: Option<Paste>,
    /// What the mouth does in silence [default: model]
    #[arg(long, value_enum, env = "LIPSYNC_SILENCE", hide_env = true)]
    silence: Option<Silence>,
    /// Render only the first SECONDS of the audio
    #[arg(long, value_name = "SECONDS", value_parser = request::seconds)]
    limit: Option<f64>,
    /// Which of several audio tracks: its number, from 0, or its language [default: the one that holds speech]
    ///
    /// A language is a code of two or three letters, such as `en` or `eng`. A warning says which track was chosen.
    #[arg(
        long,
        value_name = "N|LANG",
        env = "LIPSYNC_AUDIO_TRACK",
        hide_env = true
    )]
    audio_track: Option<TrackName>,
    /// Render what is there of an audio file that ends before its header says
    ///
    /// Without it, such a file is an error. Audio from a pipe, and WAV files with a size that stands for an unknown one, are
    /// always read to their end.
    #[arg(long, env = "LIPSYNC_ALLOW_TRUNCATED", hide_env = true, value_parser = FalseyValueParser::new())]
    allow_truncated: bool,
    /// Leave out the mark that the clip is AI-generated
    #[arg(long, env = "LIPSYNC_NO_MARK", hide_env = true, value_parser = FalseyValueParser::new())]
    no_mark: bool,
    /// Where to run the networks: auto, cpu, cuda, cuda:N, cuda:N,M or trt [default: auto]
    ///
    /// `auto` uses a GPU if it can, falls back to the CPU otherwise, and prints which and why. `cuda` and `trt` (TensorRT)
    /// fail if they cannot be used. `cuda:1` is the second GPU, `cuda:0,1` uses both.
    #[arg(
        long,
        value_name = "DEVICE",
        env = "LIPSYNC_DEVICE",
        hide_env = true,
        help_heading = "Compute options"
    )]
    device: Option<Device>,
    /// Numeric precision of the networks [default: exact]
    #[arg(
        long,
        value_enum,
        env = "LIPSYNC_PRECISION",
        hide_env = true,
        help_heading = "Compute options"
    )]
    precision: Option<Precision>,
    /// Frames per run of the generator, 1 to 256 [default: auto]
    ///
    /// It changes speed and memory use, not the pixels. If memory runs out, smaller batches are tried.
    #[arg(
        long,
        value_name = "auto|N",
        env = "LIPSYNC_BATCH",
        hide_env = true,
        help_heading = "Compute options"
    )]
    batch: Option<BatchSize>,
    /// CPU threads [default: all cores]
    #[arg(
        long,
        value_name = "N",
        env = "LIPSYNC_THREADS",
        hide_env = true,
        help_heading = "Compute options"
    )]
    threads: Option<NonZeroUsize>,
    /// Memory limit in GB (10^9 bytes) [default: 0.4, or 0.9 with large networks]
    ///
    /// What the networks and the encoder leave of it caches decoded backgrounds and the generator's work on them.
    #[arg(
        long,
        value_name = "GB",
        env = "LIPSYNC_MEMORY_LIMIT",
        hide_env = true,
        value_parser = request::gigabytes,
        help_heading = "Compute options"
    )]
    memory_limit: Option<f64>,
    /// Write the same bytes on every run on the same machine
    ///
    /// The bytes then do not depend on --threads and --batch either. H.264 files become about 2.5 times as large.
    #[arg(
        long,
        env = "LIPSYNC_DETERMINISTIC",
        hide_env = true,
        value_parser = FalseyValueParser::new(),
        help_heading = "Compute options"
    )]
    deterministic: bool,
    /// Video codec: h264, h265, av1, prores4444, or an FFmpeg encoder [default: h264, or av1 for .webm]
    ///
    /// prores4444 keeps the alpha channel. Encoders go by their FFmpeg names, such as h264_nvenc or libvpx-vp9.
    #[arg(
        long,
        value_name = "CODEC",
        env = "LIPSYNC_CODEC",
        hide_env = true,
        help_heading = "Encoding options"
    )]
    codec: Option<Codec>,
    /// Constant rate factor; lower means better quality and larger files [default: 18 for h264, 20 for h265, 24 for av1]
    #[arg(
        long,
        value_name = "N",
        env = "LIPSYNC_CRF",
        hide_env = true,
        help_heading = "Encoding options"
    )]
    crf: Option<u32>,
    /// Encoder preset: speed against file size [default: veryfast for h264 and h265, 10 for av1]
    #[arg(
        long,
        value_name = "P",
        env = "LIPSYNC_PRESET",
        hide_env = true,
        help_heading = "Encoding options"
    )]
    preset: Option<String>,
    /// Encode the audio at this bitrate in kbit/s, such as 128 or 128k [default: copy it, else 192]
    ///
    /// By default, the audio is copied without encoding if players play it from such a file, and encoded at 192 kbit/s
    /// otherwise: as AAC, in .webm as Opus.
    #[arg(
        long,
        value_name = "N",
        env = "LIPSYNC_AUDIO_BITRATE",
        hide_env = true,
        value_parser = request::kilobits,
        help_heading = "Encoding options"
    )]
    audio_bitrate: Option<u32>,
    /// Sign the clip with Content Credentials (C2PA), using this PEM certificate chain
    ///
    /// The signer's own certificate comes first. The clip must be .mp4 or .mov.
    #[cfg(feature = "credentials")]
    #[arg(long, value_name = "CERT", requires = "key", value_hint = ValueHint::FilePath, help_heading = "Encoding options")]
    credentials: Option<PathBuf>,
    /// Private key of the signer's certificate: unencrypted PKCS#8 in PEM (EC, RSA or Ed25519)
    #[cfg(feature = "credentials")]
    #[arg(long, value_name = "KEY", requires = "credentials", value_hint = ValueHint::FilePath, help_heading = "Encoding options")]
    key: Option<PathBuf>,
    #[cfg(not(feature = "credentials"))]
    #[arg(long, hide = true, value_parser = without_credentials)]
    credentials: Option<Never>,
    #[cfg(not(feature = "credentials"))]
    #[arg(long, hide = true, value_parser = without_credentials)]
    key: Option<Never>,
}

/// The type of options that no value can be parsed for.
#[cfg(not(feature = "credentials"))]
#[derive(Debug, Clone)]
enum Never {}

#[cfg(not(feature = "credentials"))]
fn without_credentials(_: &str) -> Result<Never, String> {
    Err("this build has no Content Credentials; build with `cargo build --release --features credentials`".into())
}

impl RenderArgs {
    /// The request, with the origin of each setting. `matches` are those that `self` was parsed from.
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
    /// The request for all clips, with the origin of each setting. `matches` are those that `self` was parsed from.
    pub(in crate::cli) fn into_request(self, matches: &ArgMatches) -> Request {
        let origins = Origins(matches);
        Request {
            model: origins.setting("model", self.model),
            background: origins.setting("background", self.background),
            crop_rects: origins.setting("crop_rects", self.crop_rects),
            order: origins.setting("order", self.order),
            start_frame: origins.setting("start_frame", self.start_frame),
            fps: origins.setting("fps", self.fps),
            paste: origins.setting("paste", self.paste),
            silence: origins.setting("silence", self.silence),
            limit: self.limit,
            audio_track: origins.setting("audio_track", self.audio_track),
            allow_truncated: origins.setting("allow_truncated", Some(self.allow_truncated)),
            device: origins.setting("device", self.device),
            precision: origins.setting("precision", self.precision),
            batch: origins.setting("batch", self.batch),
            threads: origins.setting("threads", self.threads),
            memory_limit: origins.setting("memory_limit", self.memory_limit),
            deterministic: origins.setting("deterministic", Some(self.deterministic)),
            codec: origins.setting("codec", self.codec),
            crf: origins.setting("crf", self.crf),
            preset: origins.setting("preset", self.preset),
            audio_kilobits: origins.setting("audio_bitrate", self.audio_bitrate),
            no_mark: origins.setting("no_mark", Some(self.no_mark)),
            #[cfg(feature = "credentials")]
            signer: origins.setting(
                "credentials",
                self.credentials
                    .zip(self.key)
                    .map(|(certificates, key)| SignerFiles { certificates, key }),
            ),
            ..Request::default()
        }
    }
}

/// Where each argument came from: the command line, the environment, or neither.
struct Origins<'a>(&'a ArgMatches);

impl Origins<'_> {
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
