//! A background folder: every fault of its numbers, pictures and rectangles in one list.

mod look;
mod picture;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::{Row, counted, listed, rounded};
use crate::background::crop_rects::{self, CropRects, RawRect};
use crate::background::folder::{frame_number, list_pictures};
use crate::background::inside;
use crate::cancel::Cancel;
use crate::error::Fault;
use crate::image::{Rect, Size};
use look::{Look, median};

/// A rectangle jumps if an edge moves by more than this share of the median side within one frame.
const JUMP: f64 = 0.05;
/// .. and by more than so many pixels.
const JUMP_PIXELS: u32 = 4;
/// A frame is blurred if its sharpness is below this share of the median.
const BLURRED: f64 = 0.4;
/// A frame is nearly identical to the one before if it changes by less than this share of the median change.
const STILL: f64 = 0.03;
/// The picture is cut where it changes by more than so many times the median change ..
const CUT: f64 = 8.0;
/// .. and by more than so many levels of 255.
const CUT_LEVELS: f64 = 4.0;

/// What was found in a background folder. Frames are named by the numbers of their files.
#[derive(Debug, Serialize)]
pub(crate) struct BackgroundSurvey {
    /// The folder that holds the pictures.
    pub folder: String,
    /// Pictures with a number.
    pub frames: usize,
    /// File kinds and how many there are of each.
    pub formats: BTreeMap<String, usize>,
    /// Columns of most pictures.
    pub width: u32,
    /// Rows of most pictures.
    pub height: u32,
    /// Lowest number.
    pub first: u64,
    /// Highest number.
    pub last: u64,
    /// Numbers between them without a picture.
    pub missing: Vec<u64>,
    /// Numbers that two pictures have.
    pub doubled_numbers: Vec<u64>,
    /// Pictures without a number.
    pub unnumbered: Vec<String>,
    /// Pictures that cannot be decoded.
    pub damaged: Vec<u64>,
    /// Pictures of another size than most.
    pub odd_sized: Vec<u64>,
    /// Pictures that equal the one before.
    pub identical: Vec<u64>,
    /// Pictures that hardly differ from the one before.
    pub nearly_identical: Vec<u64>,
    /// Pictures much less sharp than most.
    pub blurred: Vec<u64>,
    /// Pictures that differ abruptly from the one before.
    pub cuts: Vec<u64>,
    /// Change from the last picture to the first, as a multiple of the median change between neighbours.
    pub loop_seam: Option<f64>,
    /// The rectangles; none where they are missing or cannot be read.
    pub rectangles: Option<RectangleSurvey>,
    #[serde(skip)]
    shots: Vec<Shot>,
}

/// What was found in the rectangles.
#[derive(Debug, Serialize)]
pub(crate) struct RectangleSurvey {
    /// Where they were read from.
    pub source: String,
    /// How many there are.
    pub count: usize,
    /// Shortest side in pixels.
    pub min_side: u32,
    /// Longest side in pixels.
    pub max_side: u32,
    /// From the leftmost to the rightmost left edge, in pixels.
    pub travel_x: u32,
    /// From the highest to the lowest upper edge, in pixels.
    pub travel_y: u32,
    /// Pixels an edge may move from one frame to the next.
    pub jump_limit: u32,
    /// Neighbours between which it moves more.
    pub jumps: Vec<Jump>,
    /// Frames whose rectangle is empty or not inside the picture.
    pub outside: Vec<u64>,
    /// Frames without a rectangle.
    pub without: Vec<u64>,
}

/// A rectangle that moves too far within one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Jump {
    /// The frame before.
    pub from: u64,
    /// The frame after.
    pub to: u64,
    /// How far the edge that moves most moves, in pixels.
    pub pixels: u32,
}

/// One numbered picture.
#[derive(Debug)]
struct Shot {
    number: u64,
    path: PathBuf,
    /// Its rectangle as it was read.
    raw: Option<RawRect>,
    look: Option<Look>,
    /// Mean difference from the picture before, in levels of 255; none where one of them cannot be read.
    change: Option<f64>,
}

impl Shot {
    /// The rectangle, if it lies inside the picture.
    fn rect(&self) -> Option<Rect> {
        inside(self.raw?, self.look.as_ref()?.size)
    }
}

