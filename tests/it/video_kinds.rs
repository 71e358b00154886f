//! Background videos that are interlaced, have pixels that are not square, or are HDR, as cameras write them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use image::{Rgb, RgbImage};
use lipsync::background::{Background, BackgroundCache, Backgrounds, FrameFormats};
use lipsync::image::{Picture, Rect, Size};
use lipsync::timeline::{BackgroundIndex, FrameRate};

use crate::backgrounds::{ffmpeg, greys, rects, set_display_matrix};
use crate::inspect::{json, told};
use crate::support::{Place, difference};

/// Frames of a bar that moves fast, as fields of an interlaced video.
fn interlaced(place: &Place, args: &str, name: &str) {
    fs::create_dir_all(place.join("bar")).unwrap();
    for i in 0..80 {
        let picture = RgbImage::from_fn(128, 96, |x, _| {
            let on = (x + 128 - i * 5 % 128) % 128 < 24;
            Rgb(if on { [220, 210, 60] } else { [40, 60, 90] })
        });
        picture.save(place.join(&format!("bar/{i}.png"))).unwrap();
    }
    let fields = "-framerate 50 -i bar/%d.png -vf";
    let tags = "scale=out_color_matrix=bt709,format=yuv420p,setfield";
    let tags = tags.replace("setfield", "setsar=1");
    ffmpeg(place, &format!("{fields} {tags},{args} {name}"));
}

fn open(place: &Place, name: &str) -> Backgrounds {
    Backgrounds::open(&place.join(name), None, FrameRate::TRAINED, false).unwrap()
}

/// Backgrounds in this order, with memory for `frames` of them.
fn shown(backgrounds: &Backgrounds, order: &[usize], bytes: usize) -> Vec<Picture> {
    let mut cache = BackgroundCache::new(backgrounds, bytes, FrameFormats::RGB);
    let mut pictures = Vec::new();
    for index in order {
        let mut batch: Vec<Arc<Background>> = Vec::new();
        cache.get(&[BackgroundIndex(*index)], &mut batch).unwrap();
        pictures.push(batch[0].rgb.clone().unwrap());
    }
    pictures
}

/// How much each row differs from the mean of its neighbours, in levels: fields of different times comb.
fn combing(picture: &Picture) -> f64 {
    let row = picture.width * 3;
    let mut sum = 0.0;
    for y in 1..picture.height - 1 {
        for x in 0..row {
            let at = |y: usize| i32::from(picture.pixels[y * row + x]);
            sum += f64::from((2 * at(y) - at(y - 1) - at(y + 1)).abs());
        }
    }
    sum / (row * picture.height) as f64
}

/// What the ffmpeg program makes of frame `number` of a video with these filters, as R G B.
fn by_ffmpeg(path: &Path, filters: &str, number: usize) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i", path.to_str().unwrap(), "-vf"])
        .arg(format!("{filters},select=eq(n\\,{number})"))
        .args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn interlaced_videos_are_deinterlaced() {
    let place = Place::new();
    rects(&place, "crop_rects.json", 40, [0, 0, 64, 64]);
    for (name, args) in [
        (
            "top.mp4",
            "tinterlace=interleave_top,setfield=tff -flags +ildct+ilme -x264-params tff=1 -c:v libx264 -qp 1 -bf 2 -g 12",
        ),
        (
            "bottom.mpg",
            "tinterlace=interleave_bottom,setfield=bff -flags +ildct+ilme -c:v mpeg2video -q:v 1 -g 12",
        ),
        (
            "ffv1.mov",
            "tinterlace=interleave_top,setfield=tff -field_order tt -c:v ffv1",
        ),
    ] {
        interlaced(&place, args, name);
        let backgrounds = open(&place, name);
        let told = &backgrounds.warnings[0];
        let expected = format!("{name}` is deinterlaced");
        assert!(told.ends_with(&expected), "{told}");
        let all: Vec<usize> = (0..40).collect();
        let forward = shown(&backgrounds, &all, usize::MAX / 2);
        let most = forward.iter().map(combing).fold(0.0, f64::max);
        let weave = by_ffmpeg(&place.join(name), "null", 7);
        let weave = Picture {
            pixels: weave,
            ..Picture::new(128, 96)
        };
        assert!(
            most < 4.0 && combing(&weave) > 12.0,
            "{name}: {most}, {}",
            combing(&weave)
        );
        // A frame is the same picture however it is reached.
        let orders = [
            (0..40).rev().collect::<Vec<_>>(),
            vec![39, 0, 12, 11, 13, 36, 24, 23, 25, 12, 5],
        ];
        for order in orders {
            for (index, picture) in order.iter().zip(shown(&backgrounds, &order, 1)) {
                assert!(picture == forward[*index], "{name}: frame {index}");
            }
        }
        // The files are not tagged, and small: BT.601.
        let matrix = "scale=in_color_matrix=bt601:flags=bilinear+full_chroma_int+accurate_rnd";
        for number in [1, 7, 20] {
            let expected = by_ffmpeg(
                &place.join(name),
                &format!("bwdif=mode=send_frame,{matrix}"),
                number,
            );
            let (_, mean) = difference(&forward[number].pixels, &expected);
            assert!(mean < 0.6, "{name}: frame {number} is {mean} off");
        }
    }
}

