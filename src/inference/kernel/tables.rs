//! Compiles the kernels for each instruction set.

use super::kernels::Kernels;
#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::vector::{Portable, Vector};

/// All instruction sets, the fastest first. The last one runs on every processor.
pub(super) const TABLES: &[&Kernels] = &[
    #[cfg(target_arch = "x86_64")]
    &AVX512,
    #[cfg(target_arch = "x86_64")]
    &AVX2,
    &PORTABLE,
];

/// Compiles the kernels with the vector type `$vector`, for a processor with these features. The same list of features
/// is what functions are compiled for and what must be detected before they run.
macro_rules! kernels {
    ($table:ident, $module:ident, $name:literal, $vector:ty, [$($feature:tt),*]) => {
        mod $module {
            #![expect(unsafe_code, reason = "functions for one instruction set, called where it was detected")]

            use super::super::operands::{
                ChannelRange, DepthwiseInput, DepthwiseWeights, Destination, PackedWeights,
                UpsampledRow,
            };
            use super::super::{depthwise, panels, pointwise, upsample};
            use super::*;

            pub(super) fn is_detected() -> bool {
                true $(&& is_x86_feature_detected!($feature))*
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn pointwise(
                weights: &PackedWeights,
                channels: ChannelRange,
                panels: &[f32],
                pixels: usize,
                destination: &mut Destination<'_>,
            ) {
                // SAFETY: the caller's promises are the function's; it is compiled for the vector's instructions here.
                unsafe {
                    pointwise::pointwise::<$vector, { <$vector as Vector>::TILE_CHANNELS }>(
                        weights, channels, panels, pixels, destination,
                    );
                }
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn depthwise(
                weights: &[DepthwiseWeights],
                channels: ChannelRange,
                input: &DepthwiseInput<'_>,
                pixels: usize,
                panels: &mut [f32],
            ) {
                // SAFETY: as above.
                unsafe {
                    depthwise::depthwise::<$vector>(weights, channels, input, pixels, panels);
                }
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn upsample(row: &UpsampledRow<'_>, out: &mut [f32]) {
                // SAFETY: as above.
                unsafe { upsample::upsample::<$vector>(row, out) }
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn pack(
                values: &[f32],
                pitch: usize,
                pixels: usize,
                ahead: usize,
                panel: &mut [f32],
            ) {
                // SAFETY: as above.
                unsafe { panels::pack::<$vector>(values, pitch, pixels, ahead, panel) }
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn every_other(values: &[f32], out: &mut [f32]) {
                panels::every_other(values, out);
            }
        }

        static $table: Kernels = Kernels {
            name: $name,
            is_detected: $module::is_detected,
            is_fast: <$vector as Vector>::IS_FAST,
            lanes: <$vector as Vector>::LANES,
            tile_channels: <$vector as Vector>::TILE_CHANNELS,
            tile_vectors: <$vector as Vector>::TILE_VECTORS,
            pointwise: $module::pointwise,
            depthwise: $module::depthwise,
            upsample: $module::upsample,
            pack: $module::pack,
            every_other: $module::every_other,
        };
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    AVX512,
    avx512,
    "AVX-512",
    Avx512,
    ["avx512f", "avx2", "fma", "f16c"]
);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, avx2, "AVX2", Avx2, ["avx2", "fma"]);
kernels!(PORTABLE, portable, "portable", Portable, []);
