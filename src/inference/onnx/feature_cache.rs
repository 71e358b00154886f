//! The features of backgrounds: what a generator computes from the picture alone, computed once per background.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use anyhow::Result;
use ort::session::{Session, SessionInputValue};
use ort::value::{
    DynValue, PrimitiveTensorElementType, Tensor, TensorElementType, TensorRef, ValueType,
};
use xxhash_rust::xxh3::xxh3_128;

use super::finite;
use super::loader::Loader;
use super::parts::GeneratorParts;
use super::sub_model::SubModel;
use crate::face::{self, INPUT_LEN};
use crate::image::Picture;

/// A tensor with the name by which the joint part takes it.
#[derive(Debug)]
pub(super) struct Feature {
    name: String,
    tensor: DynValue,
}

impl Feature {
    fn bytes(&self) -> usize {
        let ValueType::Tensor { ty, shape, .. } = self.tensor.dtype() else {
            return 0;
        };
        ty.byte_size(shape.num_elements()).unwrap_or(0)
    }

    /// A copy in memory of its own. In the runtime's arena it would occupy what a larger tensor freed, which then has to
    /// be allocated again: the cache would cost half as much again.
    fn copy_out_of_arena(&self) -> Result<Self> {
        let is_float = matches!(
            self.tensor.dtype(),
            ValueType::Tensor {
                ty: TensorElementType::Float32,
                ..
            }
        );
        Ok(Self {
            name: self.name.clone(),
            tensor: if is_float {
                copied::<f32>(&self.tensor)?
            } else {
                copied::<u8>(&self.tensor)?
            },
        })
    }

    /// Fails if it holds a value that is not finite.
    fn check(&self) -> Result<()> {
        match self.tensor.try_extract_tensor::<f32>() {
            Ok((_, values)) => finite::check(values, values.len()),
            // Bytes.
            Err(_) => Ok(()),
        }
    }

    pub(super) fn input(&self) -> (&str, SessionInputValue<'_>) {
        (&self.name, (&self.tensor).into())
    }
}

fn copied<T>(tensor: &DynValue) -> Result<DynValue>
where
    T: PrimitiveTensorElementType + Clone + Debug + 'static,
{
    let (shape, values) = tensor.try_extract_tensor::<T>()?;
    Ok(Tensor::from_array((shape.to_vec(), values.to_vec()))?.into_dyn())
}

fn copies(features: &[Feature]) -> Result<Arc<Vec<Feature>>> {
    let copies: Result<_> = features.iter().map(Feature::copy_out_of_arena).collect();
    Ok(Arc::new(copies?))
}

/// The features of one background.
#[derive(Debug, Clone)]
struct BackgroundFeatures {
    costly: Arc<Vec<Feature>>,
    /// Those that are cheap to compute again; none where memory is short.
    cheap: Option<Arc<Vec<Feature>>>,
}

/// How much memory cached features may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeatureLimits {
    /// Bytes for all backgrounds together.
    pub bytes: usize,
    /// How many backgrounds there are.
    pub backgrounds: usize,
}

/// The cached features of backgrounds, by their crop's digest.
#[derive(Debug, Default)]
struct FeatureMemory {
    limits: FeatureLimits,
    by_crop: HashMap<u128, BackgroundFeatures>,
    bytes: usize,
}

impl FeatureMemory {
    fn get(&self, crop: u128) -> Option<BackgroundFeatures> {
        self.by_crop.get(&crop).cloned()
    }

    /// Caches all features if there is room for those of all backgrounds, else the costly ones while there is room.
    fn insert(&mut self, crop: u128, features: &BackgroundFeatures) -> Result<()> {
        let size = |features: &[Feature]| features.iter().map(Feature::bytes).sum::<usize>();
        let costly_bytes = size(&features.costly);
        let all_bytes = features
            .cheap
            .as_ref()
            .map(|cheap| costly_bytes + size(cheap))
            .filter(|bytes| bytes * self.limits.backgrounds <= self.limits.bytes);
        let bytes = all_bytes.unwrap_or(costly_bytes);
        if self.bytes + bytes > self.limits.bytes {
            return Ok(());
        }
        let cheap = features.cheap.as_ref().filter(|_| all_bytes.is_some());
        let cached = BackgroundFeatures {
            costly: copies(&features.costly)?,
            cheap: cheap.map(|cheap| copies(cheap)).transpose()?,
        };
        if self.by_crop.insert(crop, cached).is_none() {
            self.bytes += bytes;
        }
        Ok(())
    }
}

/// Computes the features of backgrounds, and caches them within limits; at first it caches nothing.
///
/// All generators share one: each background's features are computed and stored once.
pub(super) struct FeatureCache {
    image: Session,
    cheap_image: Option<Session>,
    /// The name of the picture input.
    picture: String,
    memory: FeatureMemory,
}

impl FeatureCache {
    pub(super) fn new(parts: &GeneratorParts, loader: &Loader<'_>) -> Result<Self> {
        let start = |bytes: &[u8]| SubModel::read(bytes)?.start(loader);
        Ok(Self {
            image: start(&parts.image)?,
            cheap_image: parts.cheap_image.as_deref().map(start).transpose()?,
            picture: parts.inputs.picture.clone(),
            memory: FeatureMemory::default(),
        })
    }

