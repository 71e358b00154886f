//! Backgrounds of every kind, as files that FFmpeg and cameras write them.

use std::path::{Path, PathBuf};
use std::process::Command;

use lipsync::frame::{Picture, Size};
use lipsync::video::VideoFile;

use crate::support::Place;

/// Runs the ffmpeg program in the place's folder; words are parted by spaces.
fn ffmpeg(place: &Place, words: &str) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-bitexact"])
        .args(words.split_whitespace())
        .current_dir(&place.path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg {words}\n{said}");
}

/// All pictures of a video with their times.
fn frames(path: &Path) -> Vec<(f64, Picture)> {
    let mut reader = VideoFile::open(path).unwrap().frames().unwrap();
    let (mut frames, mut picture) = (Vec::new(), Picture::default());
    while let Some(time) = reader.next(&mut picture).unwrap() {
        frames.push((time, picture.clone()));
    }
    frames
}

/// Six patches of 32x32, two rows of three.
const PATCHES: [[u8; 3]; 6] = [
    [255, 255, 255],
    [230, 20, 30],
    [20, 200, 40],
    [0, 0, 0],
    [30, 40, 220],
    [120, 130, 110],
];

fn patches(place: &Place, name: &str, side: u32) {
    let picture = image::RgbImage::from_fn(3 * side, 2 * side, |x, y| {
        image::Rgb(PATCHES[(y / side * 3 + x / side) as usize])
    });
    picture.save(place.join(name)).unwrap();
}

/// The colours in the middles of the patches.
fn patch_colours(picture: &Picture, side: usize) -> Vec<[u8; 3]> {
    (0..6)
        .map(|i| {
            let (x, y) = (i % 3 * side + side / 2, i / 3 * side + side / 2);
            let at = (y * picture.width + x) * 3;
            [0, 1, 2].map(|channel| picture.pixels[at + channel])
        })
        .collect()
}

fn assert_patches(name: &str, picture: &Picture, side: usize) {
    for (got, want) in patch_colours(picture, side).iter().zip(PATCHES) {
        let off = got.iter().zip(want).map(|(a, b)| a.abs_diff(b)).max();
        assert!(off <= Some(3), "{name}: {got:?} for {want:?}");
    }
}

#[test]
fn colours_are_those_that_were_encoded() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    patches(&place, "hd.png", 480);
    let sd = 32;
    for (name, side, words) in [
        (
            "709.mp4",
            sd,
            "-vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p -colorspace bt709 -color_range tv -c:v libx264 -qp 1",
        ),
        (
            "601.mp4",
            sd,
            "-vf scale=out_color_matrix=bt601:out_range=tv,format=yuv420p -colorspace smpte170m -color_range tv -c:v libx264 -qp 1",
        ),
        (
            "2020.mkv",
            sd,
            "-vf scale=out_color_matrix=bt2020:out_range=tv,format=yuv420p10le -colorspace bt2020nc -color_range tv -c:v ffv1",
        ),
        (
            "full.mp4",
            sd,
            "-vf scale=out_color_matrix=bt709:out_range=pc,format=yuv420p -colorspace bt709 -color_range pc -c:v libx264 -qp 1",
        ),
        (
            "untagged.mp4",
            sd,
            "-vf scale=out_color_matrix=bt601:out_range=tv,format=yuv420p -c:v libx264 -qp 1",
        ),
        (
            "untagged hd.mp4",
            480,
            "-vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p -c:v libx264 -qp 1 -preset ultrafast",
        ),
        (
            "444.mkv",
            sd,
            "-vf scale=out_color_matrix=bt709:out_range=tv,format=yuv444p -colorspace bt709 -color_range tv -c:v ffv1",
        ),
        (
            "jpeg.avi",
            sd,
            "-vf scale=out_color_matrix=bt601:out_range=pc,format=yuvj420p -c:v mjpeg -q:v 1",
        ),
        ("rgb.mkv", sd, "-c:v ffv1 -pix_fmt bgr0"),
        ("png.mov", sd, "-c:v png -pix_fmt rgb24"),
        ("nut.nut", sd, "-c:v rawvideo -pix_fmt gbrp"),
    ] {
        let picture = if side == sd { "sd.png" } else { "hd.png" };
        ffmpeg(
            &place,
            &format!(
                "-loop 1 -i {picture} -frames:v 2 {words} out.{}",
                extension(name)
            ),
        );
        let path = place.join(name);
        std::fs::rename(place.join(&format!("out.{}", extension(name))), &path).unwrap();
        let shown = frames(&path);
        assert_eq!(shown.len(), 2, "{name}");
        assert_eq!(shown[1].0, 0.04, "{name}");
        assert_patches(name, &shown[1].1, side);
        assert_eq!(shown[0].1.alpha, None, "{name}");
    }
}

