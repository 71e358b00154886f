//! All parts of one clip: checked for gaps, and that they belong together.

use anyhow::Result;
use ff::codec::Parameters;
use ffmpeg_next as ff;

use super::part_file::PartFile;
use crate::encode::codec::VideoEncoder;
use crate::encode::container::Container;
use crate::encode::part_tag::PartTag;
use crate::encode::segment::Part;
use crate::error::Fault;

/// All parts of one clip, in order.
pub(crate) struct Parts(pub(super) Vec<PartFile>);

impl Parts {
    /// Sorts the parts. Fails if one is missing, given twice, or of another clip.
    pub(crate) fn sorted(mut parts: Vec<PartFile>) -> Result<Self> {
        parts.sort_by_key(|part| part.tag.part);
        let Some((first, others)) = parts.split_first() else {
            return Err(Fault::usage("there are no parts to join").into());
        };
        for other in others {
            if let Some(why) = difference(first, other)? {
                return Err(Fault::failed(format!(
                    "`{}` and `{}` are not parts of one clip",
                    first.path.display(),
                    other.path.display()
                ))
                .because(why)
                .hint("render all parts of a clip with the same files and settings")
                .into());
            }
        }
        let twice = |pair: &&[PartFile]| pair[0].tag.part == pair[1].tag.part;
        if let Some([a, b]) = parts.windows(2).find(twice) {
            return Err(Fault::failed(format!(
                "part {} was given twice: `{}` and `{}`",
                a.tag.place(),
                a.path.display(),
                b.path.display()
            ))
            .hint("name each part once")
            .into());
        }
        let of = first.tag.of;
        let is_there = |index| {
            parts
                .binary_search_by_key(&index, |part| part.tag.part)
                .is_ok()
        };
        if let Some(index) = (0..of).find(|index| !is_there(*index)) {
            let missing = of - parts.len() as u64;
            let missing = match missing {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            return Err(
                Fault::failed(format!("part {} is missing{missing}", Part { index, of }))
                    .hint("render it with --part, and name all parts")
                    .into(),
            );
        }
        for part in &parts {
            let tag = &part.tag;
            let frames = tag.place().frames(tag.clip_frames)?;
            if (frames.start, frames.end - frames.start) != (tag.first, tag.frames) {
                return Err(part.damaged("its tag contradicts itself").into());
            }
        }
        Ok(Self(parts))
    }

    /// The tag of the first part: all describe the same clip.
    pub(crate) fn tag(&self) -> &PartTag {
        &self.0[0].tag
    }

    /// Fails if `container` cannot hold their video.
    pub(crate) fn fit_into(&self, container: Container) -> Result<()> {
        let first = &self.0[0];
        match VideoEncoder::named(&first.tag.encoder) {
            Some(encoder) => container.check(encoder),
            None => Err(first.damaged("its tag names an unknown encoder").into()),
        }
    }

    /// How many parts there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Why two parts do not belong to one clip, if they do not.
fn difference(one: &PartFile, other: &PartFile) -> Result<Option<String>> {
    let (a, b) = (&one.tag, &other.tag);
    let pairs = [
        ("number of parts", a.of.to_string(), b.of.to_string()),
        (
            "clip's length in frames",
            a.clip_frames.to_string(),
            b.clip_frames.to_string(),
        ),
        ("encoder", a.encoder.clone(), b.encoder.clone()),
        ("fps", a.fps.to_string(), b.fps.to_string()),
        ("lipsync version", a.version.clone(), b.version.clone()),
    ];
    let differ = |what: &str, a: &str, b: &str| format!("their {what} differs: {a} and {b}");
    if let Some((what, a, b)) = pairs.iter().find(|(_, a, b)| a != b) {
        return Ok(Some(differ(what, a, b)));
    }
    if a.sound.content != b.sound.content {
        return Ok(Some(differ("audio", &a.sound.path, &b.sound.path)));
    }
    let none = &String::new();
    let names = a.made_of.keys().chain(b.made_of.keys());
    for name in names {
        let [a, b] = [a, b].map(|tag| tag.made_of.get(name).unwrap_or(none));
        if a != b {
            return Ok(Some(differ(name, a, b)));
        }
    }
    let same = (&a.mark, a.deterministic, &a.sound.limit, a.sound.bits)
        == (&b.mark, b.deterministic, &b.sound.limit, b.sound.bits);
    if !same {
        return Ok(Some("their settings for mark or audio differ".into()));
    }
    let compatible = are_compatible(&one.parameters()?, &other.parameters()?);
    Ok((!compatible).then(|| {
        "their video streams need different decoder settings: they come from different encoder versions".into()
    }))
}

/// Whether a decoder that is set up for one stream can read the other.
#[expect(
    unsafe_code,
    reason = "the crate has no getter for a stream's extradata"
)]
fn are_compatible(a: &Parameters, b: &Parameters) -> bool {
    let extradata = |parameters: &Parameters| {
        // SAFETY: the parameters are borrowed meanwhile; `extradata` is null or points to `extradata_size` bytes of theirs.
        unsafe {
            let parameters = &*parameters.as_ptr();
            let len = usize::try_from(parameters.extradata_size).unwrap_or(0);
            if parameters.extradata.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(parameters.extradata, len).to_vec()
            }
        }
    };
    a.id() == b.id() && extradata(a) == extradata(b)
}
