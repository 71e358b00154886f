//! A part of a generator, ready to start as many sessions as needed.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use ort::session::Session;
use prost::Message as _;

use super::loader::Loader;
use super::operators::{self, Blocks};
use crate::inference::graph::proto::Model;
use crate::inference::graph::{fuse, quantize};
use crate::inference::kernel::{Block, InstructionSet, int8};

/// A model without the weights of its blocks, and its blocks: all sessions of it share their weights.
#[derive(Debug)]
pub(super) struct SubModel {
    model: Vec<u8>,
    blocks: Arc<Blocks>,
}

impl SubModel {
    /// Reads a part of [`super::parts::GeneratorParts`].
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut model = Model::parse(bytes)?;
        let floats = fuse::extract_blocks(&mut model)?.into_iter();
        let floats =
            floats.map(|(name, layers)| Ok((name, Block::new(&layers, InstructionSet::best())?)));
        let floats = floats.collect::<Result<_>>()?;
        let bytes = quantize::extract_blocks(&mut model)?.into_iter();
        let bytes = bytes
            .map(|(name, spec)| Ok((name, int8::Block::new(&spec, int8::InstructionSet::best())?)));
        let bytes = bytes.collect::<Result<_>>()?;
        Ok(Self {
            blocks: Arc::new(Blocks { floats, bytes }),
            model: model.encode_to_vec(),
        })
    }

    /// A session of it, without ONNX Runtime's memory plans: they take twice the memory and save no time.
    pub(super) fn start(&self, loader: &Loader<'_>) -> Result<Session> {
        let start = || {
            let mut builder = loader
                .builder()?
                .with_memory_pattern(false)?
                .with_operators(operators::domain(&self.blocks)?)?;
            builder.commit_from_memory(&self.model)
        };
        Ok(first_alone(start)?)
    }
}

/// Starts a session with operators of our own domain. ONNX Runtime registers the domain with the first such session of the
/// process. If two sessions register it at the same time, the later one fails, so the first one starts alone.
fn first_alone(start: impl FnOnce() -> ort::Result<Session>) -> ort::Result<Session> {
    static IS_REGISTERED: Mutex<bool> = Mutex::new(false);
    let mut is_registered = IS_REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if *is_registered {
        drop(is_registered);
        return start();
    }
    let session = start();
    *is_registered = session.is_ok();
    session
}
