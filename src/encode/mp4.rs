//! Frames and the input's own sound -> H.264 + AAC in MP4, through FFmpeg.

use std::path::Path;

use anyhow::{Context as _, Result};
use ff::codec::encoder::Encoder;
use ff::format::context::Output;
use ff::{ChannelLayout, Dictionary, Packet, Rational, codec, color, encoder, format, frame};
use ffmpeg_next as ff;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    rgb_to_yuv420,
};

use super::FrameSink;
use crate::audio::{Sound, SoundReader};
use crate::error::Fault;
use crate::frame::{Picture, Size};
use crate::output::{Part, Target};

/// Constant rate factor of x264: visually lossless, about 45 dB on the bundled presenter.
const CRF: &str = "18";
/// On real footage the slower presets made no smaller file at this rate factor, at half the speed.
const PRESET: &str = "veryfast";
/// Bits a second for the sound, where its rate and channels can use so many.
const AUDIO_BITS: usize = 192_000;
/// Bits of an AAC frame for each channel, at most (ISO/IEC 14496-3, 4.5.1.1).
const AAC_FRAME_BITS: usize = 6144;
/// Samples of each channel in an AAC frame.
const AAC_FRAME: usize = 1024;
/// Sample rates that AAC knows, Hz (ISO/IEC 14496-3, table 1.18).
const AAC_RATES: [u32; 13] = [
    7350, 8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200,
    96_000,
];

/// What the clip is to be.
#[derive(Debug, Clone, Copy)]
pub struct Mp4Spec {
    /// Size of the frames; odd sizes are padded by one replicated row or column.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
    /// Frames in the clip.
    pub frames: u64,
    /// Threads of the video encoder.
    pub threads: usize,
}

/// An MP4 that is being written.
pub struct Mp4 {
    // Before `part`, so that FFmpeg closes the file before it is moved or removed.
    muxer: Output,
    video: VideoTrack,
    audio: AudioTrack,
    spec: Mp4Spec,
    seconds: f64,
    part: Part,
}

impl Mp4 {
    /// Starts a clip at `target` with the sound of `sound`.
    pub fn create(target: Target, spec: Mp4Spec, sound: &Sound) -> Result<Self> {
        ff::init()?;
        ff::log::set_level(ff::log::Level::Fatal);
        let shown = target.path.display().to_string();
        let part = target.begin()?;
        if part.path().to_str().is_none() {
            return Err(Fault::failed(format!(
                "cannot write `{shown}`: FFmpeg takes only paths in UTF-8"
            ))
            .hint("rename the folder or the file, or choose another place with -o")
            .into());
        }
        let mut muxer = format::output_as(part.path(), "mp4")
            .with_context(|| format!("cannot write `{shown}`"))?;
        let mut video = VideoTrack::add(&mut muxer, spec)?;
        let mut audio = AudioTrack::add(&mut muxer, sound)?;
        let mut options = Dictionary::new();
        options.set("movflags", "+faststart");
        muxer.write_header_with(options)?;
        // The muxer chooses its own time bases.
        for track in [&mut video.track, &mut audio.track] {
            if let Some(stream) = muxer.stream(track.stream) {
                track.muxer_base = stream.time_base();
            }
        }
        Ok(Self {
            muxer,
            video,
            audio,
            spec,
            seconds: sound.seconds(),
            part,
        })
    }
}

impl FrameSink for Mp4 {
    fn write(&mut self, frame: &Picture) -> Result<()> {
        // Sound first, so that the muxer never holds back pictures to interleave them.
        let until = (self.video.next + 1) as f64 / f64::from(self.spec.fps);
        self.audio.write_until(&mut self.muxer, until)?;
        self.video.write(&mut self.muxer, frame)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.audio.write_until(&mut self.muxer, f64::INFINITY)?;
        self.video.track.finish(&mut self.muxer)?;
        self.audio.track.finish(&mut self.muxer)?;
        self.muxer
            .write_trailer()
            .context("cannot finish the clip")?;
        let Self {
            muxer,
            part,
            spec,
            seconds,
            ..
        } = *self;
        drop(muxer);
        verify(part.path(), spec, seconds).map_err(|e| {
            Fault::failed("the written clip is not what it should be, so it was not kept")
                .because(e)
        })?;
        part.commit()
    }
}

/// An encoder and its stream.
struct Track {
    encoder: Encoder,
    stream: usize,
    /// Time base of the frames that go in.
    base: Rational,
    /// Time base of the packets in the file.
    muxer_base: Rational,
}

impl Track {
    /// Gives an opened encoder its stream in the file.
    fn add(muxer: &mut Output, codec: ff::Codec, encoder: Encoder, base: Rational) -> Result<Self> {
        let mut stream = muxer.add_stream(codec)?;
        stream.set_parameters(&encoder);
        stream.set_time_base(base);
        Ok(Self {
            stream: stream.index(),
            encoder,
            base,
            muxer_base: base,
        })
    }

