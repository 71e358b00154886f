//! Pictures with an embedded colour profile (ICC) -> sRGB.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// Levels by which a profile may differ from sRGB and is still taken for it.
const SAME: u8 = 2;

/// Converts `pixels`, R G B in 8 bits, from the colours of the profile to sRGB. False if the profile is not for R G B, or is
/// damaged: then the pixels stay.
pub(super) fn to_srgb(profile: &[u8], pixels: &mut Vec<u8>) -> bool {
    let Ok(profile) = ColorProfile::new_from_slice(profile) else {
        return false;
    };
    if profile.color_space != DataColorSpace::Rgb {
        return false;
    }
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let Ok(transform) = profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, options)
    else {
        return false;
    };
    let probes = probes();
    let mut converted = vec![0; probes.len()];
    if transform.transform(&probes, &mut converted).is_err() {
        return false;
    }
    let mut pairs = probes.iter().zip(&converted);
    if pairs.all(|(a, b)| a.abs_diff(*b) <= SAME) {
        // sRGB under another name: exact bytes are better than rounded ones.
        return true;
    }
    let mut converted = vec![0; pixels.len()];
    if transform.transform(pixels, &mut converted).is_err() {
        return false;
    }
    *pixels = converted;
    true
}

/// Colours all over the cube.
fn probes() -> Vec<u8> {
    const LEVELS: [u8; 5] = [0, 64, 128, 192, 255];
    let mut probes = Vec::new();
    for r in LEVELS {
        for g in LEVELS {
            for b in LEVELS {
                probes.extend([r, g, b]);
            }
        }
    }
    probes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(profile: &ColorProfile, colour: [u8; 3]) -> (bool, Vec<u8>) {
        let mut pixels = colour.to_vec();
        let known = to_srgb(&profile.encode().unwrap(), &mut pixels);
        (known, pixels)
    }

    #[test]
    fn wide_gamuts_become_srgb() {
        // Display P3 (255, 0, 0) is outside of sRGB; (200, 100, 100) of P3 is (214, 94, 97) in sRGB (CSS Color 4).
        let (known, pixels) = converted(&ColorProfile::new_display_p3(), [200, 100, 100]);
        assert!(known);
        for (got, expected) in pixels.iter().zip([214, 95, 97]) {
            assert!(got.abs_diff(expected) <= 3, "{pixels:?}");
        }
    }

    #[test]
    fn srgb_stays_as_it_is() {
        let colour = [1, 77, 203];
        let (known, pixels) = converted(&ColorProfile::new_srgb(), colour);
        assert_eq!((known, pixels), (true, colour.to_vec()));
    }

    #[test]
    fn damaged_profiles_change_nothing() {
        let mut pixels = vec![1, 2, 3];
        assert!(!to_srgb(b"no profile", &mut pixels));
        assert_eq!(pixels, [1, 2, 3]);
    }
}
