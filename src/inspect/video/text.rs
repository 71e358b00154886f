//! The facts about a video and what is wrong with it, in words.

use super::super::audio::stream_words;
use super::super::media::{AudioStream, VideoStream};
use super::super::{Row, counted, listed};
use super::VideoInfo;
use crate::sync::Motion;

/// A picture that does not change for longer is frozen, in seconds.
const FROZEN_SECONDS: f64 = 1.0;
/// Audio and video may end this many frames apart.
const END_TOLERANCE_FRAMES: f64 = 1.5;

impl VideoInfo {
    pub(in crate::inspect) fn rows(&self) -> Vec<Row> {
        let duration = match self.media.seconds {
            Some(seconds) => format!("{seconds:.3} s"),
            None => "not stated".into(),
        };
        let mut rows = vec![
            ("container", self.media.container.clone()),
            ("duration", duration),
        ];
        if let Some(video) = &self.media.video {
            rows.push((
                "video",
                format!(
                    "{}, {}x{}{}, {} fps, {}, {}{}",
                    video.codec,
                    video.width,
                    video.height,
                    self.aspect_words(),
                    video.fps,
                    video.pix_fmt,
                    counted(self.frames, "frame"),
                    self.interlaced_words()
                ),
            ));
            rows.push(("colour", colour_words(video)));
        }
        let audio = self.media.audio.as_ref();
        rows.extend([
            ("audio", audio.map_or("none".into(), audio_words)),
            (
                "AI mark",
                match &self.mark {
                    Some(_) => "tagged as AI-generated".into(),
                    None => "none: not tagged as AI-generated".into(),
                },
            ),
            (
                "sync",
                match &self.sync {
                    Some(sync) => format!("{} ({})", sync.verdict(), sync.numbers()),
                    None => "not measured: needs audio and a few seconds of motion".into(),
                },
            ),
        ]);
        rows
    }

    fn aspect_words(&self) -> String {
        if self.file.has_oblong_pixels() {
            format!(" with pixels of {:.3}:1", self.pixel_aspect)
        } else {
            String::new()
        }
    }

    fn interlaced_words(&self) -> String {
        match (self.interlaced, self.file.field_order) {
            (true, Some(order)) => format!(", interlaced, {}", order.name()),
            (true, None) => ", interlaced".into(),
            (false, _) => String::new(),
        }
    }

    pub(super) fn add_warnings(&self, motion: &Motion, warnings: &mut Vec<String>) {
        let Some(video) = &self.media.video else {
            return;
        };
        if let Some(stated) = video.stated_frames.filter(|n| *n != self.frames as u64) {
            warnings.push(format!(
                "the container states {}, but {} can be decoded",
                counted(stated as usize, "frame"),
                self.frames
            ));
        }
        match &self.media.audio {
            None => warnings.push("there is no audio track".into()),
            Some(audio) => warnings.extend(ends_apart(video, audio)),
        }
        if motion.has_uneven_steps() {
            warnings.push("variable frame rate: the frames are not evenly spaced".into());
        }
        if video.matrix.is_none() || video.range.is_none() {
            warnings.push(
                "the colour matrix or range is not tagged: players guess, and colours may shift"
                    .into(),
            );
        }
        if video.pix_fmt.contains("420") && (video.width % 2 == 1 || video.height % 2 == 1) {
            warnings.push(format!(
                "{}x{} has an odd side: many players cannot show it",
                video.width, video.height
            ));
        }
        let frozen = motion.frozen(FROZEN_SECONDS);
        if !frozen.is_empty() {
            let ranges = frozen
                .iter()
                .map(|r| format!("{:.2}-{:.2}", r.start, r.end));
            warnings.push(format!(
                "the picture is frozen, in seconds: {}",
                listed(ranges)
            ));
        }
        if let Some(sync) = self.sync.as_ref().filter(|sync| sync.is_off()) {
            warnings.push(sync.verdict());
        }
    }
}

/// A warning if one stream ends later than the other.
fn ends_apart(video: &VideoStream, audio: &AudioStream) -> Option<String> {
    let audio_end = audio.seconds? + audio.start;
    let apart = audio_end - video.seconds? - video.start;
    if apart.abs() <= END_TOLERANCE_FRAMES / video.fps.max(1.0) {
        return None;
    }
    let (longer, shorter) = if apart > 0.0 {
        ("audio", "video")
    } else {
        ("video", "audio")
    };
    let apart = apart.abs();
    Some(format!(
        "the {longer} ends {apart:.2} s after the {shorter}"
    ))
}

/// `aac, 44100 Hz, 2 channels, 8.000 s`.
fn audio_words(audio: &AudioStream) -> String {
    match audio.seconds {
        Some(seconds) => format!("{}, {seconds:.3} s", stream_words(audio)),
        None => stream_words(audio),
    }
}

fn colour_words(video: &VideoStream) -> String {
    let or_untagged = |name: &Option<String>| name.clone().unwrap_or_else(|| "untagged".into());
    format!(
        "primaries {}, transfer {}, matrix {}, range {}",
        or_untagged(&video.primaries),
        or_untagged(&video.transfer),
        or_untagged(&video.matrix),
        or_untagged(&video.range)
    )
}
