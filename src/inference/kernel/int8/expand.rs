//! The way through a block's rows, for any instruction set.

#![expect(unsafe_code, reason = "SIMD: what each function asks for stands at it")]

use super::output_conv::PackedHead;
use super::packed::{Packed, affine, products};
use super::quantize::{Upsample, between, copy};
use super::vector::{self, Bytes};
use super::{Affine, Size, Spec};
use crate::inference::kernel::buffer::Buffer;

/// Rows go together until they have so many pixels: enough that weights, once read, are used often, and few enough that what
/// lies between the layers stays in the second cache.
const BAND_PIXELS: usize = 320;

/// See [`super::Block`]. Channels are padded to whole vectors, those of bytes to whole quads of four.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// Before the stride.
    size: Size,
    stride: usize,
    input: Affine,
    skip_channels: usize,
    upsample: Option<Upsample>,
    residual: bool,
    head: Option<PackedHead>,
    expand: Packed,
    depthwise: Packed,
    project: Packed,
    memory: Memory,
}

/// What lies between the layers, as far as it must.
#[derive(Debug, Clone)]
struct Memory {
    /// Bytes of a band's input: `[pixels, 4 quads]`.
    input: Vec<u8>,
    /// `[vectors, width + 2, lanes]`: three rows of the expanded picture, see [`super`]. The outer columns stay zero.
    ring: Buffer<i32>,
    /// A band of what the depthwise convolution makes: `[pixels, middle]`.
    middle: Vec<u8>,
    /// The same of what the block makes: `[pixels, out]`.
    output: Buffer,
}

/// Rows that go together, and what of the result they make.
struct Band {
    /// Of the expanded picture; the row after the last one is zero.
    rows: std::ops::Range<usize>,
    /// Of the result.
    made: std::ops::Range<usize>,
}

impl Walk {
    pub(super) fn new(spec: &Spec, lanes: usize) -> Self {
        let size = spec.size;
        let x_channels = spec.input.factor.len();
        let quads = |channels: usize| channels.div_ceil(4);
        let expand = Packed::new(
            &spec.expand,
            quads(x_channels + spec.skip_channels),
            lanes,
            |column| column,
        );
        // A quad holds a column of the 3x3 weights below the byte that is the oldest row.
        let depthwise = Packed::new(&spec.depthwise, 3, lanes, |tap| tap % 3 * 4 + 1 + tap / 3);
        // The middle's padding is bytes like others; their weights are zero.
        let middle = expand.vectors * lanes;
        let project = Packed::new(&spec.project, middle / 4, lanes, |column| column);
        let rows = (BAND_PIXELS / size.width).max(1);
        // A band makes at most as many rows as it takes in.
        let pixels = rows * size.width;
        let memory = Memory {
            input: vec![0; pixels * expand.quads * 4],
            ring: Buffer::new(expand.vectors * (size.width + 2) * lanes),
            middle: vec![0; pixels * middle],
            output: Buffer::new(pixels * project.vectors * lanes),
        };
        Self {
            size,
            stride: spec.stride,
            input: spec.input.clone(),
            skip_channels: spec.skip_channels,
            upsample: (spec.upsample)
                .map(|(small, grid)| Upsample::new(small, size, x_channels, grid)),
            residual: spec.residual,
            head: spec.head.as_ref().map(PackedHead::new),
            expand,
            depthwise,
            project,
            memory,
        }
    }

    fn output_size(&self) -> Size {
        let of = |length: usize| (length - 1) / self.stride + 1;
        Size {
            height: of(self.size.height),
            width: of(self.size.width),
        }
    }

    /// See [`super::Block::output`].
    pub(super) fn output(&self) -> [usize; 4] {
        let Size { height, width } = self.output_size();
        match &self.head {
            Some(head) => [1, head.channels, height, width],
            None => [1, height, width, self.project.rows],
        }
    }

    /// Of x, of what comes as bytes, of the output.
    pub(super) fn lengths(&self) -> [usize; 3] {
        let x = match &self.upsample {
            Some(upsample) => upsample.len,
            None => self.size.pixels() * self.input.factor.len(),
        };
        [
            x,
            self.size.pixels() * self.skip_channels,
            self.output().iter().product(),
        ]
    }

