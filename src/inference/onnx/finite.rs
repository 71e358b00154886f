//! Copies what networks give, and notices values that are not finite while it does.

use anyhow::Result;
use ort::value::PrimitiveTensorElementType;

use crate::error::NotFinite;

/// The bits of an f32's exponent: all are set in infinities and NaN, and in no other value.
const EXPONENT: u32 = 0x7f80_0000;

/// A type of values that a network gives.
pub(super) trait OutputValue: PrimitiveTensorElementType + Copy {
    /// Copies `values`, items of `len` values each, to `target`. Fails with [`NotFinite`] if one is not finite.
    fn copy(values: &[Self], target: &mut [Self], len: usize) -> Result<()>;
}

impl OutputValue for f32 {
    fn copy(values: &[Self], target: &mut [Self], len: usize) -> Result<()> {
        let mut bits = 0;
        for (target, value) in target.iter_mut().zip(values) {
            *target = *value;
            bits |= u32::from(value.to_bits() & EXPONENT == EXPONENT);
        }
        if bits == 0 {
            return Ok(());
        }
        check(target, len)
    }
}

impl OutputValue for u8 {
    fn copy(values: &[Self], target: &mut [Self], _: usize) -> Result<()> {
        target.copy_from_slice(values);
        Ok(())
    }
}

/// Fails with [`NotFinite`] if one of `values`, items of `len` values each, is not finite.
pub(super) fn check(values: &[f32], len: usize) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(NotFinite::new(at / len.max(1), values[at]).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_item_with_such_a_value_is_found() {
        let mut values = vec![1.0_f32; 30];
        let mut target = vec![0.0; 30];
        f32::copy(&values, &mut target, 10).unwrap();
        assert_eq!(values, target);
        values[29] = f32::NEG_INFINITY;
        values[17] = f32::NAN;
        let error = f32::copy(&values, &mut target, 10).unwrap_err();
        assert_eq!(
            *error.downcast_ref::<NotFinite>().unwrap(),
            NotFinite::new(1, f32::NAN)
        );
        values[17] = f32::MAX;
        let error = check(&values, 10).unwrap_err();
        let expected = NotFinite::new(2, f32::INFINITY);
        assert_eq!(*error.downcast_ref::<NotFinite>().unwrap(), expected);
    }
}
