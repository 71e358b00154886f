//! Pictures that people read: a canvas with text and shapes, and the sheets and plots made of them.

pub(crate) mod plot;
mod sheet;

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use anyhow::Result;
use embedded_graphics::Drawable;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size as Extent};
use embedded_graphics::mono_font::iso_8859_1::{FONT_8X13, FONT_9X15, FONT_9X18_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::{Line, Primitive, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics::{Pixel, prelude::Size};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

pub(crate) use sheet::{Cell, grid, to_image};
pub(crate) use sheet::{SheetFrame, contact_sheet};

use crate::output::{StagedOutput, Target};

/// Width of every picture, in pixels.
pub(crate) const WIDTH: i32 = 1400;
/// Empty space at the edges, in pixels.
pub(crate) const MARGIN: i32 = 32;

/// A colour: R G B, 0..=255.
pub(crate) type Colour = [u8; 3];

pub(crate) const PAPER: Colour = [250, 250, 248];
pub(crate) const INK: Colour = [28, 30, 34];
pub(crate) const FAINT: Colour = [120, 124, 130];
pub(crate) const GRID: Colour = [214, 216, 218];
pub(crate) const BLUE: Colour = [38, 98, 178];
pub(crate) const GREEN: Colour = [24, 128, 84];
pub(crate) const ORANGE: Colour = [208, 112, 16];
/// The masked area of a crop: a colour that neither skin nor clothes often have.
pub(crate) const MASK: Colour = [196, 32, 176];
pub(crate) const RED: Colour = [200, 36, 44];

/// Sizes of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// 8x13: numbers at axes.
    Small,
    /// 9x15: lines to read.
    Body,
    /// 9x18, bold.
    Heading,
    /// 10x20, drawn twice as large.
    Title,
}

impl Type {
    fn font(self) -> (&'static MonoFont<'static>, i32) {
        match self {
            Self::Small => (&FONT_8X13, 1),
            Self::Body => (&FONT_9X15, 1),
            Self::Heading => (&FONT_9X18_BOLD, 1),
            Self::Title => (&FONT_10X20, 2),
        }
    }

    /// Columns of one character.
    pub(crate) fn advance(self) -> i32 {
        let (font, scale) = self.font();
        font.character_size.width as i32 * scale
    }

    /// Rows from one line to the next.
    pub(crate) fn line(self) -> i32 {
        let (font, scale) = self.font();
        font.character_size.height as i32 * scale + 4
    }
}

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

    fn rectangle(self) -> Rectangle {
        let size = Extent::new(self.width.max(0) as u32, self.height.max(0) as u32);
        Rectangle::new(Point::new(self.x, self.y), size)
    }
}

/// An RGB picture that grows downwards as things are put on it; `y` is the first row that is still free.
#[derive(Debug)]
pub(crate) struct Canvas {
    pixels: Vec<u8>,
    pub(crate) y: i32,
}

impl Canvas {
    /// An empty sheet, with a title and a line under it.
    pub(crate) fn new(title: &str, below: &str) -> Self {
        let mut canvas = Self {
            pixels: Vec::new(),
            y: MARGIN - 8,
        };
        let title = cut(title, (WIDTH - 2 * MARGIN) / Type::Title.advance());
        canvas.text(MARGIN, canvas.y, Type::Title, INK, &title);
        canvas.y += Type::Title.line();
        canvas.paragraph(MARGIN, FAINT, below);
        canvas.y += 8;
        canvas
    }

    /// The finished picture, with a margin below.
    pub(crate) fn finish(mut self) -> RgbImage {
        self.reserve(self.y + MARGIN);
        let height = self.height() as u32;
        RgbImage::from_raw(WIDTH as u32, height, self.pixels).unwrap_or_default()
    }

    fn height(&self) -> i32 {
        self.pixels.len() as i32 / (3 * WIDTH)
    }

    /// Adds paper until there are `height` rows.
    fn reserve(&mut self, height: i32) {
        for _ in self.pixels.len() / 3..(height * WIDTH).max(0) as usize {
            self.pixels.extend_from_slice(&PAPER);
        }
    }

    fn set(&mut self, x: i32, y: i32, colour: Colour) {
        if (0..WIDTH).contains(&x) && y >= 0 {
            self.reserve(y + 1);
            let at = ((y * WIDTH + x) * 3) as usize;
            self.pixels[at..at + 3].copy_from_slice(&colour);
        }
    }

