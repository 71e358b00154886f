//! The links of a file -> what they are together.

use std::path::Path;

use anyhow::Result;

use super::checks::{ReadOptions, channel_count};
use super::ffmpeg::Medium;
use super::link::LinkFile;
use super::links::Link;
use super::mix::{Mix, MixMeter};
use super::source::AudioSource;

/// Opens the links up to the limit.
pub(super) fn open_links(
    medium: &Medium,
    found: Vec<Link>,
    options: ReadOptions,
    source: &AudioSource,
    warnings: &mut Vec<String>,
) -> Result<Vec<LinkFile>> {
    let (count, mut seconds) = (found.len(), 0.0);
    let mut links = Vec::new();
    for (n, mut link) in found.into_iter().enumerate() {
        let left = options.limit.map(|limit| limit - seconds);
        if left.is_some_and(|left| left <= 0.0) {
            break;
        }
        // Whoever writes into a pipe cannot go back to fill in sizes.
        if let Some(wav) = &mut link.wav
            && source.is_stream()
        {
            wav.stated = None;
        }
        let opened = LinkFile::open(medium.clone(), link, left, options.cut_off, warnings);
        let opened = opened.map_err(|e| match count {
            1 => e,
            _ => e.context(format!(
                "cannot read file {} of the {count} that were joined into `{}`, from {seconds:.2} s",
                n + 1,
                medium.path.display()
            )),
        })?;
        seconds += opened.frames as f64 / f64::from(opened.rate);
        links.push(opened);
    }
    Ok(links)
}

/// Says which of the joined files have another format than the whole.
pub(super) fn other_formats(
    path: &Path,
    links: &[LinkFile],
    rate: u32,
    channels: u16,
) -> Option<String> {
    let format = |rate, channels| format!("{rate} Hz, {}", channel_count(channels));
    let whole = format(rate, channels);
    let mut seconds = 0.0;
    let parts: Vec<String> = links
        .iter()
        .map(|link| {
            let from = seconds;
            seconds += link.frames as f64 / f64::from(link.rate);
            (from, format(link.rate, link.channels))
        })
        .filter(|(_, format)| *format != whole)
        .take(5)
        .map(|(from, format)| format!("{format} from {from:.2} s"))
        .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "{} files were joined into `{}`, with different formats ({}): all are converted to {whole}",
            links.len(),
            path.display(),
            parts.join("; ")
        )
    })
}

/// What the networks hear of links that together have `channels` channels.
pub(super) fn mix(
    path: &Path,
    links: &[LinkFile],
    channels: u16,
    warnings: &mut Vec<String>,
) -> Mix {
    let alike = links.iter().filter(|link| link.channels == channels);
    let meters = alike.map(|link| link.meter.clone());
    let all = meters.reduce(|mut all, more| {
        all.merge(more);
        all
    });
    let Some(heard) = all.map(MixMeter::heard) else {
        return Mix::Mean;
    };
    warnings.extend(heard.warnings(&path.display().to_string()));
    heard.mix
}
