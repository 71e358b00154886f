//! A video file -> what its header says.

use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::addr_of;

use anyhow::Result;
use ff::codec::Context;
use ff::decoder;
use ff::format::context::Input;
use ff::format::pixel::Descriptor;
use ff::format::stream::{Disposition, Stream};
use ff::media::Type;
use ff::{Dictionary, color};
use ffmpeg_next as ff;

use super::super::other_pictures::OtherFormat;
use super::colour_tags::ColourTags;
use super::display_matrix::{self, DisplayMatrix};
use super::planes::PlaneLayout;
use super::preparation::{FieldOrder, Preparation};
use crate::error::{Fault, plain_io};
use crate::ffmpeg;
use crate::files::misnamed;
use crate::image::Size;

/// Threads per decoder. More need memory, and are seldom faster than the stages that follow.
const DECODER_THREADS: usize = 4;

/// A video file whose header was read. Names of formats are those of FFmpeg.
#[derive(Debug, Clone)]
pub struct VideoFile {
    pub(super) path: PathBuf,
    /// Index of the video stream.
    pub(super) stream: usize,
    /// Start of the stream, in its time base.
    pub(super) start: i64,
    pub(super) display_matrix: DisplayMatrix,
    /// Layout of the planes, if they can be copied as they are.
    pub(super) layout: Option<PlaneLayout>,
    /// Size of a stored frame.
    pub(super) stored: Size,
    pub(super) tags: ColourTags,
    /// What is done to the frames.
    pub(super) preparation: Preparation,
    /// Order of the fields that the container states; None for progressive video.
    pub(crate) field_order: Option<FieldOrder>,
    /// Size of an upright frame.
    pub size: Size,
    /// Mean frame rate.
    pub frame_rate: Option<f64>,
    /// Length in seconds.
    pub seconds: Option<f64>,
    /// Number of frames, if the file states it.
    pub frames: Option<u64>,
    /// FFmpeg's names of the container: `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Name of the codec: `h264`.
    pub codec: &'static str,
    /// Name of the pixel format: `yuv420p`.
    pub pixel_format: Option<&'static str>,
    /// `tv` (limited) or `pc` (full).
    pub range: Option<&'static str>,
    /// Colour matrix: `bt709`.
    pub matrix: Option<&'static str>,
    /// Transfer characteristic: `bt709`, `smpte2084`.
    pub transfer: Option<&'static str>,
    /// Width of a stored pixel divided by its height.
    pub pixel_aspect: f64,
    /// Number of video streams, without covers.
    pub(crate) streams: usize,
    /// Whether there is an audio track.
    pub has_audio: bool,
}

