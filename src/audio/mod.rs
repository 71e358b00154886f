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
//! | `file` | opens an audio file and reads its samples: [`AudioFile`], [`AudioReader`] |
//! | `checks` | checks files before they are read |
//! | `wav`, `ffmpeg/` | read plain WAV files, and everything else |
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
pub(crate) mod mel;
mod resampler;
pub(crate) mod voice_activity;
mod wav;
pub(crate) mod window;
pub(crate) mod window_reader;

pub use encoder::AudioEncoder;
pub use ffmpeg::PacketReader;
pub use file::{AudioFile, AudioReader};
pub use mel::{BANDS, HOP, MelSpectrogram, SPEECH_RATE, frame_count};
pub use window::{EMBEDDING_LEN, WINDOW_LEN, WindowLayout};
pub use window_reader::WindowReader;
