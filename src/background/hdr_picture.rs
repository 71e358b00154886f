//! Pictures that say that they are HDR: they are not converted, and come with the command that does it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::video::picture_filters;
use crate::error::quoted;

/// Transfer characteristics of PQ and HLG (ITU-T H.273).
const PQ: u8 = 16;
const HLG: u8 = 18;

/// A warning about a PNG whose cICP chunk says that it is HDR.
pub(super) fn warning(path: &Path) -> Option<String> {
    let reader = png::Decoder::new(BufReader::new(File::open(path).ok()?));
    let reader = reader.read_info().ok()?;
    let transfer = reader
        .info()
        .coding_independent_code_points?
        .transfer_function;
    let name = match transfer {
        PQ => "PQ",
        HLG => "HLG",
        _ => return None,
    };
    let stem = path.file_stem()?.to_string_lossy();
    let out = path.with_file_name(format!("{stem}.sdr.png"));
    Some(format!(
        "`{}` is HDR ({name}) and looks pale: convert it: ffmpeg -i {} -vf {} {}",
        path.display(),
        quoted(path),
        picture_filters(transfer == HLG),
        quoted(&out)
    ))
}