    /// Runs the block.
    ///
    /// # Safety
    ///
    /// The processor must have the instruction set; slices must have [`Walk::lengths`].
    #[inline(always)]
    pub(super) unsafe fn run<S: Bytes>(&mut self, x: &[f32], skip: &[u8], output: &mut [f32]) {
        self.memory.ring.fill(0);
        let together = (BAND_PIXELS / self.size.width).max(1);
        let mut next = 0;
        // The row after the last one is zero, and is needed for the last one's neighbours.
        while next <= self.size.height {
            let rows = next..(next + together).min(self.size.height + 1);
            next = rows.end;
            let made = self.made_before(rows.start)..self.made_before(rows.end);
            let band = Band { rows, made };
            // SAFETY: as asked of the caller.
            unsafe {
                self.take::<S>(&band, x, skip);
                self.expand_and_depthwise::<S>(&band);
                self.project::<S>(&band);
            }
            self.give(&band, x, output);
        }
    }

    /// Rows of the result that are made once rows before `row` are pushed into the ring.
    fn made_before(&self, row: usize) -> usize {
        // Row y needs rows up to y * stride + 1.
        let made = if row < 2 {
            0
        } else {
            (row - 2) / self.stride + 1
        };
        made.min(self.output_size().height)
    }

    /// Rounds a band of the input.
    #[inline(always)]
    unsafe fn take<S: Bytes>(&mut self, band: &Band, x: &[f32], skip: &[u8]) {
        let channels = self.input.factor.len();
        let (width, pixel) = (self.size.width, self.expand.quads * 4);
        let taken = band.rows.start..band.rows.end.min(self.size.height);
        let rows = self.memory.input.chunks_exact_mut(width * pixel);
        for (row, bytes) in taken.zip(rows) {
            if let Some(upsample) = &mut self.upsample {
                upsample.mix(row, x);
            }
            let values = match &self.upsample {
                Some(upsample) => upsample.mixed.as_slice(),
                None => &x[row * width * channels..][..width * channels],
            };
            let of = |column: usize| &values[column * channels..][..channels];
            for (column, bytes) in bytes.chunks_exact_mut(pixel).enumerate() {
                let (pair, part) = match &self.upsample {
                    Some(Upsample { columns, .. }) => {
                        let at = columns[column];
                        ([of(at.before), of(at.after)], at.part)
                    }
                    None => ([of(column); 2], 0.0),
                };
                // SAFETY: as asked of the caller.
                unsafe { between::<S>(pair, part, &self.input, &mut bytes[..channels]) };
            }
            if self.skip_channels > 0 {
                let skipped =
                    skip[row * width * self.skip_channels..].chunks_exact(self.skip_channels);
                for (bytes, skipped) in bytes.chunks_exact_mut(pixel).zip(skipped) {
                    copy(skipped, &mut bytes[channels..channels + self.skip_channels]);
                }
            }
        }
    }

    /// Pushes a band's rows into the ring, and makes the rows of the middle that are complete by then; some channels at
    /// a time, whose weights stay in the first cache.
    #[inline(always)]
    unsafe fn expand_and_depthwise<S: Bytes>(&mut self, band: &Band) {
        let mut from = 0;
        while from < self.expand.vectors {
            let left = self.expand.vectors - from;
            // SAFETY: as asked of the caller; these vectors are there.
            unsafe {
                from += match left {
                    // As many sums as there are registers for.
                    4.. if S::LANES == 16 => self.some_channels::<S, 4, 5>(band, from),
                    2.. => self.some_channels::<S, 2, 5>(band, from),
                    _ => self.some_channels::<S, 1, 10>(band, from),
                };
            }
        }
    }

