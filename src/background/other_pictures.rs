//! Pictures in formats that are not read, and the commands that convert them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use crate::error::quoted;

/// A picture format that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherFormat {
    pub(super) name: &'static str,
    /// The program that converts it: FFmpeg reads only some HEIC files, and that only since version 7.1.
    program: Program,
    extensions: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    HeifConvert,
    Ffmpeg,
}

const fn format(
    name: &'static str,
    program: Program,
    extensions: &'static [&'static str],
) -> OtherFormat {
    OtherFormat {
        name,
        program,
        extensions,
    }
}

const HEIC: OtherFormat = format("HEIC", Program::HeifConvert, &["heic", "heif", "hif"]);
const AVIF: OtherFormat = format("AVIF", Program::HeifConvert, &["avif"]);
const GIF: OtherFormat = format("GIF", Program::Ffmpeg, &["gif"]);
const JPEG_XL: OtherFormat = format("JPEG XL", Program::Ffmpeg, &["jxl"]);
const JPEG_2000: OtherFormat = format("JPEG 2000", Program::Ffmpeg, &["jp2", "j2k"]);
const OPEN_EXR: OtherFormat = format("OpenEXR", Program::Ffmpeg, &["exr"]);
const PSD: OtherFormat = format("PSD", Program::Ffmpeg, &["psd"]);
const TARGA: OtherFormat = format("Targa", Program::Ffmpeg, &["tga"]);
const NETPBM: OtherFormat = format("Netpbm", Program::Ffmpeg, &["ppm", "pgm", "pnm"]);
const DPX: OtherFormat = format("DPX", Program::Ffmpeg, &["dpx"]);
const ALL: [OtherFormat; 10] = [
    HEIC, AVIF, GIF, JPEG_XL, JPEG_2000, OPEN_EXR, PSD, TARGA, NETPBM, DPX,
];

/// Extensions of videos that are often put into a folder for themselves.
const VIDEOS: [&str; 7] = ["mp4", "mov", "mkv", "webm", "avi", "m4v", "mxf"];

impl OtherFormat {
    /// By the first bytes of the file.
    pub(super) fn of_file(path: &Path) -> Option<Self> {
        let mut start = Vec::new();
        File::open(path)
            .ok()?
            .take(16)
            .read_to_end(&mut start)
            .ok()?;
        Self::of_start(&start)
    }

    fn of_start(start: &[u8]) -> Option<Self> {
        if start.get(4..8) == Some(b"ftyp") {
            return match start.get(8..12)? {
                b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
                    Some(HEIC)
                }
                b"avif" | b"avis" => Some(AVIF),
                _ => None,
            };
        }
        let signatures: [(&[u8], Self); 8] = [
            (b"GIF8", GIF),
            (b"\xff\x0a", JPEG_XL),
            (b"\0\0\0\x0cJXL ", JPEG_XL),
            (b"\0\0\0\x0cjP  ", JPEG_2000),
            (b"\xff\x4f\xff\x51", JPEG_2000),
            (b"\x76\x2f\x31\x01", OPEN_EXR),
            (b"8BPS", PSD),
            (b"SDPX", DPX),
        ];
        let found = signatures
            .into_iter()
            .find(|(bytes, _)| start.starts_with(bytes));
        found.map(|(_, format)| format)
    }

    fn of_extension(extension: &str) -> Option<Self> {
        let mut formats = ALL.into_iter();
        formats.find(|format| format.extensions.contains(&extension))
    }

    /// Whether it is HEIC, of which some versions of FFmpeg show one tile.
    pub(super) fn is_heic(self) -> bool {
        self == HEIC
    }

    /// The command that converts one file.
    pub(super) fn command(self, path: &Path) -> String {
        let (from, to) = (quoted(path), quoted(&path.with_extension(self.target())));
        match self.program {
            Program::HeifConvert => format!("heif-convert -q 95 {from} {to}"),
            Program::Ffmpeg => format!("ffmpeg -i {from} {to}"),
        }
    }

    /// The command that converts all files with an extension in a folder.
    fn command_for_all(self, folder: &Path, extension: &str) -> String {
        let command = match self.program {
            Program::HeifConvert => "heif-convert -q 95",
            Program::Ffmpeg => "ffmpeg -i",
        };
        let (folder, target) = (quoted(folder), self.target());
        format!("for f in {folder}/*.{extension}; do {command} \"$f\" \"${{f%.*}}.{target}\"; done")
    }

    fn target(self) -> &'static str {
        match self.program {
            Program::HeifConvert => "jpg",
            Program::Ffmpeg => "png",
        }
    }
}

/// What a folder without usable pictures has, such as `30 .heic files`, and how to use it.
pub(crate) struct FolderContents {
    pub(crate) words: String,
    pub(crate) hint: Option<String>,
}

impl FolderContents {
    /// Counts the files of `folder` by extension; hidden ones do not count.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().is_file()) {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let extension = Path::new(&name).extension().unwrap_or_default();
            *counts
                .entry(extension.to_string_lossy().into_owned())
                .or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let hint = counts.iter().find_map(|(extension, _)| {
            let lower = extension.to_ascii_lowercase();
            if VIDEOS.contains(&lower.as_str()) {
                return Some("to use a video, name the file itself".to_owned());
            }
            let format = OtherFormat::of_extension(&lower)?;
            let command = format.command_for_all(folder, extension);
            Some(format!("convert them: {command}"))
        });
        Self {
            words: words(&counts),
            hint,
        }
    }
}

/// `30 .heic files and 1 .json file`; the three most frequent kinds.
fn words(counts: &[(String, usize)]) -> String {
    let one = |(extension, count): &(String, usize)| {
        let plural = if *count == 1 { "" } else { "s" };
        match extension.as_str() {
            "" => format!("{count} file{plural} without an extension"),
            extension => format!("{count} .{extension} file{plural}"),
        }
    };
    let parts: Vec<String> = counts.iter().take(3).map(one).collect();
    match parts.as_slice() {
        [] => "it has no files".into(),
        [one] => format!("it has {one}"),
        [first @ .., last] => format!("it has {} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let name = |start: &[u8]| OtherFormat::of_start(start).map(|format| format.name);
        assert_eq!(name(b"\0\0\0\x18ftypheic\0\0\0\0"), Some("HEIC"));
        assert_eq!(name(b"\0\0\0\x1cftypavif\0\0\0\0"), Some("AVIF"));
        assert_eq!(name(b"GIF89a"), Some("GIF"));
        assert_eq!(name(b"\0\0\0\x0cJXL \r\n"), Some("JPEG XL"));
        assert_eq!(name(b"\0\0\0\x18ftypisom\0\0\0\0"), None);
        assert_eq!(name(b"\0\0\0\x18ftyp"), None);
        assert_eq!(name(b""), None);
    }

    #[test]
    fn commands_quote_their_paths() {
        assert_eq!(
            HEIC.command(Path::new("my photo.heic")),
            "heif-convert -q 95 'my photo.heic' 'my photo.jpg'"
        );
        assert_eq!(
            JPEG_XL.command_for_all(Path::new("a b"), "jxl"),
            "for f in 'a b'/*.jxl; do ffmpeg -i \"$f\" \"${f%.*}.png\"; done"
        );
    }
}
