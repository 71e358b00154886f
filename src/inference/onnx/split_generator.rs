//! A generator in parts: cached features of the background, and a joint part that adds the audio.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use ort::session::Session;
use ort::value::TensorRef;

use super::feature_cache::{Feature, FeatureCache, LazyInput, picture_value};
use super::finite::OutputValue as _;
use super::parts::InputNames;
use crate::audio::window::WINDOW_LEN;
use crate::face::OUTPUT_LEN;
use crate::image::Picture;

/// A generator that runs in parts, one face at a time.
pub(super) struct SplitGenerator {
    features: Arc<Mutex<FeatureCache>>,
    joint: Session,
    inputs: InputNames,
    /// Whether parts of the picture pass through to the joint part.
    joint_takes_picture: bool,
    input: LazyInput,
}

impl SplitGenerator {
    /// `joint` is a session of the joint part.
    pub(super) fn new(
        features: Arc<Mutex<FeatureCache>>,
        inputs: InputNames,
        joint: Session,
    ) -> Self {
        let mut joint_inputs = joint.inputs().iter();
        Self {
            joint_takes_picture: joint_inputs.any(|input| input.name() == inputs.picture),
            features,
            inputs,
            joint,
            input: LazyInput::default(),
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
        self.input.reset();
        let features = {
            let mut cache = self.features.lock().unwrap_or_else(PoisonError::into_inner);
            cache.features(crop, &mut self.input)?
        };
        let features = features.iter().flat_map(|features| features.iter());
        let mut inputs: Vec<_> = features.map(Feature::input).collect();
        let window = TensorRef::from_array_view(([1_i64, 32, 16, 16], window))?;
        inputs.push((&self.inputs.audio, window.into()));
        if self.joint_takes_picture {
            inputs.push((&self.inputs.picture, picture_value(self.input.of(crop))?));
        }
        let outputs = self.joint.run(inputs)?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        ensure!(
            values.len() == output.len(),
            "it paints {} values",
            values.len()
        );
        f32::copy(values, output, OUTPUT_LEN)
    }
}
