//! Models, each loaded once for all clips, and the memory that networks, cached features and decoded pictures share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::background::Backgrounds;
use crate::inference::halving::{BatchHalving, BatchLimit};
use crate::inference::onnx::{
    FeatureLimits, Networks, OnnxAudioEncoder, OnnxGenerator, Placement, Runtime, SharedFeatures,
};
use crate::inference::precision::{Precision, Tuning};
use crate::inference::shared::SharedGenerators;
use crate::plan::Plan;
use crate::render::memory::{self, MemoryBudget};
use crate::render::{calibration, networks};
use crate::timeline::FrameRate;

/// What determines how a model is loaded. Models of reduced precision are calibrated for a presenter and, if no speech is
/// bundled, for an audio file.
#[derive(Debug, Clone, PartialEq)]
struct ModelKey {
    generator: PathBuf,
    audio_encoder: PathBuf,
    precision: Precision,
    /// Background, crop rectangles and frame rate of the calibration.
    calibrated_for: Option<(PathBuf, Option<PathBuf>, FrameRate)>,
    /// The audio file of the calibration.
    calibrated_with: Option<PathBuf>,
}

impl ModelKey {
    fn of(plan: &Plan) -> Self {
        let is_calibrated = plan.precision != Precision::Exact;
        let (background, rects) = (&plan.background, &plan.crop_rects);
        let needs_audio = is_calibrated && !calibration::has_speech();
        Self {
            generator: plan.model.generator.clone(),
            audio_encoder: plan.model.audio_encoder.clone(),
            precision: plan.precision,
            calibrated_for: is_calibrated.then(|| (background.clone(), rects.clone(), plan.fps)),
            calibrated_with: needs_audio.then(|| plan.sound.path().to_owned()),
        }
    }
}

/// The networks of a model, ready for several clips at the same time.
pub(crate) struct PooledModel {
    key: ModelKey,
    /// The model's name in messages.
    pub model: String,
    /// Audio to embeddings.
    pub encoder: Mutex<OnnxAudioEncoder>,
    /// Face crops and embeddings to faces.
    pub generators: SharedGenerators<BatchHalving<OnnxGenerator>>,
    features: SharedFeatures,
    has_features: bool,
    /// Memory of the networks themselves, in bytes.
    bytes: usize,
    /// The requested precision.
    pub precision: Precision,
    /// How the generator was rewritten.
    pub tuning: Tuning,
    /// Where the networks run.
    pub placement: Placement,
    /// Frames per run of the generator.
    pub batch: usize,
    /// The largest batch that fits into memory.
    pub batch_limit: BatchLimit,
}

/// What a clip is rendered with.
pub(crate) struct ClipResources {
    /// The networks.
    pub networks: Arc<PooledModel>,
    /// Memory for its backgrounds.
    pub room: MemoryBudget,
    /// Whether the networks were loaded for this clip.
    pub is_new: bool,
    /// Models that were unloaded to make room.
    pub dropped: Vec<String>,
    /// Marks its backgrounds as in use.
    _background_user: Arc<()>,
}

/// All models of a run.
pub(crate) struct ModelPool<'a> {
    runtime: &'a Runtime,
    /// Clips at the same time, each with its own video encoder.
    workers: usize,
    /// Memory of the process before the first model, in bytes.
    base: usize,
    state: Mutex<PoolState>,
}

/// Sizes in bytes that decide how memory is shared.
struct PoolLimits {
    /// Size of the generator's file.
    file: u64,
    /// Memory of the video encoders of all workers.
    encoding: usize,
    /// The memory limit.
    memory: usize,
}

/// What is in memory, least recently used first.
#[derive(Default)]
struct PoolState {
    models: Vec<PoolEntry>,
    backgrounds: Vec<ActiveBackgrounds>,
}

/// Backgrounds with decoded pictures.
struct ActiveBackgrounds {
    backgrounds: Arc<Backgrounds>,
    /// Cloned for each clip that shows them.
    users: Arc<()>,
}

impl ActiveBackgrounds {
    fn is(&self, backgrounds: &Arc<Backgrounds>) -> bool {
        Arc::ptr_eq(&self.backgrounds, backgrounds)
    }

    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }
}

