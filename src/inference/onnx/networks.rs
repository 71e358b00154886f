//! Both networks of a model, ready to work.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;

use super::audio_encoder::OnnxAudioEncoder;
use super::device::{Device, Hardware, Placement};
use super::feature_cache::{FeatureCache, FeatureLimits};
use super::generator::{OnnxGenerator, RunningGenerators};
use super::loader::{Arena, Loader, join};
use super::network::Network;
use super::network_file::NetworkFile;
use super::prepare::TuneOptions;
use super::roles::{AUDIO_ENCODER, GENERATOR};
use super::runtime::Runtime;
use crate::audio::window::WINDOW_LEN;
use crate::error::NotFinite;
use crate::face::{CROP, OUTPUT_LEN};
use crate::image::Picture;
use crate::inference::generator::{Face, Generator as _};
use crate::inference::halving::{BatchHalving, BatchLimit, is_out_of_memory};
use crate::inference::precision::Tuning;
use crate::inference::threads::{self, GENERATORS_PER_GPU, ThreadBudget, release_memory};

/// The audio encoder gets this fraction (1/8) of the GPU memory that the networks may use.
const ENCODER_SHARE: usize = 8;

/// Both networks of a model, loaded and checked.
pub struct Networks {
    /// Mel blocks to embeddings.
    pub encoder: OnnxAudioEncoder,
    /// Crops and audio windows to pictures: copies of one generator that work side by side.
    pub generators: Vec<BatchHalving<OnnxGenerator>>,
    /// The features that the generators share, if they run in parts.
    features: Option<Arc<Mutex<FeatureCache>>>,
    /// The batch that their memory suffices for.
    pub batch_limit: BatchLimit,
    /// How the generator was rewritten.
    pub tuning: Tuning,
    /// Where they run.
    pub placement: Placement,
}

impl Networks {
    /// Loads `audio_encoder` and `generator`.
    pub fn load(
        runtime: &Runtime,
        audio_encoder: &Path,
        generator: &Path,
        hardware: Hardware,
        tune: TuneOptions<'_>,
    ) -> Result<Self> {
        let encoder_bytes = hardware.gpu_bytes.map(|bytes| bytes / ENCODER_SHARE);
        let mut loader = Loader {
            runtime,
            hardware: Hardware {
                gpu_bytes: encoder_bytes,
                ..hardware
            },
            threads: 1,
            arena: Arena::Shared,
        };
        let (encoder, placement, bytes) = load_encoder(&loader, audio_encoder, generator)?;
        let mut encoder = OnnxAudioEncoder(encoder);
        // If the encoder fell back to the CPU, the generators run there too.
        let gpus = if placement.on_cpu() {
            loader.hardware.device = Device::Cpu;
            Vec::new()
        } else {
            hardware.wanted_gpus()
        };
        let budget = ThreadBudget::new(hardware.threads, gpus.len());
        loader.threads = budget.threads_each;
        let rest = hardware
            .gpu_bytes
            .zip(encoder_bytes)
            .map(|(all, encoder)| all - encoder);
        loader.hardware.gpu_bytes = rest.map(|bytes| bytes / GENERATORS_PER_GPU);
        let (prepared, tuning) = if placement.on_cpu() {
            loader.prepare(generator, bytes, tune, &mut encoder)?
        } else {
            loader.prepare_for_gpu(generator, bytes, tune, &mut encoder)
        };
        let RunningGenerators {
            generators,
            features,
            left_on_cpu,
        } = loader.start_generators(&prepared, budget.generators)?;
        drop(prepared);
        // Loading takes up to 100 MB.
        release_memory();
        let batch_limit = BatchLimit::default();
        let generators = generators
            .into_iter()
            .map(|generator| BatchHalving::new(generator, batch_limit.clone()))
            .collect();
        Ok(Self {
            encoder,
            generators,
            features,
            batch_limit,
            tuning,
            placement: Placement {
                gpus,
                left_on_cpu,
                ..placement
            },
        })
    }

    /// Whether the generators run in parts, so that features of backgrounds can be cached.
    pub fn has_features(&self) -> bool {
        self.features.is_some()
    }

    /// The cached features, apart from the networks that share them.
    pub fn features(&self) -> SharedFeatures {
        SharedFeatures(self.features.clone())
    }

    /// Lets each generator paint a batch of `batch` black faces: the first run costs more than the others, as memory is
    /// allocated and, on a GPU, kernels are chosen. Generators for which there is no memory left are dropped.
    pub fn warm_up(&mut self, batch: usize) -> Result<()> {
        // The features of the black face are computed once, for all generators.
        self.features().keep(FeatureLimits {
            bytes: usize::MAX,
            backgrounds: 1,
        });
        let crop = Picture::new(CROP, CROP);
        let black = Face { crop: &crop };
        let black = vec![black; batch];
        let audio = vec![0.0; batch * WINDOW_LEN];
        // All at once, as they will work, so that they allocate what they will need.
        let results: Vec<Result<()>> = thread::scope(|scope| {
            let paint = |generator: &mut BatchHalving<OnnxGenerator>| {
                let mut output = vec![0.0; batch * OUTPUT_LEN];
                let painted = generator.generate(&black, &audio, &mut output);
                // The first frame of a clip that it happens in will say so.
                painted.or_else(|e| if e.is::<NotFinite>() { Ok(()) } else { Err(e) })
            };
            let threads: Vec<_> = (self.generators.iter_mut())
                .map(|generator| threads::start(scope, move || paint(generator)))
                .collect();
            threads.into_iter().map(|thread| join(thread?)).collect()
        });
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Err(error) if index > 0 && is_out_of_memory(&error) => {
                    self.generators.truncate(index);
                    break;
                }
                result => result?,
            }
        }
        self.features().keep(FeatureLimits::default());
        Ok(())
    }
}

/// Loads the network of the file `audio_encoder`, and meanwhile reads the file `generator`.
fn load_encoder(
    loader: &Loader<'_>,
    audio_encoder: &Path,
    generator: &Path,
) -> Result<(Network, Placement, Vec<u8>)> {
    let (bytes, started) = thread::scope(|scope| {
        let bytes = threads::start(scope, || NetworkFile::read(generator, GENERATOR.name));
        let started = loader.load(audio_encoder, &AUDIO_ENCODER);
        (bytes.map_err(Into::into).and_then(join), started)
    });
    let (encoder, placement) = started?;
    Ok((encoder, placement, bytes?.bytes))
}

/// A handle on the features that generators cache, through which their memory is limited while the generators work.
#[derive(Clone)]
pub struct SharedFeatures(Option<Arc<Mutex<FeatureCache>>>);

impl SharedFeatures {
    fn lock(&self) -> Option<MutexGuard<'_, FeatureCache>> {
        let cache = self.0.as_ref()?;
        Some(cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets how much may be cached from now on.
    pub fn keep(&self, limits: FeatureLimits) {
        if let Some(mut cache) = self.lock() {
            cache.set_limits(limits);
        }
    }

    /// Memory of the cached features, bytes.
    pub fn bytes(&self) -> usize {
        self.lock().map_or(0, |cache| cache.bytes())
    }

    /// Drops all cached features.
    pub fn forget(&self) {
        if let Some(mut cache) = self.lock() {
            cache.clear();
        }
    }
}
