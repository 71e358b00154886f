//! The parts of a clip -> the clip: the packets of their pictures as they are, and the sound of the whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ff::codec::Parameters;
use ff::format::context::{Input, StreamIo};
use ff::{Dictionary, Packet, Rational, Rescale, codec, encoder, format, media};
use ffmpeg_next as ff;

use super::audio::AudioTrack;
use super::clip::ClipAudio;
use super::codec::VideoEncoder;
use super::container::Container;
use super::mark::Mark;
use super::package::{Package, PackageSpec};
use super::part_tag::PartTag;
use super::track::plain;
use super::video::tag_hvc1;
use crate::audio::AudioFile;
use crate::cancel::Cancel;
#[cfg(feature = "credentials")]
use crate::encode::credentials::Signer;
use crate::encode::segment::Part;
use crate::error::{Fault, plain_io};
use crate::output::Target;
use crate::timeline::FrameIndex;

/// A rendered part of a clip.
pub(crate) struct PartFile {
    path: PathBuf,
    tag: PartTag,
    input: Input,
    /// The stream of its pictures, and the time base of that.
    stream: usize,
    base: Rational,
}

impl PartFile {
    /// Opens a part and reads what it says of itself.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        crate::ffmpeg::init()?;
        let unreadable = || Fault::failed(format!("cannot read `{}`", path.display()));
        let file = File::open(path).map_err(|e| unreadable().because(plain_io(&e)))?;
        let mut options = Dictionary::new();
        options.set("protocol_whitelist", "none");
        let input = format::input_from_stream(
            StreamIo::from_read_seek(file)?,
            Some("part.mp4"),
            Some(options),
        )
        .map_err(|e| {
            unreadable()
                .because(format!("FFmpeg cannot open it: {e}"))
                .hint("render the part again")
        })?;
        let tag = PartTag::read(&input.metadata());
        let video = input.streams().best(media::Type::Video);
        let Some((tag, (stream, base))) =
            tag.zip(video.map(|stream| (stream.index(), stream.time_base())))
        else {
            return Err(
                Fault::failed(format!("`{}` is not a part of a clip", path.display()))
                    .hint("parts are what `lipsync render --part K/N` writes")
                    .into(),
            );
        };
        Ok(Self {
            path: path.to_owned(),
            tag,
            input,
            stream,
            base,
        })
    }

    fn parameters(&self) -> Result<Parameters> {
        match self.input.stream(self.stream) {
            Some(stream) => Ok(stream.parameters().clone()),
            None => Err(self.damaged("its pictures vanished").into()),
        }
    }

    /// The next packet of the pictures; false at the end.
    fn next(&mut self, packet: &mut Packet) -> Result<bool> {
        loop {
            *packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => return Ok(true),
                Ok(()) => {}
                Err(ff::Error::Eof) => return Ok(false),
                Err(e) => return Err(self.damaged(&e.to_string()).into()),
            }
        }
    }

    fn damaged(&self, why: &str) -> Fault {
        Fault::failed(format!("part `{}` is damaged", self.path.display()))
            .because(why)
            .hint("render it again")
    }
}

/// All parts of one clip, in order.
pub(crate) struct Parts(Vec<PartFile>);

