//! Rewrites a generator's file into parts that cost less (see [`crate::inference::graph`]), and verifies each result
//! against the file's own network.

use anyhow::Result;
use ort::value::{TensorElementType, ValueType};

use super::generator_file::{GeneratorFile, fuse_parts};
use super::int8::Calibration;
use super::network::Network;
use super::ort_message::reason;
use super::parts::GeneratorParts;
use super::reference::{Reference, rounded_db};
use crate::inference::graph::edit::Shapes;
use crate::inference::graph::fold::remove_empty_pads;
use crate::inference::graph::proto::Model;
use crate::inference::graph::reorder::move_convolutions;
use crate::inference::graph::split::{SplitGraph, split};
use crate::inference::kernel::int8;
use crate::inference::precision::{CalibrationSamples, Precision, Tuning};

/// The largest difference between a rewritten exact network and the file's, in units of the output (0..1).
const MAX_DIFFERENCE: f32 = 1e-4;

/// Rewrites a generator's file.
pub(super) struct Tuner<'a> {
    pub(super) file: GeneratorFile<'a>,
}

impl Tuner<'_> {
    /// The parts of the network in the precision that is asked for, none if nothing is gained or verified, and what was
    /// done.
    ///
    /// `whole` is the file's own network, `bytes` the file; `samples` are for int8.
    pub(super) fn tune(
        &self,
        mut whole: Network,
        bytes: &[u8],
        precision: Precision,
        samples: &CalibrationSamples,
    ) -> (Option<GeneratorParts>, Tuning) {
        let reference = Reference::of(&mut whole);
        // Dropped before anything else starts, so that memory for two is never needed.
        drop(whole);
        let reference = match reference {
            Ok(reference) => reference,
            Err(error) => return (None, Tuning::none(&reason(&error))),
        };
        let (split, shapes) = match self.split(bytes) {
            Ok(Some(found)) => found,
            Ok(None) => {
                let why = "no part of it depends on the picture alone";
                return (None, Tuning::none(why));
            }
            Err(error) => return (None, Tuning::none(&reason(&error))),
        };
        let mut tuning = Tuning::exact();
        let mut parts = self.exact_parts(&split, &shapes, &reference, &mut tuning);
        if let Some(exact) = &parts
            && wants_int8(precision, &mut tuning)
        {
            let calibration = Calibration {
                file: &self.file,
                split: &split,
                shapes: &shapes,
                samples,
            };
            match calibration.quantize(exact, precision) {
                Ok(int8) => {
                    parts = Some(int8.parts);
                    tuning.precision = "int8".into();
                    tuning.psnr_db = Some(rounded_db(int8.psnr_db));
                    tuning
                        .rewritings
                        .push(format!("{} blocks in int8", int8.blocks));
                }
                Err(error) => tuning.dropped.push(format!("int8: {}", reason(&error))),
            }
        }
        (parts, tuning)
    }

    /// The parts with as many of the exact rewritings as can be verified.
    fn exact_parts(
        &self,
        split: &SplitGraph,
        shapes: &Shapes,
        reference: &Reference,
        tuning: &mut Tuning,
    ) -> Option<GeneratorParts> {
        let mut reordered = split.clone();
        let moved = move_convolutions(&mut reordered.joint, shapes).unwrap_or(0);
        let reordering =
            (moved > 0).then(|| format!("{moved} convolutions moved before upsamples"));
        let mut parts = None;
        if let Some((fused, blocks)) = fuse_parts(&reordered, shapes) {
            let fusions = Some(format!("{blocks} blocks fused"));
            let steps = [reordering.clone(), fusions];
            parts = self.verified(&fused, &steps, reference, tuning);
        }
        if parts.is_none() && reordering.is_some() {
            parts = self.verified(&reordered, &[reordering], reference, tuning);
        }
        drop(reordered);
        parts.or_else(|| self.verified(split, &[], reference, tuning))
    }

    /// The parts of `split`, to which `steps` were applied, if they paint what the whole network paints.
    fn verified(
        &self,
        split: &SplitGraph,
        steps: &[Option<String>],
        reference: &Reference,
        tuning: &mut Tuning,
    ) -> Option<GeneratorParts> {
        let splitting = "picture features computed once per background".to_owned();
        let steps = steps.iter().flatten().cloned();
        let what: Vec<String> = std::iter::once(splitting).chain(steps).collect();
        let what = what.join(", ");
        let parts = self.file.parts(split);
        let difference = self
            .file
            .start(&parts)
            .and_then(|mut generator| reference.max_difference(&mut generator));
        match difference {
            Ok(difference) if difference <= MAX_DIFFERENCE => {
                tuning.rewritings.push(what);
                Some(parts)
            }
            Ok(difference) => {
                let why =
                    format!("{what}: differs by {difference:.1e} (at most {MAX_DIFFERENCE:.0e})");
                tuning.dropped.push(why);
                None
            }
            Err(error) => {
                tuning.dropped.push(format!("{what}: {}", reason(&error)));
                None
            }
        }
    }

    /// The file's network for one face at a time, folded and split, with the shapes of its f32 tensors; none if there is
    /// nothing to split off.
    fn split(&self, bytes: &[u8]) -> Result<Option<(SplitGraph, Shapes)>> {
        let symbols = Model::parse(bytes)?.graph()?.batch_symbols();
        let file = &self.file;
        let mut model = file.loader.folded(bytes, &symbols)?;
        remove_empty_pads(&mut model)?;
        let shapes = self.shapes(&model)?;
        let split = split(&model, &file.inputs.picture, &file.inputs.audio, &shapes)?;
        Ok(split.map(|split| (split, shapes)))
    }

    /// The shapes of the f32 tensors of `model`, as ONNX Runtime infers them.
    fn shapes(&self, model: &Model) -> Result<Shapes> {
        let graph = model.graph()?;
        let produced = graph.nodes.iter().flat_map(|node| &node.outputs);
        let inner: Vec<String> = produced
            .filter(|name| !name.is_empty() && !graph.is_output(name))
            .cloned()
            .collect();
        let session = self.file.observing_session(model, &inner)?;
        let shapes = session.outputs().iter().filter_map(|outlet| {
            let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
                return None;
            };
            let is_known = *ty == TensorElementType::Float32 && shape.iter().all(|&n| n > 0);
            is_known.then(|| (outlet.name().to_owned(), shape.to_vec()))
        });
        Ok(shapes.collect())
    }
}

/// Whether to try int8 on this processor; if a precision that was asked for is out of the question, `tuning` says why.
fn wants_int8(precision: Precision, tuning: &mut Tuning) -> bool {
    let why_not = match precision {
        Precision::Exact => return false,
        Precision::Int8 => return true,
        Precision::Auto if int8::InstructionSet::best().is_fast() => return true,
        Precision::Auto => "int8: this processor lacks the instructions for it (VNNI)",
        Precision::Fp16 => "fp16: only GPUs compute it faster, and the networks run on the CPU",
    };
    tuning.dropped.push(why_not.into());
    false
}
