//! Checks that need a GPU, printed as one table; without a GPU, one line says that they were skipped. They run the program as
//! users do, so both can be copied to another machine (scripts/gpu_check.sh).
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::exit,
    reason = "a table on stdout and an exit code are the result"
)]

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Frames that are compared: two seconds.
const FRAMES: usize = 50;
/// How much the golden clip's frames may differ, in levels of 255: at most, and on average (tests/golden/README.md).
const GOLDEN: (u8, f64) = (3, 0.3);
const MEMORY_MIB: u64 = 4_000_000_000 / (1 << 20);
/// GPU memory limits, GB. At least one of them is too small for the batch and large enough for one frame.
const LOW_LIMITS_GB: [&str; 8] = ["2", "1.4", "1", "0.7", "0.5", "0.35", "0.25", "0.18"];

fn main() -> ExitCode {
    let mut check = match Check::new() {
        Ok(check) => check,
        Err(reason) => {
            println!("gpu: skipped: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    let started = Instant::now();
    check.all();
    println!("gpu: checked in {:.0} s", started.elapsed().as_secs_f64());
    if check.failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The program, the folder with its files, and a folder to work in.
struct Check {
    program: PathBuf,
    project: PathBuf,
    /// `cuda`, or another device to try the checks themselves.
    device: String,
    /// The model that is measured; the bundled presenter's by default.
    model: Option<PathBuf>,
    work: TempDir,
    failed: bool,
}

impl Check {
    /// Fails with the reason if there is nothing to check.
    fn new() -> Result<Self, String> {
        let path = |name, default: &str| env::var_os(name).map_or(default.into(), PathBuf::from);
        let check = Self {
            program: path("LIPSYNC_CHECK_PROGRAM", env!("CARGO_BIN_EXE_lipsync")),
            project: path("LIPSYNC_CHECK_PROJECT", env!("CARGO_MANIFEST_DIR")),
            device: env::var("LIPSYNC_CHECK_DEVICE").unwrap_or_else(|_| "cuda".into()),
            model: env::var_os("LIPSYNC_CHECK_MODEL").map(PathBuf::from),
            work: tempfile::tempdir().map_err(|e| e.to_string())?,
            failed: false,
        };
        if check.device == "cuda" {
            if nvidia_smi(&["-L"]).is_none_or(|gpus| !gpus.contains("GPU ")) {
                return Err("nvidia-smi lists no GPU".into());
            }
            let runtime = check.finding("ONNX Runtime").map_err(|e| e.to_string())?;
            if !runtime.detail.contains("with CUDA") {
                return Err(
                    "this ONNX Runtime is for CPUs only; run scripts/setup.sh --gpu".into(),
                );
            }
        }
        Ok(check)
    }

    fn all(&mut self) {
        println!("{:<6}  {:<36}  {:<16}  measured", "", "check", "wanted");
        self.row("networks run on the GPU", "ok", Self::doctor);
        self.row("golden clip", "max 3, mean 0.3", Self::golden);
        self.row("PSNR to the CPU, exact", ">= 50 dB", |c| {
            c.psnr_to_cpu("exact", 50.0)
        });
        self.row("PSNR to the CPU, fp16", ">= 40 dB", |c| {
            c.psnr_to_cpu("fp16", 40.0)
        });
        self.row("bytes in and out", "in use", Self::bytes);
        self.row("two GPUs at once", ">= 50 dB", Self::two_gpus);
        self.row("--deterministic", "same bytes", Self::deterministic);
        self.speed("exact", 600.0);
        self.speed("fp16", 1500.0);
        self.row("GPU memory at the default batch", "<= 4 GB", Self::memory);
        self.row(
            "a batch too large for the memory",
            "halved, >= 50 dB",
            Self::halved,
        );
        self.row(
            "a device number that does not exist",
            "exit 4, explained",
            |c| {
                c.refused(
                    &["--device", "cuda:99"],
                    &[],
                    "no CUDA device with this number",
                )
            },
        );
        self.row("no visible device", "exit 4, explained", |c| {
            c.refused(
                &[],
                &[("CUDA_VISIBLE_DEVICES", "-1".into())],
                "no CUDA device",
            )
        });
        self.row("cuDNN missing", "exit 4, explained", |c| {
            c.without("libcudnn")
        });
        self.row("CUDA's libraries missing", "exit 4, explained", |c| {
            c.without("lib")
        });
    }

    /// The rows of a bench; the generator must reach `min_fps`.
    fn speed(&mut self, precision: &str, min_fps: f64) {
        let bench = self.bench(precision).map_err(|error| error.to_string());
        let whole = |bench: &Value| bench["whole"]["frames_per_s"].as_f64();
        // Of several encoders, the one that the whole render uses.
        let part = |bench: &Value, name: &str| {
            let parts = bench["parts"].as_array()?;
            let part = parts.iter().find(|part| {
                part["counts"] == "whole"
                    && part["name"].as_str().is_some_and(|n| n.starts_with(name))
            })?;
            part["frames_per_s"].as_f64()
        };
        let row = |value: Option<f64>, min: f64, digits: usize| -> Outcome<(String, bool)> {
            let value = value.ok_or_else(|| match &bench {
                Ok(_) => "not in the bench report".to_owned(),
                Err(error) => error.clone(),
            })?;
            Ok((format!("{value:.digits$}"), value >= min))
        };
        let bench = bench.as_ref().ok();
        let generator = bench.and_then(|bench| part(bench, "generator"));
        let name = format!("generator alone, {precision}, fps");
        self.row(&name, &format!(">= {min_fps}"), |_| {
            row(generator, min_fps, 0)
        });
        let whole = bench.and_then(whole);
        let name = format!("whole at 720p, {precision}, fps");
        self.row(&name, ">= 400", |_| row(whole, 400.0, 0));
        let encode = bench.and_then(|bench| part(bench, "encode"));
        let ratio = whole.zip(encode).map(|(whole, encode)| whole / encode);
        let name = format!("whole to x264 alone, {precision}");
        self.row(&name, ">= 0.90", |_| row(ratio, 0.9, 2));
    }

    /// Runs a check, and prints its row.
    fn row(
        &mut self,
        name: &str,
        wanted: &str,
        check: impl FnOnce(&Self) -> Outcome<(String, bool)>,
    ) {
        let (measured, ok) = check(self).unwrap_or_else(|error| {
            let text = error.to_string();
            (text.lines().next().unwrap_or_default().to_owned(), false)
        });
        let word = if ok { "ok" } else { "FAILED" };
        println!("{word:<6}  {name:<36}  {wanted:<16}  {measured}");
        self.failed |= !ok;
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.work.path());
        command.env("LIPSYNC_HOME", &self.project);
        command
    }

    fn run(&self, args: &[&str]) -> Outcome<Output> {
        let output = self.command(args).output()?;
        if output.status.success() {
            return Ok(output);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = stderr
            .lines()
            .filter(|line| line.contains("error: ") || line.contains("Caused by"))
            .collect();
        Err(format!("{}: {}", output.status, lines.join(" ")).into())
    }

    /// Renders the bundled sample to PNGs, and reads them.
    fn frames(&self, name: &str, args: &[&str]) -> Outcome<Vec<RgbImage>> {
        let report = format!("{name}.json");
        let base = ["render", "-q", "-f", "--limit", "2", "--frames", name];
        self.run(&[&base[..], &["--report", &report], args].concat())?;
        let frame = |n| {
            Ok(image::open(
                self.work.path().join(name).join(format!("{n:06}.png")),
            )?)
        };
        (0..FRAMES).map(|n| frame(n).map(|f| f.to_rgb8())).collect()
    }

    fn report(&self, name: &str) -> Outcome<Value> {
        let path = self.work.path().join(format!("{name}.json"));
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    fn doctor(&self) -> Outcome<(String, bool)> {
        let finding = self.finding("networks on the GPU")?;
        Ok((finding.detail, finding.ok))
    }

    fn finding(&self, name: &str) -> Outcome<Finding> {
        let output = self.command(&["doctor", "--json"]).output()?;
        let found: Value = serde_json::from_slice(&output.stdout)?;
        let findings = found["findings"].as_array().ok_or("no findings")?;
        let finding = findings.iter().find(|finding| finding["name"] == name);
        let finding = finding.ok_or_else(|| format!("doctor does not report {name}"))?;
        Ok(Finding {
            ok: finding["state"] == "ok",
            detail: finding["detail"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// Compares the golden clip's frames with the reference renderer's.
    fn golden(&self) -> Outcome<(String, bool)> {
        let golden = self.project.join("tests/golden");
        let model = self.work.path().join("tiny");
        fs::create_dir_all(&model)?;
        for network in ["generator", "audio_encoder"] {
            let from = golden.join(format!("models/tiny_{network}.onnx"));
            fs::copy(from, model.join(format!("{network}.onnx")))?;
        }
        let audio = golden.join("audio/speech.wav").display().to_string();
        let background = golden.join("clip/background");
        let rects = golden.join("clip/crop_rects.json").display().to_string();
        let background = background.display().to_string();
        let mut args = vec!["render", &audio, "-q", "-m", "tiny", "-b", &background];
        args.extend(["--crop-rects", &rects, "--frames", "golden", "-f"]);
        args.extend(["--order", "reference", "--paste", "reference"]);
        args.extend(["--device", &self.device]);
        self.run(&args)?;
        let clip: Value = serde_json::from_slice(&fs::read(golden.join("clip/clip.json"))?)?;
        let frames = clip["kept"].as_array().ok_or("no frames kept")?;
        let (mut max, mut mean) = (0, 0.0_f64);
        let mut compared = 0;
        for index in frames.iter().filter_map(Value::as_u64) {
            let got = image::open(self.work.path().join(format!("golden/{index:06}.png")))?;
            let want = image::open(golden.join(format!("clip/expected/{index:04}.png")))?;
            let (got, want) = (got.to_rgb8().into_raw(), want.to_rgb8().into_raw());
            compared += 1;
            let differences = got.iter().zip(&want).map(|(a, b)| a.abs_diff(*b));
            let sum: u64 = differences.clone().map(u64::from).sum();
            max = max.max(differences.max().unwrap_or(u8::MAX));
            mean = mean.max(sum as f64 / got.len() as f64);
        }
        Ok((
            format!("max {max}, mean {mean:.3}, {compared} frames"),
            compared > 0 && max <= GOLDEN.0 && mean <= GOLDEN.1,
        ))
    }

    fn psnr_to_cpu(&self, precision: &str, min_psnr: f64) -> Outcome<(String, bool)> {
        let here = ["--device", &self.device, "--precision", precision];
        let here = if precision == "exact" {
            &here[..2]
        } else {
            &here
        };
        let (cpu, gpu) = (
            self.frames("cpu", &["--device", "cpu"])?,
            self.frames("gpu", here)?,
        );
        let psnr = self.least_psnr(&cpu, &gpu)?;
        Ok((format!("{psnr:.1} dB at least"), psnr >= min_psnr))
    }

    /// Whether the report of the last render on the GPU lists it; if not, why it was dropped.
    fn bytes(&self) -> Outcome<(String, bool)> {
        let tuning = &self.report("gpu")?["tuning"];
        let is_used = tuning["rewritings"]
            .to_string()
            .contains("bytes in and out");
        let measured = if is_used {
            "in use".into()
        } else {
            tuning["dropped"].to_string()
        };
        Ok((measured, is_used))
    }

    /// Two GPUs render the same frames as one, and the report names both.
    fn two_gpus(&self) -> Outcome<(String, bool)> {
        let gpus = nvidia_smi(&["-L"]).map_or(0, |gpus| gpus.matches("GPU ").count());
        if gpus < 2 || self.device != "cuda" {
            return Ok((format!("not tried: {gpus} here"), true));
        }
        let one = self.frames("one", &["--device", "cuda:0"])?;
        let two = self.frames("two", &["--device", "cuda:0,1"])?;
        let psnr = self.least_psnr(&one, &two)?;
        let device = self.report("two")?["device"].clone();
        Ok((
            format!("{psnr:.1} dB on {device}"),
            psnr >= 50.0 && device == "CUDA:0,1",
        ))
    }

    /// The PSNR of the worst frame, within the union of all crop rectangles.
    fn least_psnr(&self, a: &[RgbImage], b: &[RgbImage]) -> Outcome<f64> {
        let rects = fs::read(self.project.join("backgrounds/ada/crop_rects.json"))?;
        let rects: Vec<[u32; 4]> = serde_json::from_slice(&rects)?;
        let side = |i: usize| rects.iter().map(move |rect| rect[i]);
        let (left, top) = (side(0).min(), side(1).min());
        let (right, bottom) = (side(2).max(), side(3).max());
        let ((Some(left), Some(top)), (Some(right), Some(bottom))) = ((left, top), (right, bottom))
        else {
            return Err("no rectangles".into());
        };
        let psnr = |(a, b): (&RgbImage, &RgbImage)| {
            let (mut squares, mut count) = (0.0, 0.0);
            for (x, y) in (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))) {
                for (a, b) in a.get_pixel(x, y).0.iter().zip(b.get_pixel(x, y).0) {
                    squares += f64::from(a.abs_diff(b)).powi(2);
                    count += 1.0;
                }
            }
            10.0 * (255.0_f64.powi(2) * count / squares).log10()
        };
        Ok(a.iter().zip(b).map(psnr).fold(f64::INFINITY, f64::min))
    }

    fn deterministic(&self) -> Outcome<(String, bool)> {
        let clip = |name: &str, batch| -> Outcome<Vec<u8>> {
            let mut args = vec!["render", "-q", "-f", "--limit", "2", "-o", name];
            args.extend([
                "--deterministic",
                "--device",
                &self.device,
                "--batch",
                batch,
            ]);
            self.run(&args)?;
            Ok(fs::read(self.work.path().join(name))?)
        };
        let same = clip("a.mp4", "16")? == clip("b.mp4", "16")?;
        Ok((if same { "same" } else { "different" }.into(), same))
    }

    fn bench(&self, precision: &str) -> Outcome<Value> {
        let model = self.model.as_ref().map(|model| model.display().to_string());
        let mut args = vec!["bench", "-q", "--limit", "9", "--preset", "veryfast"];
        args.extend([
            "--runs",
            "2",
            "--device",
            &self.device,
            "--json",
            "bench.json",
        ]);
        if let Some(model) = &model {
            args.extend(["-m", model, "-b", "ada"]);
        }
        let background = self.project.join("backgrounds/ada").display().to_string();
        if let Some(at) = args.iter().position(|arg| *arg == "ada") {
            args[at] = &background;
        }
        if precision != "exact" {
            args.extend(["--precision", precision]);
        }
        self.run(&args)?;
        self.report("bench")
    }

    /// By how much GPU memory rises while a clip is rendered.
    fn memory(&self) -> Outcome<(String, bool)> {
        let used = || -> Outcome<u64> {
            let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
            let output = nvidia_smi(&query).ok_or("nvidia-smi reports no memory")?;
            Ok(output.lines().next().unwrap_or_default().trim().parse()?)
        };
        let before = used()?;
        let mut args = vec!["render", "-q", "-f", "-o", "memory.mp4"];
        args.extend(["--device", &self.device]);
        let mut render = self.command(&args).stderr(Stdio::null()).spawn()?;
        let mut max = before;
        while render.try_wait()?.is_none() {
            max = max.max(used()?);
            thread::sleep(Duration::from_millis(50));
        }
        let mib = max - before;
        Ok((
            format!("{mib} MiB"),
            render.wait()?.success() && mib > 0 && mib <= MEMORY_MIB,
        ))
    }

    /// The first limit that lowers the batch must not change the frames.
    fn halved(&self) -> Outcome<(String, bool)> {
        let here = ["--device", self.device.as_str()];
        let usual = self.frames("usual", &here)?;
        let config = self.work.path().join("tight.yaml");
        for limit in LOW_LIMITS_GB {
            fs::write(&config, format!("gpu: {{memory_limit_gb: {limit}}}\n"))?;
            let args = [&here[..], &["--config", "tight.yaml"]].concat();
            let tight = self.frames("tight", &args)?;
            let report = self.report("tight")?;
            if let Some(batch) = report["batch_limit"].as_u64() {
                let psnr = self.least_psnr(&usual, &tight)?;
                let (from, warnings) = (&report["batch"], &report["warnings"]);
                let is_reported = warnings.to_string().contains("not enough memory");
                let measured = format!("{from} to {batch} at {limit} GB, {psnr:.1} dB");
                return Ok((measured, is_reported && psnr >= 50.0));
            }
        }
        Err("no limit was too small".into())
    }

    /// Whether a render fails with exit code 4 and a message that contains `message`.
    fn refused(
        &self,
        args: &[&str],
        variables: &[(&str, PathBuf)],
        message: &str,
    ) -> Outcome<(String, bool)> {
        let base = ["render", "--dry-run", "--device", &self.device];
        let base = if args.is_empty() {
            &base[..]
        } else {
            &base[..2]
        };
        let mut command = self.command(&[base, args].concat());
        let output = command
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let cause = stderr
            .lines()
            .find_map(|line| line.split_once("Caused by: "));
        let cause = cause.map_or("no error", |(_, cause)| cause);
        let ok = output.status.code() == Some(4) && stderr.contains(message);
        Ok((cause.to_owned(), ok))
    }

    /// A render with a runtime next to which the libraries whose names start with `prefix` are missing.
    fn without(&self, prefix: &str) -> Outcome<(String, bool)> {
        let detail = self.finding("ONNX Runtime")?.detail;
        let runtime = detail.split('`').nth(1).ok_or("doctor names no runtime")?;
        let here = Path::new(runtime).parent().ok_or("no folder")?;
        let there = self.work.path().join(format!("without {prefix}"));
        fs::create_dir_all(there.join("cuda"))?;
        let folders = [
            (here.to_owned(), there.clone()),
            (here.join("cuda"), there.join("cuda")),
        ];
        for (from, to) in folders {
            for file in fs::read_dir(from)?.flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                let is_missing = to.ends_with("cuda") && name.starts_with(prefix);
                if name.contains(".so") && !is_missing && file.path().is_file() {
                    let (from, to) = (file.path(), to.join(&name));
                    fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()))?;
                }
            }
        }
        let name = Path::new(runtime).file_name().unwrap_or_default();
        let (cause, ok) =
            self.refused(&[], &[("ORT_DYLIB_PATH", there.join(name))], "is missing")?;
        if cause == "no error" {
            return Ok(("not tried: the system has its own".into(), true));
        }
        Ok((cause, ok))
    }
}

/// What `lipsync doctor` found.
struct Finding {
    ok: bool,
    detail: String,
}

/// The output of nvidia-smi, if it is installed and succeeds.
fn nvidia_smi(args: &[&str]) -> Option<String> {
    let output = Command::new("nvidia-smi").args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}
