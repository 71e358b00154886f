//! Pictures that people read and share: contact sheets, inspections, comparisons, measurements.
//!
//! In: numbers, sentences and frames. Out: an RGB picture, 1400 pixels wide and as high as it needs to be, and its PNG file.
//! A [`Canvas`] grows downwards: it begins with a title, then come headings with legends, rows of names and values,
//! findings, [`Chart`]s and grids of frames, each at the canvas's next free row.
//!
//! - `palette`: the colours, which stay apart for colour-blind readers, and what each means
//! - `text`: the bundled font and its four sizes; measures, shortens and wraps text
//! - `canvas`: the surface; text, shapes and pictures on it
//! - `page`: headings, legends, tables and findings
//! - `chart`: curves, bars, waveforms and heat maps, with axes
//! - `sheet`: frames side by side with their crops
//! - `png`: the file
//!
//! Shapes are rasterized by tiny-skia, the renderer under resvg, and glyphs are outlines from ttf-parser: the same pictures
//! as an SVG through resvg would give, without its 3 MB of SVG and text layout. Nothing is asked of the system: the same
//! font everywhere, none to install.

mod canvas;
mod chart;
mod page;
mod palette;
mod png;
mod sheet;
mod text;

pub(crate) use canvas::{Area, Canvas, MARGIN, WIDTH};
pub(crate) use chart::Chart;
pub(crate) use page::Key;
pub(crate) use palette::{
    BLUE, CYAN, Colour, GREEN, GRID, INK, MASK, MUTED, OLIVE, ORANGE, PURPLE, RED, ink_on,
};
pub(crate) use png::{png, save, write, written};
pub(crate) use sheet::{CROP_LEGEND, Cell, SheetFrame, contact_sheet, grid, time_label, to_image};
pub(crate) use text::TextStyle;
