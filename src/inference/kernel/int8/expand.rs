//! The first two layers of a block, between which there are only three rows: bytes of a band become bytes.
#![expect(unsafe_code, reason = "SIMD: each function states what it requires")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use std::ops::Range;

use super::packed::PackedLayer;
use super::spec::{PlaneSize, Spec};
use super::vector::Vector;
use crate::inference::kernel::buffer::Buffer;

/// The layers `expand` and `depthwise`.
#[derive(Debug, Clone)]
pub(super) struct Expansion {
    /// Of the input, before the stride.
    size: PlaneSize,
    stride: usize,
    expand: PackedLayer,
    depthwise: PackedLayer,
    /// `[vectors, width + 2, lanes]`: three rows of the expanded picture, see [`super`]. The outer columns stay zero.
    ring: Buffer<i32>,
}

/// Rows that are computed together.
#[derive(Debug)]
pub(super) struct Band {
    /// Rows of the expanded picture. The row after the last one of the picture is zero.
    pub(super) input: Range<usize>,
    /// Rows of the output that these complete.
    pub(super) output: Range<usize>,
}

impl Expansion {
    pub(super) fn new(spec: &Spec, lanes: usize) -> Self {
        let quads = (spec.input.factor.len() + spec.skip_channels).div_ceil(4);
        let expand = PackedLayer::new(&spec.expand, quads, lanes, |column| column);
        // A quad holds a column of the 3x3 weights; its lowest byte belongs to the row that has left the window.
        let place = |tap| tap % 3 * 4 + 1 + tap / 3;
        Self {
            size: spec.size,
            stride: spec.stride,
            ring: Buffer::new(expand.vectors * (spec.size.width + 2) * lanes),
            depthwise: PackedLayer::new(&spec.depthwise, 3, lanes, place),
            expand,
        }
    }

    /// Bytes of a pixel of the input.
    pub(super) fn input_bytes(&self) -> usize {
        self.expand.quads * 4
    }

    /// Bytes of a pixel of the output: the channels, padded to whole vectors.
    pub(super) fn output_bytes(&self) -> usize {
        self.expand.padded_rows()
    }

    /// The size of the output.
    pub(super) fn output_size(&self) -> PlaneSize {
        let of = |length: usize| (length - 1) / self.stride + 1;
        PlaneSize {
            height: of(self.size.height),
            width: of(self.size.width),
        }
    }

    /// Forgets the rows of another picture.
    pub(super) fn reset(&mut self) {
        self.ring.fill(0);
    }

    /// The band of rows `input`.
    pub(super) fn band(&self, input: Range<usize>) -> Band {
        let output = self.complete_before(input.start)..self.complete_before(input.end);
        Band { input, output }
    }

    /// How many rows of the output are complete once all rows before `row` are pushed into the ring.
    fn complete_before(&self, row: usize) -> usize {
        // Row y of the output needs rows up to y * stride + 1.
        let complete = if row < 2 {
            0
        } else {
            (row - 2) / self.stride + 1
        };
        complete.min(self.output_size().height)
    }

    /// Pushes the rows of a band into the ring, and computes the rows of the output that they complete: a few channels at a
    /// time, whose weights stay in the first cache. `input` and `output` hold the band's rows.
    ///
    /// # Safety
    ///
    /// As for [`Vector`], with the lanes that the layers were packed for; bands must follow each other.
    #[inline(always)]
    pub(super) unsafe fn run<V: Vector>(&mut self, band: &Band, input: &[u8], output: &mut [u8]) {
        let mut first = 0;
        while first < self.expand.vectors {
            let left = self.expand.vectors - first;
            // SAFETY: as required of the caller; there are at least as many vectors left as are computed.
            unsafe {
                // As many sums as there are registers for.
                first += match left {
                    4.. if V::LANES == 16 => self.vectors::<V, 4, 5>(band, input, output, first),
                    2.. => self.vectors::<V, 2, 5>(band, input, output, first),
                    _ => self.vectors::<V, 1, 10>(band, input, output, first),
                };
            }
        }
    }