    /// Moves finished packets from the encoder to the file.
    fn drain(&mut self, muxer: &mut Output) -> Result<()> {
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {
                    packet.set_stream(self.stream);
                    packet.rescale_ts(self.base, self.muxer_base);
                    packet
                        .write_interleaved(muxer)
                        .context("cannot write to the clip")?;
                }
                Err(ff::Error::Eof) => return Ok(()),
                Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => return Ok(()),
                Err(e) => return Err(e).context("the encoder failed"),
            }
        }
    }

    fn send(&mut self, muxer: &mut Output, frame: &ff::Frame) -> Result<()> {
        self.encoder
            .send_frame(frame)
            .context("the encoder refused a frame")?;
        self.drain(muxer)
    }

    fn finish(&mut self, muxer: &mut Output) -> Result<()> {
        self.encoder.send_eof().context("the encoder failed")?;
        self.drain(muxer)
    }
}

struct VideoTrack {
    track: Track,
    next: u64,
    /// The frame with a replicated last row or column, if its size is odd.
    padded: Picture,
}

impl VideoTrack {
    fn add(muxer: &mut Output, spec: Mp4Spec) -> Result<Self> {
        let codec = find_encoder("libx264", "H.264")?;
        let base = Rational(1, spec.fps as i32);
        let mut video = codec::context::Context::new_with_codec(codec)
            .encoder()
            .video()?;
        video.set_width(spec.size.width.next_multiple_of(2));
        video.set_height(spec.size.height.next_multiple_of(2));
        video.set_format(format::Pixel::YUV420P);
        video.set_time_base(base);
        video.set_frame_rate(Some(base.invert()));
        video.set_colorspace(color::Space::BT709);
        video.set_color_range(color::Range::MPEG);
        video.set_color_primaries(color::Primaries::BT709);
        video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        if muxer
            .format()
            .flags()
            .contains(format::Flags::GLOBAL_HEADER)
        {
            video.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let mut options = Dictionary::new();
        options.set("preset", PRESET);
        options.set("crf", CRF);
        options.set("threads", &spec.threads.to_string());
        let encoder = video
            .open_with(options)
            .context("cannot start the H.264 encoder")?;
        let track = Track::add(muxer, codec, encoder.0.0, base)?;
        if let Some(mut stream) = muxer.stream_mut(track.stream) {
            stream.set_avg_frame_rate(base.invert());
        }
        Ok(Self {
            track,
            next: 0,
            padded: Picture::default(),
        })
    }

    fn write(&mut self, muxer: &mut Output, picture: &Picture) -> Result<()> {
        let even = picture.width.is_multiple_of(2) && picture.height.is_multiple_of(2);
        let picture = if even {
            picture
        } else {
            pad_to_even(picture, &mut self.padded);
            &self.padded
        };
        let mut frame = to_yuv420(picture)?;
        frame.set_pts(Some(self.next as i64));
        self.next += 1;
        self.track.send(muxer, &frame)
    }
}

struct AudioTrack {
    track: Track,
    reader: SoundReader,
    rate: u32,
    layout: ChannelLayout,
    /// Interleaved samples that wait for a whole AAC frame.
    waiting: Vec<f32>,
    /// Samples of each channel that were sent.
    sent: u64,
    ended: bool,
}

impl AudioTrack {
    fn add(muxer: &mut Output, sound: &Sound) -> Result<Self> {
        let codec = find_encoder("aac", "AAC")?;
        let rate = AAC_RATES
            .into_iter()
            .find(|&r| r >= sound.rate)
            .unwrap_or(96_000);
        let base = Rational(1, rate as i32);
        let layout = ChannelLayout::default(i32::from(sound.channels));
        let most = AAC_FRAME_BITS * usize::from(sound.channels) * rate as usize / AAC_FRAME;
        let mut audio = codec::context::Context::new_with_codec(codec)
            .encoder()
            .audio()?;
        audio.set_rate(rate as i32);
        audio.set_channel_layout(layout);
        audio.set_format(format::Sample::F32(format::sample::Type::Planar));
        audio.set_bit_rate(AUDIO_BITS.min(most));
        audio.set_time_base(base);
        if muxer
            .format()
            .flags()
            .contains(format::Flags::GLOBAL_HEADER)
        {
            audio.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let encoder = audio.open().with_context(|| {
            format!(
                "cannot start the AAC encoder for {} channels at {rate} Hz",
                sound.channels
            )
        })?;
        Ok(Self {
            track: Track::add(muxer, codec, encoder.0.0, base)?,
            reader: sound.reader(rate)?,
            rate,
            layout,
            waiting: Vec::new(),
            sent: 0,
            ended: false,
        })
    }

    /// Encodes sound until `seconds` are covered, or to its end.
    fn write_until(&mut self, muxer: &mut Output, seconds: f64) -> Result<()> {
        let channels = self.layout.channels() as usize;
        while (self.sent as f64) < seconds * f64::from(self.rate) {
            while !self.ended && self.waiting.len() < AAC_FRAME * channels {
                self.ended = !self.reader.read(&mut self.waiting)?;
            }
            let samples = AAC_FRAME.min(self.waiting.len() / channels);
            if samples == 0 {
                return Ok(());
            }
            let mut frame = frame::Audio::new(
                format::Sample::F32(format::sample::Type::Planar),
                samples,
                self.layout,
            );
            frame.set_rate(self.rate);
            frame.set_pts(Some(self.sent as i64));
            for channel in 0..channels {
                let from = self.waiting.iter().skip(channel).step_by(channels);
                for (to, from) in frame.plane_mut::<f32>(channel).iter_mut().zip(from) {
                    *to = *from;
                }
            }
            self.waiting.drain(..samples * channels);
            self.sent += samples as u64;
            self.track.send(muxer, &frame)?;
        }
        Ok(())
    }
}

fn find_encoder(name: &str, what: &str) -> Result<ff::Codec> {
    Ok(encoder::find_by_name(name).ok_or_else(|| {
        Fault::machine(format!(
            "FFmpeg on this machine has no {what} encoder ({name})"
        ))
        .hint("install a full build of FFmpeg: apt install libavcodec-extra")
    })?)
}

/// Copies `picture` with its last column and row repeated where their number is odd.
fn pad_to_even(picture: &Picture, padded: &mut Picture) {
    padded.width = picture.width.next_multiple_of(2);
    padded.height = picture.height.next_multiple_of(2);
    padded.pixels.clear();
    for y in 0..padded.height {
        let row =
            &picture.pixels[y.min(picture.height - 1) * picture.width * 3..][..picture.width * 3];
        padded.pixels.extend_from_slice(row);
        if padded.width > picture.width {
            padded.pixels.extend_from_slice(&row[row.len() - 3..]);
        }
    }
}

/// R G B, full range -> Y U V 4:2:0, BT.709, limited range; even sizes.
fn to_yuv420(picture: &Picture) -> Result<frame::Video> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let mut frame = frame::Video::new(format::Pixel::YUV420P, width, height);
    let strides = [0, 1, 2].map(|plane| frame.stride(plane));
    let mut planes = [0, 1, 2].map(|plane| {
        let rows = if plane == 0 { height } else { height / 2 } as usize;
        vec![0_u8; strides[plane] * rows]
    });
    let [y, u, v] = &mut planes;
    let mut image = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: strides[0] as u32,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: strides[1] as u32,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: strides[2] as u32,
        width,
        height,
    };
    rgb_to_yuv420(
        &mut image,
        &picture.pixels,
        width * 3,
        YuvRange::Limited,
        YuvStandardMatrix::Bt709,
        YuvConversionMode::Balanced,
    )?;
    for (plane, data) in planes.iter().enumerate() {
        frame.data_mut(plane)[..data.len()].copy_from_slice(data);
    }
    Ok(frame)
}

