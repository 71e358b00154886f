//! Backgrounds of every kind, in files as FFmpeg and cameras write them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Result;
use image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use lipsync::background::Order;
use lipsync::background::VideoFile;
use lipsync::background::{Background, BackgroundCache, Backgrounds, FrameFormats};
use lipsync::image::{Picture, Size};
use lipsync::timeline::{BackgroundIndex, FrameIndex, FrameRate};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use crate::errors::{refused, snapshot};
use crate::support::{Place, difference, pictures};

/// Runs the ffmpeg program in the test folder; arguments are separated by spaces.
pub(crate) fn ffmpeg(place: &Place, args: &str) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-bitexact"])
        .args(args.split_whitespace())
        .current_dir(&place.path)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg {args}\n{stderr}");
}

/// All frames of a video with their timestamps.
fn frames(path: &Path) -> Vec<(f64, Picture)> {
    let mut reader = VideoFile::open(path).unwrap().frames().unwrap();
    let (mut frames, mut picture) = (Vec::new(), Picture::default());
    while let Some(time) = reader.next(&mut picture).unwrap() {
        frames.push((time, picture.clone()));
    }
    frames
}

/// Six patches, two rows of three.
const PATCHES: [[u8; 3]; 6] = [
    [255, 255, 255],
    [230, 20, 30],
    [20, 200, 40],
    [0, 0, 0],
    [30, 40, 220],
    [120, 130, 110],
];

pub(crate) fn patches(place: &Place, name: &str, side: u32) {
    let picture = RgbImage::from_fn(3 * side, 2 * side, |x, y| {
        Rgb(PATCHES[(y / side * 3 + x / side) as usize])
    });
    picture.save(place.join(name)).unwrap();
}

/// The colours at the centres of the patches.
fn patch_colours(picture: &Picture, side: usize) -> Vec<[u8; 3]> {
    (0..6)
        .map(|i| {
            let (x, y) = (i % 3 * side + side / 2, i / 3 * side + side / 2);
            let at = (y * picture.width + x) * 3;
            [0, 1, 2].map(|channel| picture.pixels[at + channel])
        })
        .collect()
}

pub(crate) fn assert_patches(name: &str, picture: &Picture, side: usize) {
    for (got, expected) in patch_colours(picture, side).iter().zip(PATCHES) {
        let largest = got.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
        assert!(largest <= Some(3), "{name}: {got:?}, expected {expected:?}");
    }
}

