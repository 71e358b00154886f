//! A generator in parts: what depends on the background alone is worked out once for each and kept.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use ort::session::{Session, SessionInputValue};
use ort::value::{
    DynValue, PrimitiveTensorElementType, Tensor, TensorElementType, TensorRef, ValueType,
};
use xxhash_rust::xxh3::xxh3_128;

use super::Loader;
use super::sub_model::SubModel;
use crate::audio::window::WINDOW_LEN;
use crate::face::{self, INPUT_LEN, OUTPUT_LEN};
use crate::image::Picture;

/// The parts as ONNX models, and the names of what they take and give.
#[derive(Debug, Clone)]
pub(super) struct GeneratorParts {
    /// Picture -> all features.
    pub(super) image: Vec<u8>,
    /// Picture -> the features that are cheaper to make again than to keep.
    pub(super) cheap: Option<Vec<u8>>,
    /// Features and sound -> picture.
    pub(super) joint: Vec<u8>,
    pub(super) names: Names,
}

/// Names of the whole network's inputs.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Names {
    pub(super) picture: String,
    pub(super) sound: String,
}

/// A tensor that the runtime made.
#[derive(Debug)]
struct Value {
    name: String,
    tensor: DynValue,
}

impl Value {
    fn bytes(&self) -> usize {
        let ValueType::Tensor { ty, shape, .. } = self.tensor.dtype() else {
            return 0;
        };
        ty.byte_size(shape.num_elements()).unwrap_or(0)
    }

    /// A copy in memory of its own. The runtime's stock would put it into what a larger tensor left, which then has to be
    /// taken from the system again: what stays there takes half as much again.
    fn settled(&self) -> Result<Self> {
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

    fn input(&self) -> (&str, SessionInputValue<'_>) {
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

fn settled(values: &[Value]) -> Result<Arc<Vec<Value>>> {
    let values: Result<_> = values.iter().map(Value::settled).collect();
    Ok(Arc::new(values?))
}

/// What the image part made of a background.
#[derive(Debug, Clone)]
struct BackgroundFeatures {
    /// Worth keeping.
    costly: Arc<Vec<Value>>,
    /// Cheap to make again; none where memory is short.
    cheap: Option<Arc<Vec<Value>>>,
}

/// How much of what was seen may stay in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeatureLimits {
    /// Bytes for all backgrounds together.
    pub bytes: usize,
    /// How many backgrounds there are.
    pub backgrounds: usize,
}

/// What is known of backgrounds, by their crop's content.
#[derive(Debug, Default)]
struct FeatureMemory {
    keep: FeatureLimits,
    by_crop: HashMap<u128, BackgroundFeatures>,
    bytes: usize,
}

impl FeatureMemory {
    fn get(&self, crop: u128) -> Option<BackgroundFeatures> {
        self.by_crop.get(&crop).cloned()
    }

    /// Keeps everything if all backgrounds have room for that, else what is dear, as long as there is room.
    fn put(&mut self, crop: u128, seen: &BackgroundFeatures) -> Result<()> {
        let size = |values: &[Value]| values.iter().map(Value::bytes).sum::<usize>();
        let mut bytes = size(&seen.costly);
        let with_cheap = seen.cheap.as_ref().map(|cheap| bytes + size(cheap));
        let keeps_cheap = with_cheap.filter(|all| all * self.keep.backgrounds <= self.keep.bytes);
        bytes = keeps_cheap.unwrap_or(bytes);
        if self.bytes + bytes > self.keep.bytes {
            return Ok(());
        }
        let cheap = seen.cheap.as_ref().filter(|_| keeps_cheap.is_some());
        let kept = BackgroundFeatures {
            costly: settled(&seen.costly)?,
            cheap: cheap.map(|cheap| settled(cheap)).transpose()?,
        };
        if self.by_crop.insert(crop, kept).is_none() {
            self.bytes += bytes;
        }
        Ok(())
    }
}

/// Looks at backgrounds, and at first remembers nothing. One for all generators: it is asked once for each background, and takes its memory once.
pub(super) struct FeatureCache {
    image: Session,
    cheap: Option<Session>,
    names: Names,
    memory: FeatureMemory,
}

impl FeatureCache {
    pub(super) fn new(parts: &GeneratorParts, loader: &Loader<'_>) -> Result<Self> {
        let start = |bytes: &[u8]| SubModel::read(bytes)?.start(loader);
        Ok(Self {
            image: start(&parts.image)?,
            cheap: parts.cheap.as_deref().map(start).transpose()?,
            names: parts.names.clone(),
            memory: FeatureMemory::default(),
        })
    }

    /// From now on so much may be kept; if more is kept already, all of it goes.
    pub(super) fn keep(&mut self, keep: FeatureLimits) {
        self.memory.keep = keep;
        if self.memory.bytes > keep.bytes {
            self.forget();
        }
    }

    /// Memory that what is kept takes, bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        self.memory.bytes
    }

    /// Lets all that is kept go.
    pub(super) fn forget(&mut self) {
        let keep = self.memory.keep;
        self.memory = FeatureMemory {
            keep,
            ..FeatureMemory::default()
        };
    }

    /// All features of a crop; `input` (`[1, 6, 320, 320]`) is made of it where it is needed.
    fn look(&mut self, crop: &Picture, input: &mut Input) -> Result<[Arc<Vec<Value>>; 2]> {
        let key = xxh3_128(&crop.pixels);
        let name = &self.names.picture;
        match self.memory.get(key) {
            Some(BackgroundFeatures {
                costly,
                cheap: Some(cheap),
            }) => Ok([costly, cheap]),
            Some(BackgroundFeatures {
                costly,
                cheap: None,
            }) => {
                let cheap = match &mut self.cheap {
                    Some(cheap) => run(cheap, name, input.of(crop))?,
                    None => Vec::new(),
                };
                Ok([costly, Arc::new(cheap)])
            }
            None => {
                let cheap_names = self.cheap.as_ref().map_or(Vec::new(), names_of);
                let all = run(&mut self.image, name, input.of(crop))?;
                let is_cheap = |value: &Value| cheap_names.contains(&value.name);
                let (cheap, costly): (Vec<_>, Vec<_>) = all.into_iter().partition(is_cheap);
                let (costly, cheap) = (Arc::new(costly), Arc::new(cheap));
                let seen = BackgroundFeatures {
                    costly: Arc::clone(&costly),
                    cheap: Some(Arc::clone(&cheap)),
                };
                self.memory.put(key, &seen)?;
                Ok([costly, cheap])
            }
        }
    }
}

/// A network input that is made of a crop once it is asked for.
#[derive(Default)]
struct Input {
    values: Vec<f32>,
    is_made: bool,
}

impl Input {
    fn of(&mut self, crop: &Picture) -> &[f32] {
        if !self.is_made {
            self.values.resize(INPUT_LEN, 0.0);
            face::network_input(crop, &mut self.values);
            self.is_made = true;
        }
        &self.values
    }
}

/// A generator that runs in parts, a face at a time.
pub(super) struct SplitGenerator {
    sight: Arc<Mutex<FeatureCache>>,
    joint: Session,
    names: Names,
    takes_picture: bool,
    input: Input,
}

impl SplitGenerator {
    /// `joint` is the session of the part that hears the sound.
    pub(super) fn new(sight: Arc<Mutex<FeatureCache>>, names: Names, joint: Session) -> Self {
        let mut inputs = joint.inputs().iter();
        Self {
            takes_picture: inputs.any(|input| input.name() == names.picture),
            sight,
            names,
            joint,
            input: Input::default(),
        }
    }

