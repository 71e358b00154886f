//! The generator on ONNX Runtime: in parts where that could be made of its file, else as it is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Result;

use super::network::{Network, failure};
use super::part::Part;
use super::parts::{InParts, Names, Sight};
use super::store::{Key, Store};
use super::tuned::Tuner;
use super::{GENERATOR, Loader, OnnxAudioEncoder, Placement, Runtime, read};
use crate::face::{self, INPUT_LEN, OUTPUT_LEN};
use crate::infer::precision::{Precision, Samples, Tuning};
use crate::infer::{Face, Generator};
use crate::kernel::Steps;
use crate::kernel::eight::Set;
use crate::window::WINDOW_LEN;

/// Takes samples of a presenter, of which the audio encoder hears the speech.
pub type Sampler<'a> = &'a dyn Fn(&mut OnnxAudioEncoder) -> Result<Samples>;

/// What may be made of the generator's file.
#[derive(Clone, Copy)]
pub struct Tune<'a> {
    /// How exactly it is to be computed.
    pub precision: Precision,
    /// What networks of less than full precision are fitted to and measured on; without it, all is exact.
    pub samples: Option<Sampler<'a>>,
    /// The folder for what can be made again; nothing is stored without it.
    pub cache: Option<&'a Path>,
}

impl Tune<'_> {
    /// Exact.
    pub const EXACT: Self = Self {
        precision: Precision::Exact,
        samples: None,
        cache: None,
    };
}

/// What generators are started from.
pub(super) enum Made {
    InParts {
        path: PathBuf,
        joint: Part,
        names: Names,
        sight: Arc<Mutex<Sight>>,
    },
    Whole(PathBuf),
    /// For the file at this path, this model.
    Rewritten(PathBuf, Vec<u8>),
}

impl Loader<'_> {
    /// Checks the file at `path` and makes of it what `tune` asks for, or takes that from the user's cache.
    pub(super) fn made(
        &self,
        path: &Path,
        tune: Tune<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> Result<(Made, Tuning)> {
        let bytes = read(path, &GENERATOR)?;
        let samples = match tune.samples {
            Some(sampler) if tune.precision != Precision::Exact => sampler(encoder)?,
            _ => Samples::default(),
        };
        let store = tune.cache.map(|folder| Store(folder.join("networks")));
        let key = Key::new(&[
            &bytes,
            Runtime::version(&self.runtime.path).as_bytes(),
            format!("{:?}", tune.precision).as_bytes(),
            &samples.digest(),
            // What is made for one kind of processor may be of no use on another that shares the cache.
            format!("{:?} {:?}", Steps::best(), Set::best()).as_bytes(),
        ]);
        let known = store.as_ref().and_then(|store| store.get(&key));
        let (parts, tuning) = if let Some(known) = known {
            known
        } else {
            let (whole, _) = self.network(path, &GENERATOR, &bytes)?;
            let [picture, sound] = whole.input_names();
            let tuner = Tuner {
                loader: self,
                path,
                names: Names { picture, sound },
            };
            let made = tuner.tune(whole, &bytes, tune.precision, &samples);
            if let Some(store) = store {
                // Without it, the next run makes it again.
                let _ = store.put(&key, &made);
            }
            made
        };
        let made = match parts {
            Some(parts) => {
                let sight = Sight::new(&parts, self)?;
                Made::InParts {
                    path: path.to_owned(),
                    joint: Part::read(&parts.joint)?,
                    names: parts.names,
                    sight: Arc::new(Mutex::new(sight)),
                }
            }
            None => Made::Whole(path.to_owned()),
        };
        Ok((made, tuning))
    }

    /// Starts a generator, and tells which operators a GPU leaves to the CPU.
    pub(super) fn start_generator(&self, made: &Made) -> Result<(OnnxGenerator, Option<String>)> {
        match made {
            Made::InParts {
                path,
                joint,
                names,
                sight,
            } => {
                let joint = joint.start(self)?;
                let parts = InParts::new(Arc::clone(sight), names.clone(), joint);
                Ok((
                    OnnxGenerator(How::InParts(path.clone(), Box::new(parts))),
                    None,
                ))
            }
            Made::Whole(path) => Ok(whole(self.load(path, &GENERATOR)?)),
            Made::Rewritten(path, model) => Ok(whole(self.network(path, &GENERATOR, model)?)),
        }
    }
}

fn whole((network, placement): (Network, Placement)) -> (OnnxGenerator, Option<String>) {
    let whole = How::Whole {
        network: Box::new(network),
        input: Vec::new(),
    };
    (OnnxGenerator(whole), placement.left_on_cpu)
}

/// See [`Generator`].
pub struct OnnxGenerator(How);

enum How {
    /// Faces one by one; what depends on their backgrounds alone is remembered.
    InParts(PathBuf, Box<InParts>),
    /// All at a time.
    Whole {
        network: Box<Network>,
        /// `[n, 6, 320, 320]`.
        input: Vec<f32>,
    },
}

impl Generator for OnnxGenerator {
    fn generate(&mut self, faces: &[Face<'_>], audio: &[f32], output: &mut [f32]) -> Result<()> {
        match &mut self.0 {
            How::InParts(path, parts) => {
                let windows = audio.chunks_exact(WINDOW_LEN);
                let pictures = output.chunks_exact_mut(OUTPUT_LEN);
                for ((face, window), picture) in faces.iter().zip(windows).zip(pictures) {
                    let painted = parts.paint(face.crop, window, picture);
                    painted.map_err(|e| failure(path, &e))?;
                }
                Ok(())
            }
            How::Whole { network, input } => {
                input.resize(faces.len() * INPUT_LEN, 0.0);
                for (face, input) in faces.iter().zip(input.chunks_exact_mut(INPUT_LEN)) {
                    face::network_input(face.crop, input);
                }
                network.run(faces.len(), &[input, audio], output)
            }
        }
    }
}