fn extension(name: &str) -> &str {
    name.rsplit('.').next().unwrap()
}

#[test]
fn grey_keeps_its_levels() {
    let place = Place::new();
    let ramp = image::GrayImage::from_fn(256, 16, |x, _| image::Luma([x as u8]));
    ramp.save(place.join("ramp.png")).unwrap();
    ffmpeg(&place, "-i ramp.png -pix_fmt gray -c:v ffv1 ramp.mkv");
    let (_, picture) = frames(&place.join("ramp.mkv")).remove(0);
    for x in 0..256 {
        assert!(picture.pixels[x * 3].abs_diff(x as u8) <= 1, "{x}");
    }
}

#[test]
fn transparency_is_read() {
    let place = Place::new();
    let picture = image::RgbaImage::from_fn(64, 32, |x, _| {
        image::Rgba([200, 60, 30, if x < 32 { 255 } else { 100 }])
    });
    picture.save(place.join("a.png")).unwrap();
    for (name, words) in [
        (
            "a.mov",
            "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le",
        ),
        ("a.mkv", "-c:v ffv1 -pix_fmt bgra"),
        ("png.mov", "-c:v png -pix_fmt rgba"),
        ("a.webm", "-c:v libvpx-vp9 -pix_fmt yuva420p -crf 4 -b:v 0"),
    ] {
        ffmpeg(&place, &format!("-i a.png {words} {name}"));
        let (_, picture) = frames(&place.join(name)).remove(0);
        let alpha = picture.alpha.unwrap_or_else(|| panic!("{name}: opaque"));
        let at = 16 * 64;
        assert!(
            alpha[at + 8].abs_diff(255) <= 2,
            "{name}: {}",
            alpha[at + 8]
        );
        assert!(
            alpha[at + 56].abs_diff(100) <= 3,
            "{name}: {}",
            alpha[at + 56]
        );
        assert!(picture.pixels[at * 3].abs_diff(200) <= 4, "{name}");
    }
}

/// Writes `matrix` (a b c d of the display matrix, in ones) into the header of an MP4's only track.
fn set_display_matrix(path: &Path, [a, b, c, d]: [i32; 4]) {
    let mut bytes = std::fs::read(path).unwrap();
    let tkhd = bytes.windows(4).position(|w| w == b"tkhd").unwrap();
    let one = 1 << 16;
    let matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30];
    for (i, value) in matrix.into_iter().enumerate() {
        let at = tkhd + 44 + 4 * i;
        bytes[at..at + 4].copy_from_slice(&i32::to_be_bytes(value));
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn rotated_and_mirrored_videos_come_upright() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    for (name, stored, matrix) in [
        // Stored as a camera on its side sees it; shown again as the patches are.
        ("right.mp4", "transpose=cclock", [0, 1, -1, 0]),
        ("left.mp4", "transpose=clock", [0, -1, 1, 0]),
        ("over.mp4", "hflip,vflip", [-1, 0, 0, -1]),
        ("mirrored.mp4", "hflip", [-1, 0, 0, 1]),
    ] {
        let words = format!(
            "-loop 1 -i sd.png -frames:v 2 -vf {stored},scale=out_color_matrix=bt601,format=yuv444p -c:v libx264 -qp 1 {name}"
        );
        ffmpeg(&place, &words);
        set_display_matrix(&place.join(name), matrix);
        let file = VideoFile::open(&place.join(name)).unwrap();
        assert_eq!(
            file.size,
            Size {
                width: 96,
                height: 64
            },
            "{name}"
        );
        assert_patches(name, &frames(&place.join(name))[1].1, 32);
    }
}

