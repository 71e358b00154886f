//! The surface that everything is drawn on: text, shapes and pictures, antialiased.

use image::RgbImage;
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, PixmapMut, Rect, Stroke,
    StrokeDash, Transform,
};

use super::palette::{Colour, INK, MUTED, PAPER};
use super::text::TextStyle;

/// Width of every picture, in pixels.
pub(crate) const WIDTH: i32 = 1400;
/// Empty space at the edges, in pixels.
pub(crate) const MARGIN: i32 = 32;
/// Bytes of a pixel on the canvas: R G B and an alpha that is always opaque.
const RGBA: usize = 4;

/// An area of a canvas in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    /// First column.
    pub(crate) x: i32,
    /// First row.
    pub(crate) y: i32,
    /// Columns.
    pub(crate) width: i32,
    /// Rows.
    pub(crate) height: i32,
}

impl Area {
    pub(crate) fn new(x: i32, y: i32, width: i32, height: i32) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    /// The column after the last.
    pub(crate) fn right(self) -> i32 {
        self.x + self.width
    }

    /// The row after the last.
    pub(crate) fn bottom(self) -> i32 {
        self.y + self.height
    }

    /// The column in the middle.
    pub(crate) fn centre(self) -> i32 {
        self.x + self.width / 2
    }

    /// The row in the middle.
    pub(crate) fn middle(self) -> i32 {
        self.y + self.height / 2
    }
}

/// An RGB picture, [`WIDTH`] pixels wide, that grows downwards as things are put on it.
#[derive(Debug)]
pub(crate) struct Canvas {
    pixels: Vec<u8>,
    /// The first row that is still free.
    pub(crate) y: i32,
}

impl Canvas {
    /// An empty picture with a title, and under it what the picture is.
    pub(crate) fn new(title: &str, subtitle: &str) -> Self {
        let mut canvas = Self {
            pixels: Vec::new(),
            y: MARGIN - 10,
        };
        let title = TextStyle::Title.fit(title, WIDTH - 2 * MARGIN);
        canvas.text(MARGIN, canvas.y, TextStyle::Title, INK, &title);
        canvas.y += TextStyle::Title.line();
        canvas.paragraph(MARGIN, MUTED, subtitle);
        canvas.y += 10;
        canvas
    }

    /// The finished picture, with a margin below.
    pub(crate) fn finish(mut self) -> RgbImage {
        let height = self.y + MARGIN;
        self.reserve(height);
        let rows = self.height();
        let rgb = self.pixels.chunks_exact(RGBA).flat_map(|p| &p[..3]);
        let rgb = rgb.copied().collect();
        RgbImage::from_raw(WIDTH as u32, rows, rgb).unwrap_or_default()
    }

    fn height(&self) -> u32 {
        (self.pixels.len() / (RGBA * WIDTH as usize)) as u32
    }

    /// Adds paper until there are `height` rows.
    fn reserve(&mut self, height: i32) {
        let [r, g, b] = PAPER;
        for _ in self.pixels.len() / RGBA..(height.max(0) as usize) * WIDTH as usize {
            self.pixels.extend_from_slice(&[r, g, b, u8::MAX]);
        }
    }

