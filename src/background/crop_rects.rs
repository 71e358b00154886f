//! Crop rectangles of backgrounds, in the three formats in which data sets have them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::error::{Fault, plain_io};
use crate::files::{self, SizeLimit};

/// A rectangle as it was read: `[x0, y0, x1, y1]` in pixels, possibly outside its frame.
pub(crate) type RawRect = [i64; 4];

/// Crop rectangles in order, each with the number it has in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CropRects {
    /// Where they were read from.
    pub source: PathBuf,
    /// `(number, rectangle)`, with consecutive numbers.
    pub rects: Vec<(u64, RawRect)>,
    /// Whether the numbers come from keys or file names, and not from the order of a list.
    pub numbered: bool,
}

/// A million rectangles take 30 MB.
const CROP_RECTS: SizeLimit = SizeLimit {
    kind: "crop rectangles",
    bytes: 32 << 20,
};
/// 110 landmarks take 2 kB.
const LANDMARKS: SizeLimit = SizeLimit {
    kind: "a landmark file",
    bytes: 1 << 20,
};
/// Landmark whose x is the left edge of the square (from 0; face-alignment's 110 points, numbered as in the reference).
const LEFT: usize = 1;
/// Landmark whose x is the right edge of the square.
const RIGHT: usize = 31;
/// Landmark whose y is the upper edge of the square.
const TOP: usize = 52;

/// Looks in `folder`, then next to it, for `crop_rects.json`, `crop_rectangles.json` and `landmarks/`.
pub(crate) fn find(folder: &Path) -> Option<PathBuf> {
    [Some(folder), folder.parent()]
        .into_iter()
        .flatten()
        .find_map(find_in)
}

/// Looks next to the video or picture `file` for `STEM.crop_rects.json`, then for the files of [`find`].
pub(crate) fn find_for_file(file: &Path) -> Option<PathBuf> {
    let sidecar = file.with_file_name(sidecar_name(file));
    if sidecar.exists() {
        return Some(sidecar);
    }
    find_in(file.parent()?)
}

/// Name of the file with the crop rectangles of `file` alone: `talk.crop_rects.json` for `talk.mp4`.
pub(crate) fn sidecar_name(file: &Path) -> OsString {
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(".crop_rects.json");
    name
}

fn find_in(folder: &Path) -> Option<PathBuf> {
    ["crop_rects.json", "crop_rectangles.json", "landmarks"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.exists())
}

/// Reads crop rectangles from a JSON file or a folder of landmark files.
pub fn read(source: &Path) -> Result<CropRects> {
    if source.is_dir() {
        read_landmarks(source)
    } else {
        read_json(source)
    }
}

fn fault(source: &Path) -> Fault {
    Fault::failed(format!(
        "cannot read crop rectangles `{}`",
        source.display()
    ))
}

/// `[[x0, y0, x1, y1], ..]` or `{"0": {"rect": [x0, y0, x1, y1]}, ..}`.
fn read_json(source: &Path) -> Result<CropRects> {
    let text = files::read_text(source, CROP_RECTS, || fault(source))?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|e| fault(source).because(format!("it is not JSON: {e}")))?;
    let shape = |what: String| {
        fault(source)
            .because(what)
            .hint("write a list with one [x0, y0, x1, y1] per frame, in pixels")
    };
    let rect = |value: &Value, name: &str| -> Result<RawRect, Fault> {
        // The cast saturates, so absurd values stay outside every picture.
        let numbers: Option<Vec<i64>> = value
            .as_array()
            .and_then(|list| list.iter().map(|v| v.as_f64().map(|x| x as i64)).collect());
        numbers
            .and_then(|n| RawRect::try_from(n).ok())
            .ok_or_else(|| shape(format!("entry {name} is {value}, not four numbers")))
    };
    let (mut rects, numbered) = match &json {
        Value::Array(list) => {
            let rects = list.iter().enumerate();
            let rects = rects.map(|(i, v)| Ok((i as u64, rect(v, &i.to_string())?)));
            (rects.collect::<Result<Vec<_>, Fault>>()?, false)
        }
        Value::Object(map) => {
            let rects = map.iter().map(|(key, value)| {
                let number = key
                    .parse()
                    .map_err(|_| shape(format!("key \"{key}\" is not a frame number")))?;
                Ok((number, rect(value.get("rect").unwrap_or(value), key)?))
            });
            (rects.collect::<Result<Vec<_>, Fault>>()?, true)
        }
        _ => return Err(shape("it is neither a list nor an object".into()).into()),
    };
    sort(source, &mut rects)?;
    Ok(CropRects {
        source: source.to_owned(),
        rects,
        numbered,
    })
}

