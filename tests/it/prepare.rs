//! `lipsync prepare`: footage of the drawn presenter, filmed in many ways.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use image::{Rgb, RgbImage, imageops};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::backgrounds::ffmpeg;
use crate::errors::{refused, snapshot};
use crate::support::{Place, assert_fits, picture, project};

/// A folder with a film of the presenter: 75 frames, 3 seconds, H.264. `filter` is FFmpeg's.
fn film(place: &Place, name: &str, filter: &str) {
    let link = place.join("ada");
    if !link.exists() {
        std::os::unix::fs::symlink(project().join("backgrounds/ada"), link).unwrap();
    }
    let input = "-framerate 25 -i ada/%06d.jpg -frames:v 75";
    ffmpeg(
        place,
        &format!("{input} -vf {filter} -c:v libx264 -preset ultrafast -crf 12 {name}"),
    );
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn rects(folder: &Path) -> Vec<[f64; 4]> {
    serde_json::from_value(json(&folder.join("crop_rects.json"))).unwrap()
}

#[test]
fn a_film_becomes_a_folder_that_renders() {
    let place = Place::new();
    film(&place, "talk.mp4", "format=yuv420p");
    place.ok(&["prepare", "talk.mp4", "-o", "anna"]);
    let anna = place.join("anna");
    let found = json(&anna.join("prepare.json"));
    assert_fits("prepare.schema.json", &found);
    assert_eq!(found["frames"], 75);
    assert_eq!(found["problems"].as_array().map(Vec::len), Some(0));
    assert_eq!(picture(&anna.join("000074.png")).dimensions(), (1280, 720));
    place.ok(&[
        "render",
        "speech.wav",
        "-b",
        "anna",
        "-m",
        "tiny",
        "--limit",
        "1",
    ]);
}

/// The presenter's own rectangles follow her drawn head exactly; prepared squares keep their place relative to them.
#[test]
fn squares_follow_the_head_to_two_percent() {
    let place = Place::new();
    film(&place, "talk.mp4", "format=yuv420p");
    place.ok(&["prepare", "talk.mp4", "-o", "anna"]);
    let found = rects(&place.join("anna"));
    let drawn: Vec<[f64; 4]> =
        serde_json::from_value(json(&project().join("backgrounds/ada/crop_rects.json"))).unwrap();
    let side = found[0][2] - found[0][0];
    for axis in 0..2 {
        let offsets: Vec<f64> = (0..75).map(|i| found[i][axis] - drawn[i][axis]).collect();
        let mean = offsets.iter().sum::<f64>() / 75.0;
        for (i, offset) in offsets.iter().enumerate() {
            assert!(
                (offset - mean).abs() < 0.02 * side,
                "frame {i}: {offset} {mean}"
            );
        }
    }
}

/// Lips in the landmarks open when the drawn mouth does: the golden clip of the presenter speaks.
#[test]
fn landmarks_are_written_for_each_frame() {
    let place = Place::new();
    film(&place, "talk.mp4", "format=yuv420p");
    place.ok(&["prepare", "talk.mp4", "-o", "anna", "--background", "1"]);
    let landmarks = json(&place.join("anna/landmarks.json"));
    assert_fits("landmarks.schema.json", &landmarks);
    let frames = landmarks["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 25);
    for frame in frames {
        let points = frame["points"].as_array().unwrap();
        assert_eq!(points.len(), 468);
        let y = |point: usize| points[point][1].as_f64().unwrap();
        assert!(y(10) < y(4) && y(4) < y(13) && y(13) <= y(14) + 1.0 && y(14) < y(152));
    }
}

#[test]
fn a_photo_of_any_orientation_is_one_frame() {
    let place = Place::new();
    let photo = picture(&project().join("backgrounds/ada/000000.jpg"));
    photo.save(place.join("upright.png")).unwrap();
    place.ok(&["prepare", "upright.png", "-o", "upright"]);
    assert_eq!(json(&place.join("upright/prepare.json"))["frames"], 1);
    // A smaller face is found in its place.
    let small = imageops::resize(&photo, 640, 360, imageops::FilterType::Triangle);
    small.save(place.join("small.png")).unwrap();
    place.ok(&["prepare", "small.png", "-o", "small"]);
    let (large, small) = (rects(&place.join("upright")), rects(&place.join("small")));
    for (large, small) in large[0].iter().zip(small[0]) {
        assert!((large / 2.0 - small).abs() < 4.0, "{large} {small}");
    }
}

#[test]
fn cuts_and_other_people_are_reported_with_times() {
    let place = Place::new();
    film(&place, "a.mp4", "format=yuv420p");
    film(&place, "b.mp4", "hflip,eq=brightness=0.2,format=yuv420p");
    film(
        &place,
        "two.mp4",
        "crop=640:720:320:0,split[l][r];[l][r]hstack,format=yuv420p",
    );
    fs::write(place.join("list.txt"), "file 'a.mp4'\nfile 'b.mp4'\n").unwrap();
    ffmpeg(&place, "-f concat -i list.txt -c copy cut.mp4");
    let said = place.ok(&["prepare", "cut.mp4", "-o", "cut"]);
    assert!(said.contains("warning: 3.00 s: cut\n"), "{said}");
    let found = json(&place.join("cut/prepare.json"));
    let (from, to) = (
        found["from_s"].as_f64().unwrap(),
        found["to_s"].as_f64().unwrap(),
    );
    assert!(to < 3.0 || from > 3.0, "{from} {to}");
    let said = place.ok(&["prepare", "two.mp4", "-o", "left"]);
    assert!(
        said.contains("0.00 to 3.00 s: more than one face"),
        "{said}"
    );
    place.ok(&["prepare", "two.mp4", "-o", "right", "--face", "2"]);
    let (left, right) = (rects(&place.join("left")), rects(&place.join("right")));
    assert!((left[0][0] - right[0][0]).abs() > 600.0);
}

#[test]
fn footage_that_cannot_be_used() {
    let place = Place::new();
    ffmpeg(
        &place,
        "-f lavfi -i testsrc=s=640x360:d=3 -pix_fmt yuv420p nobody.mp4",
    );
    snapshot!(
        "prepare_no_face",
        refused(&place, &["prepare", "nobody.mp4", "-o", "out"])
    );
    film(&place, "talk.mp4", "format=yuv420p");
    ffmpeg(&place, "-i talk.mp4 -t 0.5 -c:v libx264 short.mp4");
    snapshot!(
        "prepare_short",
        refused(&place, &["prepare", "short.mp4", "-o", "out"])
    );
    film(
        &place,
        "far.mp4",
        "scale=240:-2,pad=1280:720:500:300,format=yuv420p",
    );
    snapshot!(
        "prepare_far_away",
        refused(&place, &["prepare", "far.mp4", "-o", "out"])
    );
    film(&place, "edge.mp4", "crop=640:720:540:0,format=yuv420p");
    snapshot!(
        "prepare_cut_off",
        refused(&place, &["prepare", "edge.mp4", "-o", "out"])
    );
    film(&place, "blur.mp4", "gblur=12,format=yuv420p");
    snapshot!(
        "prepare_blurred",
        refused(&place, &["prepare", "blur.mp4", "-o", "out"])
    );
    RgbImage::from_pixel(300, 200, Rgb([90, 120, 150]))
        .save(place.join("wall.png"))
        .unwrap();
    snapshot!(
        "prepare_wall",
        refused(&place, &["prepare", "wall.png", "-o", "out"])
    );
    fs::write(place.join("broken.mp4"), b"\0\0\0\x20ftypisom nothing else").unwrap();
    snapshot!(
        "prepare_broken",
        refused(&place, &["prepare", "broken.mp4", "-o", "out"])
    );
    snapshot!(
        "prepare_absent",
        refused(&place, &["prepare", "absent.mp4", "-o", "out"])
    );
    snapshot!(
        "prepare_range",
        refused(&place, &["prepare", "talk.mp4", "-o", "out", "--from", "8"])
    );
    fs::create_dir(place.join("full")).unwrap();
    fs::write(place.join("full/letter.txt"), "mine").unwrap();
    snapshot!(
        "prepare_full",
        refused(&place, &["prepare", "talk.mp4", "-o", "full"])
    );
    snapshot!(
        "prepare_full_force",
        refused(&place, &["prepare", "talk.mp4", "-o", "full", "--force"])
    );
    assert_eq!(
        fs::read_to_string(place.join("full/letter.txt")).unwrap(),
        "mine"
    );
}

/// What cannot be used is left out; `--every-frame` keeps it.
#[test]
fn every_frame_can_be_kept() {
    let place = Place::new();
    film(
        &place,
        "talk.mp4",
        "drawbox=t=fill:c=gray:enable='between(n,60,74)',format=yuv420p",
    );
    let said = place.ok(&["prepare", "talk.mp4", "-o", "calm"]);
    assert!(said.contains("to 3.00 s: no face"), "{said}");
    assert!(
        json(&place.join("calm/prepare.json"))["frames"]
            .as_u64()
            .unwrap()
            <= 60
    );
    place.ok(&["prepare", "talk.mp4", "-o", "all", "--every-frame"]);
    assert_eq!(rects(&place.join("all")).len(), 75);
    let landmarks = json(&place.join("all/landmarks.json"));
    assert!(landmarks["frames"][74].is_null());
    assert!(landmarks["frames"][0].is_object());
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let place = Place::new();
    film(&place, "talk.mp4", "format=yuv420p");
    let before = place.names();
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = place
            .command(&["prepare", "talk.mp4", "-o", "anna"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while place.names() == before {
            assert!(
                child.try_wait().unwrap().is_none(),
                "it ended before it was stopped"
            );
            thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal:?}");
        assert_eq!(place.names(), before);
    }
}