    /// Limits the memory from now on; if more is cached already, the cache is cleared.
    pub(super) fn set_limits(&mut self, limits: FeatureLimits) {
        self.memory.limits = limits;
        if self.memory.bytes > limits.bytes {
            self.clear();
        }
    }

    /// Memory of the cached features, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.memory.bytes
    }

    pub(super) fn clear(&mut self) {
        let limits = self.memory.limits;
        self.memory = FeatureMemory {
            limits,
            ..FeatureMemory::default()
        };
    }

    /// All features of a crop, the costly and the cheap ones; `input` is computed from it if it is needed.
    pub(super) fn features(
        &mut self,
        crop: &Picture,
        input: &mut LazyInput,
    ) -> Result<[Arc<Vec<Feature>>; 2]> {
        let key = xxh3_128(&crop.pixels);
        match self.memory.get(key) {
            Some(BackgroundFeatures {
                costly,
                cheap: Some(cheap),
            }) => Ok([costly, cheap]),
            Some(BackgroundFeatures {
                costly,
                cheap: None,
            }) => {
                let cheap = match &mut self.cheap_image {
                    Some(session) => run(session, &self.picture, input.of(crop))?,
                    None => Vec::new(),
                };
                Ok([costly, Arc::new(cheap)])
            }
            None => {
                let cheap_names = self.cheap_image.as_ref().map_or(Vec::new(), output_names);
                let all = run(&mut self.image, &self.picture, input.of(crop))?;
                // Once per background: the joint part may turn them into bytes, which would hide them.
                all.iter().try_for_each(Feature::check)?;
                let is_cheap = |feature: &Feature| cheap_names.contains(&feature.name);
                let (cheap, costly): (Vec<_>, Vec<_>) = all.into_iter().partition(is_cheap);
                let (costly, cheap) = (Arc::new(costly), Arc::new(cheap));
                let features = BackgroundFeatures {
                    costly: Arc::clone(&costly),
                    cheap: Some(Arc::clone(&cheap)),
                };
                self.memory.insert(key, &features)?;
                Ok([costly, cheap])
            }
        }
    }
}

/// The network input of a crop, `[1, 6, 320, 320]`, computed when it is first needed.
#[derive(Default)]
pub(super) struct LazyInput {
    values: Vec<f32>,
    is_computed: bool,
}

impl LazyInput {
    /// Forgets the last crop.
    pub(super) fn reset(&mut self) {
        self.is_computed = false;
    }

    pub(super) fn of(&mut self, crop: &Picture) -> &[f32] {
        if !self.is_computed {
            self.values.resize(INPUT_LEN, 0.0);
            face::network_input(crop, &mut self.values);
            self.is_computed = true;
        }
        &self.values
    }
}

/// A network input as a session takes it.
pub(super) fn picture_value(input: &[f32]) -> Result<SessionInputValue<'_>> {
    Ok(TensorRef::from_array_view(([1_i64, 6, 320, 320], input))?.into())
}

fn output_names(session: &Session) -> Vec<String> {
    let outputs = session.outputs().iter();
    outputs.map(|output| output.name().to_owned()).collect()
}

fn run(session: &mut Session, picture: &str, input: &[f32]) -> Result<Vec<Feature>> {
    let outputs = session.run(vec![(picture, picture_value(input)?)])?;
    let feature = |(name, tensor): (&str, DynValue)| Feature {
        name: name.to_owned(),
        tensor,
    };
    Ok(outputs.into_iter().map(feature).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::onnx::runtime::Runtime;

    fn features(costly: usize, cheap: usize) -> BackgroundFeatures {
        let feature = |bytes: usize| Feature {
            name: String::new(),
            tensor: Tensor::from_array(([bytes], vec![0_u8; bytes]))
                .unwrap()
                .into_dyn(),
        };
        BackgroundFeatures {
            costly: Arc::new(vec![feature(costly)]),
            cheap: Some(Arc::new(vec![feature(cheap)])),
        }
    }

    #[test]
    fn cached_features_stay_within_the_limit() {
        Runtime::for_tests();
        let cached = |bytes| {
            let limits = FeatureLimits {
                bytes,
                backgrounds: 4,
            };
            let mut memory = FeatureMemory {
                limits,
                ..FeatureMemory::default()
            };
            (0..4).for_each(|crop| memory.insert(crop, &features(10, 90)).unwrap());
            let cached: Vec<_> = (0..4).filter_map(|crop| memory.get(crop)).collect();
            let cheap = cached.iter().filter(|f| f.cheap.is_some()).count();
            assert!(memory.bytes <= bytes);
            (cached.len(), cheap)
        };
        assert_eq!(cached(400), (4, 4));
        assert_eq!(cached(399), (4, 0));
        assert_eq!(cached(25), (2, 0));
        assert_eq!(cached(0), (0, 0));
    }
}