    /// Makes room down to `bottom`, and draws.
    fn paint(&mut self, bottom: f32, draw: impl FnOnce(&mut PixmapMut<'_>)) {
        self.reserve(bottom.ceil() as i32);
        let height = self.height();
        if let Some(mut surface) = PixmapMut::from_bytes(&mut self.pixels, WIDTH as u32, height) {
            draw(&mut surface);
        }
    }

    /// One line of text whose box has its upper left corner at `x`, `y`. What the font lacks is a box.
    pub(crate) fn text(&mut self, x: i32, y: i32, style: TextStyle, colour: Colour, text: &str) {
        if let Some(path) = style.outline(x, y, text) {
            self.fill_path(&path, colour, 1.0);
        }
    }

    /// Like [`Canvas::text`], its middle at `x`.
    pub(crate) fn text_centred(
        &mut self,
        x: i32,
        y: i32,
        style: TextStyle,
        colour: Colour,
        text: &str,
    ) {
        self.text(x - style.width(text) / 2, y, style, colour, text);
    }

    /// Like [`Canvas::text`], its end at `x`.
    pub(crate) fn text_right(
        &mut self,
        x: i32,
        y: i32,
        style: TextStyle,
        colour: Colour,
        text: &str,
    ) {
        self.text(x - style.width(text), y, style, colour, text);
    }

    /// Lines of text from column `x` to the right margin, broken between words; moves `y` below them.
    pub(crate) fn paragraph(&mut self, x: i32, colour: Colour, text: &str) {
        for line in TextStyle::Body.wrap(text, WIDTH - MARGIN - x) {
            self.text(x, self.y, TextStyle::Body, colour, &line);
            self.y += TextStyle::Body.line();
        }
    }

    /// A filled rectangle.
    pub(crate) fn fill(&mut self, area: Area, colour: Colour) {
        self.tint(area, colour, 1.0);
    }

    /// Mixes `share` (0..=1) of a colour into what is there.
    pub(crate) fn tint(&mut self, area: Area, colour: Colour, share: f32) {
        if let Some(rect) = rect(area, 0.0) {
            self.paint(area.bottom() as f32, |surface| {
                let mut paint = paint(colour, share);
                paint.anti_alias = false;
                surface.fill_rect(rect, &paint, Transform::identity(), None);
            });
        }
    }

    /// A rectangle's outline, `thick` pixels wide, inside the area.
    pub(crate) fn outline(&mut self, area: Area, colour: Colour, thick: i32) {
        let thick = thick.min(area.width).min(area.height);
        let Area {
            x,
            y,
            width,
            height,
        } = area;
        for side in [
            Area::new(x, y, width, thick),
            Area::new(x, area.bottom() - thick, width, thick),
            Area::new(x, y, thick, height),
            Area::new(area.right() - thick, y, thick, height),
        ] {
            self.fill(side, colour);
        }
    }

    /// A dashed outline, two pixels wide, inside the area.
    pub(crate) fn dashed(&mut self, area: Area, colour: Colour) {
        if let Some(rect) = rect(area, 1.0) {
            let path = PathBuilder::from_rect(rect);
            let stroke = Stroke {
                width: 2.0,
                dash: StrokeDash::new(vec![6.0, 5.0], 0.0),
                ..Stroke::default()
            };
            self.stroke_path(&path, colour, &stroke);
        }
    }

    /// A box with rounded corners: its outline, and a little of the colour inside.
    pub(crate) fn rounded(&mut self, area: Area, colour: Colour) {
        const RADIUS: f32 = 8.0;
        /// How far a Bézier's handles reach so that it is a quarter of a circle.
        const HANDLE: f32 = RADIUS * 0.552_285;
        let Some(rect) = rect(area, 1.0) else {
            return;
        };
        let (left, top, right, bottom) = (rect.left(), rect.top(), rect.right(), rect.bottom());
        let mut path = PathBuilder::new();
        path.move_to(left + RADIUS, top);
        for (corner, along, away) in [
            ((right, top), (-1.0, 0.0), (0.0, 1.0)),
            ((right, bottom), (0.0, -1.0), (-1.0, 0.0)),
            ((left, bottom), (1.0, 0.0), (0.0, -1.0)),
            ((left, top), (0.0, 1.0), (1.0, 0.0)),
        ] {
            let at =
                |side: (f32, f32), far: f32| (corner.0 + side.0 * far, corner.1 + side.1 * far);
            let (start, end) = (at(along, RADIUS), at(away, RADIUS));
            let (a, b) = (at(along, RADIUS - HANDLE), at(away, RADIUS - HANDLE));
            path.line_to(start.0, start.1);
            path.cubic_to(a.0, a.1, b.0, b.1, end.0, end.1);
        }
        path.close();
        if let Some(path) = path.finish() {
            self.fill_path(&path, colour, 0.07);
            self.stroke_path(&path, colour, &line(2.0));
        }
    }

    /// A disc.
    pub(crate) fn disc(&mut self, (x, y): (f32, f32), radius: f32, colour: Colour) {
        if let Some(path) = PathBuilder::from_circle(x, y, radius) {
            self.fill_path(&path, colour, 1.0);
        }
    }

    /// Straight lines through the points, `thick` pixels wide.
    pub(crate) fn lines(
        &mut self,
        points: impl IntoIterator<Item = (f32, f32)>,
        colour: Colour,
        thick: f32,
    ) {
        if let Some(path) = through(points).finish() {
            self.stroke_path(&path, colour, &line(thick));
        }
    }

    /// The area inside the points.
    pub(crate) fn polygon(
        &mut self,
        points: impl IntoIterator<Item = (f32, f32)>,
        colour: Colour,
        share: f32,
    ) {
        let mut path = through(points);
        path.close();
        if let Some(path) = path.finish() {
            self.fill_path(&path, colour, share);
        }
    }

    /// A picture with its upper left corner at `x`, `y`.
    pub(crate) fn picture(&mut self, x: i32, y: i32, picture: &RgbImage) {
        self.reserve(y + picture.height() as i32);
        for (column, row, pixel) in picture.enumerate_pixels() {
            let (x, y) = (x + column as i32, y + row as i32);
            if (0..WIDTH).contains(&x) && y >= 0 {
                let at = (y * WIDTH + x) as usize * RGBA;
                self.pixels[at..at + 3].copy_from_slice(&pixel.0);
            }
        }
    }

    fn fill_path(&mut self, path: &Path, colour: Colour, share: f32) {
        self.paint(path.bounds().bottom(), |surface| {
            let (paint, rule) = (paint(colour, share), FillRule::Winding);
            surface.fill_path(path, &paint, rule, Transform::identity(), None);
        });
    }

    fn stroke_path(&mut self, path: &Path, colour: Colour, stroke: &Stroke) {
        self.paint(path.bounds().bottom() + stroke.width / 2.0, |surface| {
            let paint = paint(colour, 1.0);
            surface.stroke_path(path, &paint, stroke, Transform::identity(), None);
        });
    }
}

/// A colour of which `share` (0..=1) covers what is there.
fn paint([r, g, b]: Colour, share: f32) -> Paint<'static> {
    let mut colour = Color::from_rgba8(r, g, b, u8::MAX);
    colour.set_alpha(share);
    let mut paint = Paint::default();
    paint.set_color(colour);
    paint
}