impl Parts {
    /// Puts parts in order. Fails if one is missing, there twice, or of another clip.
    pub(crate) fn sorted(mut parts: Vec<PartFile>) -> Result<Self> {
        parts.sort_by_key(|part| part.tag.part);
        let Some((first, others)) = parts.split_first() else {
            return Err(Fault::usage("there are no parts to join").into());
        };
        for other in others {
            if let Some(why) = difference(first, other)? {
                return Err(Fault::failed(format!(
                    "`{}` and `{}` are not parts of one clip",
                    first.path.display(),
                    other.path.display()
                ))
                .because(why)
                .hint("render all parts of a clip with the same files and settings")
                .into());
            }
        }
        let twice = |pair: &&[PartFile]| pair[0].tag.part == pair[1].tag.part;
        if let Some([a, b]) = parts.windows(2).find(twice) {
            return Err(Fault::failed(format!(
                "part {} is there twice: `{}` and `{}`",
                a.tag.place(),
                a.path.display(),
                b.path.display()
            ))
            .hint("name each part once")
            .into());
        }
        let of = first.tag.of;
        let is_there = |index| {
            parts
                .binary_search_by_key(&index, |part| part.tag.part)
                .is_ok()
        };
        if let Some(index) = (0..of).find(|index| !is_there(*index)) {
            let missing = of - parts.len() as u64;
            let missing = match missing {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            return Err(
                Fault::failed(format!("part {} is missing{missing}", Part { index, of }))
                    .hint("render it with --part, and name all parts")
                    .into(),
            );
        }
        for part in &parts {
            let tag = &part.tag;
            let frames = tag.place().frames(tag.clip_frames)?;
            if (frames.start, frames.end - frames.start) != (tag.first, tag.frames) {
                return Err(part.damaged("its tag contradicts itself").into());
            }
        }
        Ok(Self(parts))
    }

    /// What the parts have in common is that of the first.
    pub(crate) fn tag(&self) -> &PartTag {
        &self.0[0].tag
    }

    /// Fails if `container` cannot hold their pictures.
    pub(crate) fn fit_into(&self, container: Container) -> Result<()> {
        let first = &self.0[0];
        match VideoEncoder::named(&first.tag.encoder) {
            Some(encoder) => container.check(encoder),
            None => Err(first
                .damaged("it names an encoder that nobody knows")
                .into()),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Why two parts cannot be of one clip, if there is a reason.
fn difference(one: &PartFile, other: &PartFile) -> Result<Option<String>> {
    let (a, b) = (&one.tag, &other.tag);
    let pairs = [
        ("number of parts", a.of.to_string(), b.of.to_string()),
        (
            "clip's length in frames",
            a.clip_frames.to_string(),
            b.clip_frames.to_string(),
        ),
        ("encoder", a.encoder.clone(), b.encoder.clone()),
        ("fps", a.fps.to_string(), b.fps.to_string()),
        ("lipsync version", a.version.clone(), b.version.clone()),
    ];
    let differ = |what: &str, a: &str, b: &str| format!("their {what} differs: {a} and {b}");
    if let Some((what, a, b)) = pairs.iter().find(|(_, a, b)| a != b) {
        return Ok(Some(differ(what, a, b)));
    }
    if a.sound.content != b.sound.content {
        return Ok(Some(differ("sound", &a.sound.path, &b.sound.path)));
    }
    let none = &String::new();
    let names = a.made_of.keys().chain(b.made_of.keys());
    for name in names {
        let [a, b] = [a, b].map(|tag| tag.made_of.get(name).unwrap_or(none));
        if a != b {
            return Ok(Some(differ(name, a, b)));
        }
    }
    let same = (&a.mark, a.deterministic, &a.sound.limit, a.sound.bits)
        == (&b.mark, b.deterministic, &b.sound.limit, b.sound.bits);
    if !same {
        return Ok(Some("their settings for mark or sound differ".into()));
    }
    let decoded_alike = are_alike(&one.parameters()?, &other.parameters()?);
    Ok((!decoded_alike).then(|| {
        "their encoders describe the pictures differently: they are not of one version".into()
    }))
}

/// Whether a decoder that was set up for one stream reads the other.
#[expect(unsafe_code, reason = "the crate does not give a stream's extradata")]
fn are_alike(a: &Parameters, b: &Parameters) -> bool {
    let extradata = |parameters: &Parameters| {
        // SAFETY: the parameters are borrowed; `extradata` is null or points to `extradata_size` bytes that are theirs.
        unsafe {
            let parameters = &*parameters.as_ptr();
            let len = usize::try_from(parameters.extradata_size).unwrap_or(0);
            if parameters.extradata.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(parameters.extradata, len).to_vec()
            }
        }
    };
    a.id() == b.id() && extradata(a) == extradata(b)
}

/// Where a joined clip goes, and what is in it beside the parts' pictures.
pub(crate) struct JoinSpec<'a> {
    /// Its place.
    pub target: Target,
    /// The kind of file.
    pub container: Container,
    /// The whole clip's sound.
    pub sound: &'a AudioFile,
    /// Who signs it.
    #[cfg(feature = "credentials")]
    pub signer: Option<Signer>,
}

/// Writes the clip, and tells how its sound is written. `progress` gets the number of frames written so far.
pub(crate) fn join(
    parts: Parts,
    spec: JoinSpec<'_>,
    cancel: &Cancel,
    mut progress: impl FnMut(u64),
) -> Result<ClipAudio> {
    let tag = parts.tag().clone();
    let base = Rational(tag.fps.den as i32, tag.fps.num as i32);
    let parameters = parts.0[0].parameters()?;
    let codec_id = parameters.id();
    let mut package = Package::open(
        spec.target,
        PackageSpec {
            container: spec.container,
            fps: tag.fps,
            frames: tag.clip_frames,
            seconds: spec.sound.seconds(),
            deterministic: tag.deterministic,
            mark: tag.mark.clone().map(|model| Mark { model }),
            part: None,
            #[cfg(feature = "credentials")]
            signer: spec.signer,
        },
    )?;
    let video = add_pictures(&mut package, parameters, base, spec.container)?;
    let mut audio = AudioTrack::add(&mut package.muxer, spec.sound, tag.sound.bits)?;
    package.begin()?;
    audio.header_written(&package.muxer);
    let muxer_base = package.muxer.stream(video).map_or(base, |s| s.time_base());
    let mut done = 0;
    let mut packet = Packet::empty();
    for mut part in parts.0 {
        let (from, origin) = (part.base, part.tag.first as i64);
        let placed = |time: i64| (time.rescale(from, base) + origin).rescale(base, muxer_base);
        while part.next(&mut packet)? {
            cancel.check()?;
            done += 1;
            let until = tag.fps.seconds(FrameIndex(done));
            audio
                .write_until(&mut package.muxer, until)
                .map_err(|e| package.explained(e))?;
            packet.set_stream(video);
            packet.set_pts(packet.pts().map(placed));
            packet.set_dts(packet.dts().map(placed));
            packet.set_duration(1.rescale(base, muxer_base));
            packet.set_position(-1);
            packet
                .write_interleaved(&mut package.muxer)
                .map_err(|e| package.explained(plain(e).into()))?;
            progress(done);
        }
        let end = part.tag.first + part.tag.frames;
        if done != end {
            let frames = part.tag.frames + done - end;
            let why = format!("it has {frames} frames instead of {}", part.tag.frames);
            return Err(part.damaged(&why).into());
        }
    }
    audio
        .finish(&mut package.muxer)
        .map_err(|e| package.explained(e))?;
    let told = audio.told();
    if let Some(part) = package.complete(codec_id, audio.codec_id())? {
        part.commit()?;
    }
    Ok(told)
}

/// Gives the clip its stream of pictures, as the parts describe it.
#[expect(
    unsafe_code,
    reason = "there is no safe way to set a stream's parameters"
)]
fn add_pictures(
    package: &mut Package,
    mut parameters: Parameters,
    base: Rational,
    container: Container,
) -> Result<usize> {
    let is_hevc = parameters.id() == codec::Id::HEVC;
    let is_prores = parameters.id() == codec::Id::PRORES;
    // SAFETY: the parameters are our own and not null, and these are plain numbers in them.
    unsafe {
        let parameters = &mut *parameters.as_mut_ptr();
        // The old container's name for the codec, which only tells apart the kinds of ProRes ..
        if !is_prores {
            parameters.codec_tag = 0;
        }
        // .. and what FFmpeg found out about the first part, which encoders do not tell.
        parameters.bit_rate = 0;
        parameters.field_order = ff::ffi::AVFieldOrder::AV_FIELD_UNKNOWN;
        parameters.chroma_location = ff::ffi::AVChromaLocation::AVCHROMA_LOC_UNSPECIFIED;
    }
    let mut stream = package.muxer.add_stream(encoder::find(codec::Id::None))?;
    stream.set_parameters(parameters);
    stream.set_time_base(base);
    stream.set_avg_frame_rate(base.invert());
    if is_hevc && container.has_boxes() {
        tag_hvc1(&stream);
    }
    Ok(stream.index())
}
