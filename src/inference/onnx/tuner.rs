//! A generator's file -> parts that cost less (see [`crate::inference::graph`]), each proved against the file itself.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};
use prost::Message as _;

use super::network::{InputValues, Network};
use super::split_generator::{FeatureCache, GeneratorParts, Names, SplitGenerator};
use super::sub_model::SubModel;
use super::{Loader, commit};
use crate::audio::window::WINDOW_LEN;
use crate::face::{CROP, INPUT_LEN, OUTPUT_LEN, network_input};
use crate::image::Picture;
use crate::inference::graph::commute::commute;
use crate::inference::graph::edit::Shapes;
use crate::inference::graph::fold::drop_empty_pads;
use crate::inference::graph::fuse::fuse;
use crate::inference::graph::proto::{Model, ValueInfo};
use crate::inference::graph::quantise::{self, Statistics, quantise};
use crate::inference::graph::split::{SplitGraph, split};
use crate::inference::kernel::{InstructionSet, int8};
use crate::inference::precision::{CalibrationSamples, Precision, Tuning};

/// How far a rewritten network may be from the file's, in units of the output (0..1).
const SAME: f32 = 1e-4;
/// How near integer networks must come to exact ones, decibels.
pub(super) const NEAR: f64 = 40.0;

/// Makes parts of a generator.
pub(super) struct Tuner<'a> {
    pub(super) loader: &'a Loader<'a>,
    /// The generator's file, for weights that lie outside it.
    pub(super) path: &'a Path,
    pub(super) names: Names,
}