    /// One line of text with its upper left corner at `x`, `y`. What the font lacks becomes `?`.
    pub(crate) fn text(&mut self, x: i32, y: i32, kind: Type, colour: Colour, text: &str) {
        let (font, scale) = kind.font();
        let latin: String = text.chars().map(in_font).collect();
        let style = MonoTextStyle::new(font, rgb(colour));
        let text = Text::with_baseline(&latin, Point::zero(), style, Baseline::Top);
        let mut place = Scaled {
            canvas: self,
            x,
            y,
            scale,
        };
        let Ok(_) = text.draw(&mut place);
    }

    /// Like [`Canvas::text`], its middle at `x`.
    pub(crate) fn text_centred(&mut self, x: i32, y: i32, kind: Type, colour: Colour, text: &str) {
        let width = text.chars().count() as i32 * kind.advance();
        self.text(x - width / 2, y, kind, colour, text);
    }

    /// Lines of text from column `x` to the right margin, broken between words; moves `y` below them.
    pub(crate) fn paragraph(&mut self, x: i32, colour: Colour, text: &str) {
        let columns = (WIDTH - MARGIN - x) / Type::Body.advance();
        for line in wrap(text, columns as usize) {
            self.text(x, self.y, Type::Body, colour, &line);
            self.y += Type::Body.line();
        }
    }

    /// A heading over what follows, and on its right what the marks mean.
    pub(crate) fn heading(&mut self, text: &str, legend: &[(Colour, &str)]) {
        self.y += 10;
        self.text(MARGIN, self.y, Type::Heading, INK, text);
        let mut x = WIDTH - MARGIN;
        for (colour, meaning) in legend.iter().rev() {
            x -= meaning.chars().count() as i32 * Type::Small.advance();
            self.text(x, self.y + 3, Type::Small, INK, meaning);
            x -= 20;
            self.fill(Area::new(x, self.y + 4, 13, 11), *colour);
            x -= 18;
        }
        self.y += Type::Heading.line() + 2;
    }

    /// Names on the left, values beside them.
    pub(crate) fn rows(&mut self, rows: &[(&str, String)]) {
        let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) as i32;
        for (name, value) in rows {
            self.text(MARGIN, self.y, Type::Body, FAINT, name);
            self.paragraph(
                MARGIN + (widest + 2) * Type::Body.advance(),
                INK,
                &value.replace('`', ""),
            );
        }
    }

    /// The findings, at most `most` of them, in red; or that there are none.
    pub(crate) fn warnings(&mut self, warnings: &[String], most: usize) {
        if warnings.is_empty() {
            self.paragraph(MARGIN, GREEN, "nothing wrong was found");
        }
        for warning in warnings.iter().take(most) {
            self.paragraph(MARGIN, RED, &format!("- {}", warning.replace('`', "")));
        }
        if warnings.len() > most {
            let more = format!("- and {} more", warnings.len() - most);
            self.paragraph(MARGIN, RED, &more);
        }
    }

    /// A filled rectangle.
    pub(crate) fn fill(&mut self, area: Area, colour: Colour) {
        let style = PrimitiveStyle::with_fill(rgb(colour));
        let Ok(()) = area.rectangle().into_styled(style).draw(self);
    }

    /// A rectangle's outline, `thick` pixels wide, inside the area.
    pub(crate) fn outline(&mut self, area: Area, colour: Colour, thick: u32) {
        let style = embedded_graphics::primitives::PrimitiveStyleBuilder::new()
            .stroke_color(rgb(colour))
            .stroke_width(thick)
            .stroke_alignment(embedded_graphics::primitives::StrokeAlignment::Inside)
            .build();
        let Ok(()) = area.rectangle().into_styled(style).draw(self);
    }

    /// A straight line, `thick` pixels wide.
    pub(crate) fn line(&mut self, from: (i32, i32), to: (i32, i32), colour: Colour, thick: u32) {
        let style = PrimitiveStyle::with_stroke(rgb(colour), thick);
        let line = Line::new(Point::new(from.0, from.1), Point::new(to.0, to.1));
        let Ok(()) = line.into_styled(style).draw(self);
    }

    /// Mixes `share` (0..1) of a colour into what is there.
    pub(crate) fn tint(&mut self, area: Area, colour: Colour, share: f32) {
        self.reserve(area.y + area.height);
        for y in area.y.max(0)..area.y + area.height {
            for x in area.x.max(0)..(area.x + area.width).min(WIDTH) {
                let at = ((y * WIDTH + x) * 3) as usize;
                for (value, tone) in self.pixels[at..at + 3].iter_mut().zip(colour) {
                    let mixed = f32::from(*value) * (1.0 - share) + f32::from(tone) * share;
                    *value = mixed.round() as u8;
                }
            }
        }
    }

    /// A picture with its upper left corner at `x`, `y`.
    pub(crate) fn picture(&mut self, x: i32, y: i32, picture: &RgbImage) {
        for (column, row, pixel) in picture.enumerate_pixels() {
            self.set(x + column as i32, y + row as i32, pixel.0);
        }
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        // It grows on demand, so that nothing is ever clipped at the bottom.
        Size::new(WIDTH as u32, i32::MAX as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            self.set(at.x, at.y, [colour.r(), colour.g(), colour.b()]);
        }
        Ok(())
    }
}

