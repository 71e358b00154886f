//! Prepares a generator for the CPU: takes its parts from the cache on disk, or rewrites its file.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::audio_encoder::OnnxAudioEncoder;
use super::generator_file::GeneratorFile;
use super::loader::{Arena, Loader};
use super::parts::{GeneratorParts, InputNames};
use super::parts_cache::{CacheKey, PartsCache};
use super::roles::GENERATOR;
use super::runtime::Runtime;
use super::tuner::Tuner;
use crate::inference::kernel::{InstructionSet, int8};
use crate::inference::precision::{CalibrationSamples, Precision, Tuning};
use crate::output::fingerprint::Fingerprint;

/// Takes samples of a presenter; the audio encoder computes the embeddings of the speech.
pub(crate) type Sampler<'a> = &'a dyn Fn(&mut OnnxAudioEncoder) -> Result<CalibrationSamples>;

/// How the generator's file may be rewritten.
#[derive(Clone, Copy)]
pub struct TuneOptions<'a> {
    /// The precision that is asked for.
    pub precision: Precision,
    /// Takes the samples that networks of less than full precision are calibrated with and measured on; without it, the
    /// network stays exact.
    pub samples: Option<Sampler<'a>>,
    /// The cache folder; nothing is stored without it.
    pub cache: Option<&'a Path>,
}

impl TuneOptions<'_> {
    /// Exact, without a cache.
    pub const EXACT: Self = Self {
        precision: Precision::Exact,
        samples: None,
        cache: None,
    };
}

/// What generators are started from, with the path of the file for messages.
pub(super) enum PreparedGenerator {
    Split(PathBuf, GeneratorParts),
    /// The file's model, or one rewritten as a whole.
    Whole(PathBuf, Vec<u8>),
    /// The same, but with bytes in and out.
    Bytes(PathBuf, Vec<u8>),
}

/// What identifies this build of lipsync: its version, and a digest of the executable. What one build has rewritten and
/// verified, another one rewrites and verifies again.
fn this_build() -> String {
    let executable = std::env::current_exe();
    let digest = executable
        .ok()
        .and_then(|path| Fingerprint::of_file(&path).ok());
    let digest = digest.map_or_else(String::new, |digest| digest.to_string());
    format!("{} {digest}", env!("CARGO_PKG_VERSION"))
}

impl Loader<'_> {
    /// Checks the file at `path`, which holds `bytes`, and rewrites it as `tune` asks.
    pub(super) fn prepare(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        tune: TuneOptions<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> Result<(PreparedGenerator, Tuning)> {
        let samples = match tune.samples {
            Some(sampler) if tune.precision != Precision::Exact => sampler(encoder)?,
            _ => CalibrationSamples::default(),
        };
        let cache = tune.cache.map(|folder| PartsCache(folder.join("networks")));
        let key = CacheKey::new(&[
            &bytes,
            this_build().as_bytes(),
            Runtime::version(&self.runtime.path).as_bytes(),
            format!("{:?}", tune.precision).as_bytes(),
            &samples.digest(),
            // Processors that share a cache folder may differ in what they support.
            format!(
                "{:?} {:?}",
                InstructionSet::best(),
                int8::InstructionSet::best()
            )
            .as_bytes(),
        ]);
        let cached = cache.as_ref().and_then(|cache| cache.get(&key));
        let (parts, tuning) = if let Some(entry) = cached {
            entry
        } else {
            let entry = self.rewrite(path, &bytes, tune.precision, &samples)?;
            if let Some(cache) = cache {
                // If it cannot be stored, the next run rewrites the file again.
                let _ = cache.put(&key, &entry);
            }
            entry
        };
        let prepared = match parts {
            Some(parts) => PreparedGenerator::Split(path.to_owned(), parts),
            None => PreparedGenerator::Whole(path.to_owned(), bytes),
        };
        Ok((prepared, tuning))
    }

    /// The parts of the file's network, none if the network stays whole.
    fn rewrite(
        &self,
        path: &Path,
        bytes: &[u8],
        precision: Precision,
        samples: &CalibrationSamples,
    ) -> Result<(Option<GeneratorParts>, Tuning)> {
        // Candidates must not leave their memory in the arena, where cached features need it later.
        let loader = Self {
            arena: Arena::System,
            ..*self
        };
        let (whole, _) = loader.network(path, &GENERATOR, bytes)?;
        let [picture, audio] = whole.input_names();
        let file = GeneratorFile {
            loader: &loader,
            inputs: InputNames { picture, audio },
        };
        Ok(Tuner { file }.tune(whole, bytes, precision, samples))
    }
}