/// The area, made smaller by `inset` pixels at each side; None where nothing is left.
fn rect(area: Area, inset: f32) -> Option<Rect> {
    Rect::from_ltrb(
        area.x as f32 + inset,
        area.y as f32 + inset,
        area.right() as f32 - inset,
        area.bottom() as f32 - inset,
    )
    .filter(|rect| rect.width() > 0.0 && rect.height() > 0.0)
}

fn through(points: impl IntoIterator<Item = (f32, f32)>) -> PathBuilder {
    let mut path = PathBuilder::new();
    for (x, y) in points {
        if path.is_empty() {
            path.move_to(x, y);
        } else {
            path.line_to(x, y);
        }
    }
    path
}

fn line(width: f32) -> Stroke {
    Stroke {
        width,
        line_cap: LineCap::Round,
        line_join: LineJoin::Round,
        ..Stroke::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::palette::{BLUE, RED};
    use super::*;

    #[test]
    fn text_is_drawn_where_it_should_be() {
        let mut canvas = Canvas::new("", "");
        canvas.text(100, 200, TextStyle::Title, RED, "\u{2192} Ü");
        let width = TextStyle::Title.width("\u{2192} Ü") as u32;
        let picture = canvas.finish();
        let red: Vec<(u32, u32)> = picture
            .enumerate_pixels()
            .filter(|(_, _, p)| p.0 == RED)
            .map(|(x, y, _)| (x, y))
            .collect();
        assert!(red.len() > 100);
        assert!(
            red.iter()
                .all(|&(x, y)| (100..100 + width).contains(&x) && (200..252).contains(&y))
        );
    }

    #[test]
    fn a_canvas_grows_and_clips_only_at_its_sides() {
        let mut canvas = Canvas::new("title", "");
        canvas.fill(Area::new(-5, 900, WIDTH + 10, 10), BLUE);
        canvas.tint(Area::new(0, 900, 10, 10), [255, 255, 255], 1.0);
        canvas.y = 910;
        let picture = canvas.finish();
        assert_eq!(picture.dimensions(), (WIDTH as u32, 910 + MARGIN as u32));
        assert_eq!(picture.get_pixel(20, 905).0, BLUE);
        assert_eq!(picture.get_pixel(5, 905).0, [255, 255, 255]);
        assert_eq!(picture.get_pixel(20, 899).0, PAPER);
    }

    #[test]
    fn shapes_without_extent_or_place_draw_nothing() {
        let mut canvas = Canvas::new("", "");
        let height = canvas.y + MARGIN;
        canvas.fill(Area::new(10, 10, 0, 5), RED);
        canvas.outline(Area::new(10, 10, 0, 0), RED, 2);
        canvas.rounded(Area::new(10, 10, 1, 1), RED);
        canvas.lines([(f32::NAN, 3.0), (5.0, f32::INFINITY)], RED, 2.0);
        canvas.lines([], RED, 2.0);
        let picture = canvas.finish();
        assert_eq!(picture.height(), height as u32);
        assert!(picture.pixels().all(|p| p.0 == PAPER));
    }
}
