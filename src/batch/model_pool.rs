//! Networks, each loaded once for all clips, and the memory that they, what they keep, and decoded pictures share.

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

/// What decides how networks are made. Those of less than full precision are fitted to a presenter, and where no speech is
/// bundled, to a sound.
#[derive(Debug, Clone, PartialEq)]
struct ModelKey {
    generator: PathBuf,
    audio_encoder: PathBuf,
    precision: Precision,
    fitted_to: Option<(PathBuf, Option<PathBuf>, FrameRate)>,
    fitted_with: Option<PathBuf>,
}

impl ModelKey {
    fn of(plan: &Plan) -> Self {
        let is_fitted = plan.precision != Precision::Exact;
        let (background, rects) = (&plan.background, &plan.crop_rects);
        let needs_sound = is_fitted && !calibration::has_speech();
        Self {
            generator: plan.model.generator.clone(),
            audio_encoder: plan.model.audio_encoder.clone(),
            precision: plan.precision,
            fitted_to: is_fitted.then(|| (background.clone(), rects.clone(), plan.fps)),
            fitted_with: needs_sound.then(|| plan.sound.path().to_owned()),
        }
    }
}

/// A model's networks, ready to be used by several clips at a time.
pub(crate) struct PooledModel {
    key: ModelKey,
    /// Its name in messages.
    pub model: String,
    /// Sound to embeddings.
    pub encoder: Mutex<OnnxAudioEncoder>,
    /// Picture and sound to picture.
    pub generators: SharedGenerators<BatchHalving<OnnxGenerator>>,
    features: SharedFeatures,
    has_features: bool,
    /// Memory that they take themselves.
    bytes: usize,
    /// What was asked for.
    pub precision: Precision,
    /// What was made of the generator.
    pub tuning: Tuning,
    /// Where they run.
    pub placement: Placement,
    /// Frames at a time.
    pub batch: usize,
    /// How many of them there is memory for.
    pub batch_limit: BatchLimit,
}

/// What a clip works with.
pub(crate) struct ClipResources {
    /// Its networks.
    pub networks: Arc<PooledModel>,
    /// Memory for what is kept of its backgrounds.
    pub room: MemoryBudget,
    /// Whether the networks were loaded for it.
    pub is_new: bool,
    /// Models that had to go.
    pub dropped: Vec<String>,
    /// Keeps its pictures from being let go.
    _user: Arc<()>,
}

/// All networks of a run.
pub(crate) struct ModelPool<'a> {
    runtime: &'a Runtime,
    /// Clips at a time, each with its own encoder.
    lanes: usize,
    /// Memory that the process held before the first network.
    base: usize,
    state: Mutex<PoolState>,
}

/// Bytes that memory is shared out by.
struct PoolLimits {
    /// Of the generator's file.
    file: u64,
    /// For the encoders of all lanes.
    encoding: usize,
    /// To stay within.
    memory: usize,
}

/// What is there; what was used last stands last.
#[derive(Default)]
struct PoolState {
    loaded: Vec<PoolEntry>,
    shown: Vec<ActiveBackgrounds>,
}

/// Backgrounds whose pictures are kept.
struct ActiveBackgrounds {
    backgrounds: Arc<Backgrounds>,
    /// Each clip that shows them has a clone.
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

struct PoolEntry {
    networks: Arc<PooledModel>,
    /// Memory for features that it may fill.
    budget: usize,
    /// Which backgrounds it was last used with.
    seen: Arc<Backgrounds>,
}

impl PoolEntry {
    /// Nobody but the shelf has it.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.networks) == 1
    }

    fn bytes(&self) -> usize {
        let kept = self.networks.features.bytes();
        let features = if self.is_idle() {
            kept
        } else {
            kept.max(self.budget)
        };
        self.networks.bytes + features
    }
}

impl PoolState {
    /// Memory that all but `networks` and `backgrounds` take.
    fn others(&self, networks: &Arc<PooledModel>, backgrounds: &Arc<Backgrounds>) -> usize {
        let loaded = self.loaded.iter();
        let loaded = loaded.filter(|entry| !Arc::ptr_eq(&entry.networks, networks));
        loaded.map(PoolEntry::bytes).sum::<usize>() + self.pictures(Some(backgrounds))
    }

    /// Memory of all decoded pictures but those of `but`.
    fn pictures(&self, but: Option<&Arc<Backgrounds>>) -> usize {
        let shown = self.shown.iter();
        let others = shown.filter(|shown| !but.is_some_and(|but| shown.is(but)));
        others.map(|shown| shown.backgrounds.kept_bytes()).sum()
    }

    /// Whether no clip shows these backgrounds.
    fn is_idle(&self, backgrounds: &Arc<Backgrounds>) -> bool {
        let mut shown = self.shown.iter();
        shown.all(|shown| !shown.is(backgrounds) || shown.is_idle())
    }

