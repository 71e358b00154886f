//! Charts: curves, bars and maps over time or over frames, with their axes.

use image::{Rgb, RgbImage};

use super::canvas::{Area, Canvas, MARGIN, WIDTH};
use super::palette::{Colour, GRID, INK, MUTED, PANEL, heat};
use super::text::TextStyle;

/// Columns on the left of a chart for the numbers of its height.
const GUTTER: i32 = 84;

/// A chart's area, and the values at its edges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chart {
    pub(crate) area: Area,
    /// At the left and at the right edge.
    x: [f64; 2],
    /// At the lower and at the upper edge.
    y: [f64; 2],
}

impl Chart {
    /// A chart as wide as the canvas, `height` rows high, at its next free row; moves the canvas below it.
    pub(crate) fn new(canvas: &mut Canvas, height: i32, x: [f64; 2], y: [f64; 2]) -> Self {
        let left = MARGIN + GUTTER;
        let area = Area::new(left, canvas.y, WIDTH - MARGIN - left, height);
        Self::within(canvas, area, x, y)
    }

    /// A chart in `area`; moves the canvas below it.
    pub(crate) fn within(canvas: &mut Canvas, area: Area, x: [f64; 2], y: [f64; 2]) -> Self {
        canvas.fill(area, PANEL);
        canvas.y = area.bottom();
        let spread = |[low, high]: [f64; 2]| [low, high.max(low + 1e-9)];
        Self {
            area,
            x: spread(x),
            y: spread(y),
        }
    }

    /// Columns of a chart that is as wide as the canvas.
    pub(crate) fn columns() -> usize {
        (WIDTH - 2 * MARGIN - GUTTER) as usize
    }

    /// The column of a value, in pixels; outside the chart for values outside.
    fn exact_x(&self, value: f64) -> f32 {
        let share = (value - self.x[0]) / (self.x[1] - self.x[0]);
        (f64::from(self.area.x) + share * f64::from(self.area.width)) as f32
    }

    /// The row of a value, in pixels; values outside lie on the edge.
    fn exact_y(&self, value: f64) -> f32 {
        let share = (value - self.y[0]) / (self.y[1] - self.y[0]);
        let up = share.clamp(0.0, 1.0) * f64::from(self.area.height - 1);
        (f64::from(self.area.bottom()) - 0.5 - up) as f32
    }

    /// The column of a value.
    pub(crate) fn column(&self, value: f64) -> i32 {
        self.exact_x(value).round() as i32
    }

    /// The row of a value.
    fn row(&self, value: f64) -> i32 {
        self.exact_y(value).floor() as i32
    }

    /// Vertical grid lines at round values.
    pub(crate) fn grid(&self, canvas: &mut Canvas) {
        for value in self.ticks() {
            self.mark(canvas, value, GRID, 1);
        }
    }

    /// Values of the vertical axis, with a grid line each and what they are called.
    pub(crate) fn scale(&self, canvas: &mut Canvas, values: &[(f64, &str)]) {
        for (value, name) in values {
            let row = self.row(*value);
            let line = Area::new(self.area.x, row, self.area.width, 1);
            canvas.fill(line, GRID);
            let style = TextStyle::Small;
            let highest = self.area.y - 4;
            let y = row - style.line() / 2;
            let y = y.clamp(
                highest,
                (self.area.bottom() + 4 - style.line()).max(highest),
            );
            canvas.text_right(self.area.x - 10, y, style, MUTED, name);
        }
    }

    /// Numbers below the chart at the grid lines, each with `unit`; moves the canvas below them.
    pub(crate) fn labels(&self, canvas: &mut Canvas, unit: &str) {
        let style = TextStyle::Small;
        let top = canvas.y;
        for value in self.ticks() {
            let text = format!("{}{unit}", short(value));
            let x = self.column(value);
            canvas.fill(Area::new(x, top, 1, 5), GRID);
            // The last one may not reach over the margin.
            let width = style.width(&text);
            let x = (x - width / 2).min(WIDTH - MARGIN / 2 - width);
            canvas.text(x, top + 5, style, MUTED, &text);
        }
        canvas.y = top + 5 + style.line();
    }