/// A place on a canvas where each pixel is drawn `scale` times as large.
struct Scaled<'a> {
    canvas: &'a mut Canvas,
    x: i32,
    y: i32,
    scale: i32,
}

impl OriginDimensions for Scaled<'_> {
    fn size(&self) -> Size {
        self.canvas.size()
    }
}

impl DrawTarget for Scaled<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            for i in 0..self.scale * self.scale {
                let x = self.x + at.x * self.scale + i % self.scale;
                let y = self.y + at.y * self.scale + i / self.scale;
                self.canvas.set(x, y, [colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

fn rgb([r, g, b]: Colour) -> Rgb888 {
    Rgb888::new(r, g, b)
}

fn in_font(c: char) -> char {
    match c {
        ' '..='~' | '\u{a0}'..='\u{ff}' => c,
        _ => '?',
    }
}

/// At most `most` characters, the middle left out.
fn cut(text: &str, most: i32) -> String {
    let (count, most) = (text.chars().count(), most.max(8) as usize);
    if count <= most {
        return text.to_owned();
    }
    let head = (most - 3) / 2;
    let tail = most - 3 - head;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}...{end}")
}

/// Lines of at most `columns` characters, broken between words where that is possible.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in text.split(' ') {
        let mut letters = word.chars().peekable();
        let size = word.chars().count();
        if length > 0 && length + 1 + size > columns {
            lines.push(String::new());
            length = 0;
        } else if length > 0 {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
            length += 1;
        }
        while letters.peek().is_some() {
            if length == columns {
                lines.push(String::new());
                length = 0;
            }
            let part: String = letters.by_ref().take(columns - length).collect();
            length += part.chars().count();
            lines
                .last_mut()
                .into_iter()
                .for_each(|line| line.push_str(&part));
        }
    }
    lines
}

/// Writes a picture as a PNG, whole or not at all.
pub(crate) fn save(picture: &RgbImage, target: Target) -> Result<()> {
    written(picture, target)?.commit()
}

/// Writes a picture as a PNG that is not yet in its place.
pub(crate) fn written(picture: &RgbImage, target: Target) -> Result<StagedOutput> {
    let part = target.begin()?;
    write(picture, part.path(), &part)?;
    Ok(part)
}

/// Writes a picture as a PNG to `path`, which is `part` or lies in it.
pub(crate) fn write(picture: &RgbImage, path: &Path, part: &StagedOutput) -> Result<()> {
    // In memory first: the encoder's errors do not tell a full disk from others.
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(
            picture,
            picture.width(),
            picture.height(),
            ExtendedColorType::Rgb8,
        )?;
    Ok(fs::write(path, bytes).map_err(|e| part.cannot_write(&e))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_lose_nothing() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(cut("a-long-name.mp4", 11), "a-lo....mp4");
    }

    #[test]
    fn text_is_drawn_where_it_should_be() {
        let mut canvas = Canvas::new("", "");
        canvas.text(100, 200, Type::Title, RED, "\u{2192} Ü");
        let picture = canvas.finish();
        let red: Vec<(u32, u32)> = picture
            .enumerate_pixels()
            .filter(|(_, _, p)| p.0 == RED)
            .map(|(x, y, _)| (x, y))
            .collect();
        assert!(red.len() > 100);
        assert!(
            red.iter()
                .all(|&(x, y)| (100..160).contains(&x) && (200..240).contains(&y))
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
}