#[test]
fn progressive_frames_of_a_mixed_video_stay_as_they_are() {
    let place = Place::new();
    rects(&place, "crop_rects.json", 40, [0, 0, 64, 64]);
    // Coded as interlaced, but all rows of a frame are of one time.
    interlaced(
        &place,
        "framestep=2,setpts=N/25/TB,fps=25,setfield=prog -c:v libx264 -qp 0 -g 12",
        "plain.mkv",
    );
    let backgrounds = open(&place, "plain.mkv");
    assert_eq!(backgrounds.warnings, Vec::<String>::new());
    let pictures = shown(&backgrounds, &[3], 1);
    assert!(combing(&pictures[0]) < 0.5);
}

#[test]
fn pixels_become_square() {
    let place = Place::new();
    let picture = RgbImage::from_fn(90, 72, |x, y| {
        Rgb(if (30..60).contains(&x) && (24..48).contains(&y) {
            [220, 40, 40]
        } else {
            [60, 90, 120]
        })
    });
    picture.save(place.join("box.png")).unwrap();
    let args = "-loop 1 -i box.png -frames:v 3 -c:v ffv1 -pix_fmt bgr0 -vf";
    ffmpeg(&place, &format!("{args} setsar=16/15 pal.mkv"));
    ffmpeg(&place, &format!("{args} setsar=3/4 tall.mkv"));
    rects(&place, "crop_rects.json", 3, [30, 24, 60, 48]);
    for (name, size, rect) in [
        ("pal.mkv", (96, 72), [32, 24, 64, 48]),
        ("tall.mkv", (90, 96), [30, 32, 60, 64]),
    ] {
        let backgrounds = open(&place, name);
        let (width, height) = size;
        assert_eq!(backgrounds.size(), Size { width, height }, "{name}");
        let [x0, y0, x1, y1] = rect;
        let rect = Rect { x0, y0, x1, y1 };
        assert_eq!(backgrounds.rect(BackgroundIndex(1)), rect, "{name}");
        let told = &backgrounds.warnings[0];
        assert!(told.contains(&format!("to {width}x{height} (")), "{told}");
        let shown = &shown(&backgrounds, &[1], 1)[0];
        assert_eq!(shown.size(), backgrounds.size(), "{name}");
        let at = |x: u32, y: u32| shown.pixels[((y * width + x) * 3) as usize];
        assert!(
            at(x0 + 2, y0 + 2) > 200 && at(x1 - 3, y1 - 3) > 200,
            "{name}"
        );
        assert!(at(x0 - 3, y0) < 90 && at(x1 + 2, y1 - 1) < 90, "{name}");
    }
    // The rectangle is in pixels of the stored frame.
    rects(&place, "crop_rects.json", 3, [30, 24, 92, 48]);
    let error = Backgrounds::open(&place.join("pal.mkv"), None, FrameRate::TRAINED, false);
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("is 90x72"), "{error}");
}