impl BackgroundSurvey {
    pub(super) fn of(
        path: &Path,
        crop_rects: Option<&Path>,
        warnings: &mut Vec<String>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let (folder, pictures) = list(path)?;
        let mut numbered = BTreeMap::new();
        let (mut unnumbered, mut doubled_numbers) = (Vec::new(), Vec::new());
        for picture in pictures {
            match frame_number(&picture) {
                Ok(number) if numbered.contains_key(&number) => doubled_numbers.push(number),
                Ok(number) => drop(numbered.insert(number, picture)),
                Err(_) => unnumbered.push(file_name(&picture)),
            }
        }
        let rects = read_rects(&folder, crop_rects, warnings);
        let mut shots = pair(numbered, rects.as_ref());
        shots.par_iter_mut().try_for_each(|shot| -> Result<()> {
            cancel.check()?;
            shot.look = Look::at(&shot.path, shot.raw).ok();
            Ok(())
        })?;
        let size = usual_size(&shots);
        compare(&mut shots, size);
        let first = shots.first().map_or(0, |shot| shot.number);
        let last = shots.last().map_or(0, |shot| shot.number);
        let numbers = |test: &dyn Fn(&Shot) -> bool| -> Vec<u64> {
            let found = shots.iter().filter(|shot| test(shot));
            found.map(|shot| shot.number).collect()
        };
        let usual_change = median(shots.iter().filter_map(|shot| shot.change));
        let usual_sharpness = median(looks(&shots).map(|look| look.sharpness));
        let identical = identical(&shots);
        let survey = Self {
            frames: shots.len(),
            formats: formats(&shots),
            width: size.width,
            height: size.height,
            first,
            last,
            missing: missing(&shots),
            doubled_numbers,
            unnumbered,
            damaged: numbers(&|shot| shot.look.is_none()),
            odd_sized: numbers(&|shot| shot.look.as_ref().is_some_and(|l| l.size != size)),
            nearly_identical: numbers(&|shot| {
                !identical.contains(&shot.number)
                    && shot.change.is_some_and(|c| c < STILL * usual_change)
            }),
            identical,
            blurred: numbers(&|shot| {
                let look = shot.look.as_ref();
                look.is_some_and(|l| l.sharpness < BLURRED * usual_sharpness)
            }),
            cuts: numbers(&|shot| {
                let limit = (CUT * usual_change).max(CUT_LEVELS);
                shot.change.is_some_and(|c| c > limit)
            }),
            loop_seam: seam(&shots, usual_change),
            rectangles: rects.map(|rects| RectangleSurvey::of(&rects, &shots)),
            folder: folder.display().to_string(),
            shots,
        };
        survey.judge(warnings);
        Ok(survey)
    }