    /// `crop`: 328x328, R G B; `window`: `[16, 512]`; `output`: `[3, 320, 320]`, B G R, 0..1.
    pub(super) fn paint(
        &mut self,
        crop: &Picture,
        window: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        debug_assert_eq!((window.len(), output.len()), (WINDOW_LEN, OUTPUT_LEN));
        self.input.is_made = false;
        let seen = {
            let mut sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
            sight.look(crop, &mut self.input)?
        };
        let features = seen.iter().flat_map(|values| values.iter());
        let mut inputs: Vec<_> = features.map(Value::input).collect();
        let window = TensorRef::from_array_view(([1_i64, 32, 16, 16], window))?;
        inputs.push((&self.names.sound, window.into()));
        if self.takes_picture {
            inputs.push((&self.names.picture, picture(self.input.of(crop))?));
        }
        let outputs = self.joint.run(inputs)?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        output.copy_from_slice(values);
        Ok(())
    }
}

fn names_of(session: &Session) -> Vec<String> {
    let outputs = session.outputs().iter();
    outputs.map(|output| output.name().to_owned()).collect()
}

fn picture(input: &[f32]) -> Result<SessionInputValue<'_>> {
    Ok(TensorRef::from_array_view(([1_i64, 6, 320, 320], input))?.into())
}

fn run(session: &mut Session, name: &str, input: &[f32]) -> Result<Vec<Value>> {
    let outputs = session.run(vec![(name, picture(input)?)])?;
    let value = |(name, tensor): (&str, DynValue)| Value {
        name: name.to_owned(),
        tensor,
    };
    Ok(outputs.into_iter().map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::onnx::one_runtime;

    fn seen(costly: usize, cheap: usize) -> BackgroundFeatures {
        let value = |bytes: usize| Value {
            name: String::new(),
            tensor: Tensor::from_array(([bytes], vec![0_u8; bytes]))
                .unwrap()
                .into_dyn(),
        };
        BackgroundFeatures {
            costly: Arc::new(vec![value(costly)]),
            cheap: Some(Arc::new(vec![value(cheap)])),
        }
    }

    #[test]
    fn what_is_kept_fits_into_the_memory() {
        one_runtime();
        let memory = |bytes| {
            let keep = FeatureLimits {
                bytes,
                backgrounds: 4,
            };
            let mut memory = FeatureMemory {
                keep,
                ..FeatureMemory::default()
            };
            (0..4).for_each(|crop| memory.put(crop, &seen(10, 90)).unwrap());
            let kept: Vec<_> = (0..4).map(|crop| memory.get(crop)).collect();
            let costly = kept.iter().flatten().count();
            let cheap = kept.iter().flatten().filter(|s| s.cheap.is_some()).count();
            (costly, cheap)
        };
        assert_eq!(memory(400), (4, 4));
        assert_eq!(memory(399), (4, 0));
        assert_eq!(memory(25), (2, 0));
        assert_eq!(memory(0), (0, 0));
    }
}
