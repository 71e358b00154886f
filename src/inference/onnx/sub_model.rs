//! A part of a generator, ready to be started as often as wanted.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use ort::session::Session;
use prost::Message as _;

use super::operators::{self, Blocks};
use super::{Loader, commit};
use crate::inference::graph::proto::Model;
use crate::inference::graph::{fuse, quantise};
use crate::inference::kernel::int8;
use crate::inference::kernel::{Block, InstructionSet};

/// A model without the weights of its blocks, and its blocks: all sessions of it share their weights.
#[derive(Debug)]
pub(super) struct SubModel {
    model: Vec<u8>,
    blocks: Arc<Blocks>,
}

impl SubModel {
    /// Of a part as it is stored.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut model = Model::parse(bytes)?;
        let reals = fuse::take(&mut model)?
            .into_iter()
            .map(|(name, layers)| Ok((name, Block::new(&layers, InstructionSet::best())?)));
        let reals = reals.collect::<Result<_>>()?;
        let bytes = quantise::take(&mut model)?.into_iter();
        let bytes = bytes
            .map(|(name, spec)| Ok((name, int8::Block::new(&spec, int8::InstructionSet::best())?)));
        let bytes = bytes.collect::<Result<_>>()?;
        Ok(Self {
            blocks: Arc::new(Blocks { reals, bytes }),
            model: model.encode_to_vec(),
        })
    }

    /// A session of it, without ONNX Runtime's memory plans: they take twice the memory and save no time.
    pub(super) fn start(&self, loader: &Loader<'_>) -> Result<Session> {
        let start = || {
            let builder = loader
                .builder()?
                .with_memory_pattern(false)?
                .with_operators(operators::domain(&self.blocks)?)?;
            commit(builder, Path::new(""), &self.model)
        };
        Ok(the_first_alone(start)?)
    }
}

/// Starts a session whose operators have a domain of their own. ONNX Runtime lists the domains of a process, and of two
/// sessions that both add one, as they do at the same time, the later one fails: so nobody starts beside the first.
fn the_first_alone(start: impl FnOnce() -> ort::Result<Session>) -> ort::Result<Session> {
    static IS_LISTED: Mutex<bool> = Mutex::new(false);
    let mut is_listed = IS_LISTED.lock().unwrap_or_else(PoisonError::into_inner);
    if *is_listed {
        drop(is_listed);
        return start();
    }
    let session = start();
    *is_listed = session.is_ok();
    session
}
