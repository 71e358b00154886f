//! An audio file -> samples for the clip, and the windows of embeddings that the generator takes. All of it is
//! streamed.
//!
//! ```text
//! file --hound or FFmpeg--> samples --resampler--> 16 kHz mono --mel--> mel frames
//!   --window--> 16x80 blocks --AudioEncoder--> embeddings --window_reader--> windows [16, 512]
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | `source` | where the bytes are: [`AudioSource`] |
//! | `file` | opens an audio file: [`AudioFile`] |
//! | `reader` | reads its samples: [`AudioReader`] |
//! | `selection` | opens the audio track that holds speech, or the one that was asked for |
//! | `track` | the tracks of a file, and how they are named |
//! | `links`, `link`, `joined` | the files that were joined into one, each of them, and all together |
//! | `checks` | checks files before they are read |
//! | `wav_chunks`, `wav` | find the samples of WAV files, and read plain ones |
//! | `ffmpeg/` | reads everything else |
//! | `mix` | makes one channel of all |
//! | `resampler` | converts the sample rate |
//! | `mel` | computes the mel spectrogram |
//! | `window` | says which mel frames each frame of the clip needs |
//! | `encoder` | declares the audio encoder, which `inference` implements |
//! | `window_reader` | reads the window of each frame: [`WindowReader`] |
//! | `voice_activity` | finds speech and pauses |

mod checks;
mod encoder;
mod ffmpeg;
mod file;
mod joined;
mod link;
mod links;
pub(crate) mod mel;
mod mix;
mod reader;
mod resampler;
pub(crate) mod selection;
mod source;
pub(crate) mod track;
pub(crate) mod voice_activity;
mod wav;
mod wav_chunks;
pub(crate) mod window;
pub(crate) mod window_reader;

pub use checks::{ReadOptions, Truncated};
pub use encoder::AudioEncoder;
pub use ffmpeg::PacketReader;
pub use file::AudioFile;
pub use mel::{BANDS, HOP, MelSpectrogram, SPEECH_RATE, frame_count};
pub use reader::AudioReader;
pub use source::AudioSource;
pub use window::{EMBEDDING_LEN, WINDOW_LEN, WindowLayout};
pub use window_reader::WindowReader;
