//! Backgrounds as pictures of every format, and folders of pictures that are not read.

use std::fs;
use std::process::Command;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _, Rgb, RgbImage};
use lipsync::background::Backgrounds;
use lipsync::timeline::FrameRate;
use moxcms::ColorProfile;

use crate::backgrounds::{assert_patches, crc32, ffmpeg, only_background, patches, rects, render};
use crate::errors::{refused, snapshot};
use crate::inspect::json;
use crate::support::Place;

#[test]
fn webp_bmp_and_tiff_are_read() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    rects(&place, "crop_rects.json", 1, [0, 0, 64, 64]);
    for (name, args) in [
        ("photo.webp", "-c:v libwebp -lossless 1 -pix_fmt bgra"),
        ("lossy.webp", "-c:v libwebp -quality 95"),
        ("photo.BMP", "-c:v bmp -f image2"),
        ("photo.bmp", "-c:v bmp -pix_fmt bgra"),
        ("photo.tif", "-c:v tiff -pix_fmt rgb24"),
        ("photo.TIFF", "-c:v tiff -pix_fmt rgb48le -f image2"),
        // The content counts, not the name.
        (
            "photo.png",
            "-c:v libwebp -lossless 1 -pix_fmt bgra -f image2",
        ),
        ("photo.jpg", "-c:v tiff -pix_fmt rgba -f image2"),
    ] {
        ffmpeg(&place, &format!("-i sd.png {args} {name}"));
        let picture = only_background(&place.join(name), true);
        if name == "lossy.webp" {
            // 4:2:0 and quality 95 blur colours, but not the whole patch.
            assert!(picture.pixels[0] > 250, "{name}");
        } else {
            assert_patches(name, &picture, 32);
        }
        let text = place.run(&["inspect", name]);
        assert_eq!(text.status.code(), Some(1), "{name}");
    }
}

#[test]
fn a_folder_may_mix_formats() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    fs::create_dir(place.join("mixed")).unwrap();
    for (i, name) in ["0.webp", "1.BMP", "2.tiff", "3.png"]
        .into_iter()
        .enumerate()
    {
        let codec = ["libwebp -lossless 1 -pix_fmt bgra", "bmp", "tiff", "png"][i];
        ffmpeg(
            &place,
            &format!("-i sd.png -c:v {codec} -f image2 mixed/{name}"),
        );
    }
    rects(&place, "mixed/crop_rects.json", 4, [0, 0, 64, 64]);
    let backgrounds = Backgrounds::open(&place.join("mixed"), None, FrameRate::TRAINED, true);
    assert_eq!(backgrounds.unwrap().count(), 4);
    let json = json(&place, &["mixed"]);
    assert_eq!(
        json["formats"],
        serde_json::json!({"BMP": 1, "PNG": 1, "TIFF": 1, "WebP": 1})
    );
    assert_eq!(json["damaged"], serde_json::json!([]));
}

#[test]
fn damaged_pictures_of_other_formats_are_errors() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    rects(&place, "crop_rects.json", 1, [0, 0, 64, 64]);
    for (name, args) in [
        ("cut.webp", "-c:v libwebp -lossless 1 -pix_fmt bgra"),
        ("cut.bmp", "-c:v bmp"),
        ("cut.tif", "-c:v tiff -compression_algo raw -pix_fmt rgb24"),
    ] {
        ffmpeg(&place, &format!("-i sd.png {args} {name}"));
        let whole = fs::read(place.join(name)).unwrap();
        for share in [3, 2] {
            fs::write(
                place.join(name),
                &whole[..whole.len() * (share - 1) / share],
            )
            .unwrap();
            let error = render(&place, name);
            assert!(error.contains(name), "{error}");
            assert!(error.contains("export it again"), "{error}");
        }
    }
}

