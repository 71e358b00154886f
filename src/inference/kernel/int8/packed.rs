//! Weights in the order in which vectors read them, and products with them.
#![expect(unsafe_code, reason = "SIMD: each function states what it requires")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use std::sync::Arc;

use super::spec::{Affine, Layer};
use super::vector::Vector;
use crate::inference::kernel::buffer::Buffer;

/// A layer's packed weights. A *quad* is four columns, whose weights are the four bytes of a lane.
#[derive(Debug, Clone)]
pub(super) struct PackedLayer {
    pub(super) rows: usize,
    /// Vectors of rows.
    pub(super) vectors: usize,
    /// Quads of columns.
    pub(super) quads: usize,
    /// `[vectors, quads, lanes]`, four columns in each; padded with zeros.
    weights: Arc<Buffer<i32>>,
    /// `[vectors * lanes]`
    affine: Affine,
}

impl PackedLayer {
    /// Column `c` of the layer becomes column `place(c)` of `4 * quads`.
    pub(super) fn new(
        layer: &Layer,
        quads: usize,
        lanes: usize,
        place: impl Fn(usize) -> usize,
    ) -> Self {
        let rows = layer.affine.factor.len();
        let columns = layer.weights.len() / rows;
        let vectors = rows.div_ceil(lanes);
        let mut bytes = vec![0_u8; vectors * quads * lanes * 4];
        for (row, weights) in layer.weights.chunks_exact(columns).enumerate() {
            for (column, &weight) in weights.iter().enumerate() {
                let (quad, byte) = (place(column) / 4, place(column) % 4);
                let lane = (row / lanes * quads + quad) * lanes + row % lanes;
                bytes[lane * 4 + byte] = weight as u8;
            }
        }
        let padded = |values: &[f32]| {
            let mut values = values.to_vec();
            values.resize(vectors * lanes, 0.0);
            values
        };
        let bytes = bytes.as_chunks::<4>().0;
        let mut weights = Buffer::new(bytes.len());
        for (quad, bytes) in weights.iter_mut().zip(bytes) {
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

    /// Rows, with the padding to whole vectors.
    pub(super) fn padded_rows(&self) -> usize {
        self.affine.factor.len()
    }

    /// The weights of vector `vector` and quad `quad`.
    ///
    /// # Safety
    ///
    /// As for [`Vector`], with the lanes that the layer was packed for; the vector and the quad must exist.
    #[inline(always)]
    pub(super) unsafe fn quad<V: Vector>(&self, vector: usize, quad: usize) -> V::Ints {
        // SAFETY: as required of the caller.
        unsafe { V::load((self.weights.as_ptr()).add((vector * self.quads + quad) * V::LANES)) }
    }

    /// The sums of `P` pixels for `N` vectors of rows, from vector `first` on.
    ///
    /// # Safety
    ///
    /// As for [`Vector`], with the lanes that the layer was packed for. The vectors must exist, and each pixel, `stride`
    /// bytes after the one before, must have four bytes for each quad.
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "sums are indexed by vector and pixel"
    )]
    pub(super) unsafe fn products<V: Vector, const N: usize, const P: usize>(
        &self,
        first: usize,
        pixels: *const u8,
        stride: usize,
    ) -> [[V::Ints; P]; N] {
        let vector = self.quads * V::LANES;
        // SAFETY: as required of the caller.
        unsafe {
            let weights = self.weights.as_ptr().add(first * vector);
            let mut sums = [[V::zero(); P]; N];
            for quad in 0..self.quads {
                let rows: [V::Ints; N] =
                    std::array::from_fn(|v| V::load(weights.add(v * vector + quad * V::LANES)));
                for p in 0..P {
                    let four = V::splat_bytes(pixels.add(p * stride + quad * 4));
                    for v in 0..N {
                        sums[v][p] = V::dot(sums[v][p], four, rows[v]);
                    }
                }
            }
            sums
        }
    }

    /// Factor and offset of a vector of rows.
    ///
    /// # Safety
    ///
    /// As for [`Vector`].
    #[inline(always)]
    pub(super) unsafe fn affine<V: Vector>(&self, vector: usize) -> [V::Floats; 2] {
        let lanes = vector * V::LANES..(vector + 1) * V::LANES;
        // SAFETY: both slices have as many values as a vector has lanes.
        unsafe {
            [
                V::load_floats(self.affine.factor[lanes.clone()].as_ptr()),
                V::load_floats(self.affine.offset[lanes].as_ptr()),
            ]
        }
    }
}