/// Sorts by number. A duplicate or missing number is an error, because all rectangles after it would be shifted.
fn sort(source: &Path, rects: &mut [(u64, RawRect)]) -> Result<(), Fault> {
    rects.sort_unstable_by_key(|(number, _)| *number);
    for pair in rects.windows(2) {
        let (number, next) = (pair[0].0, pair[1].0);
        if number == next {
            return Err(fault(source).because(format!("it has two rectangles for frame {number}")));
        }
        if number + 1 != next {
            return Err(fault(source)
                .because(format!(
                    "it has rectangles for frames {number} and {next}, but none in between"
                ))
                .hint("each frame needs a crop rectangle"));
        }
    }
    Ok(())
}

/// Reads a folder of `N.lms` files with one line "x y" per landmark.
fn read_landmarks(folder: &Path) -> Result<CropRects> {
    let entries = fs::read_dir(folder).map_err(|e| fault(folder).because(plain_io(&e)))?;
    let mut rects = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|e| fault(folder).because(plain_io(&e)))?
            .path();
        if path.extension().is_none_or(|e| e != "lms") {
            continue;
        }
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok())
            .ok_or_else(|| fault(&path).because("its name is not a frame number"))?;
        rects.push((number, landmark_rect(&path)?));
    }
    sort(folder, &mut rects)?;
    Ok(CropRects {
        source: folder.to_owned(),
        rects,
        numbered: true,
    })
}

