//! `landmarks.json`: the 468 points of each frame, smoothed over time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::face::Landmarks;
use crate::image::Size;
use crate::timeline::FrameRate;

/// Standard deviation, in frames, by which points are smoothed: enough against trembling, and lips keep their movement.
const SIGMA: f32 = 1.2;
/// Frames on each side that count.
const REACH: usize = 4;

/// Writes points as frames arrive, [`REACH`] frames later.
pub(super) struct LandmarksFile {
    file: BufWriter<File>,
    /// The frames around the one to be written next, which has up to [`REACH`] frames before it.
    window: VecDeque<Option<Landmarks>>,
    /// Index of that frame in `window`.
    next: usize,
    written: usize,
}

impl LandmarksFile {
    pub(super) fn create(path: &Path, size: Size, fps: FrameRate) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        let Size { width, height } = size;
        let fps = String::from(fps);
        write!(
            file,
            "{{\"schema_version\": 1, \"fps\": \"{fps}\", \"width\": {width}, \"height\": {height}, \"frames\": ["
        )?;
        Ok(Self {
            file,
            window: VecDeque::new(),
            next: 0,
            written: 0,
        })
    }

    /// Adds the points of the next frame; none if it has no face.
    pub(super) fn push(&mut self, landmarks: Option<Landmarks>) -> io::Result<()> {
        self.window.push_back(landmarks);
        if self.window.len() > self.next + REACH {
            self.write_next()?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<()> {
        while self.next < self.window.len() {
            self.write_next()?;
        }
        self.file.write_all(b"\n]}\n")?;
        self.file.flush()
    }

    fn write_next(&mut self) -> io::Result<()> {
        let separator = if self.written == 0 { "\n" } else { ",\n" };
        self.file.write_all(separator.as_bytes())?;
        match &self.window[self.next] {
            None => self.file.write_all(b"null")?,
            Some(landmarks) => {
                let points = smoothed(&self.window, self.next);
                write!(
                    self.file,
                    "{{\"score\": {:.3}, \"points\": [",
                    landmarks.score
                )?;
                for (i, [x, y, z]) in points.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "," };
                    write!(self.file, "{separator}[{x:.2},{y:.2},{z:.2}]")?;
                }
                self.file.write_all(b"]}")?;
            }
        }
        self.written += 1;
        if self.next < REACH {
            self.next += 1;
        } else {
            self.window.pop_front();
        }
        Ok(())
    }
}

/// The points of frame `at`, averaged with its neighbours as far as the face is seen without a gap, equally far on both
/// sides.
fn smoothed(window: &VecDeque<Option<Landmarks>>, at: usize) -> Vec<[f32; 3]> {
    let seen = |index: Option<usize>| index.and_then(|i| window.get(i)?.as_ref());
    let pair = |distance: usize| seen(at.checked_sub(distance)).zip(seen(at.checked_add(distance)));
    let mut points = seen(Some(at)).map_or_else(Vec::new, |l| l.points.clone());
    let mut total = 1.0;
    for distance in 1..=REACH {
        let Some((before, after)) = pair(distance) else {
            break;
        };
        let weight = (-0.5 * (distance as f32 / SIGMA).powi(2)).exp();
        total += 2.0 * weight;
        for (sum, (a, b)) in points
            .iter_mut()
            .zip(before.points.iter().zip(&after.points))
        {
            for axis in 0..3 {
                sum[axis] += weight * (a[axis] + b[axis]);
            }
        }
    }
    for value in points.iter_mut().flatten() {
        *value /= total;
    }
    points
}
