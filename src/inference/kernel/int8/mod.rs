//! An inverted residual block in eight bits, in one pass over its rows.
//!
//! ```text
//! rows of x, f32 --round--> u8 --expand 1x1, Relu--> u8 --depthwise 3x3, Relu--> u8 --project 1x1--> f32 (+ x)
//! (x may be upsampled first, and bytes of another tensor follow its channels)
//! ```
//!
//! All pictures have their channels last. The expanded rows, the widest tensor, are never a tensor: the last three of them
//! lie in a ring, as the three upper bytes of one i32 for each place and channel, the newest on top. To go a row down is to
//! push a byte in; the depthwise convolution is then three byte products (`Bytes::dot`), one for each of its columns.
//! As many rows go together as keep weights in the first cache while they are used.
//!
//! Sums are exact (i32); where a sum becomes a byte or a real number, it is `sum * factor + offset`, rounded as f32 is, so
//! that all instruction sets give the same bits.

#![allow(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

mod expand;
mod output_conv;
mod packed;
mod quantize;
mod vector;

use anyhow::{Result, ensure};

use super::Grid;
use expand::Walk;
use vector::Bytes;

/// A picture's size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// What a sum is multiplied by, and what is added, for each channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Affine {
    /// What they are multiplied by.
    pub factor: Vec<f32>,
    /// What is added then.
    pub offset: Vec<f32>,
}

/// A layer's weights: i8 `[rows, columns]`, and how its sums become what comes out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    /// Row by row.
    pub weights: Vec<i8>,
    /// For each row.
    pub affine: Affine,
}

/// A block as it is in the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// How x becomes bytes; for each of its channels.
    pub input: Affine,
    /// Channels that come as bytes, after those of x.
    pub skip_channels: usize,
    /// `[middle, channels of x + skip_channels]`
    pub expand: Layer,
    /// `[middle, 9]`, row by row
    pub depthwise: Layer,
    /// `[out, middle]`
    pub project: Layer,
    /// 1 or 2.
    pub stride: usize,
    /// Before the stride.
    pub size: Size,
    /// The size that x comes in, to be upsampled bilinearly, and how.
    pub upsample: Option<(Size, Grid)>,
    /// Whether x is added to what comes out.
    pub residual: bool,
    /// A last convolution, in f32.
    pub head: Option<Head>,
}

/// A 1x1 convolution that takes a block's output on, to at most [`HEAD_CHANNELS`] channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// `[channels, out]`
    pub weights: Vec<f32>,
    /// For each channel.
    pub bias: Vec<f32>,
}

/// As many as a pixel's sums have room for in one vector.
pub const HEAD_CHANNELS: usize = 16;

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// AVX-512 with VNNI.
    Avx512,
    /// AVX2 with AVX-VNNI.
    Avx2,
    /// That of no processor: for where there is none of the others.
    Plain,
}

impl Set {
    /// Those that this processor has, the fastest first.
    pub fn all() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                sets.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avxvnni")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
            {
                sets.push(Self::Avx2);
            }
        }
        sets.push(Self::Plain);
        sets
    }

    /// The fastest of them.
    pub fn best() -> Self {
        Self::all()[0]
    }

    /// Whether it multiplies four bytes at a time, which is what makes bytes faster than floats.
    pub fn is_fast(self) -> bool {
        self != Self::Plain
    }

    fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => vector::Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => vector::Avx2::LANES,
            _ => vector::Plain::LANES,
        }
    }
}

/// A block with its weights as the vectors want them. Copies share these, and have memory for their rows of their own.
#[derive(Debug, Clone)]
pub struct Block {
    set: Set,
    walk: Walk,
}

impl Block {
    /// Packs a block.
    pub fn new(spec: &Spec, set: Set) -> Result<Self> {
        let channels = spec.input.factor.len() + spec.skip_channels;
        let middle = spec.expand.affine.factor.len();
        let out = spec.project.affine.factor.len();
        let fits = |layer: &Layer, rows: usize, columns: usize| {
            layer.weights.len() == rows * columns
                && layer.affine.factor.len() == rows
                && layer.affine.offset.len() == rows
        };
        ensure!(
            spec.input.factor.len() == spec.input.offset.len()
                && fits(&spec.expand, middle, channels)
                && fits(&spec.depthwise, middle, 9)
                && fits(&spec.project, out, middle)
                && matches!(spec.stride, 1 | 2)
                && channels * middle * out > 0
                && spec.size.pixels() > 0,
            "the weights of a block do not fit together"
        );
        ensure!(
            !spec.residual
                || (spec.stride == 1 && spec.upsample.is_none() && out == spec.input.factor.len()),
            "the input of a block cannot be added to its output"
        );
        ensure!(
            spec.upsample.is_none_or(|(small, _)| small.pixels() > 0),
            "nothing is upsampled"
        );
        ensure!(
            spec.head.as_ref().is_none_or(|head| {
                (1..=HEAD_CHANNELS).contains(&head.bias.len())
                    && head.weights.len() == head.bias.len() * out
            }),
            "the last convolution does not fit its block"
        );
        Ok(Self {
            set,
            walk: Walk::new(spec, set.lanes()),
        })
    }

    /// The shape of what comes out: `[1, height, width, out]`, or with a head `[1, channels, height, width]`.
    pub fn output(&self) -> [usize; 4] {
        self.walk.output()
    }

    /// `x`: `[height, width, channels]`, smaller where it is upsampled; `skip`: `[height, width, skip_channels]`; `output`:
    /// `[height, width, out]`, divided by the stride, or with a head `[channels, height, width]`.
    pub fn run(&mut self, x: &[f32], skip: &[u8], output: &mut [f32]) -> Result<()> {
        let [x_len, skip_len, output_len] = self.walk.lengths();
        ensure!(
            (x.len(), skip.len(), output.len()) == (x_len, skip_len, output_len),
            "a block got {} and {} values for {} instead of {x_len} and {skip_len} for {output_len}",
            x.len(),
            skip.len(),
            output.len(),
        );
        #[expect(
            unsafe_code,
            reason = "instruction sets are chosen at run time, and only from those that are there"
        )]
        // SAFETY: `Set::all` gave the set, so the processor has it; the lengths were just compared.
        unsafe {
            match self.set {
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 => expand::with_avx512(&mut self.walk, x, skip, output),
                #[cfg(target_arch = "x86_64")]
                Set::Avx2 => expand::with_avx2(&mut self.walk, x, skip, output),
                _ => self.walk.run::<vector::Plain>(x, skip, output),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
