//! The parts of a generator, as ONNX models.

/// The parts, and the names of the whole network's inputs.
#[derive(Debug, Clone)]
pub(super) struct GeneratorParts {
    /// Picture -> all features.
    pub(super) image: Vec<u8>,
    /// Picture -> the features that are cheap to compute again, if there are any.
    pub(super) cheap_image: Option<Vec<u8>>,
    /// Features and audio -> picture.
    pub(super) joint: Vec<u8>,
    pub(super) inputs: InputNames,
}

/// Names of the whole network's inputs.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct InputNames {
    pub(super) picture: String,
    pub(super) audio: String,
}
