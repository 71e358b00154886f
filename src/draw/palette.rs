//! Colours. They stay apart for colour-blind readers (after Paul Tol's "vibrant" and "bright" schemes) and stand out from
//! the paper.

/// A colour: R G B, 0..=255.
pub(crate) type Colour = [u8; 3];

/// What everything is drawn on.
pub(crate) const PAPER: Colour = [255, 255, 255];
/// Behind the curves of a chart.
pub(crate) const PANEL: Colour = [245, 246, 248];
/// Text, and marks that matter.
pub(crate) const INK: Colour = [26, 29, 34];
/// Text that explains: names, units, numbers at axes.
pub(crate) const MUTED: Colour = [92, 99, 109];
/// Grid lines, and what is empty.
pub(crate) const GRID: Colour = [219, 223, 229];

/// The first curve, and crop rectangles.
pub(crate) const BLUE: Colour = [0, 109, 181];
/// The second curve.
pub(crate) const ORANGE: Colour = [226, 107, 23];
/// The third curve, and what is in order.
pub(crate) const GREEN: Colour = [0, 130, 112];
/// Faults and limits, and nothing else.
pub(crate) const RED: Colour = [200, 36, 44];
/// The masked area of a crop: a colour that neither skin nor clothes often have.
pub(crate) const MASK: Colour = [196, 32, 176];
/// One more series, beside those above.
pub(crate) const CYAN: Colour = [22, 156, 208];
/// One more series, beside those above.
pub(crate) const PURPLE: Colour = [142, 60, 138];
/// One more series, beside those above.
pub(crate) const OLIVE: Colour = [140, 134, 36];

/// Black or white ink, whichever is easier to read on `colour`.
pub(crate) fn ink_on(colour: Colour) -> Colour {
    if contrast(colour, PAPER) >= 3.0 {
        PAPER
    } else {
        INK
    }
}

/// Brighter for larger: dark blue, violet, orange, pale yellow for 0..=1.
pub(super) fn heat(share: f32) -> Colour {
    const STOPS: [[f32; 3]; 6] = [
        [8.0, 8.0, 32.0],
        [58.0, 18.0, 104.0],
        [140.0, 40.0, 112.0],
        [216.0, 76.0, 68.0],
        [248.0, 150.0, 50.0],
        [252.0, 246.0, 186.0],
    ];
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let below = (at as usize).min(STOPS.len() - 2);
    let rest = at - below as f32;
    std::array::from_fn(|c| {
        (STOPS[below][c] * (1.0 - rest) + STOPS[below + 1][c] * rest).round() as u8
    })
}

/// Contrast ratio of two colours, 1..=21 (WCAG 2.1: 4.5 is needed for text, 3 for large text and graphics).
fn contrast(a: Colour, b: Colour) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Relative luminance, 0..=1 (WCAG 2.1).
fn luminance(colour: Colour) -> f64 {
    let [r, g, b] = colour.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn louder_is_brighter() {
        let light = |share: f32| heat(share).iter().map(|v| u32::from(*v)).sum::<u32>();
        assert!((1..=20).all(|i| light(i as f32 / 20.0) > light((i - 1) as f32 / 20.0)));
    }

    #[test]
    fn everything_stands_out_from_the_paper() {
        for text in [INK, MUTED, RED, GREEN] {
            assert!(contrast(text, PAPER) >= 4.5, "{text:?}");
        }
        for mark in [BLUE, ORANGE, GREEN, RED, MASK, CYAN, PURPLE, OLIVE] {
            assert!(contrast(mark, PANEL) >= 2.8, "{mark:?}");
            assert!(contrast(mark, ink_on(mark)) >= 3.0, "{mark:?}");
        }
    }
}