    /// `N` vectors of channels from `first` on, in tiles of `P` pixels; returns `N`.
    ///
    /// # Safety
    ///
    /// As for [`Expansion::run`]; the vectors must exist.
    #[inline(always)]
    unsafe fn vectors<V: Vector, const N: usize, const P: usize>(
        &mut self,
        band: &Band,
        input: &[u8],
        output: &mut [u8],
        first: usize,
    ) -> usize {
        let row_len = self.size.width * self.input_bytes();
        for row in band.input.clone() {
            // SAFETY: as required of the caller; a row of the input is sliced, and tiles end where it does.
            unsafe {
                if row < self.size.height {
                    let at = (row - band.input.start) * row_len;
                    let input = input[at..at + row_len].as_ptr();
                    let mut x = 0;
                    while x + P <= self.size.width {
                        self.push::<V, N, P>(input, first, x);
                        x += P;
                    }
                    while x < self.size.width {
                        self.push::<V, N, 1>(input, first, x);
                        x += 1;
                    }
                } else {
                    self.push_zeros::<V>(first..first + N);
                }
                let complete = self.complete_before(row);
                if self.complete_before(row + 1) > complete {
                    for vector in first..first + N {
                        self.filter::<V>(vector, output, complete - band.output.start);
                    }
                }
            }
        }
        N
    }

    /// Expands `P` pixels of a row of the input, from column `x` on, and pushes them into the ring.
    ///
    /// # Safety
    ///
    /// As for [`Expansion::run`]; the pixels and `N` vectors from `first` on must exist.
    #[inline(always)]
    unsafe fn push<V: Vector, const N: usize, const P: usize>(
        &mut self,
        input: *const u8,
        first: usize,
        x: usize,
    ) {
        let pixel = self.input_bytes();
        let column = V::LANES;
        let vector = (self.size.width + 2) * column;
        // SAFETY: as required of the caller; the ring has a column for each pixel, behind the first one.
        unsafe {
            let sums = (self.expand).products::<V, N, P>(first, input.add(x * pixel), pixel);
            let ring = (self.ring.as_mut_ptr()).add(first * vector + (x + 1) * column);
            for (v, sums) in sums.into_iter().enumerate() {
                let [factor, offset] = self.expand.affine::<V>(first + v);
                for (p, sums) in sums.into_iter().enumerate() {
                    let place = ring.add(v * vector + p * column);
                    let new = V::round(V::scale(sums, factor, offset));
                    V::store(place, V::push(V::load(place), new));
                }
            }
        }
    }

    /// Pushes a row of zeros into the ring.
    ///
    /// # Safety
    ///
    /// As for [`Vector`].
    #[inline(always)]
    unsafe fn push_zeros<V: Vector>(&mut self, vectors: Range<usize>) {
        let vector = (self.size.width + 2) * V::LANES;
        let ring = &mut self.ring[vectors.start * vector..vectors.end * vector];
        for place in ring.chunks_exact_mut(V::LANES) {
            let place = place.as_mut_ptr();
            // SAFETY: a chunk has as many values as a vector has lanes.
            unsafe { V::store(place, V::push(V::load(place), V::zero())) };
        }
    }

    /// Filters the rows in the ring into row `row` of `output`.
    ///
    /// # Safety
    ///
    /// As for [`Expansion::run`]; the vector must exist.
    #[inline(always)]
    unsafe fn filter<V: Vector>(&self, vector: usize, output: &mut [u8], row: usize) {
        let (width, pixel) = (self.output_size().width, self.output_bytes());
        let ring_len = (self.size.width + 2) * V::LANES;
        let step = self.stride * V::LANES;
        let ring = &self.ring[vector * ring_len..(vector + 1) * ring_len];
        let at = row * width * pixel + vector * V::LANES;
        let output = &mut output[at..(row + 1) * width * pixel];
        // SAFETY: as required of the caller. The last column of the ring that is read is (width - 1) * stride + 2, at most
        // `size.width + 1`; the last vector that is written ends with the row of the output.
        unsafe {
            let weights: [V::Ints; 3] =
                std::array::from_fn(|quad| self.depthwise.quad::<V>(vector, quad));
            let [factor, offset] = self.depthwise.affine::<V>(vector);
            for x in 0..width {
                let place = ring.as_ptr().add(x * step);
                let mut sums = V::zero();
                for (n, weights) in weights.into_iter().enumerate() {
                    sums = V::dot(sums, V::load(place.add(n * V::LANES)), weights);
                }
                let new = V::round(V::scale(sums, factor, offset));
                V::store_bytes(output.as_mut_ptr().add(x * pixel), new);
            }
        }
    }
}
