//! Weights as vectors want them, and sums with them.

#![expect(unsafe_code, reason = "SIMD: what each function asks for stands at it")]

use std::sync::Arc;

use super::vector::Bytes;
use super::{Affine, Layer};
use crate::inference::kernel::buffer::Buffer;

/// A layer's weights as vectors want them.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub(super) rows: usize,
    /// Of as many rows as there are lanes.
    pub(super) vectors: usize,
    /// Of four columns.
    pub(super) quads: usize,
    /// `[vectors, quads, lanes]`, four columns in each.
    pub(super) weights: Arc<Buffer<i32>>,
    /// `[vectors * lanes]`
    pub(super) affine: Affine,
}

impl Packed {
    /// `columns` tells in which place of `4 * quads` each column of the layer goes.
    pub(super) fn new(
        layer: &Layer,
        quads: usize,
        lanes: usize,
        place: impl Fn(usize) -> usize,
    ) -> Self {
        let rows = layer.affine.factor.len();
        let columns = layer.weights.len() / rows;
        let vectors = rows.div_ceil(lanes);
        let mut places = vec![0_u8; vectors * quads * lanes * 4];
        for (row, weights) in layer.weights.chunks_exact(columns).enumerate() {
            for (column, &weight) in weights.iter().enumerate() {
                let (quad, byte) = (place(column) / 4, place(column) % 4);
                let lane = (row / lanes * quads + quad) * lanes + row % lanes;
                places[lane * 4 + byte] = weight as u8;
            }
        }
        let padded = |values: &[f32]| {
            let mut values = values.to_vec();
            values.resize(vectors * lanes, 0.0);
            values
        };
        let places = places.as_chunks::<4>().0;
        let mut weights = Buffer::new(places.len());
        for (quad, bytes) in weights.iter_mut().zip(places) {
            *quad = i32::from_le_bytes(*bytes);
        }
        Self {
            rows,
            vectors,
            quads,
            weights: Arc::new(weights),
            affine: Affine {
                factor: padded(&layer.affine.factor),
                offset: padded(&layer.affine.offset),
            },
        }
    }
}

/// Sums of `P` pixels, `stride` bytes apart, for `V` vectors of rows.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "pixels and sums lie across each other"
)]
pub(super) unsafe fn products<S: Bytes, const V: usize, const P: usize>(
    layer: &Packed,
    from: usize,
    pixels: *const u8,
    stride: usize,
) -> [[S::Sums; P]; V] {
    let vector = layer.quads * S::LANES;
    // SAFETY: as asked of the caller; a pixel has four bytes for each quad of the layer.
    unsafe {
        let weights = layer.weights.as_ptr().add(from * vector);
        let mut sums = [[S::zero(); P]; V];
        for quad in 0..layer.quads {
            let rows: [S::Sums; V] =
                std::array::from_fn(|v| S::load(weights.add(v * vector + quad * S::LANES)));
            for p in 0..P {
                let four = S::spread(pixels.add(p * stride + quad * 4));
                for v in 0..V {
                    sums[v][p] = S::dot(sums[v][p], four, rows[v]);
                }
            }
        }
        sums
    }
}

/// Factor and offset of a vector's channels.
#[inline(always)]
pub(super) unsafe fn affine<S: Bytes>(affine: &Affine, vector: usize) -> [S::Reals; 2] {
    let lanes = vector * S::LANES..(vector + 1) * S::LANES;
    // SAFETY: a slice of as many values as there are lanes.
    unsafe {
        [
            S::load_reals(affine.factor[lanes.clone()].as_ptr()),
            S::load_reals(affine.offset[lanes].as_ptr()),
        ]
    }
}
