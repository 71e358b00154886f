//! Each step against what the libraries of the reference renderer computed, within the tolerances of
//! `tests/golden/README.md`.

use std::fs;

use lipsync::audio::AudioFile;
use lipsync::audio::WindowReader;
use lipsync::audio::{BANDS, MelSpectrogram};
use lipsync::audio::{EMBEDDING_LEN, WINDOW_LEN, WindowLayout};
use lipsync::background::Order;
use lipsync::face::{self, OUTPUT_LEN, Paste, Paster};
use lipsync::image::{Picture, Rect};
use lipsync::inference::{Hardware, Networks, TuneOptions};
use lipsync::timeline::{BackgroundIndex, FrameIndex, FrameRate};
use serde_json::Value;

use crate::support::{Place, difference, golden, npy_f32, npy_u8, picture, runtime};

#[test]
fn mel_frames_match() {
    for name in [
        "speech",
        "sine_440hz_1s",
        "silence_1s",
        "noise_1s",
        "ragged_12345_samples",
        "full_scale_square_640ms",
    ] {
        let audio = AudioFile::open(&golden(&format!("audio/{name}.wav")), None).unwrap();
        let mut mel = MelSpectrogram::new(audio.frames);
        let (mut reader, mut samples, mut got) = (audio.speech().unwrap(), Vec::new(), Vec::new());
        while reader.read(&mut samples).unwrap() {}
        mel.push(&samples, |frame| got.extend(frame));
        mel.finish(|frame| got.extend(frame));
        let expected = npy_f32(&golden(&format!("audio/{name}.mel.npy")));
        assert_eq!(vec![got.len() / BANDS, BANDS], expected.shape, "{name}");
        let differences = got
            .iter()
            .zip(&expected.values)
            .map(|(a, b)| f64::from((a - b).abs()));
        let largest = differences.clone().fold(0.0, f64::max);
        let mean = differences.sum::<f64>() / got.len() as f64;
        assert!(
            largest <= 1e-3 && mean <= 1e-5,
            "{name}: max {largest}, mean {mean}"
        );
    }
}

#[test]
fn windows_match_exactly() {
    let features = npy_f32(&golden("window/features_30x512.npy"));
    let frames: Vec<u64> =
        serde_json::from_str(&fs::read_to_string(golden("window/frames.json")).unwrap()).unwrap();
    let expected = npy_f32(&golden("window/windows.npy"));
    // 100 mel frames make 28 blocks, so 30 features.
    let layout = WindowLayout::new(FrameRate::TRAINED, 100);
    for (frame, expected) in frames.into_iter().zip(expected.values.chunks(WINDOW_LEN)) {
        let mut got = vec![0.0; WINDOW_LEN];
        for (row, values) in got.chunks_mut(EMBEDDING_LEN).enumerate() {
            if let Some(position) = layout.position(FrameIndex(frame), row) {
                let feature = position.feature_index().unwrap() as usize;
                values
                    .copy_from_slice(&features.values[feature * EMBEDDING_LEN..][..EMBEDDING_LEN]);
            }
        }
        assert_eq!(got, expected, "frame {frame}");
    }
}

#[test]
fn the_reference_order_matches_exactly() {
    let orders: Value =
        serde_json::from_str(&fs::read_to_string(golden("window/ping_pong.json")).unwrap())
            .unwrap();
    for (count, expected) in orders.as_object().unwrap() {
        let count = count.parse().unwrap();
        for (frame, expected) in expected.as_array().unwrap().iter().enumerate() {
            let got =
                Order::Reference.background(FrameIndex(frame as u64), count, BackgroundIndex(0));
            assert_eq!(
                got.0 as u64,
                expected.as_u64().unwrap(),
                "frame {frame} of {count} backgrounds"
            );
        }
    }
}

fn load(path: &str) -> Picture {
    let image = picture(&golden(path));
    Picture {
        width: image.width() as usize,
        height: image.height() as usize,
        pixels: image.into_raw(),
        alpha: None,
    }
}