    /// The same for `V` vectors of channels, in tiles of `P` pixels; returns `V`.
    #[inline(always)]
    unsafe fn some_channels<S: Bytes, const V: usize, const P: usize>(
        &mut self,
        band: &Band,
        from: usize,
    ) -> usize {
        let row_len = self.size.width * self.expand.quads * 4;
        for row in band.rows.clone() {
            // SAFETY: as asked of the caller; the band's input has `row_len` bytes for each of its rows.
            unsafe {
                if row < self.size.height {
                    let at = (row - band.rows.start) * row_len;
                    let input = self.memory.input[at..at + row_len].as_ptr();
                    let mut x = 0;
                    while x + P <= self.size.width {
                        self.push::<S, V, P>(input, from, x);
                        x += P;
                    }
                    while x < self.size.width {
                        self.push::<S, V, 1>(input, from, x);
                        x += 1;
                    }
                } else {
                    self.push_nothing::<S>(from..from + V);
                }
                if self.made_before(row + 1) > self.made_before(row) {
                    let made = self.made_before(row) - band.made.start;
                    for vector in from..from + V {
                        self.depthwise::<S>(vector, made);
                    }
                }
            }
        }
        V
    }

    /// Expands `P` pixels from column `x` on, and pushes them into the ring.
    #[inline(always)]
    unsafe fn push<S: Bytes, const V: usize, const P: usize>(
        &mut self,
        input: *const u8,
        from: usize,
        x: usize,
    ) {
        let pixel = self.expand.quads * 4;
        let column = S::LANES;
        let channel = (self.size.width + 2) * column;
        // SAFETY: as asked of the caller: the row has `P` pixels from `x` on, and there are `V` vectors from `from` on.
        unsafe {
            let sums = products::<S, V, P>(&self.expand, from, input.add(x * pixel), pixel);
            let ring = (self.memory.ring.as_mut_ptr()).add(from * channel + (x + 1) * column);
            for (v, sums) in sums.into_iter().enumerate() {
                let [factor, offset] = affine::<S>(&self.expand.affine, from + v);
                for (p, sums) in sums.into_iter().enumerate() {
                    let place = ring.add(v * channel + p * column);
                    let new = S::rounded(S::scaled(sums, factor, offset));
                    S::store(place, S::push(S::load(place), new));
                }
            }
        }
    }

    /// Pushes a row of zeros.
    #[inline(always)]
    unsafe fn push_nothing<S: Bytes>(&mut self, vectors: std::ops::Range<usize>) {
        let channel = (self.size.width + 2) * S::LANES;
        let ring = &mut self.memory.ring[vectors.start * channel..vectors.end * channel];
        for place in ring.chunks_exact_mut(S::LANES) {
            // SAFETY: as asked of the caller; a chunk has as many values as there are lanes.
            unsafe {
                let place = place.as_mut_ptr();
                S::store(place, S::push(S::load(place), S::zero()));
            }
        }
    }

    /// Makes a row of the middle, the `made`-th of its band, of the rows in the ring.
    #[inline(always)]
    unsafe fn depthwise<S: Bytes>(&mut self, vector: usize, made: usize) {
        let (width, middle) = (self.output_size().width, self.expand.vectors * S::LANES);
        let channel = (self.size.width + 2) * S::LANES;
        let step = self.stride * S::LANES;
        let ring = &self.memory.ring[vector * channel..(vector + 1) * channel];
        let at = made * width * middle + vector * S::LANES;
        let bytes = &mut self.memory.middle[at..(made + 1) * width * middle];
        // SAFETY: as asked of the caller. Of the ring, the last place that is read is that of column
        // (width - 1) * stride + 2, which is at most `size.width + 1`; of the bytes, the last vector ends with the row.
        unsafe {
            let weights = self.depthwise.weights.as_ptr().add(vector * 3 * S::LANES);
            let weights: [S::Sums; 3] = std::array::from_fn(|n| S::load(weights.add(n * S::LANES)));
            let [factor, offset] = affine::<S>(&self.depthwise.affine, vector);
            for x in 0..width {
                let place = ring.as_ptr().add(x * step);
                let mut sums = S::zero();
                for (n, weights) in weights.into_iter().enumerate() {
                    sums = S::dot(sums, S::load(place.add(n * S::LANES)), weights);
                }
                let new = S::rounded(S::scaled(sums, factor, offset));
                S::store_bytes(bytes.as_mut_ptr().add(x * middle), new);
            }
        }
    }

