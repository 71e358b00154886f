//! The audio tracks of a file, and how one of them is named.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Languages by their codes of two letters and of three letters (ISO 639), which containers use: those that have two of
/// the latter, and the most common others.
const LANGUAGES: [(&str, &[&str]); 24] = [
    ("ar", &["ara"]),
    ("cs", &["cze", "ces"]),
    ("da", &["dan"]),
    ("de", &["ger", "deu"]),
    ("el", &["gre", "ell"]),
    ("en", &["eng"]),
    ("es", &["spa"]),
    ("fa", &["per", "fas"]),
    ("fi", &["fin"]),
    ("fr", &["fre", "fra"]),
    ("he", &["heb"]),
    ("hi", &["hin"]),
    ("it", &["ita"]),
    ("ja", &["jpn"]),
    ("ko", &["kor"]),
    ("nl", &["dut", "nld"]),
    ("no", &["nor", "nob"]),
    ("pl", &["pol"]),
    ("pt", &["por"]),
    ("ru", &["rus"]),
    ("sv", &["swe"]),
    ("tr", &["tur"]),
    ("uk", &["ukr"]),
    ("zh", &["chi", "zho"]),
];

/// An audio track of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrackInfo {
    /// Which of the audio tracks, from 0.
    pub index: usize,
    /// FFmpeg's name of the codec, or the container's if FFmpeg does not know it.
    pub codec: String,
    /// The language, as the container states it.
    pub language: Option<String>,
    /// The title, as the container states it.
    pub title: Option<String>,
    /// Whether this FFmpeg can decode it.
    pub can_be_decoded: bool,
}

impl fmt::Display for TrackInfo {
    /// ``1 (eng, `Microphone`)``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.index)?;
        match (&self.language, &self.title) {
            (Some(language), Some(title)) => write!(f, " ({language}, `{title}`)"),
            (Some(language), None) => write!(f, " ({language})"),
            (None, Some(title)) => write!(f, " (`{title}`)"),
            (None, None) => Ok(()),
        }
    }
}

/// What a user calls an audio track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackName {
    /// Its number among the audio tracks, from 0.
    Index(usize),
    /// Its language.
    Language(String),
}

impl TrackName {
    /// Whether it names `track`.
    pub fn names(&self, track: &TrackInfo) -> bool {
        match self {
            Self::Index(index) => *index == track.index,
            Self::Language(language) => track
                .language
                .as_ref()
                .is_some_and(|stated| is_same_language(language, stated)),
        }
    }
}

impl FromStr for TrackName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_code = |text: &str| text.len() >= 2 && text.starts_with(char::is_alphabetic);
        match text.parse() {
            Ok(index) => Ok(Self::Index(index)),
            Err(_) if is_code(text) => Ok(Self::Language(text.to_owned())),
            Err(_) => Err("expected the number of an audio track, from 0, or a language".into()),
        }
    }
}

impl fmt::Display for TrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Language(language) => f.write_str(language),
        }
    }
}

/// Whether two codes mean the same language: `de`, `ger`, `deu` and `de-AT`.
fn is_same_language(one: &str, other: &str) -> bool {
    let of = |code: &str| {
        let code = code.split(['-', '_']).next().unwrap_or(code);
        let code = code.to_ascii_lowercase();
        let known = LANGUAGES
            .iter()
            .find(|(short, long)| *short == code || long.contains(&code.as_str()));
        known.map_or(code, |(short, _)| (*short).to_owned())
    };
    of(one) == of(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_has_several_codes() {
        for (one, other, same) in [
            ("de", "ger", true),
            ("DEU", "de-AT", true),
            ("eng", "en", true),
            ("gsw", "gsw", true),
            ("en", "ger", false),
            ("und", "eng", false),
        ] {
            assert_eq!(is_same_language(one, other), same, "{one} {other}");
        }
    }
}