impl Tuner<'_> {
    /// The parts that `precision` asks for, and what was done. No parts if nothing is gained or proved.
    ///
    /// `whole` is the network as it is in the file, `bytes` the file, `samples` what integers are fitted to.
    pub(super) fn tune(
        &self,
        mut whole: Network,
        bytes: &[u8],
        precision: Precision,
        samples: &CalibrationSamples,
    ) -> (Option<GeneratorParts>, Tuning) {
        let mut tuning = Tuning {
            precision: "exact".into(),
            ..Tuning::default()
        };
        let proof = match Reference::of(&mut whole) {
            Ok(proof) => proof,
            Err(error) => return (None, Tuning::none(&format!("{error:#}"))),
        };
        // Gone before anything else is started, so that memory for two is never needed.
        drop(whole);
        let (split, shapes) = match self.split(bytes) {
            Ok(Some(found)) => found,
            Ok(None) => {
                return (
                    None,
                    Tuning::none("no part of it depends on the picture alone"),
                );
            }
            Err(error) => return (None, Tuning::none(&format!("{error:#}"))),
        };
        let mut parts = None;
        let mut best = split.clone();
        let places = commute(&mut best.joint, &shapes).unwrap_or(0);
        let moved = format!("{places} convolutions before upsamples");
        if let Some((fused, blocks)) = fused(&best, &shapes) {
            let what = [moved.clone(), format!("{blocks} blocks in one go each")];
            let what = &what[usize::from(places == 0)..];
            parts = self.proved(&proof, self.parts(&fused), what, &mut tuning);
        }
        if parts.is_none() && places > 0 {
            parts = self.proved(&proof, self.parts(&best), &[moved], &mut tuning);
        }
        drop(best);
        if parts.is_none() {
            parts = self.proved(&proof, self.parts(&split), &[], &mut tuning);
        }
        let wants_integers = match precision {
            Precision::Exact => false,
            Precision::Fp16 => {
                let why = "fp16: the networks run on the CPU, which has no use for it";
                tuning.dropped.push(why.into());
                false
            }
            Precision::Int8 => true,
            Precision::Auto if int8::InstructionSet::best().is_fast() => true,
            Precision::Auto => {
                let why = "int8: this processor has no instructions for it (VNNI)";
                tuning.dropped.push(why.into());
                false
            }
        };
        if wants_integers && let Some(exact) = &parts {
            match self.integers(exact, &split, &shapes, samples, precision) {
                Ok(found) => {
                    parts = Some(found.parts);
                    tuning.precision = "int8".into();
                    tuning.psnr_db = Some((found.psnr_db * 100.0).round() / 100.0);
                    let what = format!("{} of the blocks in eight bits", found.blocks);
                    tuning.rewritings.push(what);
                }
                Err(error) => tuning.dropped.push(format!("int8: {error:#}")),
            }
        }
        (parts, tuning)
    }

    /// The file's network for one face at a time, folded and cut, with the shapes of its f32 tensors.
    fn split(&self, bytes: &[u8]) -> Result<Option<(SplitGraph, Shapes)>> {
        let mut model = self.folded(bytes)?;
        drop_empty_pads(&mut model)?;
        let shapes = self.shapes(&model)?;
        let split = split(&model, &self.names.picture, &self.names.sound, &shapes)?;
        Ok(split.map(|split| (split, shapes)))
    }

    /// The network as ONNX Runtime writes it for batches of one: shapes known, constants folded.
    fn folded(&self, bytes: &[u8]) -> Result<Model> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("folded.onnx");
        let symbols = Model::parse(bytes)?.graph()?.batch_symbols();
        let write = || {
            let mut builder = (self.loader.builder()?)
                .with_optimization_level(GraphOptimizationLevel::Level1)?
                .with_optimized_model_path(&file)?;
            for symbol in symbols {
                builder = builder.with_dimension_override(symbol, 1)?;
            }
            commit(builder, self.path, bytes)
        };
        write()?;
        Model::parse(&std::fs::read(&file)?)
    }

    /// A session of `model` that also gives the tensors `extra`.
    fn observing(&self, model: &Model, extra: &[String]) -> Result<Session> {
        let mut graph = model.graph()?.clone();
        graph
            .outputs
            .extend(extra.iter().map(|name| ValueInfo::unknown(name)));
        let bytes = model.with(graph).encode_to_vec();
        let start = || {
            let builder = self.loader.builder()?;
            let builder = builder.with_optimization_level(GraphOptimizationLevel::Disable)?;
            commit(builder, self.path, &bytes)
        };
        Ok(start()?)
    }

    fn shapes(&self, model: &Model) -> Result<Shapes> {
        let graph = model.graph()?;
        let made = graph.nodes.iter().flat_map(|node| &node.outputs);
        let inner: Vec<String> = made
            .filter(|name| !name.is_empty() && !graph.gives(name))
            .cloned()
            .collect();
        let session = self.observing(model, &inner)?;
        let known = session.outputs().iter().filter_map(|outlet| {
            let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
                return None;
            };
            let is_known = *ty == TensorElementType::Float32 && shape.iter().all(|&n| n > 0);
            is_known.then(|| (outlet.name().to_owned(), shape.to_vec()))
        });
        Ok(known.collect())
    }

    /// `parts`, if they give what the whole network gives.
    fn proved(
        &self,
        proof: &Reference,
        parts: GeneratorParts,
        what: &[String],
        tuning: &mut Tuning,
    ) -> Option<GeneratorParts> {
        let split = "once for each background what depends on it alone".to_owned();
        let what = [&[split], what].concat().join(", ");
        let difference = self
            .start(&parts)
            .and_then(|mut generator| proof.difference(&mut generator));
        match difference {
            Ok(difference) if difference <= SAME => {
                tuning.rewritings.push(what);
                Some(parts)
            }
            Ok(difference) => {
                let why = format!("{what}: differs by {difference:.1e} (at most {SAME:.0e})");
                tuning.dropped.push(why);
                None
            }
            Err(error) => {
                tuning.dropped.push(format!("{what}: {error:#}"));
                None
            }
        }
    }

    fn parts(&self, split: &SplitGraph) -> GeneratorParts {
        GeneratorParts {
            image: split.image.encode_to_vec(),
            cheap: split.cheap.as_ref().map(Model::encode_to_vec),
            joint: split.joint.encode_to_vec(),
            names: self.names.clone(),
        }
    }

    fn start(&self, parts: &GeneratorParts) -> Result<SplitGenerator> {
        let sight = FeatureCache::new(parts, self.loader)?;
        let joint = SubModel::read(&parts.joint)?.start(self.loader)?;
        let sight = Arc::new(Mutex::new(sight));
        Ok(SplitGenerator::new(sight, self.names.clone(), joint))
    }

    /// Of the integer networks, from the fastest on, the first that is near enough; where none is, the nearest one if
    /// integers are asked for, else an error that tells how near it came.
    fn integers(
        &self,
        exact: &GeneratorParts,
        split: &SplitGraph,
        shapes: &Shapes,
        samples: &CalibrationSamples,
        precision: Precision,
    ) -> Result<Int8Networks> {
        let pairs: Vec<(&Picture, &[f32])> = samples
            .crops
            .iter()
            .zip(samples.windows.iter().map(Vec::as_slice))
            .collect();
        ensure!(
            pairs.len() >= 2,
            "there are not enough samples to fit it to"
        );
        // Fitted to one half, measured on the other.
        let (fitted, measured): (Vec<_>, Vec<_>) =
            pairs.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
        let seen = self.statistics(split, shapes, fitted.into_iter().map(|(_, pair)| pair))?;
        let measured: Vec<_> = measured.into_iter().map(|(_, pair)| pair).collect();
        let mut generator = self.start(exact)?;
        let mut exact = vec![vec![0.0; OUTPUT_LEN]; measured.len()];
        for ((crop, window), exact) in measured.iter().zip(&mut exact) {
            generator.paint(crop, window, exact)?;
        }
        drop(generator);
        let mut best: Option<Int8Networks> = None;
        for area in quantise::areas(split, shapes)? {
            let quantised = quantise(split, shapes, &seen, area)?;
            let blocks = quantise::count(&quantised.joint)?;
            if blocks == 0 {
                continue;
            }
            let whole = fused(&quantised, shapes).map(|(fused, _)| fused);
            let parts = self.parts(whole.as_ref().unwrap_or(&quantised));
            let mut generator = self.start(&parts)?;
            let mut sum = 0.0;
            let mut picture = vec![0.0; OUTPUT_LEN];
            for ((crop, window), exact) in measured.iter().zip(&exact) {
                generator.paint(crop, window, &mut picture)?;
                sum += squared_levels(&picture, exact);
            }
            let psnr_db = psnr_db(sum / measured.len() as f64);
            if best.as_ref().is_none_or(|known| known.psnr_db < psnr_db) {
                best = Some(Int8Networks {
                    parts,
                    psnr_db,
                    blocks,
                });
            }
            if psnr_db >= NEAR {
                break;
            }
        }
        let best = best.context("no layer of it can be done in eight bits")?;
        ensure!(
            best.psnr_db >= NEAR || precision == Precision::Int8,
            "its pictures come within {:.1} dB of exact ones ({NEAR:.0} are wanted)",
            best.psnr_db
        );
        Ok(best)
    }

    /// Ranges and means of the joint part's tensors.
    fn statistics<'s>(
        &self,
        split: &SplitGraph,
        shapes: &Shapes,
        samples: impl Iterator<Item = (&'s Picture, &'s [f32])>,
    ) -> Result<Statistics> {
        let inner = quantise::observed(split.joint.graph()?, shapes);
        let mut joint = self.observing(&split.joint, &inner)?;
        let mut image = self
            .loader
            .start(self.path, &split.image.encode_to_vec(), None)?;
        let mut seen = Statistics::default();
        let mut input = vec![0.0; INPUT_LEN];
        for (crop, window) in samples {
            network_input(crop, &mut input);
            let picture = TensorRef::from_array_view(([1_i64, 6, 320, 320], input.as_slice()))?;
            let features = image.run(vec![(self.names.picture.as_str(), picture)])?;
            let mut given: HashMap<&str, (Vec<i64>, &[f32])> = HashMap::new();
            for name in features.keys() {
                let (shape, values) = features[name].try_extract_tensor::<f32>()?;
                given.insert(name, (shape.to_vec(), values));
            }
            given.insert(&self.names.sound, (vec![1, 32, 16, 16], window));
            given.insert(&self.names.picture, (vec![1, 6, 320, 320], &input));
            let wanted = split.joint.graph()?.input_names();
            given.retain(|name, _| wanted.contains(name));
            let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
            for (name, (shape, values)) in &given {
                seen.add(name, shape, values);
                inputs.push((
                    name,
                    TensorRef::from_array_view((shape.clone(), *values))?.into(),
                ));
            }
            for (name, value) in &joint.run(inputs)? {
                let (shape, values) = value.try_extract_tensor::<f32>()?;
                seen.add(name, shape, values);
            }
        }
        Ok(seen)
    }
}