/// Opens the finished file again and compares it with what was asked for.
fn verify(path: &Path, spec: Mp4Spec, seconds: f64) -> Result<()> {
    let input = format::input(path).context("it cannot be opened again")?;
    let find = |medium, id: codec::Id| {
        let stream = input.streams().best(medium);
        stream
            .filter(|s| s.parameters().id() == id)
            .with_context(|| format!("it has no {} stream", id.name()))
    };
    let video = find(ff::media::Type::Video, codec::Id::H264)?;
    let audio = find(ff::media::Type::Audio, codec::Id::AAC)?;
    anyhow::ensure!(
        video.frames() == spec.frames as i64,
        "it has {} frames instead of {}",
        video.frames(),
        spec.frames
    );
    for (stream, what) in [(video, "picture"), (audio, "sound")] {
        let lasts = stream.duration() as f64 * f64::from(stream.time_base());
        anyhow::ensure!(
            (lasts - seconds).abs() <= 1.0 / f64::from(spec.fps) + 1e-3,
            "its {what} lasts {lasts:.3} s instead of {seconds:.3} s"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_repeat_their_last_row_and_column() {
        let picture = Picture {
            width: 1,
            height: 3,
            pixels: vec![1, 2, 3, 4, 5, 6, 7, 8, 9],
        };
        let mut padded = Picture::default();
        pad_to_even(&picture, &mut padded);
        assert_eq!((padded.width, padded.height), (2, 4));
        assert_eq!(
            padded.pixels,
            [
                1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9
            ]
        );
    }

    #[test]
    fn colours_become_bt709_limited() {
        // ITU-R BT.709-6: Y = 16 + 219 (0.2126 R + 0.7152 G + 0.0722 B), C = 128 + 224 C'.
        for (rgb, yuv) in [
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
        ] {
            let picture = Picture {
                width: 16,
                height: 16,
                pixels: rgb.repeat(256),
            };
            let frame = to_yuv420(&picture).unwrap();
            for (plane, want) in yuv.into_iter().enumerate() {
                let got = frame.data(plane)[0];
                assert!(
                    got.abs_diff(want) <= 1,
                    "{rgb:?}: plane {plane} is {got}, not {want}"
                );
            }
        }
    }
}