    fn judge(&self, warnings: &mut Vec<String>) {
        let mut warn = |numbers: &[u64], one: &str, many: &str| {
            let list = listed(numbers.iter().map(ToString::to_string));
            match numbers.len() {
                0 => (),
                1 => warnings.push(format!("frame {list} {one}")),
                n => warnings.push(format!("{n} frames {many}: {list}")),
            }
        };
        warn(
            &self.missing,
            "is missing: the numbers have a gap",
            "are missing: the numbers have gaps",
        );
        warn(&self.doubled_numbers, "is there twice", "are there twice");
        warn(
            &self.damaged,
            "is damaged: it cannot be decoded",
            "are damaged: they cannot be decoded",
        );
        let size = format!("{}x{}", self.width, self.height);
        warn(
            &self.odd_sized,
            &format!("is not {size} like the others"),
            &format!("are not {size} like the others"),
        );
        warn(
            &self.identical,
            "equals the one before",
            "equal the one before",
        );
        warn(
            &self.nearly_identical,
            "hardly differs from the one before",
            "hardly differ from the one before",
        );
        warn(&self.blurred, "is blurred", "are blurred");
        warn(
            &self.cuts,
            "differs abruptly from the one before: a cut",
            "differ abruptly from the one before: cuts",
        );
        if let Some(rects) = &self.rectangles {
            warn(
                &rects.without,
                "has no crop rectangle",
                "have no crop rectangle",
            );
            warn(
                &rects.outside,
                "has a crop rectangle that is empty or not inside the picture",
                "have crop rectangles that are empty or not inside the picture",
            );
            let jumps = rects.jumps.iter();
            let jumps = jumps.map(|j| format!("{} -> {} by {} px", j.from, j.to, j.pixels));
            if !rects.jumps.is_empty() {
                warnings.push(format!(
                    "the crop rectangle jumps by more than {} px: frames {}",
                    rects.jump_limit,
                    listed(jumps)
                ));
            }
            if rects.count as u64 > self.last - self.first + 1 {
                warnings.push(format!(
                    "there are {} crop rectangles for {}",
                    rects.count,
                    counted(self.frames, "frame")
                ));
            }
        }
        if !self.unnumbered.is_empty() {
            warnings.push(format!(
                "pictures without a number: {}",
                listed(self.unnumbered.iter().map(|name| format!("`{name}`")))
            ));
        }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let formats = self.formats.iter();
        let formats: Vec<String> = formats.map(|(kind, n)| format!("{n} {kind}")).collect();
        let seconds = self.frames as f64 / 25.0;
        let mut rows = vec![
            (
                "frames",
                format!(
                    "{} ({}), {}x{}, numbered {} to {}: {seconds:.2} s at 25 fps",
                    self.frames,
                    formats.join(", "),
                    self.width,
                    self.height,
                    self.first,
                    self.last
                ),
            ),
            (
                "motion",
                self.loop_seam.map_or_else(
                    || "first and last frame cannot be compared".into(),
                    |seam| {
                        format!("from the last frame to the first {seam:.1} times the usual change")
                    },
                ),
            ),
        ];
        rows.push(match &self.rectangles {
            None => ("rectangles", "none".into()),
            Some(rects) => (
                "rectangles",
                format!(
                    "{} from `{}`: sides {} to {} px, travel {} px across and {} px down",
                    rects.count,
                    rects.source,
                    rects.min_side,
                    rects.max_side,
                    rects.travel_x,
                    rects.travel_y
                ),
            ),
        });
        rows
    }

    pub(super) fn draw(
        &self,
        path: &str,
        warnings: &[String],
        cancel: &Cancel,
    ) -> Result<RgbImage> {
        picture::draw(self, path, warnings, cancel)
    }
}

impl RectangleSurvey {
    fn of(rects: &CropRects, shots: &[Shot]) -> Self {
        let good: Vec<Rect> = shots.iter().filter_map(Shot::rect).collect();
        let sides = || {
            good.iter()
                .flat_map(|r| [r.width() as u32, r.height() as u32])
        };
        let limit = (median(sides().map(f64::from)) * JUMP) as u32;
        let jump_limit = limit.max(JUMP_PIXELS);
        let numbers = |test: &dyn Fn(&Shot) -> bool| -> Vec<u64> {
            let found = shots.iter().filter(|shot| test(shot));
            found.map(|shot| shot.number).collect()
        };
        Self {
            source: rects.source.display().to_string(),
            count: rects.rects.len(),
            min_side: sides().min().unwrap_or(0),
            max_side: sides().max().unwrap_or(0),
            travel_x: travel(good.iter().map(|r| r.x0)),
            travel_y: travel(good.iter().map(|r| r.y0)),
            jump_limit,
            jumps: jumps(shots, jump_limit),
            outside: numbers(&|s| s.look.is_some() && s.raw.is_some() && s.rect().is_none()),
            without: numbers(&|s| s.raw.is_none()),
        }
    }
}

fn travel(edges: impl Iterator<Item = u32> + Clone) -> u32 {
    edges.clone().max().unwrap_or(0) - edges.min().unwrap_or(0)
}

fn jumps(shots: &[Shot], limit: u32) -> Vec<Jump> {
    let pairs = shots.windows(2).filter_map(|pair| {
        let (a, b) = (pair[0].rect()?, pair[1].rect()?);
        let edges = [(a.x0, b.x0), (a.y0, b.y0), (a.x1, b.x1), (a.y1, b.y1)];
        let pixels = edges.iter().map(|(a, b)| a.abs_diff(*b)).max()?;
        Some(Jump {
            from: pair[0].number,
            to: pair[1].number,
            pixels,
        })
    });
    pairs.filter(|jump| jump.pixels > limit).collect()
}

