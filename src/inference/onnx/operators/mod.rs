//! The operators that ONNX Runtime does not have: [`crate::inference::graph`] puts them into graphs, and
//! [`crate::inference::kernel`] computes them.
//!
//! `block` is an inverted residual block in f32, `byte_block` one in eight bits, `common` what both need.

mod block;
mod byte_block;
mod common;

use std::sync::Arc;

use ort::operator::OperatorDomain;

use crate::inference::graph::fuse::DOMAIN;
use block::BlockOperator;
use byte_block::ByteBlockOperator;
pub(super) use common::Blocks;

/// All operators, for one session.
pub(super) fn domain(blocks: &Arc<Blocks>) -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(BlockOperator(Arc::clone(blocks)))?
        .add(ByteBlockOperator(Arc::clone(blocks)))
}