#[test]
fn what_a_video_is_is_told() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    ffmpeg(
        &place,
        "-loop 1 -i sd.png -i speech.wav -frames:v 45 -r 30000/1001 -vf format=yuv420p -colorspace bt709 -color_range tv -c:v libx264 -c:a aac talk.mp4",
    );
    let file = VideoFile::open(&place.join("talk.mp4")).unwrap();
    assert_eq!(
        file.size,
        Size {
            width: 96,
            height: 64
        }
    );
    assert_eq!((file.frames, file.codec), (Some(45), "h264"));
    assert_eq!(file.pixel_format, Some("yuv420p"));
    assert_eq!((file.range, file.matrix), (Some("tv"), Some("bt709")));
    assert!(file.has_sound && !file.is_hdr());
    assert!((file.frame_rate.unwrap() - 29.97).abs() < 0.01);
    assert!((file.seconds.unwrap() - 45.0 / 29.97).abs() < 0.05);
    let timeline = file.timeline().unwrap();
    assert_eq!((timeline.seconds.len(), timeline.keys), (45, vec![0]));
}

/// A video of ten pictures, each of its own grey, a key picture at each fifth.
fn greys(place: &Place, name: &str, words: &str) -> PathBuf {
    std::fs::create_dir_all(place.join("greys")).unwrap();
    for i in 0..10_u8 {
        let picture = image::RgbImage::from_pixel(64, 48, image::Rgb([20 + 20 * i; 3]));
        picture.save(place.join(&format!("greys/{i}.png"))).unwrap();
    }
    ffmpeg(
        place,
        &format!("-framerate 25 -i greys/%d.png {words} {name}"),
    );
    place.join(name)
}

#[test]
fn the_timeline_is_what_decoding_shows() {
    let place = Place::new();
    for (name, words) in [
        ("b.mp4", "-c:v libx264 -g 5 -bf 2 -pix_fmt yuv420p"),
        ("b.mkv", "-c:v libx264 -g 5 -bf 2 -pix_fmt yuv420p"),
        (
            "open.mp4",
            "-c:v libx264 -g 5 -bf 2 -x264-params open-gop=1 -pix_fmt yuv420p",
        ),
        ("b.ts", "-c:v libx264 -g 5 -bf 2 -pix_fmt yuv420p"),
        (
            "8.webm",
            "-c:v libvpx -g 5 -auto-alt-ref 1 -lag-in-frames 10 -b:v 1M",
        ),
        ("9.webm", "-c:v libvpx-vp9 -g 5 -b:v 1M"),
        ("4.avi", "-c:v mpeg4 -g 5 -bf 2 -q:v 2"),
        ("raw.h264", "-c:v libx264 -g 5 -bf 2 -pix_fmt yuv420p"),
    ] {
        let path = greys(&place, name, words);
        let file = VideoFile::open(&path).unwrap();
        let timeline = file.timeline().unwrap();
        let shown = frames(&path);
        assert_eq!(timeline.seconds.len(), 10, "{name}");
        let times: Vec<f64> = shown.iter().map(|(time, _)| *time).collect();
        assert_eq!(timeline.seconds, times, "{name}");
        for (i, (_, picture)) in shown.iter().enumerate() {
            let want = 20 + 20 * i as u8;
            assert!(picture.pixels[0].abs_diff(want) <= 6, "{name}: {i}");
        }
        assert!((timeline.lasts(0.0) - 0.4).abs() < 2e-3, "{name}");
    }
}

#[test]
fn seeking_goes_to_the_key_picture_before() {
    let place = Place::new();
    let path = greys(&place, "b.mp4", "-c:v libx264 -g 5 -bf 2 -pix_fmt yuv420p");
    let file = VideoFile::open(&path).unwrap();
    assert_eq!(file.timeline().unwrap().keys, [0, 5]);
    let (mut reader, mut picture) = (file.frames().unwrap(), Picture::default());
    for (seconds, lands) in [(0.28, 0.2), (0.12, 0.0), (0.2, 0.2), (9.0, 0.2)] {
        reader.seek(seconds).unwrap();
        assert_eq!(reader.next(&mut picture).unwrap(), Some(lands), "{seconds}");
    }
}