    /// What the horizontal axis is, below its numbers.
    pub(crate) fn title(&self, canvas: &mut Canvas, text: &str) {
        let (style, y) = (TextStyle::Small, canvas.y);
        canvas.text_centred(self.area.centre(), y, style, MUTED, text);
        canvas.y += style.line();
    }

    /// Short ticks at the bottom, `rate` of them in one unit, every fifth longer; none where they would run together.
    pub(crate) fn ruler(&self, canvas: &mut Canvas, rate: f64) {
        let [from, to] = self.x;
        let count = ((to - from) * rate) as i64;
        if count == 0 || i64::from(self.area.width) / count < 4 {
            return;
        }
        for tick in (from * rate).ceil() as i64..=(to * rate) as i64 {
            let height = if tick % 5 == 0 { 8 } else { 4 };
            let x = self.column(tick as f64 / rate);
            let tick = Area::new(x, self.area.bottom() - height, 1, height);
            canvas.fill(tick, MUTED);
        }
    }

    fn ticks(&self) -> Vec<f64> {
        let [from, to] = self.x;
        let step = round_step((to - from) / 12.0);
        let first = (from / step - 1e-9).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    /// Tints what lies between two values.
    pub(crate) fn shade(&self, canvas: &mut Canvas, start: f64, end: f64, colour: Colour) {
        let left = self.column(start.max(self.x[0]));
        let right = self.column(end.min(self.x[1]));
        if right > left {
            let area = Area::new(left, self.area.y, right - left, self.area.height);
            canvas.tint(area, colour, 0.18);
        }
    }

    /// A vertical line at a value, `thick` pixels wide.
    pub(crate) fn mark(&self, canvas: &mut Canvas, value: f64, colour: Colour, thick: i32) {
        if (self.x[0]..=self.x[1]).contains(&value) {
            let x = (self.column(value) - thick / 2)
                .clamp(self.area.x, (self.area.right() - thick).max(self.area.x));
            canvas.fill(Area::new(x, self.area.y, thick, self.area.height), colour);
        }
    }

    /// A horizontal line at a value; none where it lies outside the chart.
    pub(crate) fn level(&self, canvas: &mut Canvas, value: f64, colour: Colour) {
        if (self.y[0]..=self.y[1]).contains(&value) {
            self.curve(canvas, self.x.map(|x| (x, value)), colour);
        }
    }

    /// A curve through `(x, y)`; values outside the chart's height lie on its edge.
    pub(crate) fn curve(
        &self,
        canvas: &mut Canvas,
        points: impl IntoIterator<Item = (f64, f64)>,
        colour: Colour,
    ) {
        let points = points.into_iter();
        let points = points.map(|(x, y)| (self.exact_x(x), self.exact_y(y)));
        canvas.lines(points, colour, 2.25);
    }

    /// Like [`Chart::curve`], with the area below it tinted.
    pub(crate) fn filled_curve(
        &self,
        canvas: &mut Canvas,
        points: impl IntoIterator<Item = (f64, f64)>,
        colour: Colour,
    ) {
        let points: Vec<(f64, f64)> = points.into_iter().collect();
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let bottom = self.area.bottom() as f32;
            let start = (self.exact_x(first.0), bottom);
            let end = (self.exact_x(last.0), bottom);
            let curve = points
                .iter()
                .map(|(x, y)| (self.exact_x(*x), self.exact_y(*y)));
            let below = [start].into_iter().chain(curve).chain([end]);
            canvas.polygon(below, colour, 0.12);
        }
        self.curve(canvas, points, colour);
    }

    /// A waveform: lowest and highest value of each column.
    pub(crate) fn waveform(&self, canvas: &mut Canvas, columns: &[(f32, f32)], colour: Colour) {
        for (x, (low, high)) in (self.area.x..).zip(columns) {
            // At least a row, so that silence is a line.
            let (top, bottom) = (self.row(f64::from(*high)), self.row(f64::from(*low)));
            canvas.fill(Area::new(x, top, 1, bottom - top + 1), colour);
        }
    }

