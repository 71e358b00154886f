//! A temporary folder with a small presenter and audio for each test, and helpers that examine outputs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};

use image::RgbImage;
use lipsync::background::Background;
use lipsync::encode::ComposedFrame;
use lipsync::image::{Picture, Rect};
use lipsync::image::{Yuv420, YuvConverter};
use lipsync::inference::Runtime;
use tempfile::TempDir;

/// The program under test.
pub(crate) const LIPSYNC: &str = env!("CARGO_BIN_EXE_lipsync");

/// The project's folder.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `tests/golden`.
pub(crate) fn golden(path: &str) -> PathBuf {
    project().join("tests/golden").join(path)
}

/// ONNX Runtime, which a process can load only once.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load(&lipsync::runtime_library().unwrap()).unwrap())
}

/// A temporary folder (with a space in its name) where commands run: `tiny/` holds small networks, `bg/` the golden
/// clip's 12 frames with their rectangles, `speech.wav` its audio.
pub(crate) struct Place {
    dir: TempDir,
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a place");
        fs::create_dir_all(path.join("tiny")).unwrap();
        fs::create_dir(path.join("bg")).unwrap();
        for network in ["generator", "audio_encoder"] {
            let from = golden(&format!("models/tiny_{network}.onnx"));
            fs::copy(from, path.join(format!("tiny/{network}.onnx"))).unwrap();
        }
        for i in 0..12 {
            let name = format!("{i}.png");
            fs::copy(
                golden("clip/background").join(&name),
                path.join("bg").join(&name),
            )
            .unwrap();
        }
        fs::copy(
            golden("clip/crop_rects.json"),
            path.join("bg/crop_rects.json"),
        )
        .unwrap();
        fs::copy(golden("audio/speech.wav"), path.join("speech.wav")).unwrap();
        Self { dir, path }
    }

    /// The program with these arguments, to run in this folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LIPSYNC);
        command.args(args).current_dir(&self.path);
        for variable in ["LIPSYNC_HOME", "LIPSYNC_CONFIG", "ORT_DYLIB_PATH"] {
            command.env_remove(variable);
        }
        command.env("XDG_CACHE_HOME", self.dir.path().join("cache"));
        // Ignore the configuration of the user who runs the tests.
        command.env("XDG_CONFIG_HOME", self.path.join("no config"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed without printing to stdout; returns its stderr.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?} failed:\n{said}");
        assert!(output.stdout.is_empty(), "{args:?} wrote to stdout");
        said
    }

    /// `render` with the small networks and the golden clip's frames.
    pub(crate) fn render(&self, args: &[&str]) -> String {
        let base = ["render", "speech.wav", "-m", "tiny", "-b", "bg"];
        self.ok(&[&base, args].concat())
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// The names of all files in the folder, also hidden ones, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Writes a 16-bit WAV of `seconds` whose channel `c` at `t` is `wave(c, t)`.
    pub(crate) fn wav(
        &self,
        name: &str,
        rate: u32,
        channels: u16,
        seconds: f64,
        wave: impl Fn(u16, f64) -> f64,
    ) {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(self.join(name), spec).unwrap();
        for i in 0..(seconds * f64::from(rate)).round() as u32 {
            for channel in 0..channels {
                let value = wave(channel, f64::from(i) / f64::from(rate));
                wav.write_sample((value * 32767.0) as i16).unwrap();
            }
        }
        wav.finalize().unwrap();
    }

    /// Writes `count` frames of one size, with crop rectangles in their middle.
    pub(crate) fn backgrounds(&self, name: &str, count: usize, width: u32, height: u32) {
        let folder = self.join(name);
        fs::create_dir(&folder).unwrap();
        let side = width.min(height) / 2;
        let (x, y) = ((width - side) / 2, (height - side) / 2);
        let rects: Vec<[u32; 4]> = vec![[x, y, x + side, y + side]; count];
        fs::write(
            folder.join("crop_rects.json"),
            serde_json::to_string(&rects).unwrap(),
        )
        .unwrap();
        for i in 0..count {
            let picture = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([(x * 2 + i as u32) as u8, (y * 2) as u8, 90])
            });
            picture
                .save(folder.join(format!("frame_{i:04}.png")))
                .unwrap();
        }
    }
}

