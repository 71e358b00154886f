//! Where the time of a render goes: each part alone, all together, and the generator as ONNX Runtime runs it by itself.
//!
//! Nothing here is a copy of what a render does: each part calls what the pipeline calls. Runs go round, one of everything
//! after the other, so that a machine that is busy for a while slows all alike; the first round is told apart.

mod cost;
mod material;
mod parts;
mod picture;
mod report;
mod table;
mod whole;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;

use crate::background::FrameFormats;
use crate::cancel::Cancel;
use crate::encode::clip::ClipFormat;
use crate::encode::codec::VideoSettings;
use crate::encode::composed::ComposedFrame;
use crate::error::{Fault, plain_io};
use crate::face::Paster;
use crate::image::Picture;
use crate::image::pool::Pool;
use crate::inference::onnx::{BaselineGenerator, Networks, Runtime};
use crate::output::{OutputKind, Target};
use crate::plan::Plan;
use crate::render::memory::peak_memory;
use crate::render::pipeline::{Clip, FrameSelection, StageTime};
use crate::render::{self, networks};
use cost::{Cost, Others, Runs};
use material::Material;
use parts::{AudioEncoder, Counts, Crop, Decode, Encode, Generator, Mel, Part, Paste, Plain};
pub(crate) use picture::draw;
pub(crate) use report::BenchReport;
use report::rounded;
pub(crate) use table::table;

/// What is measured beside what the plan says.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Later runs of everything, of which the median is taken.
    pub runs: NonZeroUsize,
    /// Presets that the encoder is measured at, beside the plan's own.
    pub presets: Vec<String>,
}

/// A folder of this process's own for the clips, removed in the end.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it where the system keeps temporary files.
    pub(crate) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("lipsync-bench-{}", std::process::id()));
        // A killed process of the same number may have left one.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).map_err(|e| {
            Fault::machine(format!("cannot make the folder `{}`", path.display()))
                .because(plain_io(&e))
                .hint("set TMPDIR to a folder that can be written to")
        })?;
        Ok(Self(path))
    }

    /// Where a clip of the name `name` goes.
    pub(crate) fn clip(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about what cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Measures the render of `plan`, which writes a clip, with ONNX Runtime from `runtime`. `tell` hears what is done next.
pub(crate) fn run(
    plan: &Plan,
    options: &Options,
    runtime: &Path,
    cancel: &Cancel,
    tell: &mut dyn FnMut(&str),
) -> Result<BenchReport> {
    let (Some(target), Some(format)) = (&plan.target, &plan.format) else {
        return Err(Fault::usage("only the render of a clip can be measured").into());
    };
    let formats = formats(format, &options.presets)?;
    let started = Instant::now();
    let library = Runtime::load(runtime)?;
    let mut networks = networks::load(plan, &library)?;
    let batch = plan.batch.on(&networks.placement);
    let room = networks::make_room(plan, &mut networks, batch)?;
    let load = started.elapsed();
    let frames = FrameSelection::Range(0..plan.frames);
    let bench = Bench {
        plan,
        clip: render::clip(plan, &frames, None, batch, room),
        format,
        target,
        cancel,
    };

    let others = Others::now();
    tell("the whole, first run");
    let (cold, rendered) = Cost::of(|| bench.whole(&mut networks))?;
    let mut whole = Whole {
        runs: Runs::new(cold),
        first_frame: load + rendered.first_frame,
        stages: rendered.stages,
        // Before the parts' material takes more.
        peak_rss: peak_memory(),
    };
    let material = Material::gather(plan, bench.clip, bench.forms(), &mut networks)?;
    let composed = bench.composed(&material);
    let original = BaselineGenerator::load(&library, &plan.model.generator, &networks.placement)?;
    let mut parts = bench.parts(&material, &composed, original, &formats);
    let mut measured = Vec::new();
    for part in &mut parts {
        cancel.check()?;
        tell(&format!("{}, first run", part.name()));
        let (cold, ()) = Cost::of(|| part.run(&mut networks))?;
        measured.push(Runs::new(cold));
    }
    for run in 1..=options.runs.get() {
        tell(&format!("everything, run {run} of {}", options.runs));
        let (cost, rendered) = Cost::of(|| bench.whole(&mut networks))?;
        whole.runs.warm.push(cost);
        whole.stages = rendered.stages;
        for (part, runs) in parts.iter_mut().zip(&mut measured) {
            cancel.check()?;
            let (cost, ()) = Cost::of(|| part.run(&mut networks))?;
            runs.warm.push(cost);
        }
    }
    let parts = parts.iter().map(AsRef::as_ref).zip(&measured);
    let mut report = BenchReport::new(plan, &networks, batch, options.runs.get());
    report
        .versions
        .insert("onnxruntime", Runtime::version(runtime));
    report.set_measured(&whole, load, parts);
    report.others_share = others
        .zip(Others::now())
        .map(|(earlier, now)| rounded(now.share_since(earlier)));
    Ok(report)
}

/// The plan's own compression, then the same at the other presets.
fn formats(own: &ClipFormat, presets: &[String]) -> Result<Vec<ClipFormat>> {
    let mut formats = vec![own.clone()];
    for preset in presets {
        let VideoSettings { encoder, crf, .. } = own.video;
        let video = encoder.settings(crf, Some(preset.clone()))?;
        if formats.iter().all(|f| f.video.preset != video.preset) {
            formats.push(ClipFormat {
                video,
                ..own.clone()
            });
        }
    }
    Ok(formats)
}

/// The render again and again.
struct Whole {
    runs: Runs,
    /// From before the networks were loaded to the first encoded frame, in the first run.
    first_frame: std::time::Duration,
    /// Of the last run.
    stages: Vec<StageTime>,
    peak_rss: Option<u64>,
}

/// What is measured.
struct Bench<'a> {
    plan: &'a Plan,
    clip: Clip<'a>,
    format: &'a ClipFormat,
    target: &'a Target,
    cancel: &'a Cancel,
}