#[test]
fn turned_frames_become_square_too() {
    let place = Place::new();
    RgbImage::from_pixel(90, 72, Rgb([9, 99, 199]))
        .save(place.join("plain.png"))
        .unwrap();
    ffmpeg(
        &place,
        "-loop 1 -i plain.png -frames:v 3 -vf setsar=4/3,format=yuv420p -c:v libx264 phone.mp4",
    );
    set_display_matrix(&place.join("phone.mp4"), [0, 1, -1, 0]);
    rects(&place, "crop_rects.json", 3, [0, 30, 72, 90]);
    let backgrounds = open(&place, "phone.mp4");
    let expected = Size {
        width: 72,
        height: 120,
    };
    assert_eq!(backgrounds.size(), expected);
    let rect = backgrounds.rect(BackgroundIndex(0));
    assert_eq!((rect.y0, rect.x1, rect.y1), (40, 72, 120));
    assert_eq!(shown(&backgrounds, &[0], 1)[0].size(), expected);
}

/// The filters that make HDR of SDR whose white is at 203 cd/m².
fn hdr(transfer: &str) -> String {
    format!(
        "scale=out_color_matrix=bt709:out_range=tv,format=yuv444p16,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv,zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020,zscale=t={transfer}:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
    )
}

#[test]
fn hdr_becomes_bt709() {
    const COLOURS: [[u8; 3]; 6] = [
        [175, 92, 146],
        [200, 150, 120],
        [60, 60, 60],
        [20, 90, 160],
        [30, 140, 60],
        [255, 255, 255],
    ];
    let place = Place::new();
    let picture = RgbImage::from_fn(96, 64, |x, y| Rgb(COLOURS[(y / 32 * 3 + x / 32) as usize]));
    picture.save(place.join("sdr.png")).unwrap();
    rects(&place, "crop_rects.json", 2, [0, 0, 64, 64]);
    for (name, transfer, range) in [
        ("hlg.mkv", "arib-std-b67", "tv"),
        ("pq.mkv", "smpte2084", "tv"),
        ("full.mkv", "arib-std-b67", "pc"),
        ("wide.mkv", "bt709", "tv"),
        ("untagged.mkv", "arib-std-b67", "tv"),
    ] {
        let filters = hdr(transfer).replace("r=tv:npl", &format!("r={range}:npl"));
        let tags = if name == "untagged.mkv" {
            ",setparams=colorspace=unknown:color_primaries=unknown".into()
        } else {
            format!(" -colorspace bt2020nc -color_primaries bt2020 -color_range {range}")
        };
        ffmpeg(
            &place,
            &format!(
                "-loop 1 -i sdr.png -frames:v 2 -vf {filters}{tags} -color_trc {transfer} -c:v ffv1 {name}"
            ),
        );
        let backgrounds = open(&place, name);
        let told = &backgrounds.warnings[0];
        assert!(told.ends_with("to BT.709"), "{told}");
        let shown = &shown(&backgrounds, &[0], 1)[0];
        let tone_map = if transfer == "bt709" {
            ""
        } else {
            "tonemap=mobius:desat=0:peak=5,"
        };
        let expected = by_ffmpeg(
            &place.join(name),
            &format!(
                "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}:range={range},zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,{tone_map}zscale=t=bt709:m=bt709:r=tv,format=yuv444p,scale=in_color_matrix=bt709"
            ),
            0,
        );
        let (largest, mean) = difference(&shown.pixels, &expected);
        assert!(mean < 1.5 && largest < 40, "{name}: {largest}, {mean}");
        for (i, colour) in COLOURS.iter().enumerate().take(5) {
            let at = ((i / 3 * 32 + 16) * 96 + i % 3 * 32 + 16) * 3;
            let got = &shown.pixels[at..at + 3];
            let off = got.iter().zip(colour).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(14), "{name}: {got:?}, expected {colour:?}");
        }
    }
}

