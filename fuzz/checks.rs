//! Checks that must hold for any bytes: an error or a valid result, never a panic. Used by the fuzz targets and by
//! `tests/fuzz.rs`.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each target uses one of these checks; they fail by panicking"
)]

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use lipsync::ConfigFile;
use lipsync::audio::AudioFile;
use lipsync::background::Backgrounds;
use lipsync::background::read_crop_rects;
use lipsync::inference::Probe;
use lipsync::inference::Runtime;
use lipsync::timeline::{BackgroundIndex, FrameRate};
use tempfile::TempDir;

/// Audio is read up to this many samples.
const MAX_SAMPLES: u64 = 1 << 20;

thread_local! {
    static DIR: RefCell<TempDir> = RefCell::new(tempfile::tempdir().unwrap());
}

/// Runs `check` on a file of this name with this content.
fn with_file<T>(name: &str, data: &[u8], check: impl FnOnce(&Path) -> T) -> T {
    DIR.with_borrow(|dir| {
        let path = dir.path().join(name);
        fs::write(&path, data).unwrap();
        check(&path)
    })
}

/// A WAV file; anything else is passed to FFmpeg.
pub(crate) fn wav(data: &[u8]) {
    with_file("audio.wav", data, |path| {
        let Ok(audio) = AudioFile::open(path, None) else {
            return;
        };
        assert!(audio.frames > 0 && audio.seconds() > 0.0);
        let Ok(mut reader) = audio.speech() else {
            return;
        };
        let expected = audio.frames_at(lipsync::audio::SPEECH_RATE);
        let (mut samples, mut count) = (Vec::new(), 0);
        while count < MAX_SAMPLES {
            samples.clear();
            let Ok(more) = reader.read(&mut samples) else {
                return;
            };
            assert!(samples.iter().all(|s| s.is_finite()));
            count += samples.len() as u64;
            if !more {
                assert_eq!(count, expected);
                return;
            }
        }
    });
}

/// `crop_rects.json`.
pub(crate) fn rectangles(data: &[u8]) {
    with_file("crop_rects.json", data, |path| {
        let _ = read_crop_rects(path);
    });
}

/// A folder with one landmark file.
pub(crate) fn landmarks(data: &[u8]) {
    DIR.with_borrow(|dir| {
        let folder = dir.path().join("landmarks");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("0.lms"), data).unwrap();
        if let Ok(read) = read_crop_rects(&folder) {
            assert_eq!(read.rects.len(), 1);
        }
    });
}

/// `lipsync.yaml`; `model.yaml` and jobs files go through the same reader.
pub(crate) fn config(data: &[u8]) {
    let home = |name: &str| (name == "HOME").then(|| "/home/eve".into());
    let text = String::from_utf8_lossy(data);
    if let Ok(config) = ConfigFile::parse(&text, Path::new("lipsync.yaml"), &home) {
        assert!(config.models.iter().all(|m| !m.model_id.value.is_empty()));
    }
    with_file("lipsync.yaml", data, |path| {
        let _ = ConfigFile::read(path);
    });
}

/// A background folder whose pictures have the names in `data`, one per line.
pub(crate) fn frame_names(data: &[u8]) {
    DIR.with_borrow(|dir| {
        let parent = dir.path().join("backgrounds");
        let (folder, picture) = (parent.join("frames"), parent.join("picture"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        if !picture.exists() {
            image::RgbImage::new(2, 2)
                .save_with_format(&picture, image::ImageFormat::Png)
                .unwrap();
            let rects = vec![[0, 0, 2, 2]; 100];
            fs::write(parent.join("crop_rects.json"), format!("{rects:?}")).unwrap();
        }
        let mut count = 0;
        for name in data.split(|byte| *byte == b'\n').take(100) {
            let mut path: PathBuf = folder.join(OsStr::from_bytes(name));
            path.as_mut_os_string().push(".png");
            if !name.contains(&b'/') && fs::hard_link(&picture, &path).is_ok() {
                count += 1;
            }
        }
        if let Ok(opened) = Backgrounds::open(&folder, None, FrameRate::TRAINED, false) {
            assert!(opened.count() <= count);
            let last = opened.rect(BackgroundIndex(opened.count() - 1));
            assert_eq!((last.width(), last.height()), (2, 2));
        }
    });
}

/// An ONNX file.
pub(crate) fn network(data: &[u8]) {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let library = lipsync::runtime_library().expect("set ORT_DYLIB_PATH");
        Runtime::load(&library).unwrap()
    });
    with_file("network.onnx", data, |path| {
        if let Ok(probe) = Probe::load(&RUNTIME, path, 1) {
            let _ = (probe.role(), probe.fixed_batch());
        }
    });
}