impl VideoFile {
    /// Reads the header of `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let input = open_input(path)?;
        let stream = video_stream(&input).ok_or_else(|| {
            unreadable(path)
                .because("it has no video stream")
                .hint("name a video, or a folder of numbered JPEG or PNG frames")
        })?;
        let decoder = open_decoder(path, &stream)?;
        let display_matrix = display_matrix::of(&stream).ok_or_else(|| {
            unreadable(path)
                .because("it is rotated by an angle that is not a multiple of 90 degrees")
                .hint("encode it again with ffmpeg, which rotates the frames")
        })?;
        let tags = ColourTags::of_stream(&decoder);
        let stored = Size {
            width: decoder.width(),
            height: decoder.height(),
        };
        if stored.width == 0 || stored.height == 0 {
            return Err(unreadable(path)
                .because("its header does not state the frame size")
                .hint("the file looks damaged; export it again")
                .into());
        }
        Ok(Self {
            path: path.to_owned(),
            stream: stream.index(),
            start: known_time(stream.start_time()).unwrap_or(0),
            display_matrix,
            layout: PlaneLayout::of(decoder.format()),
            stored,
            tags,
            preparation: Preparation::default(),
            field_order: FieldOrder::from_number(field_order(&decoder)),
            size: display_matrix.display_size(stored),
            frame_rate: Some(f64::from(stream.avg_frame_rate())).filter(|r| r.is_normal()),
            seconds: seconds(&input, &stream),
            frames: u64::try_from(stream.frames()).ok().filter(|&n| n > 0),
            container: input.format().name().to_owned(),
            codec: decoder.id().name(),
            pixel_format: decoder.format().descriptor().map(Descriptor::name),
            range: tags.range.name(),
            matrix: tags.space.name(),
            transfer: tags.transfer.name(),
            pixel_aspect: pixel_aspect(&stream, &decoder),
            streams: video_streams(&input).count(),
            has_audio: input.streams().best(Type::Audio).is_some(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The planes in which the frames of both files can be compared as they are stored: `Y U V`. None if the files
    /// store them differently.
    pub fn comparable_planes(&self, other: &Self) -> Option<String> {
        let layout = self.layout?;
        let alike = self.layout == other.layout
            && [self.display_matrix, other.display_matrix] == [DisplayMatrix::IDENTITY; 2]
            && self.is_full_range() == other.is_full_range();
        alike.then(|| layout.plane_names())
    }

    pub(super) fn is_full_range(&self) -> bool {
        let old_name = self.pixel_format.is_some_and(|n| n.starts_with("yuvj"));
        old_name || self.range == color::Range::JPEG.name()
    }

    /// Whether the transfer characteristic is that of HDR (PQ or HLG), which looks pale without tone mapping.
    pub fn is_hdr(&self) -> bool {
        [
            color::TransferCharacteristic::SMPTE2084,
            color::TransferCharacteristic::ARIB_STD_B67,
        ]
        .iter()
        .any(|transfer| self.transfer.is_some() && self.transfer == transfer.name())
    }

    /// Whether each packet is one frame with a timestamp. VP8 has packets that are never shown; AVI has no timestamps.
    pub(super) fn has_one_packet_per_frame(&self) -> bool {
        let containers = ["mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"];
        let codecs = [
            "h264", "hevc", "av1", "vp9", "prores", "dnxhd", "ffv1", "mjpeg", "png", "qtrle",
        ];
        containers.contains(&self.container.as_str()) && codecs.contains(&self.codec)
    }
}

/// Starts an error about a video file.
pub(super) fn unreadable(path: &Path) -> Fault {
    Fault::failed(format!("cannot read video `{}`", path.display()))
}

/// Opens a local file: no URL, and no playlist that leads to one.
pub(super) fn open_input(path: &Path) -> Result<Input> {
    ffmpeg::init()?;
    let metadata = fs::metadata(path).map_err(|e| unreadable(path).because(plain_io(&e)))?;
    if !metadata.is_file() {
        return Err(unreadable(path).because("it is not a file").into());
    }
    if metadata.len() == 0 {
        return Err(unreadable(path)
            .because("the file is empty (0 bytes)")
            .hint("record or export it again")
            .into());
    }
    if let Some(heic) = OtherFormat::of_file(path).filter(|format| format.is_heic()) {
        return Err(not_read(path, heic).into());
    }
    let mut options = Dictionary::new();
    options.set("protocol_whitelist", "file");
    Ok(ffmpeg::open::input(path, options).map_err(|e| unknown_format(path, e))?)
}

fn unknown_format(path: &Path, error: ff::Error) -> Fault {
    if let Some(format) = OtherFormat::of_file(path) {
        return not_read(path, format);
    }
    let fault = unreadable(path)
        .because(format!("FFmpeg cannot open it: {error}"))
        .hint("name a video, or a folder of numbered JPEG or PNG frames");
    misnamed::explain(fault, path)
}

/// The error about a picture that FFmpeg does not read.
fn not_read(path: &Path, format: OtherFormat) -> Fault {
    unreadable(path)
        .because(format!(
            "it is a picture in {}, which is not read",
            format.name
        ))
        .hint(format!("convert it: {}", format.command(path)))
}

/// The video streams; neither covers nor text files that FFmpeg would draw.
fn video_streams(input: &Input) -> impl Iterator<Item = Stream<'_>> {
    input.streams().filter(|stream| {
        let parameters = stream.parameters();
        let cover = stream.disposition().contains(Disposition::ATTACHED_PIC);
        parameters.medium() == Type::Video && !cover && parameters.id() != ff::codec::Id::ANSI
    })
}

/// The video stream that FFmpeg would choose, unless that is a cover; else the first one.
pub(crate) fn video_stream(input: &Input) -> Option<Stream<'_>> {
    let best = input.streams().best(Type::Video).map(|best| best.index());
    let chosen = video_streams(input).find(|stream| Some(stream.index()) == best);
    chosen.or_else(|| video_streams(input).next())
}

/// Opens the decoder of a stream.
pub(super) fn open_decoder(path: &Path, stream: &Stream<'_>) -> Result<decoder::Video> {
    let parameters = stream.parameters();
    let id = parameters.id();
    let open = || -> Result<decoder::Video, ff::Error> {
        let mut context = Context::from_parameters(parameters)?;
        let mut threads = ff::threading::Config::kind(ff::threading::Type::Frame);
        threads.count = DECODER_THREADS;
        context.set_threading(threads);
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(stream.time_base());
        match alpha_decoder(stream, id) {
            Some(codec) => decoder.open_as(codec)?.video(),
            None => decoder.video(),
        }
    };
    Ok(open().map_err(|e| {
        let why = format!("this FFmpeg cannot decode {}: {e}", id.name());
        unreadable(path)
            .because(why)
            .hint("convert it to H.264 on a machine that can decode it")
    })?)
}

/// The decoder for WebM with transparency, which is in a second layer that only libvpx decodes.
fn alpha_decoder(stream: &Stream<'_>, id: ff::codec::Id) -> Option<ff::Codec> {
    if stream.metadata().get("alpha_mode") != Some("1") {
        return None;
    }
    match id {
        ff::codec::Id::VP8 => decoder::find_by_name("libvpx"),
        ff::codec::Id::VP9 => decoder::find_by_name("libvpx-vp9"),
        _ => None,
    }
}

/// The duration of the stream, or else of the file.
fn seconds(input: &Input, stream: &Stream<'_>) -> Option<f64> {
    let of_stream = known_time(stream.duration()).map(|d| d as f64 * f64::from(stream.time_base()));
    let of_file = known_time(input.duration()).map(|d| d as f64 / f64::from(ff::ffi::AV_TIME_BASE));
    of_stream.or(of_file).filter(|&s| s > 0.0)
}

/// Width of a stored pixel divided by its height: the container's if it states one, else the codec's.
fn pixel_aspect(stream: &Stream<'_>, decoder: &decoder::Video) -> f64 {
    let stated = [stream_aspect(stream), decoder.aspect_ratio()];
    let known = stated.into_iter().find(|a| a.0 > 0 && a.1 > 0);
    known.map_or(1.0, f64::from)
}

#[expect(unsafe_code, reason = "the wrapper has no aspect ratio of a stream")]
fn stream_aspect(stream: &Stream<'_>) -> ff::Rational {
    // SAFETY: the stream is live, and the field is a pair of plain numbers.
    unsafe { (*stream.as_ptr()).sample_aspect_ratio }.into()
}

#[expect(unsafe_code, reason = "the wrapper has no field order")]
fn field_order(decoder: &decoder::Video) -> i32 {
    // SAFETY: the context is live. The field is a C enum of the size of an `i32`, and any bits are a valid `i32`.
    unsafe {
        addr_of!((*decoder.as_ptr()).field_order)
            .cast::<i32>()
            .read()
    }
}

/// A timestamp, unless it is unknown.
fn known_time(time: i64) -> Option<i64> {
    (time != ff::ffi::AV_NOPTS_VALUE).then_some(time)
}