/// Integer networks.
struct Int8Networks {
    parts: GeneratorParts,
    /// How near they come to exact ones, decibels.
    psnr_db: f64,
    /// How many blocks of them work with bytes.
    blocks: usize,
}

/// The parts with blocks in one go, and how many there are; none where none was found, or the processor cannot do it.
fn fused(split: &SplitGraph, shapes: &Shapes) -> Option<(SplitGraph, usize)> {
    InstructionSet::best().is_fast().then_some(())?;
    let mut fused = split.clone();
    let mut blocks = fuse(&mut fused.image, shapes).ok()?;
    if let Some(cheap) = &mut fused.cheap {
        blocks += fuse(cheap, shapes).ok()?;
    }
    blocks += fuse(&mut fused.joint, shapes).ok()?;
    (blocks > 0).then_some((fused, blocks))
}

/// What the whole network gives for one random input.
pub(super) struct Reference {
    pub(super) crop: Picture,
    pub(super) window: Vec<f32>,
    pub(super) picture: Vec<f32>,
}

impl Reference {
    pub(super) fn of(whole: &mut Network) -> Result<Self> {
        let mut noise = Noise(0x2545_f491_4f6c_dd1d);
        let mut crop = Picture::new(CROP, CROP);
        crop.pixels.fill_with(|| (noise.next() >> 56) as u8);
        let mut window = vec![0.0; WINDOW_LEN];
        window.fill_with(|| (noise.next() >> 40) as f32 / (1 << 23) as f32 - 1.0);
        let mut picture = vec![0.0; OUTPUT_LEN];
        run_whole(whole, &crop, &window, &mut picture)?;
        Ok(Self {
            crop,
            window,
            picture,
        })
    }

