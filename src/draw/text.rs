//! Type: the bundled font, its sizes, and how text is measured, shortened and broken into lines.

use std::sync::LazyLock;

use tiny_skia::{Path, PathBuilder};
use ttf_parser::gpos::{PairAdjustment, PositioningSubtable};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Inter (SIL Open Font License, see font/OFL.txt) as `scripts/subset_font.py` leaves it.
static REGULAR: LazyLock<Option<Font>> =
    LazyLock::new(|| Font::parse(include_bytes!("font/Inter-Regular.otf")));
static SEMI_BOLD: LazyLock<Option<Font>> =
    LazyLock::new(|| Font::parse(include_bytes!("font/Inter-SemiBold.otf")));

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextStyle {
    /// Numbers at axes, legends, labels of pictures.
    Small,
    /// Sentences.
    Body,
    /// Over what follows.
    Heading,
    /// At the top of a picture.
    Title,
}

impl TextStyle {
    fn font(self) -> Option<&'static Font> {
        match self {
            Self::Small | Self::Body => REGULAR.as_ref(),
            Self::Heading | Self::Title => SEMI_BOLD.as_ref(),
        }
    }

    /// Pixels of an em.
    fn size(self) -> f32 {
        match self {
            Self::Small => 17.0,
            Self::Body => 19.0,
            Self::Heading => 22.0,
            Self::Title => 40.0,
        }
    }

    /// Rows from one line to the next.
    pub(crate) fn line(self) -> i32 {
        match self {
            Self::Small => 22,
            Self::Body => 27,
            Self::Heading => 32,
            Self::Title => 52,
        }
    }

    /// Columns that a line of text takes.
    pub(crate) fn width(self, text: &str) -> i32 {
        let width = self.font().map_or(0.0, |font| {
            let mut end = 0.0;
            font.place(text, |_, _, next| end = next);
            end * font.scale(self.size())
        });
        width.ceil() as i32
    }

    /// The text, its middle left out as far as it is wider than `width`.
    pub(crate) fn fit(self, text: &str, width: i32) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let letters: Vec<char> = text.chars().collect();
        let shortened = |shown: usize| -> String {
            let (head, tail) = (shown / 2, shown - shown / 2);
            let start = &letters[..head];
            let end = &letters[letters.len() - tail..];
            start.iter().chain(&['…']).chain(end).collect()
        };
        // The most letters that fit.
        let (mut fits, mut too_many) = (0, letters.len());
        while fits + 1 < too_many {
            let middle = usize::midpoint(fits, too_many);
            if self.width(&shortened(middle)) <= width {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        shortened(fits)
    }

    /// Lines of at most `width` columns, broken between words where that is possible.
    pub(crate) fn wrap(self, text: &str, width: i32) -> Vec<String> {
        let mut lines = vec![];
        let mut line = String::new();
        for word in text.split(' ') {
            let gap = if line.is_empty() { "" } else { " " };
            let longer = format!("{line}{gap}{word}");
            if self.width(&longer) <= width {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for letter in word.chars() {
                line.push(letter);
                if self.width(&line) > width && line.len() > letter.len_utf8() {
                    line.pop();
                    lines.push(std::mem::replace(&mut line, letter.into()));
                }
            }
        }
        lines.push(line);
        lines
    }

    /// The outlines of a line of text whose box has its upper left corner at `x`, `y`. What the font lacks is a box.
    pub(super) fn outline(self, x: i32, y: i32, text: &str) -> Option<Path> {
        let font = self.font()?;
        let scale = font.scale(self.size());
        // Capitals stand in the middle of the line, their feet on a whole row: sharp, and level with what is beside them.
        let capitals = f32::from(font.face.capital_height().unwrap_or(0)) * scale;
        let baseline = y as f32 + f32::midpoint(self.line() as f32, capitals).round();
        let mut pen = Pen {
            path: PathBuilder::new(),
            x: 0.0,
            baseline,
            scale,
        };
        font.place(text, |glyph, at, _| {
            pen.x = x as f32 + at * scale;
            font.face.outline_glyph(glyph, &mut pen);
        });
        pen.path.finish()
    }
}

/// A parsed font.
struct Font {
    face: Face<'static>,
    kerning: Vec<PairAdjustment<'static>>,
}

impl Font {
    fn parse(bytes: &'static [u8]) -> Option<Self> {
        let face = Face::parse(bytes, 0).ok()?;
        let lookups = face.tables().gpos.iter().flat_map(|gpos| gpos.lookups);
        let rules = lookups.flat_map(|lookup| lookup.subtables.into_iter());
        let kerning = rules.filter_map(|rule| match rule {
            PositioningSubtable::Pair(pairs) => Some(pairs),
            _ => None,
        });
        Some(Self {
            kerning: kerning.collect(),
            face,
        })
    }

    /// Pixels of a font unit where an em has `size`.
    fn scale(&self, size: f32) -> f32 {
        size / f32::from(self.face.units_per_em())
    }

    /// Calls `put` with each glyph, where it starts and where the next one does, in font units.
    fn place(&self, text: &str, mut put: impl FnMut(GlyphId, f32, f32)) {
        let (mut x, mut before) = (0.0, None);
        for letter in text.chars() {
            let glyph = self.glyph(letter);
            x += before.map_or(0.0, |before| f32::from(self.kern(before, glyph)));
            let start = x;
            x += f32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0));
            put(glyph, start, x);
            before = Some(glyph);
        }
    }

    /// The glyph of a character; a box where there is none.
    fn glyph(&self, letter: char) -> GlyphId {
        let find = |letter| self.face.glyph_index(letter);
        find(letter).or_else(|| find('□')).unwrap_or_default()
    }

    /// How far a glyph moves towards the one before it, in font units.
    fn kern(&self, left: GlyphId, right: GlyphId) -> i16 {
        let rule = self.kerning.iter().find_map(|pairs| {
            let covered = pairs.coverage().get(left)?;
            match pairs {
                PairAdjustment::Format1 { sets, .. } => sets.get(covered)?.get(right),
                PairAdjustment::Format2 {
                    classes, matrix, ..
                } => matrix.get((classes.0.get(left), classes.1.get(right))),
            }
        });
        rule.map_or(0, |(first, _)| first.x_advance)
    }
}