    /// Puts these backgrounds last, and counts one clip more that shows them, until the returned value is dropped.
    fn show(&mut self, backgrounds: &Arc<Backgrounds>) -> Arc<()> {
        let known = self.shown.iter().position(|shown| shown.is(backgrounds));
        let shown = known.map(|at| self.shown.remove(at));
        let shown = shown.unwrap_or_else(|| ActiveBackgrounds {
            backgrounds: Arc::clone(backgrounds),
            users: Arc::default(),
        });
        let user = Arc::clone(&shown.users);
        self.shown.push(shown);
        user
    }

    /// Lets the pictures or networks go that were not used for longest, and tells the model's name; false if all are in use.
    fn drop_one(&mut self, backgrounds: &Arc<Backgrounds>, dropped: &mut Vec<String>) -> bool {
        let mut shown = self.shown.iter();
        let idle = |shown: &&ActiveBackgrounds| {
            !shown.is(backgrounds) && shown.is_idle() && shown.backgrounds.kept_bytes() > 0
        };
        if let Some(idle) = shown.find(idle) {
            idle.backgrounds.forget();
            return true;
        }
        let Some(at) = self.loaded.iter().position(PoolEntry::is_idle) else {
            return false;
        };
        dropped.push(self.loaded.remove(at).networks.model.clone());
        true
    }
}

impl<'a> ModelPool<'a> {
    /// An empty stock for `lanes` clips at a time.
    pub(crate) fn new(runtime: &'a Runtime, lanes: usize) -> Self {
        Self {
            runtime,
            lanes,
            base: memory::held(),
            state: Mutex::default(),
        }
    }

    /// The networks that `plan` asks for, with memory for what is kept of its backgrounds. Those that do not fit into the
    /// memory limit beside them go, the one first that was not used for longest.
    pub(crate) fn get(&self, plan: &Plan) -> Result<ClipResources> {
        // Held while networks are loaded: two clips never load the same ones.
        let mut held = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let backgrounds = &plan.backgrounds;
        let encoder = memory::encoding_in_turns(backgrounds.size());
        let file = std::fs::metadata(&plan.model.generator).map_or(0, |file| file.len());
        // What one clip may take, and what the others' encoders take beside it.
        let usual = || MemoryBudget::usual_limit(file) + (self.lanes - 1) * encoder;
        let limits = PoolLimits {
            file,
            encoding: self.lanes * encoder,
            memory: plan.memory_limit.unwrap_or_else(usual),
        };
        let mut dropped = Vec::new();
        let key = ModelKey::of(plan);
        let mut loaded = held.loaded.iter();
        let known = loaded.position(|entry| entry.networks.key == key);
        let is_new = known.is_none();
        let mut entry = if let Some(at) = known {
            held.loaded.remove(at)
        } else {
            self.make_space(&mut held, backgrounds, &limits, &mut dropped);
            PoolEntry {
                networks: Arc::new(self.load(plan, key, limits.file)?),
                budget: 0,
                seen: Arc::clone(backgrounds),
            }
        };
        let networks = Arc::clone(&entry.networks);
        let user = held.show(backgrounds);
        let room = loop {
            let taken = self.base + networks.bytes + held.others(&networks, backgrounds);
            let features = networks.has_features;
            let room = MemoryBudget::beside(taken, limits.memory, limits.encoding, features);
            if room.lacking == 0 || !held.drop_one(backgrounds, &mut dropped) {
                break room;
            }
        };
        // What the networks keep of backgrounds that are not shown any more would keep out what they could keep of these.
        if !Arc::ptr_eq(&entry.seen, backgrounds) && held.is_idle(&entry.seen) {
            networks.features.forget();
        }
        networks.features.keep(FeatureLimits {
            bytes: room.features,
            backgrounds: backgrounds.count(),
        });
        entry.budget = room.features;
        entry.seen = Arc::clone(backgrounds);
        held.loaded.push(entry);
        Ok(ClipResources {
            networks,
            room,
            is_new,
            dropped,
            _user: user,
        })
    }

    /// Lets go what does not fit beside a model that is to be loaded, which is taken to be as large as the largest known one.
    fn make_space(
        &self,
        held: &mut PoolState,
        backgrounds: &Arc<Backgrounds>,
        limits: &PoolLimits,
        dropped: &mut Vec<String>,
    ) {
        let sizes = held.loaded.iter().map(|entry| entry.networks.bytes);
        let size = sizes.max().unwrap_or(limits.file as usize);
        let needed = self.base + size + limits.encoding;
        let taken = |held: &PoolState| -> usize {
            let loaded = held.loaded.iter().map(PoolEntry::bytes);
            loaded.sum::<usize>() + held.pictures(None)
        };
        while needed + taken(held) > limits.memory && held.drop_one(backgrounds, dropped) {}
    }

    /// Loads the networks of `plan`, whose generator's file has so many bytes, and runs them once.
    fn load(&self, plan: &Plan, key: ModelKey, file: u64) -> Result<PooledModel> {
        let before = memory::held();
        let mut networks = networks::load(plan, self.runtime)?;
        let batch = plan.batch.on(&networks.placement);
        networks.warm_up(batch)?;
        let grown = memory::held().saturating_sub(before);
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
            // Memory of networks that went before is used again, and does not grow.
            bytes: grown.max(file as usize),
            precision: plan.precision,
            tuning,
            placement,
            batch,
            batch_limit,
        })
    }
}