    /// The greatest difference of what `parts` give.
    fn difference(&self, parts: &mut SplitGenerator) -> Result<f32> {
        let mut picture = vec![0.0; OUTPUT_LEN];
        parts.paint(&self.crop, &self.window, &mut picture)?;
        let pairs = self.picture.iter().zip(&picture);
        // NaN must not pass as none.
        Ok(pairs
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most }))
    }
}

pub(super) fn run_whole(
    whole: &mut Network,
    crop: &Picture,
    window: &[f32],
    output: &mut [f32],
) -> Result<()> {
    let mut input = vec![0.0; INPUT_LEN];
    network_input(crop, &mut input);
    whole.run(
        1,
        &[InputValues::Floats(&input), InputValues::Floats(window)],
        output,
    )
}

/// Decibels of a mean squared difference in levels.
pub(super) fn psnr_db(squared_levels: f64) -> f64 {
    10.0 * (255.0 * 255.0 / squared_levels.max(1e-9)).log10()
}

/// Mean squared difference in levels.
pub(super) fn squared_levels(a: &[f32], b: &[f32]) -> f64 {
    let level = |v: f32| f64::from((v * 255.0) as u8);
    let sum: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| (level(*a) - level(*b)).powi(2))
        .sum();
    sum / a.len() as f64
}

/// Numbers that look random and are the same on every run (Marsaglia's xorshift, 2003).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
