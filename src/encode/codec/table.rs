//! The supported video encoders.

use std::ops::RangeInclusive;

use ff::codec::Id;
use ffmpeg_next as ff;

use super::encoder::{Crf, PixelFormat, Preset, PresetValues, VideoEncoder};

/// Presets of x264 and x265.
const X26X_PRESETS: PresetValues = PresetValues::Names(&[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
]);
const NVENC_PRESETS: PresetValues =
    PresetValues::Names(&["p1", "p2", "p3", "p4", "p5", "p6", "p7"]);

const fn crf(option: &'static str, range: RangeInclusive<u32>, default: u32) -> Crf {
    Crf {
        option,
        range,
        default,
    }
}

const fn preset(option: &'static str, values: PresetValues, default: &'static str) -> Preset {
    Preset {
        option,
        values,
        default,
    }
}

/// NVENC. Its defaults are not measured: no card that has it was at hand.
const fn nvenc(name: &'static str, id: Id) -> VideoEncoder {
    VideoEncoder {
        name,
        id,
        pixels: PixelFormat::Yuv420,
        crf: Some(crf("cq", 1..=51, 19)),
        preset: Some(preset("preset", NVENC_PRESETS, "p5")),
        fixed: &[("rc", "vbr"), ("b", "0")],
    }
}

/// All encoders, the preferred one of each codec first.
pub(super) static ENCODERS: [VideoEncoder; 11] = [
    VideoEncoder {
        name: "libx264",
        id: Id::H264,
        pixels: PixelFormat::Yuv420,
        crf: Some(crf("crf", 0..=51, 18)),
        preset: Some(preset("preset", X26X_PRESETS, "veryfast")),
        fixed: &[],
    },
    VideoEncoder {
        name: "libopenh264",
        id: Id::H264,
        pixels: PixelFormat::Yuv420,
        crf: None,
        preset: None,
        fixed: &[],
    },
    nvenc("h264_nvenc", Id::H264),
    VideoEncoder {
        name: "libx265",
        id: Id::HEVC,
        pixels: PixelFormat::Yuv420,
        crf: Some(crf("crf", 0..=51, 20)),
        preset: Some(preset("preset", X26X_PRESETS, "veryfast")),
        fixed: &[],
    },
    nvenc("hevc_nvenc", Id::HEVC),
    VideoEncoder {
        name: "libsvtav1",
        id: Id::AV1,
        pixels: PixelFormat::Yuv420,
        // FFmpeg treats 0 as "not set".
        crf: Some(crf("crf", 1..=63, 24)),
        preset: Some(preset("preset", PresetValues::Numbers(0..=13), "10")),
        fixed: &[],
    },
    VideoEncoder {
        name: "libaom-av1",
        id: Id::AV1,
        pixels: PixelFormat::Yuv420,
        crf: Some(crf("crf", 0..=63, 24)),
        preset: Some(preset("cpu-used", PresetValues::Numbers(0..=8), "8")),
        fixed: &[("b", "0")],
    },
    VideoEncoder {
        name: "librav1e",
        id: Id::AV1,
        pixels: PixelFormat::Yuv420,
        crf: Some(crf("qp", 0..=255, 80)),
        preset: Some(preset("speed", PresetValues::Numbers(0..=10), "10")),
        fixed: &[],
    },
    nvenc("av1_nvenc", Id::AV1),
    VideoEncoder {
        name: "libvpx-vp9",
        id: Id::VP9,
        pixels: PixelFormat::Yuv420,
        crf: Some(crf("crf", 0..=63, 24)),
        preset: Some(preset("cpu-used", PresetValues::Numbers(0..=5), "5")),
        fixed: &[("b", "0"), ("row-mt", "0")],
    },
    VideoEncoder {
        name: "prores_ks",
        id: Id::PRORES,
        pixels: PixelFormat::Yuva444,
        crf: None,
        preset: None,
        // QuickTime accepts only Apple's vendor code.
        fixed: &[
            ("profile", "4444"),
            ("alpha_bits", "16"),
            ("vendor", "apl0"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static VideoEncoder {
        ENCODERS.iter().find(|e| e.name == name).unwrap()
    }

    #[test]
    fn settings_are_checked_for_each_encoder() {
        let x264 = named("libx264").settings(None, None).unwrap();
        assert_eq!(
            (x264.crf, x264.preset.as_deref()),
            (Some(18), Some("veryfast"))
        );
        let svt = named("libsvtav1")
            .settings(Some(63), Some("13".into()))
            .unwrap();
        assert_eq!((svt.crf, svt.preset.as_deref()), (Some(63), Some("13")));
        assert!(named("libx264").settings(Some(52), None).is_err());
        assert!(
            named("libsvtav1")
                .settings(None, Some("fast".into()))
                .is_err()
        );
        assert!(
            named("libsvtav1")
                .settings(None, Some("14".into()))
                .is_err()
        );
        assert!(named("prores_ks").settings(Some(10), None).is_err());
        assert!(
            named("prores_ks")
                .settings(None, Some("fast".into()))
                .is_err()
        );
    }

    #[test]
    fn defaults_are_valid_settings() {
        for encoder in &ENCODERS {
            assert!(encoder.settings(None, None).is_ok(), "{}", encoder.name);
        }
    }
}
