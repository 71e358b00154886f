//! The audio tracks of an open file.

use ff::format::context::Input;
use ff::{Stream, codec, decoder, media};
use ffmpeg_next as ff;

use crate::audio::track::TrackInfo;

/// The audio streams, in order.
pub(super) fn streams(input: &Input) -> impl Iterator<Item = Stream<'_>> {
    let streams = input.streams();
    streams.filter(|stream| stream.parameters().medium() == media::Type::Audio)
}

/// What is known about each of them.
pub(super) fn list(input: &Input) -> Vec<TrackInfo> {
    let tracks = streams(input).enumerate();
    tracks
        .map(|(index, stream)| {
            let id = stream.parameters().id();
            let tags = stream.metadata();
            let tag = |name| tags.get(name).filter(|text| !text.is_empty());
            TrackInfo {
                index,
                codec: codec_name(&stream),
                language: tag("language")
                    .filter(|language| *language != "und")
                    .map(str::to_owned),
                title: tag("title")
                    .or_else(|| tag("handler_name").filter(|name| !is_program(name)))
                    .map(str::to_owned),
                can_be_decoded: id != codec::Id::None && decoder::find(id).is_some(),
            }
        })
        .collect()
}

/// Whether the name of a track of an MP4 is that of the program that wrote it.
fn is_program(name: &str) -> bool {
    ["Handler", "Core Media", "ISO Media", "Audio Media"]
        .iter()
        .any(|part| name.contains(part))
}

/// The track that FFmpeg prefers, else the first one that can be decoded, else the first.
pub(super) fn preferred(input: &Input, tracks: &[TrackInfo]) -> Option<usize> {
    let best = input.streams().best(media::Type::Audio)?;
    let best = streams(input).position(|stream| stream.index() == best.index())?;
    if tracks[best].can_be_decoded {
        return Some(best);
    }
    let decodable = tracks.iter().position(|track| track.can_be_decoded);
    decodable.or(Some(best))
}

/// FFmpeg's name of the codec; if it knows none, the four letters by which the container calls it.
#[expect(unsafe_code, reason = "there is no safe way to read the codec's tag")]
pub(super) fn codec_name(stream: &Stream<'_>) -> String {
    let parameters = stream.parameters();
    if parameters.id() != codec::Id::None {
        return parameters.id().name().to_owned();
    }
    // SAFETY: the parameters are not null and live as long as the stream; the tag is a plain number.
    let tag = unsafe { (*parameters.as_ptr()).codec_tag };
    let letters = tag.to_le_bytes().map(|byte| {
        let letter = char::from(byte);
        if byte.is_ascii_graphic() { letter } else { '.' }
    });
    match tag {
        0 => "unknown".into(),
        _ => letters.iter().collect(),
    }
}
