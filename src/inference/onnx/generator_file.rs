//! A generator's file while it is rewritten: turns graphs into sessions that can be tried.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use prost::Message as _;

use super::feature_cache::FeatureCache;
use super::loader::Loader;
use super::parts::{GeneratorParts, InputNames};
use super::split_generator::SplitGenerator;
use super::sub_model::SubModel;
use crate::inference::graph::edit::Shapes;
use crate::inference::graph::fuse::fuse;
use crate::inference::graph::proto::{Model, ValueInfo};
use crate::inference::graph::split::SplitGraph;
use crate::inference::kernel::InstructionSet;

/// A generator's file and how its sessions are started.
pub(super) struct GeneratorFile<'a> {
    pub(super) loader: &'a Loader<'a>,
    pub(super) inputs: InputNames,
}

impl GeneratorFile<'_> {
    /// A session of `model` that also gives the inner tensors `extra`.
    pub(super) fn observing_session(&self, model: &Model, extra: &[String]) -> Result<Session> {
        let mut graph = model.graph()?.clone();
        graph
            .outputs
            .extend(extra.iter().map(|name| ValueInfo::untyped(name)));
        let bytes = model.with_graph(graph).encode_to_vec();
        let start = || {
            let builder = self.loader.builder()?;
            let mut builder = builder.with_optimization_level(GraphOptimizationLevel::Disable)?;
            builder.commit_from_memory(&bytes)
        };
        Ok(start()?)
    }

    pub(super) fn parts(&self, split: &SplitGraph) -> GeneratorParts {
        GeneratorParts {
            image: split.image.encode_to_vec(),
            cheap_image: split.cheap_image.as_ref().map(Model::encode_to_vec),
            joint: split.joint.encode_to_vec(),
            inputs: self.inputs.clone(),
        }
    }

    pub(super) fn start(&self, parts: &GeneratorParts) -> Result<SplitGenerator> {
        let features = FeatureCache::new(parts, self.loader)?;
        let joint = SubModel::read(&parts.joint)?.start(self.loader)?;
        let features = Arc::new(Mutex::new(features));
        Ok(SplitGenerator::new(features, self.inputs.clone(), joint))
    }
}

/// `split` with its blocks fused, and how many there are; none if there are none or the processor lacks the instructions.
pub(super) fn fuse_parts(split: &SplitGraph, shapes: &Shapes) -> Option<(SplitGraph, usize)> {
    InstructionSet::best().is_fast().then_some(())?;
    let mut fused = split.clone();
    let mut blocks = fuse(&mut fused.image, shapes).ok()?;
    if let Some(cheap_image) = &mut fused.cheap_image {
        blocks += fuse(cheap_image, shapes).ok()?;
    }
    blocks += fuse(&mut fused.joint, shapes).ok()?;
    (blocks > 0).then_some((fused, blocks))
}