/// Without libavfilter, everything else works, and the message has the command.
#[test]
fn without_filters_the_command_is_told() {
    let place = Place::new();
    interlaced(
        &place,
        "setsar=16/15,tinterlace=interleave_top,setfield=tff -flags +ildct+ilme -c:v libx264 -qp 1",
        "talk.mp4",
    );
    rects(&place, "crop_rects.json", 40, [0, 0, 64, 64]);
    let major = (ffmpeg_next::codec::version() >> 16) - 51;
    fs::create_dir_all(place.join("damaged")).unwrap();
    fs::write(
        place
            .join("damaged")
            .join(format!("libavfilter.so.{major}")),
        "no library",
    )
    .unwrap();
    let args = [
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "talk.mp4",
        "--frames",
        "out",
        "--limit",
        "0.2",
    ];
    let mut command = place.command(&args);
    command.env("LD_LIBRARY_PATH", place.join("damaged"));
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let told = "warning: `talk.mp4` is interlaced, which needs FFmpeg's libavfilter: install it, or convert the file: ffmpeg -i 'talk.mp4' -vf bwdif=mode=send_frame,format=yuv420p -c:v libx264 -crf 14 -c:a copy 'talk.converted.mp4'";
    assert!(stderr.contains(told), "{stderr}");
    assert!(
        stderr.contains("is scaled from 128x96 to 136x96"),
        "{stderr}"
    );
    // The command works.
    let (_, command) = told.split_once("file: ").unwrap();
    let status = Command::new("sh")
        .args(["-c", &command.replace("ffmpeg ", "ffmpeg -v error ")])
        .current_dir(&place.path)
        .status()
        .unwrap();
    assert!(status.success());
    rects(&place, "talk.converted.crop_rects.json", 40, [0, 0, 64, 64]);
    let backgrounds = open(&place, "talk.converted.mp4");
    assert!(
        backgrounds
            .warnings
            .iter()
            .all(|w| !w.contains("interlaced"))
    );
}

#[test]
fn inspect_tells_the_same() {
    let place = Place::new();
    interlaced(
        &place,
        "setsar=16/15,tinterlace=interleave_top,setfield=tff -flags +ildct+ilme -x264-params tff=1 -c:v libx264 -qp 1",
        "talk.mp4",
    );
    let text = told(&place, &["talk.mp4"]);
    assert!(
        text.contains("128x96 with pixels of 1.067:1, 25 fps"),
        "{text}"
    );
    assert!(text.contains("interlaced, top field first"), "{text}");
    assert!(
        text.contains("`talk.mp4` is deinterlaced and scaled from 128x96 to 136x96"),
        "{text}"
    );
    let json = json(&place, &["talk.mp4"]);
    assert_eq!(json["interlaced"], true);
    assert_eq!(
        json["pixel_aspect"].as_f64().map(|a| (a * 1000.0).round()),
        Some(1067.0)
    );
}

#[test]
fn the_stream_that_is_used_is_told() {
    let place = Place::new();
    rects(&place, "crop_rects.json", 10, [0, 0, 40, 40]);
    greys(&place, "one.mkv", "-c:v ffv1 -pix_fmt bgr0");
    ffmpeg(
        &place,
        "-i one.mkv -i one.mkv -map 0 -map 1 -c copy two.mkv",
    );
    let backgrounds = open(&place, "two.mkv");
    let expected = "two.mkv` has 2 video streams: stream 0 (ffv1, 64x48) is used";
    assert!(
        backgrounds.warnings[0].ends_with(expected),
        "{:?}",
        backgrounds.warnings
    );
    assert!(told(&place, &["two.mkv"]).contains(expected));
    // A cover is no stream.
    fs::copy(place.join("bg/0.png"), place.join("cover.png")).unwrap();
    ffmpeg(
        &place,
        "-i one.mkv -c copy -attach cover.png -metadata:s:t mimetype=image/png cover.mkv",
    );
    let backgrounds = open(&place, "cover.mkv");
    assert_eq!(backgrounds.warnings, Vec::<String>::new());
    assert_eq!(backgrounds.count(), 10);
}

#[test]
fn a_video_that_ends_too_early_is_told() {
    let place = Place::new();
    ffmpeg(
        &place,
        "-f lavfi -i testsrc=s=64x48:r=25:d=4 -c:v ffv1 -g 1 -pix_fmt bgr0 talk.mkv",
    );
    rects(&place, "crop_rects.json", 100, [0, 0, 40, 40]);
    assert_eq!(open(&place, "talk.mkv").warnings, Vec::<String>::new());
    let whole = fs::read(place.join("talk.mkv")).unwrap();
    fs::write(place.join("talk.mkv"), &whole[..whole.len() / 2]).unwrap();
    let opened = Backgrounds::open(&place.join("talk.mkv"), None, FrameRate::TRAINED, false);
    let told = match opened {
        Ok(backgrounds) => backgrounds.warnings.join("\n"),
        Err(error) => format!("{error:#}"),
    };
    assert!(told.contains("truncated"), "{told}");
}
