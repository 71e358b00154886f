//! Which of the instruction sets that the kernels were compiled for this processor has.

use std::fmt;

use super::kernels::Kernels;
use super::tables::TABLES;

/// An instruction set that this processor has. Only [`InstructionSet::all`] makes values of it, from what it detects, so
/// that having one proves that its kernels can run.
#[derive(Clone, Copy)]
pub struct InstructionSet(&'static Kernels);

impl InstructionSet {
    /// All that this processor has, the fastest first and portable code last.
    pub fn all() -> Vec<Self> {
        let tables = TABLES.iter().copied();
        let detected = tables.filter(|kernels| (kernels.is_detected)());
        detected.map(Self).collect()
    }

    /// The fastest of them.
    pub fn best() -> Self {
        Self::all()[0]
    }

    /// Whether it has vector instructions, without which a fused block is slower than ONNX Runtime's convolutions.
    pub fn is_fast(self) -> bool {
        self.0.is_fast
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    pub(super) fn kernels(self) -> &'static Kernels {
        self.0
    }
}

impl fmt::Debug for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