#[test]
fn crops_and_pastes_match() {
    let frame = load("picture/frame.png");
    let prediction = npy_u8(&golden("picture/prediction_u8_hwc.npy"));
    assert_eq!(prediction.shape, [320, 320, 3]);
    let mut output = vec![0.0; OUTPUT_LEN];
    for (i, value) in prediction.values.iter().enumerate() {
        output[i % 3 * 320 * 320 + i / 3] = f32::from(*value) / 255.0 * 0.98;
    }
    let rects: Value =
        serde_json::from_str(&fs::read_to_string(golden("picture/rects.json")).unwrap()).unwrap();
    let mut paster = Paster::default();
    for (name, rect) in rects.as_object().unwrap() {
        let side = |i: usize| rect[i].as_u64().unwrap() as u32;
        let rect = Rect {
            x0: side(0),
            y0: side(1),
            x1: side(2),
            y1: side(3),
        };
        let crop = face::crop(&frame, rect);
        let (largest, mean) = difference(
            &crop.pixels,
            &load(&format!("picture/{name}.crop328.png")).pixels,
        );
        assert!(
            largest <= 1 && mean <= 0.1,
            "crop {name}: max {largest}, mean {mean}"
        );
        let mut result = frame.clone();
        paster.paste(Paste::Reference, 1.0, &mut result, rect, &crop, &output);
        let (largest, mean) = difference(
            &result.pixels,
            &load(&format!("picture/{name}.pasted.png")).pixels,
        );
        assert!(
            largest <= 2 && mean <= 0.1,
            "paste {name}: max {largest}, mean {mean}"
        );
    }
}

#[test]
fn features_of_the_clip_match() {
    let model = |name: &str| golden(&format!("models/tiny_{name}.onnx"));
    let mut networks = Networks::load(
        runtime(),
        &model("audio_encoder"),
        &model("generator"),
        Hardware::cpu(2),
        TuneOptions::EXACT,
    )
    .unwrap();
    let audio = AudioFile::open(&golden("audio/speech.wav"), None).unwrap();
    let mut reader = WindowReader::new(
        &audio,
        FrameRate::TRAINED,
        FrameIndex(0),
        &mut networks.encoder,
    )
    .unwrap();
    let expected = npy_f32(&golden("clip/features.npy"));
    let mut window = vec![0.0; WINDOW_LEN];
    for (frame, expected) in expected.values.chunks(EMBEDDING_LEN).enumerate() {
        reader
            .window(FrameIndex(frame as u64), &mut window)
            .unwrap();
        // The ninth row of the window is the frame's own feature.
        let got = &window[8 * EMBEDDING_LEN..9 * EMBEDDING_LEN];
        let largest = got
            .iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(largest <= 1e-3, "feature {frame}: {largest}");
    }
    let frames = expected.shape[0] as u64;
    reader.window(FrameIndex(frames), &mut window).unwrap();
    assert!(
        window[8 * EMBEDDING_LEN..].iter().all(|&v| v == 0.0),
        "rows after the end of the list are zeros"
    );
}

#[test]
fn the_whole_clip_matches_whatever_the_batch_and_threads() {
    let place = Place::new();
    let clip: Value =
        serde_json::from_str(&fs::read_to_string(golden("clip/clip.json")).unwrap()).unwrap();
    let mut first: Option<Vec<Vec<u8>>> = None;
    for batch in ["1", "3", "8"] {
        for threads in ["1", "2"] {
            place.render(&[
                "--frames",
                "out",
                "--force",
                "--order",
                "reference",
                "--paste",
                "reference",
                "--batch",
                batch,
                "--threads",
                threads,
            ]);
            let count = fs::read_dir(place.join("out")).unwrap().count();
            // ceil(4.305 s * 25): 106 as in the reference, and two more because the audio lasts longer.
            assert_eq!(count, 108);
            let files = (0..count)
                .map(|i| fs::read(place.join(&format!("out/{i:06}.png"))).unwrap())
                .collect();
            match &first {
                None => first = Some(files),
                Some(first) => assert!(
                    *first == files,
                    "batch {batch}, {threads} threads: the bytes differ"
                ),
            }
        }
    }
    for index in clip["kept"].as_array().unwrap() {
        let index = index.as_u64().unwrap();
        let got = picture(&place.join(&format!("out/{index:06}.png")));
        let expected = picture(&golden(&format!("clip/expected/{index:04}.png")));
        let (largest, mean) = difference(got.as_raw(), expected.as_raw());
        assert!(
            largest <= 3 && mean <= 0.3,
            "frame {index}: max {largest}, mean {mean}"
        );
    }
}
