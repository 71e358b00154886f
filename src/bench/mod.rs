//! Where the time of a render goes: each component on its own, the full render, and a plain run of the generator in ONNX
//! Runtime.
//!
//! In: a plan that writes a clip. Out: a [`BenchReport`], its [`table()`] and its picture. Nothing is a copy of what a render
//! does: each component calls what the pipeline calls. A round runs everything once, so that a machine that is busy for a
//! while slows all of it alike; the first round is the warm-up and is reported on its own.
//!
//! - `components`: what is measured on its own
//! - `fixtures`: what the components work on
//! - `full_render`: the render as a whole
//! - `measure`: wall time and CPU time, medians
//! - `system_load`: CPU time that other programs used meanwhile
//! - `scratch`: the temporary folder for the clips
//! - `report`, `table`, `picture`: the results for scripts and for people

mod components;
mod fixtures;
mod full_render;
mod measure;
mod picture;
mod report;
mod scratch;
mod system_load;
mod table;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;

use crate::background::FrameFormats;
use crate::cancel::Cancel;
use crate::encode::clip::ClipFormat;
use crate::encode::codec::VideoSettings;
use crate::encode::composed::ComposedFrame;
use crate::error::Fault;
use crate::face::Paster;
use crate::image::Picture;
use crate::image::pool::Pool;
use crate::inference::onnx::{BaselineGenerator, Networks, Runtime};
use crate::output::{OutputKind, Target};
use crate::plan::Plan;
use crate::render::memory::peak_use;
use crate::render::pipeline::{Clip, FrameSelection};
use crate::render::{self, networks};
use components::{
    AudioEncoder, Component, Crop, Decode, Encode, Generator, Mel, Paste, PlainRun, Role,
};
use fixtures::Fixtures;
use full_render::{FullRender, RenderedClip};
use measure::{Cost, Runs};
pub(crate) use picture::draw;
pub(crate) use report::BenchReport;
use report::rounded;
pub(crate) use scratch::Scratch;
use system_load::SystemLoad;
pub(crate) use table::table;

/// What is measured, besides the plan.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Warm runs of everything, of which the median is taken.
    pub runs: NonZeroUsize,
    /// Presets that the encoder is measured with, besides the plan's own.
    pub presets: Vec<String>,
}

/// Measures the render of `plan`, which writes a clip, with the ONNX Runtime library `runtime`. `progress` is called with
/// what runs next.
pub(crate) fn run(
    plan: &Plan,
    options: &Options,
    runtime: &Path,
    cancel: &Cancel,
    progress: &mut dyn FnMut(&str),
) -> Result<BenchReport> {
    let (Some(target), Some(format)) = (&plan.target, &plan.format) else {
        return Err(Fault::usage("only a render to a clip can be measured").into());
    };
    let formats = formats(format, &options.presets)?;
    let started = Instant::now();
    let library = Runtime::load(runtime)?;
    let mut networks = networks::load(plan, &library)?;
    let batch = plan.batch.on(&networks.placement);
    let room = networks::budget_memory(plan, &mut networks, batch)?;
    let load = started.elapsed();
    let frames = FrameSelection::Range(0..plan.frames);
    let bench = Bench {
        plan,
        clip: render::clip(plan, &frames, None, batch, room),
        format,
        target,
        cancel,
    };

    let load_before = SystemLoad::now();
    progress("full render, first run");
    let (cold, rendered) = Cost::of(|| bench.full_render(&mut networks))?;
    let mut whole = FullRender {
        runs: Runs::new(cold),
        first_frame: load + rendered.first_frame,
        stages: rendered.stages,
        // Before the components' fixtures take more.
        peak_rss: peak_use(),
    };
    let fixtures = Fixtures::new(plan, bench.clip, bench.frame_formats(), &mut networks)?;
    let composed = bench.composed(&fixtures);
    let baseline = BaselineGenerator::load(&library, &plan.model.generator, &networks.placement)?;
    let mut components = bench.components(&fixtures, &composed, baseline, &formats);
    let runs = options.runs.get();
    let costs = bench.measure(runs, &mut networks, &mut whole, &mut components, progress)?;
    let components = components.iter().map(AsRef::as_ref).zip(&costs);
    let mut report = BenchReport::new(plan, &networks, batch, runs);
    report.set_measured(&whole, load, components);
    let onnxruntime = Runtime::version(runtime);
    report.versions.insert("onnxruntime", onnxruntime);
    report.others_share = load_before
        .zip(SystemLoad::now())
        .map(|(before, now)| rounded(now.others_since(before)));
    Ok(report)
}