/// A model in the pool.
struct PoolEntry {
    networks: Arc<PooledModel>,
    /// Memory that its cached features may take, in bytes.
    budget: usize,
    /// The backgrounds that it was last used with.
    last_backgrounds: Arc<Backgrounds>,
}

impl PoolEntry {
    /// Whether no clip uses it.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.networks) == 1
    }

    /// Memory that it takes, or may take while a clip uses it.
    fn bytes(&self) -> usize {
        let cached = self.networks.features.bytes();
        let features = if self.is_idle() {
            cached
        } else {
            cached.max(self.budget)
        };
        self.networks.bytes + features
    }
}

impl PoolState {
    /// Memory of everything except `networks` and `backgrounds`.
    fn bytes_of_others(
        &self,
        networks: &Arc<PooledModel>,
        backgrounds: &Arc<Backgrounds>,
    ) -> usize {
        let models = self.models.iter();
        let models = models.filter(|entry| !Arc::ptr_eq(&entry.networks, networks));
        models.map(PoolEntry::bytes).sum::<usize>() + self.picture_bytes(Some(backgrounds))
    }

    /// Memory of all models and pictures.
    fn bytes(&self) -> usize {
        self.models.iter().map(PoolEntry::bytes).sum::<usize>() + self.picture_bytes(None)
    }

    /// Memory of all decoded pictures, except those of `excluded`.
    fn picture_bytes(&self, excluded: Option<&Arc<Backgrounds>>) -> usize {
        let all = self.backgrounds.iter();
        let others = all.filter(|active| !excluded.is_some_and(|excluded| active.is(excluded)));
        others.map(|active| active.backgrounds.cached_bytes()).sum()
    }

    /// Whether no clip shows `backgrounds`.
    fn is_idle(&self, backgrounds: &Arc<Backgrounds>) -> bool {
        let mut all = self.backgrounds.iter();
        all.all(|active| !active.is(backgrounds) || active.is_idle())
    }

    /// Makes `backgrounds` the most recently used. They count as in use until the returned value is dropped.
    fn use_backgrounds(&mut self, backgrounds: &Arc<Backgrounds>) -> Arc<()> {
        let known = self
            .backgrounds
            .iter()
            .position(|active| active.is(backgrounds));
        let active = known.map(|at| self.backgrounds.remove(at));
        let active = active.unwrap_or_else(|| ActiveBackgrounds {
            backgrounds: Arc::clone(backgrounds),
            users: Arc::default(),
        });
        let user = Arc::clone(&active.users);
        self.backgrounds.push(active);
        user
    }

    /// Frees the pictures, or else the model, that were not used for longest; the name of a model goes to `dropped`. False if
    /// everything except `backgrounds` is in use.
    fn free_one(&mut self, backgrounds: &Arc<Backgrounds>, dropped: &mut Vec<String>) -> bool {
        let mut all = self.backgrounds.iter();
        let is_free = |active: &&ActiveBackgrounds| {
            !active.is(backgrounds) && active.is_idle() && active.backgrounds.cached_bytes() > 0
        };
        if let Some(idle) = all.find(is_free) {
            idle.backgrounds.forget();
            return true;
        }
        let Some(at) = self.models.iter().position(PoolEntry::is_idle) else {
            return false;
        };
        dropped.push(self.models.remove(at).networks.model.clone());
        true
    }
}

impl<'a> ModelPool<'a> {
    /// An empty pool for `workers` clips at the same time.
    pub(crate) fn new(runtime: &'a Runtime, workers: usize) -> Self {
        Self {
            runtime,
            workers,
            base: memory::in_use(),
            state: Mutex::default(),
        }
    }