#[test]
fn colours_are_those_that_were_encoded() {
    // The table makes the function long.
    let place = Place::new();
    patches(&place, "sd.png", 32);
    patches(&place, "hd.png", 480);
    let sd = 32;
    for (name, side, args) in [
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
                "-loop 1 -i {picture} -frames:v 2 {args} out.{}",
                extension(name)
            ),
        );
        let path = place.join(name);
        fs::rename(place.join(&format!("out.{}", extension(name))), &path).unwrap();
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
    let ramp = GrayImage::from_fn(256, 16, |x, _| Luma([x as u8]));
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
    let picture = RgbaImage::from_fn(64, 32, |x, _| {
        Rgba([200, 60, 30, if x < 32 { 255 } else { 100 }])
    });
    picture.save(place.join("a.png")).unwrap();
    for (name, args) in [
        (
            "a.mov",
            "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le",
        ),
        ("a.mkv", "-c:v ffv1 -pix_fmt bgra"),
        ("png.mov", "-c:v png -pix_fmt rgba"),
        ("a.webm", "-c:v libvpx-vp9 -pix_fmt yuva420p -crf 4 -b:v 0"),
    ] {
        ffmpeg(&place, &format!("-i a.png {args} {name}"));
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

/// Writes `matrix` (a b c d of the display matrix) into the header of the only track of an MP4.
pub(crate) fn set_display_matrix(path: &Path, [a, b, c, d]: [i32; 4]) {
    let mut bytes = fs::read(path).unwrap();
    let tkhd = bytes.windows(4).position(|w| w == b"tkhd").unwrap();
    let one = 1 << 16;
    let matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30];
    for (i, value) in matrix.into_iter().enumerate() {
        let at = tkhd + 44 + 4 * i;
        bytes[at..at + 4].copy_from_slice(&i32::to_be_bytes(value));
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn rotated_and_mirrored_videos_come_upright() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    for (name, stored, matrix) in [
        // Stored as by a camera held sideways; shown upright.
        ("right.mp4", "transpose=cclock", [0, 1, -1, 0]),
        ("left.mp4", "transpose=clock", [0, -1, 1, 0]),
        ("over.mp4", "hflip,vflip", [-1, 0, 0, -1]),
        ("mirrored.mp4", "hflip", [-1, 0, 0, 1]),
    ] {
        let args = format!(
            "-loop 1 -i sd.png -frames:v 2 -vf {stored},scale=out_color_matrix=bt601,format=yuv444p -c:v libx264 -qp 1 {name}"
        );
        ffmpeg(&place, &args);
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
    assert!(file.has_audio && !file.is_hdr());
    assert!((file.frame_rate.unwrap() - 29.97).abs() < 0.01);
    assert!((file.seconds.unwrap() - 45.0 / 29.97).abs() < 0.05);
    let frame_table = file.frame_table().unwrap();
    assert_eq!(
        (frame_table.timestamps.len(), frame_table.key_frames),
        (45, vec![0])
    );
}

/// A video of ten frames, each with its own shade of grey.
pub(crate) fn greys(place: &Place, name: &str, args: &str) -> PathBuf {
    fs::create_dir_all(place.join("greys")).unwrap();
    for i in 0..10_u8 {
        let picture = RgbImage::from_pixel(64, 48, Rgb([20 + 20 * i; 3]));
        picture.save(place.join(&format!("greys/{i}.png"))).unwrap();
    }
    ffmpeg(
        place,
        &format!("-framerate 25 -i greys/%d.png {args} {name}"),
    );
    place.join(name)
}

#[test]
fn the_timeline_is_what_decoding_shows() {
    let place = Place::new();
    for (name, args) in [
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
        let path = greys(&place, name, args);
        let file = VideoFile::open(&path).unwrap();
        let frame_table = file.frame_table().unwrap();
        let shown = frames(&path);
        assert_eq!(frame_table.timestamps.len(), 10, "{name}");
        let times: Vec<f64> = shown.iter().map(|(time, _)| *time).collect();
        assert_eq!(frame_table.timestamps, times, "{name}");
        for (i, (_, picture)) in shown.iter().enumerate() {
            let expected = 20 + 20 * i as u8;
            assert!(picture.pixels[0].abs_diff(expected) <= 6, "{name}: {i}");
        }
        assert!((frame_table.duration(0.0) - 0.4).abs() < 2e-3, "{name}");
    }
}

#[test]
fn seeking_goes_to_the_key_picture_before() {
    let place = Place::new();
    let path = greys(&place, "b.mp4", "-c:v libx264 -g 5 -bf 2 -pix_fmt yuv420p");
    let file = VideoFile::open(&path).unwrap();
    assert_eq!(file.frame_table().unwrap().key_frames, [0, 5]);
    let (mut reader, mut picture) = (file.frames().unwrap(), Picture::default());
    for (seconds, lands) in [(0.28, 0.2), (0.12, 0.0), (0.2, 0.2), (9.0, 0.2)] {
        reader.seek(seconds).unwrap();
        assert_eq!(reader.next(&mut picture).unwrap(), Some(lands), "{seconds}");
    }
}

/// Writes `count` crop rectangles to a file.
pub(crate) fn rects(place: &Place, name: &str, count: usize, rect: [u32; 4]) {
    let text = serde_json::to_string(&vec![rect; count]).unwrap();
    fs::write(place.join(name), text).unwrap();
}

/// Number of backgrounds, and the first pixel of each one in an order.
fn first_pixels(
    path: &Path,
    fps: FrameRate,
    order: Order,
    count: u64,
    bytes: usize,
) -> (usize, Vec<u8>) {
    let backgrounds = Backgrounds::open(path, None, fps, false).unwrap();
    let mut cache = BackgroundCache::new(&backgrounds, bytes, FrameFormats::RGB);
    let indices: Vec<BackgroundIndex> = (0..count)
        .map(|i| order.background(FrameIndex(i), backgrounds.count(), BackgroundIndex(0)))
        .collect();
    let mut pixels = Vec::new();
    for batch in indices.chunks(3) {
        let mut pictures = Vec::new();
        cache.get(batch, &mut pictures).unwrap();
        pixels.extend(pictures.iter().map(|b| whole(b).pixels[0]));
    }
    (backgrounds.count(), pixels)
}

/// The only background at `path`.
pub(crate) fn only_background(path: &Path, keep_alpha: bool) -> Picture {
    let backgrounds = Backgrounds::open(path, None, FrameRate::TRAINED, keep_alpha).unwrap();
    assert_eq!(backgrounds.count(), 1);
    whole(&decode_one(&backgrounds, 0).unwrap()).clone()
}

/// One background, decoded on its own.
fn decode_one(backgrounds: &Backgrounds, index: usize) -> Result<Arc<Background>> {
    let mut cache = BackgroundCache::new(backgrounds, 0, FrameFormats::RGB);
    let mut pictures = Vec::new();
    cache.get(&[BackgroundIndex(index)], &mut pictures)?;
    Ok(pictures.remove(0))
}

fn whole(background: &Background) -> &Picture {
    background.rgb.as_ref().unwrap()
}

#[test]
fn a_video_renders_as_its_frames_do() {
    let place = Place::new();
    let limit = ["--limit", "1.2"];
    place.render(&[&["--frames", "from folder"], &limit[..]].concat());
    let folder = pictures(&place.join("from folder"));
    fs::copy(
        place.join("bg/crop_rects.json"),
        place.join("lossless.crop_rects.json"),
    )
    .unwrap();
    fs::copy(
        place.join("bg/crop_rects.json"),
        place.join("crop_rects.json"),
    )
    .unwrap();
    ffmpeg(
        &place,
        "-framerate 25 -i bg/%d.png -c:v ffv1 -pix_fmt bgr0 lossless.mkv",
    );
    ffmpeg(
        &place,
        "-framerate 25 -i bg/%d.png -vf scale=out_color_matrix=bt709,format=yuv444p -colorspace bt709 -c:v libx264 -qp 0 -bf 2 x264.mp4",
    );
    for (video, most) in [("lossless.mkv", 0), ("x264.mp4", 3)] {
        let out = format!("from {video}");
        let base = [
            "render",
            "speech.wav",
            "-m",
            "tiny",
            "-b",
            video,
            "--frames",
            &out,
        ];
        place.ok(&[&base[..], &limit].concat());
        let shown = pictures(&place.join(&out));
        assert_eq!(shown.len(), 30);
        for (i, (a, b)) in folder.iter().zip(&shown).enumerate() {
            // The networks may amplify small differences.
            let (largest, mean) = difference(a, b);
            assert!(
                largest <= most && mean <= 0.6,
                "{video} {i}: {largest}, {mean}"
            );
        }
    }
}

#[test]
fn a_video_of_another_rate_keeps_its_speed() {
    let place = Place::new();
    let grey = |i: u8| 20 + 20 * i;
    rects(&place, "crop_rects.json", 10, [0, 0, 40, 40]);
    let lossless = "-c:v ffv1 -pix_fmt bgr0";
    for (name, speed, expected) in [
        ("same.mkv", "N/25", vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("double.mkv", "N/50", vec![0, 2, 4, 6, 8]),
        (
            "half.mkv",
            "N/12.5",
            vec![0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9],
        ),
        (
            "slower.mkv",
            "(N+gt(N\\,4)*2*(N-4))/25",
            vec![0, 1, 2, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9],
        ),
    ] {
        let args = format!(
            "-vf settb=1/1000,setpts={speed}/TB -fps_mode passthrough -enc_time_base 1/1000 {lossless}"
        );
        let path = greys(&place, name, &args);
        let count = expected.len() as u64;
        let (_, pixels) = first_pixels(&path, FrameRate::TRAINED, Order::Hold, count, 1 << 20);
        let expected: Vec<u8> = expected.into_iter().map(grey).collect();
        assert_eq!(pixels, expected, "{name}");
    }
    let ntsc = FrameRate::new(30_000, 1001).unwrap();
    let path = greys(
        &place,
        "ntsc.mkv",
        &format!(
            "-vf settb=1/30000,setpts=N*1001/30000/TB -fps_mode passthrough -enc_time_base 1/30000 {lossless}"
        ),
    );
    let (count, pixels) = first_pixels(&path, ntsc, Order::Hold, 10, 1 << 20);
    assert_eq!((count, pixels), (10, (0..10).map(grey).collect()));
}

#[test]
fn a_video_plays_backward_whatever_fits_into_memory() {
    let place = Place::new();
    fs::create_dir(place.join("steps")).unwrap();
    for i in 0..90_u8 {
        let picture = RgbImage::from_pixel(64, 48, Rgb([2 * i + 20; 3]));
        picture.save(place.join(&format!("steps/{i}.png"))).unwrap();
    }
    rects(&place, "crop_rects.json", 90, [0, 0, 40, 40]);
    let each = 64 * 48 * 3 + 328 * 328 * 3;
    for (name, args) in [
        (
            "long.mp4",
            "-c:v libx264 -qp 0 -g 250 -bf 2 -pix_fmt yuv444p",
        ),
        (
            "short.mp4",
            "-c:v libx264 -qp 0 -g 35 -keyint_min 35 -bf 2 -pix_fmt yuv444p",
        ),
        (
            "open.mp4",
            "-c:v libx264 -qp 0 -g 35 -keyint_min 35 -bf 2 -x264-params open-gop=1 -pix_fmt yuv444p",
        ),
        ("intra.mkv", "-c:v ffv1 -pix_fmt bgr0"),
        (
            "stream.ts",
            "-c:v libx264 -qp 0 -g 35 -bf 2 -pix_fmt yuv444p",
        ),
        ("old.avi", "-c:v mpeg4 -q:v 1 -g 35 -bf 0"),
        ("web.webm", "-c:v libvpx -g 35 -b:v 5M -auto-alt-ref 1"),
    ] {
        ffmpeg(
            &place,
            &format!("-framerate 25 -i steps/%d.png {args} {name}"),
        );
        for (order, room) in [
            (Order::PingPong, 0),
            (Order::PingPong, 7),
            (Order::PingPong, 50),
            (Order::PingPong, 200),
            (Order::Loop, 7),
            (Order::Reference, 33),
        ] {
            let path = place.join(name);
            let fps = FrameRate::TRAINED;
            let (count, pixels) = first_pixels(&path, fps, order, 200, room * each);
            assert_eq!(count, 90, "{name}");
            for (i, pixel) in pixels.into_iter().enumerate() {
                let index = order
                    .background(FrameIndex(i as u64), 90, BackgroundIndex(0))
                    .0;
                let expected = 2 * index as u8 + 20;
                assert!(
                    pixel == expected || (pixel.abs_diff(expected) <= 1 && !name.ends_with("mkv")),
                    "{name}, {order:?}, room for {room}: frame {i} is {pixel}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn a_rotated_video_is_a_background_that_stands_upright() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    ffmpeg(
        &place,
        "-loop 1 -i sd.png -frames:v 3 -vf transpose=cclock,scale=out_color_matrix=bt601,format=yuv444p -c:v libx264 -qp 1 phone.mp4",
    );
    set_display_matrix(&place.join("phone.mp4"), [0, 1, -1, 0]);
    rects(&place, "phone.crop_rects.json", 3, [30, 2, 90, 62]);
    let path = place.join("phone.mp4");
    let backgrounds = Backgrounds::open(&path, None, FrameRate::TRAINED, false).unwrap();
    let picture = decode_one(&backgrounds, 2).unwrap();
    assert_patches("phone", whole(&picture), 32);
}

#[test]
fn transparency_is_kept_or_lies_on_black() {
    let place = Place::new();
    let clear = RgbaImage::from_fn(64, 64, |x, _| {
        Rgba([200, 100, 50, if x < 32 { 255 } else { 102 }])
    });
    rects(&place, "crop_rects.json", 1, [0, 0, 64, 64]);
    clear.save(place.join("still.png")).unwrap();
    ffmpeg(&place, "-i still.png -c:v ffv1 -pix_fmt bgra clip.mkv");
    for name in ["still.png", "clip.mkv"] {
        let kept = only_background(&place.join(name), true);
        let alpha = kept.alpha.unwrap();
        assert_eq!((alpha[0], alpha[63]), (255, 102), "{name}");
        assert_eq!(kept.pixels[63 * 3..64 * 3], [200, 100, 50], "{name}");
        let flat = only_background(&place.join(name), false);
        assert_eq!(flat.alpha, None, "{name}");
        assert_eq!(flat.pixels[..3], [200, 100, 50], "{name}");
        assert_eq!(flat.pixels[63 * 3..64 * 3], [80, 40, 20], "{name}");
    }
    let stderr = place.ok(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "still.png",
        "-o",
        "a.mp4",
        "--limit",
        "0.1",
    ]);
    assert_eq!(
        stderr.matches("the background is transparent").count(),
        1,
        "{stderr}"
    );
    let stderr = place.ok(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "still.png",
        "--frames",
        "pngs",
        "--limit",
        "0.1",
    ]);
    assert!(!stderr.contains("transparent"), "{stderr}");
    // A fully opaque alpha channel does not count.
    let opaque = RgbaImage::from_pixel(64, 64, Rgba([200, 100, 50, 255]));
    opaque.save(place.join("still.png")).unwrap();
    let backgrounds = Backgrounds::open(&place.join("still.png"), None, FrameRate::TRAINED, false);
    assert_eq!(backgrounds.unwrap().warnings, Vec::<String>::new());
}

#[test]
fn pictures_of_every_kind_are_read() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    rects(&place, "crop_rects.json", 1, [0, 0, 64, 64]);
    for (name, args) in [
        ("16.png", "-pix_fmt rgb48be"),
        ("rgba.png", "-pix_fmt rgba"),
        ("rgba16.png", "-pix_fmt rgba64be"),
        (
            "palette.png",
            "-vf palettegen=max_colors=8:reserve_transparent=0[p];[0:v][p]paletteuse=dither=none",
        ),
        (
            "best.JPG",
            "-vf scale=out_range=pc,format=yuvj444p -q:v 1 -f image2",
        ),
    ] {
        let args = match args.strip_prefix("-vf palettegen") {
            Some(rest) => format!("-filter_complex [0:v]palettegen{rest}"),
            None => args.to_owned(),
        };
        ffmpeg(&place, &format!("-i sd.png {args} {name}"));
        assert_patches(name, &only_background(&place.join(name), false), 32);
    }
    for (name, args) in [
        ("grey.png", "-pix_fmt gray"),
        ("grey16.png", "-pix_fmt gray16be"),
        ("greya.png", "-pix_fmt ya8"),
        ("grey.jpg", "-pix_fmt gray -q:v 1"),
    ] {
        ffmpeg(&place, &format!("-i sd.png {args} {name}"));
        let picture = only_background(&place.join(name), false);
        let pixel = &picture.pixels[..3];
        assert!(
            pixel[0] > 250 && pixel.iter().all(|v| *v == pixel[0]),
            "{name}: {pixel:?}"
        );
    }
    fs::write(place.join("print.jpg"), cmyk_jpeg([200, 60, 30, 255])).unwrap();
    rects(&place, "print.crop_rects.json", 1, [0, 0, 8, 8]);
    let pixel = only_background(&place.join("print.jpg"), false).pixels[..3].to_vec();
    let (largest, _) = difference(&pixel, &[200, 60, 30]);
    assert!(largest <= 3, "{pixel:?}");
}

/// An 8x8 JPEG of one colour in four components, inverted as Adobe writes CMYK.
fn cmyk_jpeg(colour: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0".to_vec();
    bytes.extend([0xff, 0xdb, 0, 67, 0]);
    bytes.extend([8; 64]);
    bytes.extend([0xff, 0xc0, 0, 20, 8, 0, 8, 0, 8, 4]);
    (1..=4).for_each(|id| bytes.extend([id, 0x11, 0]));
    // Sizes 0 to 8 of the mean have codes of four bits; of all other coefficients there is only "end of block".
    bytes.extend([
        0xff, 0xc4, 0, 28, 0x00, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    bytes.extend(0..=8);
    bytes.extend([
        0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    bytes.extend([0xff, 0xda, 0, 14, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]);
    let mut bits = String::new();
    for value in colour {
        let mean = i32::from(value) - 128;
        let size = 32 - mean.unsigned_abs().leading_zeros();
        let code = if mean < 0 {
            mean + (1 << size) - 1
        } else {
            mean
        };
        write!(bits, "{size:04b}").unwrap();
        if size > 0 {
            write!(bits, "{code:0width$b}", width = size as usize).unwrap();
        }
        bits += "0";
    }
    while !bits.len().is_multiple_of(8) {
        bits += "1";
    }
    for byte in bits.as_bytes().chunks(8) {
        let byte = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
        bytes.push(byte);
        if byte == 0xff {
            bytes.push(0);
        }
    }
    bytes.extend([0xff, 0xd9]);
    bytes
}

#[test]
fn a_photo_that_says_how_it_was_held_comes_upright() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    rects(&place, "crop_rects.json", 1, [0, 0, 64, 64]);
    for (orientation, stored) in [
        (1, "null"),
        (2, "hflip"),
        (3, "hflip,vflip"),
        (6, "transpose=cclock"),
        (8, "transpose=clock"),
    ] {
        ffmpeg(
            &place,
            &format!("-i sd.png -vf {stored},scale=out_range=pc,format=yuvj444p -q:v 1 photo.jpg"),
        );
        let mut bytes = fs::read(place.join("photo.jpg")).unwrap();
        let exif = [
            b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0",
            &[orientation, 0, 0, 0, 0, 0, 0, 0][..],
        ]
        .concat();
        bytes.splice(2..2, exif);
        fs::write(place.join("photo.jpg"), bytes).unwrap();
        assert_patches(
            &format!("orientation {orientation}"),
            &only_background(&place.join("photo.jpg"), false),
            32,
        );
    }
}

#[test]
fn a_picture_of_one_pixel_renders() {
    let place = Place::new();
    RgbImage::from_pixel(1, 1, Rgb([10, 200, 90]))
        .save(place.join("dot.png"))
        .unwrap();
    rects(&place, "dot.crop_rects.json", 1, [0, 0, 1, 1]);
    let base = [
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "dot.png",
        "--limit",
        "0.2",
    ];
    place.ok(&[&base[..], &["--frames", "dots"]].concat());
    assert_eq!(pictures(&place.join("dots"))[4].dimensions(), (1, 1));
}

#[test]
fn a_frame_that_goes_wrong_later_is_named() {
    let place = Place::new();
    let backgrounds =
        Backgrounds::open(&place.join("bg"), None, FrameRate::TRAINED, false).unwrap();
    assert!(decode_one(&backgrounds, 5).is_ok());
    fs::remove_file(place.join("bg/5.png")).unwrap();
    let error = format!("{:#}", decode_one(&backgrounds, 5).unwrap_err());
    assert!(
        error.contains("5.png") && error.contains("no such file"),
        "{error}"
    );
    // The missing half of a JPEG would be grey.
    RgbImage::from_pixel(64, 64, Rgb([9, 99, 199]))
        .save(place.join("photo.jpg"))
        .unwrap();
    rects(&place, "photo.crop_rects.json", 1, [0, 0, 64, 64]);
    let photo =
        Backgrounds::open(&place.join("photo.jpg"), None, FrameRate::TRAINED, false).unwrap();
    let whole = fs::read(place.join("photo.jpg")).unwrap();
    fs::write(place.join("photo.jpg"), &whole[..whole.len() - 20]).unwrap();
    let error = decode_one(&photo, 0).unwrap_err();
    assert!(
        format!("{error:#}").contains("it is truncated"),
        "{error:#}"
    );
}

/// Reading a damaged file always ends, with frames or with an error.
#[test]
fn damaged_videos_are_read_or_refused() {
    let place = Place::new();
    let files = [
        greys(&place, "a.mp4", "-c:v libx264 -bf 2 -pix_fmt yuv420p"),
        greys(&place, "a.mkv", "-c:v ffv1 -pix_fmt bgr0"),
        greys(&place, "a.webm", "-c:v libvpx -b:v 1M"),
    ]
    .map(|path| (fs::read(&path).unwrap(), path));
    rects(&place, "crop_rects.json", 10, [0, 0, 40, 40]);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let damage = (
        0..files.len(),
        vec((any::<Index>(), any::<u8>()), 1..9),
        any::<Index>(),
    );
    let result = runner.run(&damage, |(file, changes, end)| {
        let (whole, path) = &files[file];
        let mut bytes = whole.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        // Half of them are truncated as well.
        bytes.truncate(bytes.len().min(2 * end.index(bytes.len()) + 1));
        fs::write(path, bytes).unwrap();
        if let Ok(backgrounds) = Backgrounds::open(path, None, FrameRate::TRAINED, false) {
            let all: Vec<_> = (0..backgrounds.count().min(100))
                .rev()
                .map(BackgroundIndex)
                .collect();
            let mut cache = BackgroundCache::new(&backgrounds, 1 << 20, FrameFormats::YUV420);
            let _ = cache.get(&all, &mut Vec::new());
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
}

/// Renders with a background that cannot be used, and returns the message.
pub(crate) fn render(place: &Place, background: &str) -> String {
    refused(
        place,
        &["render", "speech.wav", "-m", "tiny", "-b", background],
    )
}

#[test]
fn videos_that_cannot_be_used() {
    let place = Place::new();
    let path = greys(
        &place,
        "talk.mp4",
        "-c:v libx264 -pix_fmt yuv420p -movflags +faststart",
    );
    snapshot!("video_without_rectangles", render(&place, "talk.mp4"));
    rects(&place, "talk.crop_rects.json", 9, [0, 0, 40, 40]);
    snapshot!("video_with_too_few_rectangles", render(&place, "talk.mp4"));
    rects(&place, "talk.crop_rects.json", 10, [0, 0, 65, 40]);
    snapshot!("video_with_a_rectangle_outside", render(&place, "talk.mp4"));
    rects(&place, "crop_rects.json", 10, [0, 0, 40, 40]);
    let whole = fs::read(&path).unwrap();
    fs::write(place.join("cut.mp4"), &whole[..whole.len() - 200]).unwrap();
    snapshot!("video_cut_off", render(&place, "cut.mp4"));
    fs::write(place.join("header.mp4"), &whole[..300]).unwrap();
    snapshot!("video_header_cut_off", render(&place, "header.mp4"));
    fs::write(place.join("empty.mp4"), "").unwrap();
    snapshot!("video_empty", render(&place, "empty.mp4"));
    fs::write(place.join("notes.txt"), "not a video\n".repeat(100)).unwrap();
    snapshot!("video_is_text", render(&place, "notes.txt"));
    snapshot!("video_is_sound", render(&place, "speech.wav"));
    ffmpeg(
        &place,
        "-i speech.wav -i bg/0.png -map 0 -map 1 -c:v copy -c:a flac -disposition:v attached_pic song.flac",
    );
    snapshot!("video_is_a_cover", render(&place, "song.flac"));
    ffmpeg(&place, "-i talk.mp4 -c copy tilted.mp4");
    set_display_matrix(&place.join("tilted.mp4"), [1, 1, -1, 1]);
    snapshot!("video_tilted", render(&place, "tilted.mp4"));
}

#[test]
fn frames_that_cannot_be_used() {
    let place = Place::new();
    let frame = place.join("bg/7.png");
    let whole = fs::read(&frame).unwrap();
    let mut huge = whole.clone();
    huge[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    let sum = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.to_be_bytes());
    fs::write(&frame, huge).unwrap();
    snapshot!("background_claims_to_be_huge", render(&place, "bg"));
    fs::write(&frame, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    snapshot!("background_is_heic", render(&place, "bg"));
    fs::remove_file(&frame).unwrap();
    std::os::unix::fs::symlink("7.png", &frame).unwrap();
    snapshot!("background_is_a_link_to_itself", render(&place, "bg"));
    fs::remove_file(&frame).unwrap();
    fs::write(place.join("bg/99999999999999999999.png"), whole).unwrap();
    snapshot!("background_with_a_huge_number", render(&place, "bg"));
}

/// The checksum of a PNG chunk.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                0xedb8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn absurd_rectangles_are_told() {
    let place = Place::new();
    fs::remove_file(place.join("bg/crop_rects.json")).unwrap();
    let with = |text: &str| {
        fs::write(place.join("crop_rects.json"), text).unwrap();
        render(&place, "bg")
    };
    let all = |rect: &str| format!("[{}]", [rect; 12].join(","));
    snapshot!("rectangle_huge", with(&all("[-1e308, 0, 1e308, 20]")));
    snapshot!("rectangle_nan", with(&all("[NaN, 0, 20, 20]")));
    snapshot!("rectangle_of_text", with(&all("[\"0\", 0, 20, 20]")));
    snapshot!("rectangles_too_deep", with(&"[".repeat(100_000)));
    snapshot!(
        "rectangles_twice",
        with(r#"{"1": [0, 0, 9, 9], "01": [0, 0, 9, 9]}"#)
    );
    snapshot!(
        "rectangles_with_a_gap",
        with(r#"{"1": [0, 0, 9, 9], "3": [0, 0, 9, 9]}"#)
    );
}