/// The plan's own format, then the same with the other presets.
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

/// What is measured.
struct Bench<'a> {
    plan: &'a Plan,
    clip: Clip<'a>,
    format: &'a ClipFormat,
    target: &'a Target,
    cancel: &'a Cancel,
}

impl<'a> Bench<'a> {
    fn full_render(&self, networks: &mut Networks) -> Result<RenderedClip> {
        full_render::render(
            self.plan,
            self.clip,
            self.format.clone(),
            self.target.clone(),
            networks,
            self.cancel,
        )
    }

    /// Runs each component once to warm up, then everything `runs` times. Adds the full render's costs to `whole`; returns
    /// those of the components.
    fn measure(
        &self,
        runs: usize,
        networks: &mut Networks,
        whole: &mut FullRender,
        components: &mut [Box<dyn Component + '_>],
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Runs>> {
        let mut costs = Vec::new();
        for component in &mut *components {
            self.cancel.check()?;
            progress(&format!("{}, first run", component.name()));
            let (cold, ()) = Cost::of(|| component.run(networks))?;
            costs.push(Runs::new(cold));
        }
        for run in 1..=runs {
            progress(&format!("everything, run {run} of {runs}"));
            let (cost, rendered) = Cost::of(|| self.full_render(networks))?;
            whole.runs.warm.push(cost);
            whole.stages = rendered.stages;
            for (component, runs) in components.iter_mut().zip(&mut costs) {
                self.cancel.check()?;
                let (cost, ()) = Cost::of(|| component.run(networks))?;
                runs.warm.push(cost);
            }
        }
        Ok(costs)
    }

    /// The formats in which the encoder takes frames.
    fn frame_formats(&self) -> FrameFormats {
        self.format.video.encoder.forms()
    }

    /// The held frames as the encoder gets them.
    fn composed(&self, fixtures: &Fixtures) -> Vec<ComposedFrame> {
        let (pool, mut paster) = (Pool::<Picture>::default(), Paster::default());
        let composed = fixtures.painted.iter().map(|frame| {
            let mut patch = pool.take();
            frame.paste(self.plan.paste, &mut paster, &mut patch);
            ComposedFrame {
                background: Arc::clone(&frame.background),
                patch: Some(patch),
            }
        });
        composed.collect()
    }

    /// In the order of the pipeline.
    fn components<'c>(
        &self,
        fixtures: &'c Fixtures,
        composed: &'c [ComposedFrame],
        baseline: BaselineGenerator,
        formats: &[ClipFormat],
    ) -> Vec<Box<dyn Component + 'c>>
    where
        'a: 'c,
    {
        let plan = self.plan;
        let mut components: Vec<Box<dyn Component + 'c>> = vec![
            Box::new(Decode {
                plan,
                clip: self.clip,
                formats: self.frame_formats(),
            }),
            Box::new(Crop { fixtures }),
            Box::new(Mel { plan }),
            Box::new(AudioEncoder {
                fixtures,
                embeddings: Vec::new(),
            }),
            Box::new(Generator {
                fixtures,
                batch: self.clip.batch,
            }),
            Box::new(PlainRun::new(fixtures, baseline)),
            Box::new(Paste {
                plan,
                fixtures,
                paster: Paster::default(),
                patch: Picture::default(),
            }),
        ];
        for (n, format) in formats.iter().enumerate() {
            components.push(Box::new(Encode {
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
                role: if n == 0 {
                    Role::Whole
                } else {
                    Role::Instead("encode")
                },
            }));
        }
        components
    }
}

/// The extension of the clip's name, which chooses the container.
fn extension(target: &Target) -> String {
    let extension = target.path.extension().unwrap_or_default();
    extension.to_string_lossy().into_owned()
}