/// A frame without a generated mouth.
pub(crate) fn composed(picture: &Picture) -> ComposedFrame {
    let nothing = Rect {
        x0: 0,
        y0: 0,
        x1: 0,
        y1: 0,
    };
    let mut planes = Yuv420::default();
    YuvConverter::default()
        .convert(picture, &mut planes)
        .unwrap();
    let background = Background {
        place: 0,
        rect: nothing,
        crop: Picture::default(),
        area: nothing,
        area_pixels: Picture::default(),
        rgb: Some(picture.clone()),
        yuv420: Some(planes),
    };
    ComposedFrame {
        background: Arc::new(background),
        patch: None,
    }
}

/// Fails with a list of all violations if `value` does not match the schema in `docs/`.
pub(crate) fn assert_fits(schema: &str, value: &serde_json::Value) {
    let schema = fs::read(project().join("docs").join(schema)).unwrap();
    let schema = serde_json::from_slice(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(value)
        .map(|e| format!("{}: {e}", e.instance_path))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}\n{value:#}");
}

/// The streams and the container, as ffprobe describes them.
pub(crate) fn probe(path: &Path) -> serde_json::Value {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-of",
            "json",
            "-show_streams",
            "-show_format",
        ])
        .arg(path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Decodes a clip to `FOLDER/000000.png`, ... with the ffmpeg program.
pub(crate) fn decode(clip: &Path, folder: &Path) {
    fs::create_dir(folder).unwrap();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(clip)
        .args(["-fps_mode", "passthrough", "-start_number", "0"])
        .arg(folder.join("%06d.png"))
        .status()
        .unwrap();
    assert!(status.success());
}

/// All pictures of a folder, sorted by name.
pub(crate) fn pictures(folder: &Path) -> Vec<RgbImage> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| picture(path)).collect()
}

pub(crate) fn picture(path: &Path) -> RgbImage {
    image::open(path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .into_rgb8()
}

/// Maximum and mean difference, in levels of 255.
pub(crate) fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (differences.max().unwrap_or(0), sum as f64 / a.len() as f64)
}

/// Peak signal-to-noise ratio in dB over all pictures together.
pub(crate) fn psnr(a: &[RgbImage], b: &[RgbImage]) -> f64 {
    assert_eq!(a.len(), b.len());
    let values = a
        .iter()
        .zip(b)
        .flat_map(|(a, b)| a.as_raw().iter().zip(b.as_raw()));
    let (mut squares, mut count) = (0.0, 0.0);
    for (a, b) in values {
        squares += f64::from(a.abs_diff(*b)).powi(2);
        count += 1.0;
    }
    10.0 * (255.0_f64.powi(2) * count / squares).log10()
}

/// The array in a NumPy file.
pub(crate) struct Npy<T> {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<T>,
}

/// Shape, element type, whether the array is in column-major order, and the bytes.
fn npy(path: &Path) -> (Vec<usize>, String, bool, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..7], b"\x93NUMPY\x01", "{}", path.display());
    let header_end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8(bytes[10..header_end].to_vec()).unwrap();
    let between = |from: &str, to: char| {
        let rest = &header[header.find(from).unwrap() + from.len()..];
        rest[..rest.find(to).unwrap()].to_owned()
    };
    let shape = between("'shape': (", ')');
    let shape = shape
        .split(',')
        .filter_map(|n| n.trim().parse().ok())
        .collect();
    let by_column = header.contains("'fortran_order': True");
    (
        shape,
        between("'descr': '", '\''),
        by_column,
        bytes[header_end..].to_vec(),
    )
}

pub(crate) fn npy_f32(path: &Path) -> Npy<f32> {
    let (shape, kind, by_column, bytes) = npy(path);
    assert_eq!(kind, "<f4");
    let stored: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let values = if by_column {
        let (rows, columns) = (shape[0], shape[1]);
        (0..rows * columns)
            .map(|i| stored[i % columns * rows + i / columns])
            .collect()
    } else {
        stored
    };
    Npy { shape, values }
}

pub(crate) fn npy_u8(path: &Path) -> Npy<u8> {
    let (shape, kind, by_column, values) = npy(path);
    assert_eq!((kind.as_str(), by_column), ("|u1", false));
    Npy { shape, values }
}