impl<'a> Bench<'a> {
    fn whole(&self, networks: &mut Networks) -> Result<whole::RenderedClip> {
        whole::render(
            self.plan,
            self.clip,
            self.format.clone(),
            self.target.clone(),
            networks,
            self.cancel,
        )
    }

    /// What the clip's frames are put together from.
    fn forms(&self) -> FrameFormats {
        self.format.video.encoder.forms()
    }

    /// The held frames as they come to the encoder.
    fn composed(&self, material: &Material) -> Vec<ComposedFrame> {
        let (pool, mut paster) = (Pool::<Picture>::default(), Paster::default());
        let composed = material.held.iter().map(|held| {
            let mut patch = pool.take();
            held.paste(self.plan.paste, &mut paster, &mut patch);
            ComposedFrame {
                background: Arc::clone(&held.background),
                patch: Some(patch),
            }
        });
        composed.collect()
    }

    /// In the order of the flow.
    fn parts<'p>(
        &self,
        material: &'p Material,
        composed: &'p [ComposedFrame],
        original: BaselineGenerator,
        formats: &[ClipFormat],
    ) -> Vec<Box<dyn Part + 'p>>
    where
        'a: 'p,
    {
        let plan = self.plan;
        let mut parts: Vec<Box<dyn Part + 'p>> = vec![
            Box::new(Decode {
                plan,
                clip: self.clip,
                forms: self.forms(),
            }),
            Box::new(Crop { material }),
            Box::new(Mel { plan }),
            Box::new(AudioEncoder {
                material,
                embeddings: Vec::new(),
            }),
            Box::new(Generator {
                material,
                batch: self.clip.batch,
            }),
            Box::new(Plain::new(material, original)),
            Box::new(Paste {
                plan,
                material,
                paster: Paster::default(),
                patch: Picture::default(),
            }),
        ];
        for (n, format) in formats.iter().enumerate() {
            parts.push(Box::new(Encode {
                plan,
                format: format.clone(),
                frames: composed,
                target: Target {
                    path: self
                        .target
                        .path
                        .with_file_name(format!("alone.{}", extension(self.target))),
                    kind: OutputKind::File,
                    force: true,
                },
                counts: if n == 0 {
                    Counts::Whole
                } else {
                    Counts::Instead("encode")
                },
            }));
        }
        parts
    }
}

/// The end of the clip's name, which says what kind of file it is.
fn extension(target: &Target) -> String {
    let extension = target.path.extension().unwrap_or_default();
    extension.to_string_lossy().into_owned()
}