#[test]
fn pictures_that_are_not_read_come_with_a_command() {
    let place = Place::new();
    patches(&place, "sd.png", 32);
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat";
    fs::create_dir(place.join("phone")).unwrap();
    for i in 0..30 {
        fs::write(place.join(&format!("phone/IMG_{i:04}.HEIC")), heic).unwrap();
    }
    fs::write(place.join("phone/crop_rects.json"), "[]").unwrap();
    snapshot!("background_of_heic", render(&place, "phone"));
    snapshot!("inspect_heic", refused(&place, &["inspect", "phone"]));
    fs::write(place.join("photo.heic"), heic).unwrap();
    rects(&place, "crop_rects.json", 1, [0, 0, 64, 64]);
    snapshot!("picture_is_heic", render(&place, "photo.heic"));
    fs::create_dir(place.join("clips")).unwrap();
    fs::write(place.join("clips/talk.mp4"), "").unwrap();
    snapshot!("background_of_videos", render(&place, "clips"));
    // Two frames.
    let mut animated = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0".to_vec();
    animated.extend([95, 0, 0, 63, 0, 0, b'A', b'N', b'I', b'M']);
    fs::write(place.join("moving.webp"), animated).unwrap();
    snapshot!("picture_is_animated", render(&place, "moving.webp"));
}

#[test]
fn colour_profiles_count() {
    let place = Place::new();
    rects(&place, "crop_rects.json", 1, [0, 0, 8, 8]);
    let picture = RgbImage::from_pixel(8, 8, Rgb([200, 100, 100]));
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 100);
    encoder.set_icc_profile(profile.clone()).unwrap();
    encoder
        .write_image(&picture, 8, 8, ExtendedColorType::Rgb8)
        .unwrap();
    fs::write(place.join("phone.jpg"), jpeg).unwrap();
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_icc_profile(profile).unwrap();
    encoder
        .write_image(&picture, 8, 8, ExtendedColorType::Rgb8)
        .unwrap();
    fs::write(place.join("phone.png"), png).unwrap();
    for name in ["phone.jpg", "phone.png"] {
        let pixels = only_background(&place.join(name), false).pixels;
        // Display P3's (200, 100, 100) in sRGB.
        for (got, expected) in pixels.iter().zip([214, 95, 97]) {
            assert!(got.abs_diff(expected) <= 3, "{name}: {:?}", &pixels[..3]);
        }
    }
}

#[test]
fn hdr_pictures_come_with_a_command() {
    let place = Place::new();
    rects(&place, "crop_rects.json", 1, [0, 0, 8, 8]);
    let hdr = "scale=out_color_matrix=bt709:out_range=tv,format=yuv444p16,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv,zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020,zscale=t=smpte2084:m=gbr:r=pc:npl=203,format=gbrp16le";
    RgbImage::from_pixel(8, 8, Rgb([175, 92, 146]))
        .save(place.join("sdr.png"))
        .unwrap();
    ffmpeg(
        &place,
        &format!("-i sdr.png -vf {hdr} -pix_fmt rgb48be hdr.png"),
    );
    let mut bytes = fs::read(place.join("hdr.png")).unwrap();
    // BT.2020, PQ, R G B, full range; after the header, which ends at byte 33.
    let chunk = b"cICP\x09\x10\0\x01";
    let sum = crc32(chunk).to_be_bytes();
    bytes.splice(33..33, [&4_u32.to_be_bytes(), &chunk[..], &sum].concat());
    fs::write(place.join("hdr.png"), bytes).unwrap();
    let path = place.join("hdr.png");
    let backgrounds = Backgrounds::open(&path, None, FrameRate::TRAINED, false).unwrap();
    let warning = &backgrounds.warnings[0];
    assert!(warning.contains("is HDR (PQ)"), "{warning}");
    let (_, command) = warning.split_once("convert it: ffmpeg ").unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("ffmpeg -v error {command}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}");
    let pixels = only_background(&place.join("hdr.sdr.png"), false).pixels;
    for (got, expected) in pixels.iter().zip([173, 90, 143]) {
        assert!(got.abs_diff(expected) <= 4, "{:?}", &pixels[..3]);
    }
}
