//! The crop rectangles of a background folder, in the three forms that data sets have them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::error::{Fault, plain_io};

/// A rectangle as it was read: `[x0, y0, x1, y1]` in pixels, perhaps outside its frame.
pub type RawRect = [i64; 4];

/// Rectangles in order, each with the number its source gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CropRects {
    /// Where they were read from.
    pub source: PathBuf,
    /// `(number, rectangle)`, rising numbers.
    pub rects: Vec<(u64, RawRect)>,
    /// Whether the numbers come from the source itself (keys, file names) and not from the order in a list.
    pub numbered: bool,
}

/// Landmark whose x is the square's left edge (0-based; face-alignment's 110 points, as the reference numbers them).
const LEFT: usize = 1;
/// Landmark whose x is the square's right edge.
const RIGHT: usize = 31;
/// Landmark whose y is the square's upper edge.
const TOP: usize = 52;

/// Looks in `folder`, then beside it, for `crop_rects.json`, `crop_rectangles.json` and `landmarks/`.
pub fn find(folder: &Path) -> Option<PathBuf> {
    let beside = folder.parent();
    [Some(folder), beside]
        .into_iter()
        .flatten()
        .find_map(|place| {
            ["crop_rects.json", "crop_rectangles.json", "landmarks"]
                .map(|name| place.join(name))
                .into_iter()
                .find(|path| path.exists())
        })
}

/// Reads rectangles from a JSON file or a folder of landmark files.
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
    let text = fs::read_to_string(source).map_err(|e| fault(source).because(plain_io(&e)))?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|e| fault(source).because(format!("it is not JSON: {e}")))?;
    let shape = |what: String| {
        fault(source)
            .because(what)
            .hint("write a list with one [x0, y0, x1, y1] for each frame, in pixels")
    };
    let rect = |value: &Value, name: &str| -> Result<RawRect, Fault> {
        let numbers: Option<Vec<i64>> = value.as_array().map(|list| {
            list.iter()
                .filter_map(|v| v.as_f64().map(|x| x as i64))
                .collect()
        });
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
        _ => return Err(shape("it holds neither a list nor an object".into()).into()),
    };
    rects.sort_unstable_by_key(|(number, _)| *number);
    Ok(CropRects {
        source: source.to_owned(),
        rects,
        numbered,
    })
}

/// A folder of `N.lms` files with a line "x y" for each landmark.
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
    rects.sort_unstable_by_key(|(number, _)| *number);
    Ok(CropRects {
        source: folder.to_owned(),
        rects,
        numbered: true,
    })
}

/// The contract's square: x from landmarks 1 and 31, y from landmark 52, each truncated.
fn landmark_rect(path: &Path) -> Result<RawRect> {
    let text = fs::read_to_string(path).map_err(|e| fault(path).because(plain_io(&e)))?;
    let lines: Vec<&str> = text.lines().collect();
    let coordinate = |landmark: usize, axis: usize| {
        lines
            .get(landmark)
            .and_then(|line| line.split_whitespace().nth(axis)?.parse::<f64>().ok())
            .map(|value| value as i64)
            .ok_or_else(|| {
                fault(path).because(format!(
                    "landmark {landmark} should be a line \"x y\"; the file has {} lines",
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