/// The pictures of the folder or of `full_body_img/` in it, and where they are.
fn list(folder: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let inner = folder.join("full_body_img");
    let mut place = folder.to_owned();
    let mut pictures = list_pictures(&place)?;
    if pictures.is_empty() && inner.is_dir() {
        pictures = list_pictures(&inner)?;
        place = inner;
    }
    if !pictures.iter().any(|picture| frame_number(picture).is_ok()) {
        return Err(
            Fault::failed(format!("cannot inspect `{}`", folder.display()))
                .because(
                    "the folder holds neither networks (.onnx) nor numbered JPEG or PNG pictures",
                )
                .hint("give a model folder, an .onnx file, a background folder, a sound or a video")
                .into(),
        );
    }
    Ok((place, pictures))
}

/// The rectangles; what is wrong with them as a whole becomes a warning.
fn read_rects(
    folder: &Path,
    named: Option<&Path>,
    warnings: &mut Vec<String>,
) -> Option<CropRects> {
    let Some(source) = named
        .map(Path::to_owned)
        .or_else(|| crop_rects::find(folder))
    else {
        warnings.push("there are no crop rectangles: neither crop_rects.json nor crop_rectangles.json nor landmarks/ is in or beside the folder".into());
        return None;
    };
    match crop_rects::read(&source) {
        Ok(rects) => Some(rects),
        Err(error) => {
            warnings.push(format!("{error:#}"));
            None
        }
    }
}

/// Each picture with its rectangle: the one of its number where the source has numbers or as many as the pictures would
/// be without gaps, else the n-th for the n-th.
fn pair(numbered: BTreeMap<u64, PathBuf>, rects: Option<&CropRects>) -> Vec<Shot> {
    let first = numbered.keys().next().copied().unwrap_or(0);
    let last = numbered.keys().next_back().copied().unwrap_or(0);
    let rects = rects.map_or(&[][..], |rects| rects.rects.as_slice());
    let by_number = rects.len() as u64 == last - first + 1;
    let shots = numbered.into_iter().enumerate();
    shots
        .map(|(i, (number, path))| {
            let at = if by_number {
                (number - first) as usize
            } else {
                i
            };
            Shot {
                number,
                path,
                raw: rects.get(at).map(|(_, rect)| *rect),
                look: None,
                change: None,
            }
        })
        .collect()
}

fn looks(shots: &[Shot]) -> impl Iterator<Item = &Look> {
    shots.iter().filter_map(|shot| shot.look.as_ref())
}

/// The size that most pictures have.
fn usual_size(shots: &[Shot]) -> Size {
    let mut sizes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for look in looks(shots) {
        *sizes
            .entry((look.size.width, look.size.height))
            .or_default() += 1;
    }
    let most = sizes.into_iter().max_by_key(|(_, count)| *count);
    let (width, height) = most.map_or((0, 0), |(size, _)| size);
    Size { width, height }
}

/// Fills in how much each picture differs from the one before, where both have the usual size.
fn compare(shots: &mut [Shot], size: Size) {
    for i in 1..shots.len() {
        let (before, rest) = shots.split_at_mut(i);
        let (before, after) = (before[i - 1].look.as_ref(), rest[0].look.as_ref());
        rest[0].change = before
            .zip(after)
            .filter(|(a, b)| a.size == size && b.size == size)
            .map(|(a, b)| a.change(b));
    }
}

fn identical(shots: &[Shot]) -> Vec<u64> {
    let same = shots.windows(2).filter(|pair| {
        let looks = pair[0].look.as_ref().zip(pair[1].look.as_ref());
        looks.is_some_and(|(a, b)| a.print == b.print)
    });
    same.map(|pair| pair[1].number).collect()
}

fn seam(shots: &[Shot], usual: f64) -> Option<f64> {
    let first = shots.first()?.look.as_ref()?;
    let last = shots.last()?.look.as_ref()?;
    (usual > 0.0 && first.size == last.size).then(|| rounded(last.change(first) / usual))
}

/// The numbers that are not there between those that are; the first thousand.
fn missing(shots: &[Shot]) -> Vec<u64> {
    let gaps = shots
        .windows(2)
        .flat_map(|pair| pair[0].number + 1..pair[1].number);
    gaps.take(1000).collect()
}

fn formats(shots: &[Shot]) -> BTreeMap<String, usize> {
    let mut formats = BTreeMap::new();
    for shot in shots {
        let extension = shot.path.extension().unwrap_or_default();
        let kind = if extension.eq_ignore_ascii_case("png") {
            "PNG"
        } else {
            "JPEG"
        };
        *formats.entry(kind.to_owned()).or_default() += 1;
    }
    formats
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default()
        .into_owned()
}