    /// The networks for `plan`, with memory for its backgrounds. What does not fit into the memory limit with them is freed,
    /// least recently used first.
    pub(crate) fn get(&self, plan: &Plan) -> Result<ClipResources> {
        // Locked while models load: two clips never load the same one.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let backgrounds = &plan.backgrounds;
        let limits = self.limits(plan);
        let mut dropped = Vec::new();
        let (mut entry, is_new) = self.entry(plan, &mut state, &limits, &mut dropped)?;
        let networks = Arc::clone(&entry.networks);
        let user = state.use_backgrounds(backgrounds);
        let room = loop {
            let taken = self.base + networks.bytes + state.bytes_of_others(&networks, backgrounds);
            let features = networks.has_features;
            let room = MemoryBudget::next_to(taken, limits.memory, limits.encoding, features);
            if room.shortfall == 0 || !state.free_one(backgrounds, &mut dropped) {
                break room;
            }
        };
        // Cached features of backgrounds that are not shown any more would leave no memory for those of the new ones.
        if !Arc::ptr_eq(&entry.last_backgrounds, backgrounds)
            && state.is_idle(&entry.last_backgrounds)
        {
            networks.features.forget();
        }
        networks.features.keep(FeatureLimits {
            bytes: room.features,
            backgrounds: backgrounds.count(),
        });
        entry.budget = room.features;
        entry.last_backgrounds = Arc::clone(backgrounds);
        state.models.push(entry);
        Ok(ClipResources {
            networks,
            room,
            is_new,
            dropped,
            _background_user: user,
        })
    }

    fn limits(&self, plan: &Plan) -> PoolLimits {
        let encoder = memory::encoding_bytes_in_sequence(plan.backgrounds.size());
        let file = std::fs::metadata(&plan.model.generator).map_or(0, |file| file.len());
        // The usual limit of one clip, and the encoders of the other workers.
        let usual = || MemoryBudget::default_limit(file) + (self.workers - 1) * encoder;
        PoolLimits {
            file,
            encoding: self.workers * encoder,
            memory: plan.memory_limit.unwrap_or_else(usual),
        }
    }

    /// Takes the model of `plan` out of the pool, or loads it; true if it is new.
    fn entry(
        &self,
        plan: &Plan,
        state: &mut PoolState,
        limits: &PoolLimits,
        dropped: &mut Vec<String>,
    ) -> Result<(PoolEntry, bool)> {
        let key = ModelKey::of(plan);
        let mut models = state.models.iter();
        if let Some(at) = models.position(|entry| entry.networks.key == key) {
            return Ok((state.models.remove(at), false));
        }
        self.budget_memory(state, &plan.backgrounds, limits, dropped);
        let entry = PoolEntry {
            networks: Arc::new(self.load(plan, key, limits.file)?),
            budget: 0,
            last_backgrounds: Arc::clone(&plan.backgrounds),
        };
        Ok((entry, true))
    }

    /// Makes room for a new model, which is assumed to be as large as the largest loaded one.
    fn budget_memory(
        &self,
        state: &mut PoolState,
        backgrounds: &Arc<Backgrounds>,
        limits: &PoolLimits,
        dropped: &mut Vec<String>,
    ) {
        let sizes = state.models.iter().map(|entry| entry.networks.bytes);
        let size = sizes.max().unwrap_or(limits.file as usize);
        let needed = self.base + size + limits.encoding;
        while needed + state.bytes() > limits.memory && state.free_one(backgrounds, dropped) {}
    }

    /// Loads the networks of `plan` and runs them once; `file` is the size of the generator's file in bytes.
    fn load(&self, plan: &Plan, key: ModelKey, file: u64) -> Result<PooledModel> {
        let before = memory::in_use();
        let mut networks = networks::load(plan, self.runtime)?;
        let batch = plan.batch.on(&networks.placement);
        networks.warm_up(batch)?;
        let extend_to_chroma = memory::in_use().saturating_sub(before);
        let (features, has_features) = (networks.features(), networks.has_features());
        let Networks {
            encoder,
            generators,
            batch_limit,
            tuning,
            placement,
            ..
        } = networks;
        Ok(PooledModel {
            key,
            model: plan.model.id.clone(),
            encoder: Mutex::new(encoder),
            generators: SharedGenerators::new(generators),
            features,
            has_features,
            // A model that reuses the memory of an earlier one does not let the process grow.
            bytes: extend_to_chroma.max(file as usize),
            precision: plan.precision,
            tuning,
            placement,
            batch,
            batch_limit,
        })
    }
}
