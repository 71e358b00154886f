//! What stands between the charts of a page: headings with legends, tables of names and values, findings.

use super::canvas::{Area, Canvas, MARGIN, WIDTH};
use super::palette::{Colour, GREEN, INK, MUTED, RED};
use super::text::TextStyle;

/// Side of a legend's square, in pixels.
const KEY: i32 = 14;

/// What a colour means: the colour and its meaning.
pub(crate) type Key<'a> = (Colour, &'a str);

impl Canvas {
    /// A heading over what follows, and on its right what the colours mean; below it where there is no room.
    pub(crate) fn heading(&mut self, text: &str, legend: &[Key<'_>]) {
        /// Between a square and its meaning, and from there to the next square.
        const GAPS: [i32; 2] = [7, 24];
        let (heading, small) = (TextStyle::Heading, TextStyle::Small);
        self.y += 14;
        self.text(MARGIN, self.y, heading, INK, text);
        let keys = legend.iter();
        let length: i32 = keys
            .map(|(_, meaning)| KEY + GAPS[0] + small.width(meaning) + GAPS[1])
            .sum();
        if heading.width(text) + length > WIDTH - 2 * MARGIN {
            self.y += heading.line();
        }
        let mut x = WIDTH - MARGIN - (length - GAPS[1]).max(0);
        let line = Area::new(x, self.y, 0, heading.line());
        for (colour, meaning) in legend {
            let square = Area::new(x, line.middle() - KEY / 2 + 1, KEY, KEY);
            self.fill(square, *colour);
            x += KEY + GAPS[0];
            let y = line.middle() - small.line() / 2 + 1;
            self.text(x, y, small, INK, meaning);
            x += small.width(meaning) + GAPS[1];
        }
        self.y += heading.line() + 2;
    }

    /// Names on the left, values beside them.
    pub(crate) fn rows(&mut self, rows: &[(impl AsRef<str>, String)]) {
        let names = rows.iter().map(|(name, _)| name.as_ref());
        let widest = names.map(|name| TextStyle::Body.width(name)).max();
        for (name, value) in rows {
            self.text(MARGIN, self.y, TextStyle::Body, MUTED, name.as_ref());
            let x = MARGIN + widest.unwrap_or(0) + 24;
            self.paragraph(x, INK, &value.replace('`', ""));
        }
    }

    /// The problems that were found, at most `most` of them; or that there are none.
    pub(crate) fn findings(&mut self, problems: &[String], most: usize) {
        self.y += 6;
        if problems.is_empty() {
            self.finding(GREEN, "no problems found");
        }
        for problem in problems.iter().take(most) {
            self.finding(RED, &problem.replace('`', ""));
        }
        if problems.len() > most {
            self.finding(RED, &format!("and {} more", problems.len() - most));
        }
    }

    /// A small line of text that explains what is above it.
    pub(crate) fn note(&mut self, text: &str) {
        self.text(MARGIN, self.y, TextStyle::Small, MUTED, text);
        self.y += TextStyle::Small.line();
    }

    fn finding(&mut self, colour: Colour, text: &str) {
        let middle = Area::new(0, self.y, 0, TextStyle::Body.line()).middle();
        self.disc(((MARGIN + 6) as f32, middle as f32 + 1.0), 5.0, colour);
        self.paragraph(MARGIN + 20, colour, text);
    }
}
