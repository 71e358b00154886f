//! The face detector and the landmark network on ONNX Runtime, on the CPU.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ort::session::Session;
use ort::value::TensorRef;

use super::device::Hardware;
use super::loader::{Arena, Loader};
use super::network_file::NetworkFile;
use super::ort_message::sentence_of;
use super::runtime::Runtime;
use crate::error::Fault;
use crate::face::{DETECTOR_SIDE, FaceNetworks, LANDMARK_SIDE};

/// The networks of a folder with `detector.onnx` and `landmarks.onnx`. Each picture is one run; one thread each.
pub(crate) struct OnnxFaceNetworks {
    detector: FaceNetwork,
    landmarks: FaceNetwork,
}

struct FaceNetwork {
    path: PathBuf,
    session: Session,
}

impl OnnxFaceNetworks {
    /// Loads both networks from `folder`.
    pub(crate) fn load(runtime: &Runtime, folder: &Path) -> Result<Self> {
        Ok(Self {
            detector: FaceNetwork::load(runtime, folder.join("detector.onnx"))?,
            landmarks: FaceNetwork::load(runtime, folder.join("landmarks.onnx"))?,
        })
    }
}

impl FaceNetwork {
    fn load(runtime: &Runtime, path: PathBuf) -> Result<Self> {
        let fault = || Fault::failed(format!("cannot load face network `{}`", path.display()));
        let file = NetworkFile::read(&path, "face network")?;
        let loader = Loader {
            runtime,
            hardware: Hardware::cpu(1),
            threads: 1,
            arena: Arena::Shared,
        };
        let (session, _) = loader.session(&file.bytes, fault)?;
        Ok(Self { path, session })
    }

    /// Runs one picture `[3, side, side]`; `outputs` are the names of its outputs and where their values go.
    fn run(
        &mut self,
        picture: &[f32],
        side: usize,
        outputs: &mut [(&str, &mut [f32])],
    ) -> Result<()> {
        let fault = || Fault::failed(format!("cannot run face network `{}`", self.path.display()));
        let input = TensorRef::from_array_view(([1, 3, side, side], picture))?;
        let values = (self.session.run(ort::inputs![input]))
            .map_err(|e| fault().because(sentence_of(&e)))?;
        for (name, into) in outputs {
            let value = values
                .get(*name)
                .and_then(|value| value.try_extract_tensor::<f32>().ok())
                .filter(|(_, value)| value.len() == into.len());
            let Some((_, value)) = value else {
                return Err(fault()
                    .because(format!(
                        "it has no output `{name}` of {} values",
                        into.len()
                    ))
                    .into());
            };
            into.copy_from_slice(value);
        }
        Ok(())
    }
}

impl FaceNetworks for OnnxFaceNetworks {
    fn detect(&mut self, picture: &[f32], boxes: &mut [f32], scores: &mut [f32]) -> Result<()> {
        let outputs = &mut [("boxes", boxes), ("scores", scores)];
        self.detector.run(picture, DETECTOR_SIDE, outputs)
    }

    fn landmarks(&mut self, face: &[f32], points: &mut [f32]) -> Result<f32> {
        let mut score = [0.0];
        let outputs = &mut [("points", points), ("score", &mut score[..])];
        self.landmarks.run(face, LANDMARK_SIDE, outputs)?;
        Ok(score[0])
    }
}