/// The square that the contract defines: x from landmarks 1 and 31, y from landmark 52, each truncated.
fn landmark_rect(path: &Path) -> Result<RawRect> {
    let text = files::read_text(path, LANDMARKS, || fault(path))?;
    let lines: Vec<&str> = text.lines().collect();
    let coordinate = |landmark: usize, axis: usize| {
        lines
            .get(landmark)
            .and_then(|line| line.split_whitespace().nth(axis)?.parse::<f64>().ok())
            .map(|value| value as i64)
            .ok_or_else(|| {
                fault(path).because(format!(
                    "landmark {landmark} should be a line \"x y\", but the file has {} lines",
                    lines.len()
                ))
            })
    };
    let (x0, x1, y0) = (
        coordinate(LEFT, 0)?,
        coordinate(RIGHT, 0)?,
        coordinate(TOP, 1)?,
    );
    Ok([x0, y0, x1, y0.saturating_add(x1.saturating_sub(x0))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Result<CropRects> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("crop_rects.json");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn lists_and_objects_read_alike() {
        let list = json("[[1, 2, 3, 4], [5.9, 6, 7, 8]]").unwrap();
        let object =
            json(r#"{"10": {"rect": [5, 6, 7, 8]}, "9": {"rect": [1, 2, 3, 4]}}"#).unwrap();
        assert_eq!(list.rects, [(0, [1, 2, 3, 4]), (1, [5, 6, 7, 8])]);
        assert_eq!(object.rects, [(9, [1, 2, 3, 4]), (10, [5, 6, 7, 8])]);
    }

    #[test]
    fn any_kind_of_text_file_is_read_or_named() {
        let marked = json("\u{feff}[[1, 2, 3, 4]]\r\n").unwrap();
        assert_eq!(marked.rects, [(0, [1, 2, 3, 4])]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("crop_rects.json");
        let told = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            format!("{:#}", read(&path).unwrap_err())
        };
        assert!(told(b"\xff\xfe[\0]\0").ends_with("it is UTF-16 text"));
        let file = fs::File::create(&path).unwrap();
        file.set_len((32 << 20) + 1).unwrap();
        let large = format!("{:#}", read(&path).unwrap_err());
        assert!(
            large.ends_with("it is larger than 32 MiB, the limit for crop rectangles"),
            "{large}"
        );
        for endless in ["/dev/zero", "/dev/full"] {
            let told = format!("{:#}", read(Path::new(endless)).unwrap_err());
            assert!(
                told.ends_with("it is a pipe or a device, not a file"),
                "{told}"
            );
        }
    }

    #[test]
    fn landmarks_make_the_contracts_square() {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = vec!["0 0".to_owned(); 110];
        lines[LEFT] = "100.9 1".into();
        lines[RIGHT] = "300.2 1".into();
        lines[TOP] = "1 80.7".into();
        fs::write(dir.path().join("3.lms"), lines.join("\n")).unwrap();
        let read = read(dir.path()).unwrap();
        assert_eq!(read.rects, [(3, [100, 80, 300, 280])]);
    }

    #[test]
    fn anything_but_four_numbers_is_refused() {
        for wrong in [
            "[[1, 2, 3]]",
            "[[1, \"x\", 2, 3, 4]]",
            "[[1, 2, 3, null]]",
            "[[1, 2, 3, NaN]]",
            "[7]",
            "7",
            r#"{"0": {"box": [1, 2, 3, 4]}}"#,
            r#"{"-1": [1, 2, 3, 4]}"#,
            r#"{"1": [1, 2, 3, 4], "01": [1, 2, 3, 4]}"#,
            r#"{"1": [1, 2, 3, 4], "3": [1, 2, 3, 4]}"#,
            r#"{"99999999999999999999": [1, 2, 3, 4]}"#,
            &"[".repeat(100_000),
        ] {
            assert!(json(wrong).is_err(), "{wrong}");
        }
        let huge = json("[[-1e308, 1e308, 1e19, -5]]").unwrap();
        assert_eq!(huge.rects[0].1, [i64::MIN, i64::MAX, i64::MAX, -5]);
    }

    #[test]
    fn a_sidecar_file_has_the_name_of_the_video() {
        let dir = tempfile::tempdir().unwrap();
        let video = dir.path().join("day 1.mp4");
        assert_eq!(find_for_file(&video), None);
        for name in ["landmarks", "crop_rects.json", "day 1.crop_rects.json"] {
            let path = dir.path().join(name);
            fs::write(&path, "[]").unwrap();
            assert_eq!(find_for_file(&video), Some(path));
        }
    }

    proptest! {
        /// Any content is read or refused, without a panic.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let dir = tempfile::tempdir().unwrap();
            for name in ["crop_rects.json", "7.lms"] {
                fs::write(dir.path().join(name), &bytes).unwrap();
            }
            let _ = read(&dir.path().join("crop_rects.json"));
            let _ = read(dir.path());
        }

        #[test]
        fn any_numbers_are_read_exactly(rects in prop::collection::vec(any::<[i32; 4]>(), 1..9), first in 0_u64..9) {
            let list = serde_json::to_string(&rects).unwrap();
            let wide: Vec<RawRect> = rects.iter().map(|r| r.map(i64::from)).collect();
            let read = json(&list).unwrap().rects;
            prop_assert!(read.iter().map(|(_, r)| *r).eq(wide.iter().copied()));
            let map: serde_json::Map<_, _> = (first..).zip(&rects)
                .map(|(n, r)| (n.to_string(), serde_json::json!({"rect": r})))
                .collect();
            let read = json(&Value::Object(map).to_string()).unwrap().rects;
            prop_assert!(read.into_iter().eq((first..).zip(wide)));
        }

        /// Coordinates of any size make a rectangle, without overflow.
        #[test]
        fn any_landmarks_make_a_rectangle(values in prop::collection::vec(any::<f64>(), 3)) {
            let dir = tempfile::tempdir().unwrap();
            let mut lines = vec!["0 0".to_owned(); 53];
            for (line, value) in [LEFT, RIGHT, TOP].into_iter().zip(values) {
                lines[line] = format!("{value} {value}");
            }
            fs::write(dir.path().join("0.lms"), lines.join("\n")).unwrap();
            prop_assert_eq!(read(dir.path()).unwrap().rects.len(), 1);
        }
    }

    #[test]
    fn a_short_landmark_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0.lms"), "1 2\n3 4\n").unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(
            format!("{error:#}").contains("the file has 2 lines"),
            "{error:#}"
        );
    }
}
