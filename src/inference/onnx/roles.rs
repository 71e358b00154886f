//! The networks of a model: what each of them takes and gives.

use ort::value::TensorElementType;

use crate::audio::mel::BANDS;
use crate::audio::window::{BLOCK_FRAMES, EMBEDDING_LEN};
use crate::face::{CROP, INNER};
use crate::inference::graph::byte_io;

/// A tensor that a network takes or gives.
#[derive(Clone, Copy)]
pub(super) struct TensorSpec<'a> {
    /// Its usual name.
    pub(super) name: &'a str,
    pub(super) element: TensorElementType,
    /// Without the batch.
    pub(super) shape: &'a [i64],
}

impl<'a> TensorSpec<'a> {
    pub(super) const fn floats(name: &'a str, shape: &'a [i64]) -> Self {
        let element = TensorElementType::Float32;
        Self {
            name,
            element,
            shape,
        }
    }

    pub(super) const fn bytes(name: &'a str, shape: &'a [i64]) -> Self {
        let element = TensorElementType::Uint8;
        Self {
            name,
            element,
            shape,
        }
    }
}

/// What a network is for, with the tensors it takes and gives.
pub(super) struct NetworkRole {
    pub(super) name: &'static str,
    pub(super) inputs: &'static [TensorSpec<'static>],
    pub(super) output: TensorSpec<'static>,
    /// See [`byte_io::FINITE`].
    pub(super) witness: Option<TensorSpec<'static>>,
}

pub(super) const AUDIO_ENCODER: NetworkRole = NetworkRole {
    name: "audio encoder",
    inputs: &[TensorSpec::floats(
        "mel",
        &[1, BANDS as i64, BLOCK_FRAMES as i64],
    )],
    output: TensorSpec::floats("emb", &[EMBEDDING_LEN as i64]),
    witness: None,
};

pub(super) const GENERATOR: NetworkRole = NetworkRole {
    name: "generator",
    inputs: &[
        TensorSpec::floats("input", &[6, INNER as i64, INNER as i64]),
        WINDOWS,
    ],
    output: TensorSpec::floats("output", &[3, INNER as i64, INNER as i64]),
    witness: None,
};

/// A generator that takes and gives bytes ([`byte_io`]).
pub(super) const BYTE_GENERATOR: NetworkRole = NetworkRole {
    name: "generator",
    inputs: &[
        TensorSpec::bytes(byte_io::CROPS, &[CROP as i64, CROP as i64, 3]),
        WINDOWS,
    ],
    output: TensorSpec::bytes(byte_io::PICTURES, &[3, INNER as i64, INNER as i64]),
    witness: Some(TensorSpec::floats(byte_io::FINITE, &[3, 1, 1])),
};

const WINDOWS: TensorSpec<'_> = TensorSpec::floats("audio", &[32, 16, 16]);
