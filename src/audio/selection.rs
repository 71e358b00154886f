//! Opens the audio track that a clip is to speak: the one that was asked for, else the one that holds speech.

use std::path::Path;

use anyhow::Result;

use super::checks::{ReadOptions, unreadable};
use super::file::{AudioFile, tracks_of};
use super::source::AudioSource;
use super::track::{TrackInfo, TrackName};
use super::voice_activity::VoiceActivity;
use crate::cancel::Cancel;
use crate::error::Fault;

/// Seconds of each track that are searched for speech.
const SEARCHED: f64 = 300.0;
/// The preferred track is taken if it has at least this share of the speech of the one with most.
const ENOUGH_SPEECH: f64 = 0.25;
/// Tracks that a message lists.
const MAX_LISTED: usize = 8;

/// Opens the track that `wanted` names, or the one that holds speech; the track in `options` is ignored. If there was a
/// choice, a warning says which it is.
pub(crate) fn open_speech(
    source: &AudioSource,
    wanted: Option<&TrackName>,
    mut options: ReadOptions,
) -> Result<AudioFile> {
    let path = source.path();
    let (tracks, preferred) = tracks_of(source)?;
    let is_wanted = |track: &&TrackInfo| wanted.is_none_or(|name| name.names(track));
    let named: Vec<&TrackInfo> = tracks.iter().filter(is_wanted).collect();
    let decodable: Vec<&TrackInfo> = named
        .iter()
        .copied()
        .filter(|track| track.can_be_decoded)
        .collect();
    let (track, why) = match (named.as_slice(), decodable.as_slice()) {
        ([], _) => return Err(no_such_track(path, &tracks, wanted).into()),
        // The decoder has the error.
        ([only], _) | ([only, ..], []) => (only.index, None),
        (_, [only]) => (only.index, Some("the only one that can be decoded")),
        (_, several) => with_speech(source, several, preferred, options),
    };
    options.track = Some(track);
    let mut audio = AudioFile::read(source, options)?;
    if let Some(why) = why {
        let choice = format!(
            "`{}` has {} audio tracks: {}; track {track} is used, {why} (--audio-track chooses another)",
            path.display(),
            tracks.len(),
            listed(&tracks)
        );
        audio.warnings.insert(0, choice);
    }
    Ok(audio)
}

/// Which of several tracks holds speech, and why it is taken.
fn with_speech(
    source: &AudioSource,
    tracks: &[&TrackInfo],
    preferred: usize,
    options: ReadOptions,
) -> (usize, Option<&'static str>) {
    let speech = |index| {
        let options = ReadOptions {
            limit: Some(options.limit.unwrap_or(SEARCHED).min(SEARCHED)),
            track: Some(index),
            ..options
        };
        // A damaged track is not taken if there is another one; if it is taken, opening it fails.
        let audio = AudioFile::read(source, options);
        let activity = audio.and_then(|audio| VoiceActivity::of(&audio, &Cancel::default()));
        activity.map_or(0.0, |activity| {
            activity
                .speech
                .iter()
                .map(|range| range.end - range.start)
                .sum::<f64>()
        })
    };
    let found = tracks
        .iter()
        .map(|track| (track.index, speech(track.index)));
    let found: Vec<(usize, f64)> = found.collect();
    let by_speech = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
    // The first of several with as much.
    let most = found.iter().rev().max_by(by_speech).copied();
    let (with_most, most) = most.unwrap_or((preferred, 0.0));
    let enough: Vec<usize> = found
        .iter()
        .filter(|(_, speech)| *speech >= most * ENOUGH_SPEECH)
        .map(|(index, _)| *index)
        .collect();
    let choice = if enough.contains(&preferred) {
        preferred
    } else {
        with_most
    };
    let why = match (enough.len(), choice == preferred) {
        _ if most == 0.0 => "none holds speech",
        (1, _) => "the one that holds speech",
        (_, true) => "the default one of those that hold speech",
        (_, false) => "the one with the most speech",
    };
    (choice, Some(why))
}

fn no_such_track(path: &Path, tracks: &[TrackInfo], wanted: Option<&TrackName>) -> Fault {
    let wanted = wanted.map(ToString::to_string).unwrap_or_default();
    let count = match tracks.len() {
        1 => "1 audio track".to_owned(),
        n => format!("{n} audio tracks"),
    };
    unreadable(path)
        .because(format!(
            "it has {count}: {}; none is {wanted}",
            listed(tracks)
        ))
        .hint("name one with --audio-track: its number, from 0, or its language")
}

/// `0 (eng, `Main`), 1 (deu)`.
fn listed(tracks: &[TrackInfo]) -> String {
    let mut names: Vec<String> = tracks
        .iter()
        .take(MAX_LISTED)
        .map(|track| {
            if track.can_be_decoded {
                track.to_string()
            } else {
                format!("{track}, which FFmpeg cannot decode: {}", track.codec)
            }
        })
        .collect();
    if tracks.len() > MAX_LISTED {
        names.push(format!("{} more", tracks.len() - MAX_LISTED));
    }
    names.join(", ")
}