    /// A map of colours: the values of each column from the bottom to the top, where `low` is dark and `high` is bright.
    pub(crate) fn heat_map<const N: usize>(
        &self,
        canvas: &mut Canvas,
        columns: &[[f32; N]],
        [low, high]: [f32; 2],
    ) {
        let colours: Vec<Colour> = (0..=u8::MAX).map(|v| heat(f32::from(v) / 255.0)).collect();
        let rows = self.area.height as u32;
        let map = RgbImage::from_fn(columns.len() as u32, rows, |x, y| {
            let band = (rows - 1 - y) as usize * N / rows as usize;
            let share = (columns[x as usize][band] - low) / (high - low);
            Rgb(colours[(share * 255.0).clamp(0.0, 255.0) as usize])
        });
        canvas.picture(self.area.x, self.area.y, &map);
    }

    /// A bar from the left edge to `value`, at least a pixel long.
    pub(crate) fn bar(&self, value: f64, y: i32, height: i32) -> Area {
        let length = (self.column(value) - self.area.x).max(1);
        Area::new(self.area.x, y, length, height)
    }

    /// A name on the left of the chart, `y` being its row's upper edge and `height` its rows.
    pub(crate) fn name(&self, canvas: &mut Canvas, row: [i32; 2], colour: Colour, name: &str) {
        let style = TextStyle::Small;
        let y = beside(row, style);
        canvas.text_right(self.area.x - 12, y, style, colour, name);
    }

    /// Text on the right of the chart that ends `right` columns from it.
    pub(crate) fn note(
        &self,
        canvas: &mut Canvas,
        row: [i32; 2],
        right: i32,
        colour: Colour,
        text: &str,
    ) {
        let style = TextStyle::Small;
        let x = self.area.right() + right;
        canvas.text_right(x, beside(row, style), style, colour, text);
    }

    /// A caption over the next chart.
    pub(crate) fn caption(canvas: &mut Canvas, text: &str) {
        let (style, y) = (TextStyle::Small, canvas.y);
        canvas.text(MARGIN + GUTTER, y, style, INK, text);
        canvas.y += style.line() + 2;
    }
}

/// The first row of text in the middle of `[first row, rows]`.
fn beside([y, height]: [i32; 2], style: TextStyle) -> i32 {
    y + (height - style.line()) / 2
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
    let text = text.trim_end_matches('0').trim_end_matches('.');
    // A minus sign is as wide as a plus; a hyphen is not.
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::super::palette::BLUE;
    use super::*;

    fn chart(canvas: &mut Canvas, x: [f64; 2]) -> Chart {
        Chart::within(canvas, Area::new(0, 100, 1000, 11), x, [0.0, 1.0])
    }

    #[test]
    fn grid_lines_stand_at_round_values() {
        assert_eq!(round_step(0.03), 0.05);
        assert_eq!(round_step(0.1), 0.1);
        assert_eq!(round_step(7.0), 10.0);
        let chart = chart(&mut Canvas::new("", ""), [0.9, 5.0]);
        assert_eq!(chart.ticks().first(), Some(&1.0));
        assert_eq!(chart.ticks().last(), Some(&5.0));
        assert_eq!((chart.column(0.9), chart.column(5.0)), (0, 1000));
        assert_eq!((short(-12.50), short(3.0)), ("−12.5".into(), "3".into()));
    }

    #[test]
    fn values_lie_on_their_rows_and_not_outside() {
        let mut canvas = Canvas::new("", "");
        let chart = chart(&mut canvas, [0.0, 1.0]);
        let rows = [0.0, 0.5, 1.0, 7.0, -7.0].map(|y| chart.row(y));
        assert_eq!(rows, [110, 105, 100, 100, 110]);
        chart.level(&mut canvas, 2.0, BLUE);
        chart.mark(&mut canvas, 2.0, BLUE, 3);
        assert!(canvas.finish().pixels().all(|p| p.0 != BLUE));
    }
}