    /// Makes a band of the output of the middle.
    #[inline(always)]
    unsafe fn project<S: Bytes>(&mut self, band: &Band) {
        let pixels = band.made.len() * self.output_size().width;
        let mut from = 0;
        while from < self.project.vectors {
            let left = self.project.vectors - from;
            // SAFETY: as asked of the caller; these vectors and pixels are there.
            unsafe {
                from += match left {
                    4.. if S::LANES == 16 => self.some_outputs::<S, 4, 5>(from, pixels),
                    2.. if S::LANES == 16 => self.some_outputs::<S, 2, 10>(from, pixels),
                    2.. => self.some_outputs::<S, 2, 5>(from, pixels),
                    _ => self.some_outputs::<S, 1, 10>(from, pixels),
                };
            }
        }
    }

    #[inline(always)]
    unsafe fn some_outputs<S: Bytes, const V: usize, const P: usize>(
        &mut self,
        from: usize,
        pixels: usize,
    ) -> usize {
        let mut at = 0;
        // SAFETY: as asked of the caller.
        unsafe {
            while at + P <= pixels {
                self.some_pixels::<S, V, P>(from, at);
                at += P;
            }
            while at < pixels {
                self.some_pixels::<S, V, 1>(from, at);
                at += 1;
            }
        }
        V
    }

    #[inline(always)]
    unsafe fn some_pixels<S: Bytes, const V: usize, const P: usize>(
        &mut self,
        from: usize,
        at: usize,
    ) {
        let middle = self.project.quads * 4;
        let out = self.project.vectors * S::LANES;
        // SAFETY: as asked of the caller: the band has `P` pixels from `at` on, and there are `V` vectors from `from` on.
        unsafe {
            let input = self.memory.middle.as_ptr().add(at * middle);
            let sums = products::<S, V, P>(&self.project, from, input, middle);
            let output = self.memory.output.as_mut_ptr().add(at * out);
            for (v, sums) in sums.into_iter().enumerate() {
                let [factor, offset] = affine::<S>(&self.project.affine, from + v);
                for (p, sums) in sums.into_iter().enumerate() {
                    let place = output.add(p * out + (from + v) * S::LANES);
                    S::store_reals(place, S::scaled(sums, factor, offset));
                }
            }
        }
    }

    /// Hands over a band of the output.
    #[inline(always)]
    fn give(&self, band: &Band, x: &[f32], output: &mut [f32]) {
        let (channels, width) = (self.project.rows, self.output_size().width);
        let range = band.made.start * width * channels..band.made.end * width * channels;
        let padded = self.project.affine.factor.len();
        let made = self.memory.output.chunks_exact(padded);
        if let Some(head) = &self.head {
            let x = self.residual.then(|| &x[range]);
            let (pixels, plane) = (band.made.len() * width, self.output_size().pixels());
            let output = &mut output[band.made.start * width..];
            head.run(made, x, channels, output, pixels, plane);
            return;
        }
        let output = &mut output[range.clone()];
        match (self.residual, padded == channels) {
            (true, true) => {
                let terms = self.memory.output.iter().zip(&x[range]);
                for (output, (made, x)) in output.iter_mut().zip(terms) {
                    *output = made + x;
                }
            }
            (true, false) => {
                let x = x[range].chunks_exact(channels);
                for ((output, made), x) in output.chunks_exact_mut(channels).zip(made).zip(x) {
                    for (output, (made, x)) in output.iter_mut().zip(made.iter().zip(x)) {
                        *output = made + x;
                    }
                }
            }
            (false, true) => {
                let made = &self.memory.output[..output.len()];
                output.copy_from_slice(made);
            }
            (false, false) => {
                for (output, made) in output.chunks_exact_mut(channels).zip(made) {
                    output.copy_from_slice(&made[..channels]);
                }
            }
        }
    }
}

/// # Safety
///
/// The processor must have these instructions; slices must have [`Walk::lengths`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn with_avx512(walk: &mut Walk, x: &[f32], skip: &[u8], output: &mut [f32]) {
    // SAFETY: as asked of the caller.
    unsafe { walk.run::<vector::Avx512>(x, skip, output) }
}

/// # Safety
///
/// The processor must have these instructions; slices must have [`Walk::lengths`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(super) unsafe fn with_avx2(walk: &mut Walk, x: &[f32], skip: &[u8], output: &mut [f32]) {
    // SAFETY: as asked of the caller.
    unsafe { walk.run::<vector::Avx2>(x, skip, output) }
}
