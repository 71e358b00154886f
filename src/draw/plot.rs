//! Curves over time or over frames: an axis, and what is drawn along it.

use super::{Area, BLUE, Canvas, Colour, FAINT, GRID, INK, MARGIN, Type, WIDTH};
use crate::audio::mel::{self, BANDS};

/// Columns on the left of a plot for the numbers of its height.
const GUTTER: i32 = 76;

/// A plot's area, and the values at its left and right edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) area: Area,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

impl Axis {
    /// A plot over `from..to`, `height` rows high, at the canvas's next free row.
    pub(crate) fn new(canvas: &Canvas, height: i32, from: f64, to: f64) -> Self {
        let x = MARGIN + GUTTER;
        Self {
            area: Area::new(x, canvas.y, WIDTH - MARGIN - x, height),
            from,
            to: to.max(from + 1e-9),
        }
    }

    /// Columns of a plot.
    pub(crate) fn columns() -> usize {
        (WIDTH - 2 * MARGIN - GUTTER) as usize
    }

    /// The column of a value; outside the plot for values outside.
    pub(crate) fn x(&self, value: f64) -> i32 {
        let share = (value - self.from) / (self.to - self.from);
        self.area.x + (share * f64::from(self.area.width)).round() as i32
    }

    /// Puts a paler or darker band from `start` to `end`.
    pub(crate) fn shade(&self, canvas: &mut Canvas, start: f64, end: f64, colour: Colour) {
        let left = self.x(start.max(self.from));
        let right = self.x(end.min(self.to));
        if right > left {
            let area = Area::new(left, self.area.y, right - left, self.area.height);
            canvas.tint(area, colour, 0.3);
        }
    }

    /// A vertical line.
    pub(crate) fn mark(&self, canvas: &mut Canvas, value: f64, colour: Colour, thick: i32) {
        if (self.from..=self.to).contains(&value) {
            let x = (self.x(value) - thick / 2).min(self.area.x + self.area.width - thick);
            canvas.fill(Area::new(x, self.area.y, thick, self.area.height), colour);
        }
    }

    /// Grid lines at round values.
    pub(crate) fn grid(&self, canvas: &mut Canvas) {
        for value in self.ticks() {
            self.mark(canvas, value, GRID, 1);
        }
        canvas.outline(self.area, GRID, 1);
    }

    /// Numbers below the plot at the grid lines, with a unit; moves the canvas below them.
    pub(crate) fn labels(&self, canvas: &mut Canvas, unit: &str) {
        let y = self.area.y + self.area.height + 3;
        for value in self.ticks() {
            let text = format!("{}{unit}", short(value));
            canvas.text_centred(self.x(value), y, Type::Small, FAINT, &text);
        }
        canvas.y = y + Type::Small.line();
    }

    /// Short ticks at the bottom, `rate` of them in one unit, if they can be told apart.
    pub(crate) fn ruler(&self, canvas: &mut Canvas, rate: f64) {
        let count = ((self.to - self.from) * rate) as i64;
        if count == 0 || i64::from(self.area.width) / count < 4 {
            return;
        }
        let bottom = self.area.y + self.area.height;
        let first = (self.from * rate).ceil() as i64;
        for tick in first..=(self.to * rate) as i64 {
            let height = if tick % 5 == 0 { 7 } else { 4 };
            let x = self.x(tick as f64 / rate);
            canvas.fill(Area::new(x, bottom - height, 1, height), INK);
        }
    }

    fn ticks(&self) -> Vec<f64> {
        let step = round_step((self.to - self.from) / 12.0);
        let first = (self.from / step - 1e-9).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    /// What the plot's height means: names at shares of the height, 0 at the bottom.
    pub(crate) fn scale(&self, canvas: &mut Canvas, names: &[(f64, &str)]) {
        for (share, name) in names {
            let width = name.chars().count() as i32 * Type::Small.advance();
            let y = self.y(*share) - Type::Small.line() / 2;
            let y = y.clamp(self.area.y, self.area.y + self.area.height - 11);
            canvas.text(self.area.x - 8 - width, y, Type::Small, FAINT, name);
        }
    }

    fn y(&self, share: f64) -> i32 {
        let share = share.clamp(0.0, 1.0);
        self.area.y + ((1.0 - share) * f64::from(self.area.height - 1)).round() as i32
    }

    /// A curve through `(value, share of the height)`.
    pub(crate) fn curve(
        &self,
        canvas: &mut Canvas,
        points: impl IntoIterator<Item = (f64, f64)>,
        colour: Colour,
    ) {
        let mut before = None;
        for (value, share) in points {
            let at = (self.x(value), self.y(share));
            if let Some(before) = before {
                canvas.line(before, at, colour, 2);
            }
            before = Some(at);
        }
    }

    /// A waveform: lowest and highest sample of each column, -1..1.
    pub(crate) fn waveform(&self, canvas: &mut Canvas, columns: &[(f32, f32)]) {
        for (i, (low, high)) in columns.iter().enumerate() {
            let row = |sample: f32| self.y(f64::from(sample) / 2.0 + 0.5);
            let (top, bottom) = (row(*high), row(*low));
            let x = self.area.x + i as i32;
            canvas.fill(Area::new(x, top, 1, bottom - top + 1), BLUE);
        }
    }

    /// A mel spectrogram: the 80 bands of each column, -4..4, low frequencies at the bottom.
    pub(crate) fn spectrogram(&self, canvas: &mut Canvas, columns: &[mel::MelFrame]) {
        let colours: Vec<Colour> = (0..=255_u8).map(|v| heat(f32::from(v) / 255.0)).collect();
        for (i, bands) in columns.iter().enumerate() {
            for row in 0..self.area.height {
                let up = f64::from(self.area.height - 1 - row) / f64::from(self.area.height);
                let value = bands[(up * BANDS as f64) as usize];
                let colour = colours[((value + 4.0) / 8.0 * 255.0).clamp(0.0, 255.0) as usize];
                let pixel = Area::new(self.area.x + i as i32, self.area.y + row, 1, 1);
                canvas.fill(pixel, colour);
            }
        }
        let names: Vec<(f64, String)> = [100.0, 500.0, 1000.0, 2000.0, 4000.0, 7600.0]
            .iter()
            .map(|hz| (mel::band_of_hz(*hz) / BANDS as f64, format!("{hz} Hz")))
            .collect();
        let names: Vec<(f64, &str)> = names.iter().map(|(at, n)| (*at, n.as_str())).collect();
        self.scale(canvas, &names);
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|f| f * power >= least * 0.999);
    factor.unwrap_or(10.0) * power
}

/// A number with the digits that it needs.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Dark blue, violet, orange, pale yellow: rising brightness for 0..1.
fn heat(share: f32) -> Colour {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_lines_stand_at_round_values() {
        assert_eq!(round_step(0.03), 0.05);
        assert_eq!(round_step(0.1), 0.1);
        assert_eq!(round_step(7.0), 10.0);
        let axis = Axis {
            area: Area::new(0, 0, 1000, 10),
            from: 0.9,
            to: 5.0,
        };
        assert_eq!(axis.ticks().first(), Some(&1.0));
        assert_eq!(axis.ticks().last(), Some(&5.0));
        assert_eq!((axis.x(0.9), axis.x(5.0)), (0, 1000));
    }

    #[test]
    fn louder_is_brighter() {
        let light = |share: f32| heat(share).iter().map(|v| u32::from(*v)).sum::<u32>();
        assert!((1..=20).all(|i| light(i as f32 / 20.0) > light((i - 1) as f32 / 20.0)));
    }
}
