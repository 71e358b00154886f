//! Compiles the pass over a block for each instruction set, and detects which of them this processor has.

use std::fmt;

use super::bands::Bands;
#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::vector::{Portable, Vector};

/// An instruction set that this processor has. Only [`InstructionSet::all`] makes values of it, from what it detects, so
/// that having one proves that its code can run.
#[derive(Clone, Copy)]
pub struct InstructionSet(&'static Compiled);

/// The pass, compiled for one instruction set.
struct Compiled {
    name: &'static str,
    /// Whether the processor has every instruction set that `run` was compiled for.
    is_detected: fn() -> bool,
    /// Whether there is an instruction for the products of bytes.
    is_fast: bool,
    lanes: usize,
    run: unsafe fn(&mut Bands, &[f32], &[u8], &mut [f32]),
}

/// All instruction sets, the fastest first. The last one runs on every processor.
static ALL: &[Compiled] = &[
    #[cfg(target_arch = "x86_64")]
    avx512::COMPILED,
    #[cfg(target_arch = "x86_64")]
    avx2::COMPILED,
    portable::COMPILED,
];

/// Compiles the pass with the vector type `$vector`, for a processor with these features. The same list of features is
/// what the function is compiled for and what must be detected before it runs.
macro_rules! compile {
    ($module:ident, $name:literal, $vector:ty, [$($feature:tt),*]) => {
        mod $module {
            use super::*;

            pub(super) const COMPILED: Compiled = Compiled {
                name: $name,
                is_detected,
                is_fast: <$vector as Vector>::IS_FAST,
                lanes: <$vector as Vector>::LANES,
                run,
            };

            fn is_detected() -> bool {
                true $(&& is_x86_feature_detected!($feature))*
            }

            /// # Safety
            ///
            /// The processor must have these features; otherwise as for [`Bands::run`].
            #[expect(unsafe_code, reason = "a function for one instruction set, called where it was detected")]
            $(#[target_feature(enable = $feature)])*
            unsafe fn run(bands: &mut Bands, input: &[f32], skip: &[u8], output: &mut [f32]) {
                // SAFETY: the caller's promises are the function's; it is compiled for the vector's instructions here.
                unsafe { bands.run::<$vector>(input, skip, output) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compile!(
    avx512,
    "AVX-512 VNNI",
    Avx512,
    [
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512vnni",
        "avx2",
        "fma",
        "f16c"
    ]
);
#[cfg(target_arch = "x86_64")]
compile!(avx2, "AVX-VNNI", Avx2, ["avx2", "fma", "avxvnni"]);
compile!(portable, "portable", Portable, []);

impl InstructionSet {
    /// All that this processor has, the fastest first and portable code last.
    pub fn all() -> Vec<Self> {
        let detected = ALL.iter().filter(|compiled| (compiled.is_detected)());
        detected.map(Self).collect()
    }

    /// The fastest of them.
    pub fn best() -> Self {
        Self::all()[0]
    }

    /// Whether it multiplies four bytes at a time, which is what makes bytes faster than floats.
    pub fn is_fast(self) -> bool {
        self.0.is_fast
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Values in a vector.
    pub(super) fn lanes(self) -> usize {
        self.0.lanes
    }

    /// Runs a block that was prepared for this instruction set, on slices of [`Bands::lengths`].
    #[expect(
        unsafe_code,
        reason = "calls a function compiled for the instruction set, after checking all lengths"
    )]
    pub(super) fn run(self, bands: &mut Bands, input: &[f32], skip: &[u8], output: &mut [f32]) {
        assert_eq!(
            bands.lanes(),
            self.lanes(),
            "the block was prepared for another instruction set"
        );
        assert_eq!([input.len(), skip.len(), output.len()], bands.lengths());
        // SAFETY: the processor has the instruction set, as `self` exists; the rest was asserted.
        unsafe { (self.0.run)(bands, input, skip, output) };
    }
}

impl fmt::Debug for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
