//! A sound file -> samples, mel frames and the windows that the generator takes.

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
pub use window::{EMBEDDING_LEN, WINDOW_LEN, Windows};
pub use window_reader::WindowReader;