/// Draws glyphs as a path.
struct Pen {
    path: PathBuilder,
    /// Where the glyph starts, in pixels.
    x: f32,
    /// The row on which it stands.
    baseline: f32,
    /// Pixels of a font unit.
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.baseline - y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_the_letters_that_names_are_made_of() {
        for font in [&REGULAR, &SEMI_BOLD] {
            let font = font.as_ref().unwrap();
            let all = "Ada É ß Łódź İ ő Đặng Ж ё ї Ђ Ω ά … – — ’ « µ ° × ± ≤ ≥ − → € № 0123456789";
            for letter in all.chars().chain(['□']) {
                assert!(font.face.glyph_index(letter).is_some(), "{letter}");
            }
            let pair = |a, b| font.kern(font.glyph(a), font.glyph(b));
            assert!(pair('T', 'o') < -50 && pair('A', 'V') < -50);
            assert_eq!(pair('n', 'n'), 0);
        }
        let style = TextStyle::Small;
        assert_eq!(
            style.width("1111"),
            style.width("0000"),
            "columns of numbers line up"
        );
    }

    #[test]
    fn what_the_font_lacks_is_a_box() {
        for name in ["日本語.mp4", "\u{1f600}", "a\nb", "\u{202e}abc"] {
            let style = TextStyle::Title;
            let path = style.outline(0, 0, name).unwrap();
            assert!(path.bounds().width() > 8.0, "{name}");
            assert!(style.width(name) > 8, "{name}");
        }
        assert!(TextStyle::Body.outline(0, 0, "").is_none());
    }

    #[test]
    fn lines_break_between_words_and_lose_nothing() {
        let style = TextStyle::Body;
        assert_eq!(
            style.wrap("one two three", style.width("one two")),
            ["one two", "three"]
        );
        assert_eq!(style.wrap("", 100), [""]);
        let long = "0123456789".repeat(9);
        let lines = style.wrap(&format!("at {long}"), 200);
        assert!(lines.len() > 3 && lines.iter().all(|line| style.width(line) <= 200));
        assert_eq!(lines.concat(), format!("at{long}"));
        assert_eq!(style.wrap("ab", 1), ["a", "b"]);
    }

    #[test]
    fn a_long_name_keeps_its_start_and_its_end() {
        let style = TextStyle::Title;
        let name = format!("/a/{}/clip.mp4", "long".repeat(200));
        let short = style.fit(&name, 400);
        assert!(style.width(&short) <= 400 && style.width(&short) > 350);
        assert!(
            short.starts_with("/a/") && short.ends_with("clip.mp4"),
            "{short}"
        );
        assert_eq!(style.fit("clip.mp4", 400), "clip.mp4");
    }
}
