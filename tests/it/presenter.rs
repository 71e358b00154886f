//! The bundled presenter with the bundled networks: what a new user sees first.

use std::collections::HashSet;
use std::fs;

use image::RgbImage;

use crate::support::{Place, decode, difference, picture, pictures, project, psnr};

/// The pixels of a frame inside its crop rectangle.
fn crop(frame: &RgbImage, [x0, y0, x1, y1]: [u32; 4]) -> Vec<u8> {
    image::imageops::crop_imm(frame, x0, y0, x1 - x0, y1 - y0)
        .to_image()
        .into_raw()
}

fn rects() -> Vec<[u32; 4]> {
    serde_json::from_str(
        &fs::read_to_string(project().join("backgrounds/ada/crop_rects.json")).unwrap(),
    )
    .unwrap()
}

#[test]
fn the_folder_keeps_its_promises() {
    let rects = rects();
    let folder = project().join("backgrounds/ada");
    let frames = fs::read_dir(&folder).unwrap().map(|e| e.unwrap());
    let frames: Vec<_> = frames
        .filter(|e| e.path().extension().is_some_and(|x| x == "jpg"))
        .collect();
    let bytes: u64 = frames.iter().map(|e| e.metadata().unwrap().len()).sum();
    assert!(
        frames.len() >= 125 && frames.len() == rects.len() && bytes < 10_000_000,
        "{} frames, {bytes} bytes",
        frames.len()
    );
    let sides: HashSet<u32> = rects
        .iter()
        .flat_map(|[x0, y0, x1, y1]| [x1 - x0, y1 - y0])
        .collect();
    assert!(
        sides.iter().all(|side| (280..=400).contains(side)),
        "{sides:?}"
    );
    assert!(rects.iter().all(|[x0, y0, x1, y1]| x1 - x0 == y1 - y0));
    let travel = |i: usize| {
        rects.iter().map(|r| r[i]).max().unwrap() - rects.iter().map(|r| r[i]).min().unwrap()
    };
    assert!(
        travel(0).max(travel(1)) >= 6,
        "the head sways by {} x {}",
        travel(0),
        travel(1)
    );
    assert!(
        rects
            .windows(2)
            .all(|w| (0..4).all(|i| w[0][i].abs_diff(w[1][i]) <= 2)),
        "the rectangle jumps"
    );
}

#[test]
fn the_clip_shows_the_frames() {
    let place = Place::new();
    let wav = project().join("samples/hello.wav");
    let args = ["render", wav.to_str().unwrap(), "--limit", "2"];
    place.ok(&[&args[..], &["-o", "clip.mp4"]].concat());
    place.ok(&[&args[..], &["--frames", "frames"]].concat());
    decode(&place.join("clip.mp4"), &place.join("decoded"));
    let ratio = psnr(
        &pictures(&place.join("frames")),
        &pictures(&place.join("decoded")),
    );
    assert!(ratio >= 40.0, "{ratio:.2} dB");
}

#[test]
fn the_mouth_rests_in_silence_and_follows_the_words() {
    let place = Place::new();
    let render = |wav: &str, frames: &str| {
        let wav = project().join("samples").join(wav);
        place.ok(&[
            "render",
            wav.to_str().unwrap(),
            "--limit",
            "3",
            "--frames",
            frames,
        ]);
        pictures(&place.join(frames))
    };
    let (silence, hello, again) = (
        render("silence.wav", "silence"),
        render("hello.wav", "hello"),
        render("hello.wav", "again"),
    );
    assert!(hello == again, "the same sentence twice gives other frames");
    let rects = rects();
    let change = |frames: &[RgbImage]| -> f64 {
        let moved = frames.iter().enumerate().map(|(i, frame)| {
            let background = picture(&project().join(format!("backgrounds/ada/{i:06}.jpg")));
            difference(&crop(frame, rects[i]), &crop(&background, rects[i])).1
        });
        moved.fold(0.0, f64::max)
    };
    let (at_rest, speaking) = (change(&silence), change(&hello));
    assert!(
        at_rest < 0.25 * speaking,
        "at most {at_rest:.2} levels in silence, {speaking:.2} in speech"
    );
    fs::copy(
        crate::support::golden("audio/speech.wav"),
        place.join("other.wav"),
    )
    .unwrap();
    place.ok(&["render", "other.wav", "--limit", "3", "--frames", "other"]);
    assert!(
        pictures(&place.join("other")) != hello,
        "two sentences give the same mouths"
    );
}
