//! Weights outside a network's file: which files hold them, and how they get into the network.
//!
//! A network names them by `location`, relative to its own folder, with `offset` and `length` (TensorProto.external_data).
//! They are read from that folder and from nowhere else, also if a link leads out of it.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use prost::Message as _;

use super::graph::outline::{Outline, TensorOutline};
use super::graph::proto::{Graph, Model, Node, SparseTensor, Tensor, data_location};
use crate::error::{Fault, plain_io};
use crate::files::misnamed;

/// What the user can do about weights that are elsewhere.
const ONE_FOLDER: &str = "a network's weights are read from its own file or folder, and from nowhere else; export it as one file";

/// All files of the network at `path`: its own, then those that hold its weights. A file that is no network has no others.
pub(crate) fn files_of_network(path: &Path) -> Result<Vec<PathBuf>> {
    let bytes = std::fs::read(path).map_err(|e| {
        Fault::failed(format!("cannot read network `{}`", path.display())).because(plain_io(&e))
    })?;
    let outline = Outline::decode(bytes.as_slice()).unwrap_or_default();
    let weights = WeightFiles::of(path, "network");
    let tensors = outline.tensors().into_iter();
    let mut others: Vec<PathBuf> = tensors
        .filter_map(|tensor| Some((tensor, tensor.location()?)))
        .map(|(tensor, location)| weights.path(&tensor.name(), &location))
        .collect::<Result<_>>()?;
    others.sort();
    others.dedup();
    others.insert(0, path.to_owned());
    Ok(others)
}

/// Whether weights of a network are in other files.
pub(crate) fn has_external_weights(outline: &Outline) -> bool {
    outline
        .tensors()
        .into_iter()
        .any(|t| TensorOutline::location(t).is_some())
}

/// Reads all weights of `model`, the network at `path`, that are in other files, into it; messages call it `what`.
pub(crate) fn embed(model: &mut Model, path: &Path, what: &str) -> Result<()> {
    let mut weights = WeightFiles::of(path, what);
    if let Some(graph) = &mut model.graph {
        weights.embed_in_graph(graph)?;
    }
    let functions = model.functions.iter_mut();
    for node in functions.flat_map(|function| &mut function.nodes) {
        weights.embed_in_node(node)?;
    }
    Ok(())
}

/// The files next to a network that hold its weights.
struct WeightFiles<'a> {
    network: &'a Path,
    what: &'a str,
    folder: &'a Path,
    opened: HashMap<PathBuf, (File, u64)>,
}

impl<'a> WeightFiles<'a> {
    fn of(network: &'a Path, what: &'a str) -> Self {
        let folder = network.parent().filter(|f| !f.as_os_str().is_empty());
        Self {
            network,
            what,
            folder: folder.unwrap_or(Path::new(".")),
            opened: HashMap::new(),
        }
    }

    fn fault(&self) -> Fault {
        Fault::failed(format!(
            "cannot load {} `{}`",
            self.what,
            self.network.display()
        ))
    }

    /// The path of the file that `location` names for `tensor`.
    fn path(&self, tensor: &str, location: &str) -> Result<PathBuf> {
        let outside = || {
            let why =
                format!("its weights `{location}` (tensor `{tensor}`) are outside its folder");
            self.fault().because(why).hint(ONE_FOLDER)
        };
        // As Windows writes it.
        let relative = location.replace('\\', "/");
        if leaves_folder(&relative) {
            return Err(outside().into());
        }
        let path = self.folder.join(&relative);
        let missing = |error: &std::io::Error| {
            let why = plain_io(error);
            let why = format!("cannot read its weights `{location}` (tensor `{tensor}`): {why}");
            let name = path.display();
            (self.fault().because(why))
                .hint(format!("copy `{name}` too: it belongs to the network"))
        };
        let real = path.canonicalize().map_err(|e| missing(&e))?;
        let folder = self.folder.canonicalize().map_err(|e| missing(&e))?;
        if !real.starts_with(folder) {
            return Err(outside().into());
        }
        if !real.is_file() {
            let why = format!("its weights `{location}` (tensor `{tensor}`) are not a file");
            return Err(self.fault().because(why).into());
        }
        Ok(path)
    }

    fn embed_in_graph(&mut self, graph: &mut Graph) -> Result<()> {
        for tensor in &mut graph.initializers {
            self.embed_tensor(tensor)?;
        }
        for sparse in &mut graph.sparse_initializers {
            self.embed_sparse(sparse)?;
        }
        (graph.nodes.iter_mut()).try_for_each(|node| self.embed_in_node(node))
    }

    fn embed_in_node(&mut self, node: &mut Node) -> Result<()> {
        for attribute in &mut node.attributes {
            for tensor in attribute.tensor.iter_mut().chain(&mut attribute.tensors) {
                self.embed_tensor(tensor)?;
            }
            let sparse = attribute.sparse_tensor.iter_mut();
            for sparse in sparse.chain(&mut attribute.sparse_tensors) {
                self.embed_sparse(sparse)?;
            }
            for graph in attribute.graph.iter_mut().chain(&mut attribute.graphs) {
                self.embed_in_graph(graph)?;
            }
        }
        Ok(())
    }

    fn embed_sparse(&mut self, sparse: &mut SparseTensor) -> Result<()> {
        let parts = sparse.values.iter_mut().chain(&mut sparse.indices);
        parts
            .into_iter()
            .try_for_each(|tensor| self.embed_tensor(tensor))
    }

    fn embed_tensor(&mut self, tensor: &mut Tensor) -> Result<()> {
        if tensor.data_location != Some(data_location::EXTERNAL) {
            return Ok(());
        }
        let entry = |key: &str| {
            let mut entries = tensor.external_data.iter();
            Some(entries.find(|entry| entry.key == key)?.value.as_str())
        };
        let location = entry("location").unwrap_or_default();
        let number = |key: &str| entry(key).map(str::parse::<u64>).transpose();
        let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
            let why = format!(
                "the offset or length of tensor `{}` is not a number",
                tensor.name
            );
            return Err(self.fault().because(why).into());
        };
        let path = self.path(&tensor.name, location)?;
        let bytes = self.read(&path, tensor, location, offset.unwrap_or(0), length)?;
        tensor.raw_data = Some(bytes);
        tensor.external_data.clear();
        tensor.data_location = None;
        Ok(())
    }

    /// The bytes of a tensor: `length` bytes from `offset` of the file at `path`, by default up to its end.
    fn read(
        &mut self,
        path: &Path,
        tensor: &Tensor,
        location: &str,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Vec<u8>> {
        let fault = self.fault();
        let unreadable = |error: &std::io::Error| {
            format!("cannot read its weights `{location}`: {}", plain_io(error))
        };
        if !self.opened.contains_key(path) {
            let opened = File::open(path).and_then(|file| {
                let size = file.metadata()?.len();
                Ok((file, size))
            });
            let opened = match opened {
                Ok(opened) => opened,
                Err(error) => return Err(fault.because(unreadable(&error)).into()),
            };
            self.opened.insert(path.to_owned(), opened);
        }
        let (file, size) = &self.opened[path];
        let length = length.unwrap_or(size.saturating_sub(offset));
        if offset.checked_add(length).is_none_or(|end| end > *size) {
            let why = format!(
                "its weights `{location}` end after {size} bytes, but tensor `{}` takes {length} from byte {offset} on",
                tensor.name
            );
            let hint = format!(
                "`{}` is truncated or belongs to another network; copy or download both again",
                path.display()
            );
            return Err(misnamed::explain(fault.because(why).hint(hint), path).into());
        }
        let mut bytes = vec![0; length as usize];
        if let Err(error) = file.read_exact_at(&mut bytes, offset) {
            return Err(fault.because(unreadable(&error)).into());
        }
        Ok(bytes)
    }
}

/// Whether a path, with `/` between its parts, leads out of the folder that it starts from.
fn leaves_folder(path: &str) -> bool {
    let has_drive = path.as_bytes().get(1) == Some(&b':');
    let mut depth = 0_i64;
    let goes_up = path.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    });
    path.is_empty() || path.starts_with('/') || has_drive || goes_up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_stay_in_the_folder() {
        for inside in [
            "w.bin",
            "sub/w.bin",
            "./w.bin",
            "sub/../w.bin",
            "a/b/../../w",
            "..w",
        ] {
            assert!(!leaves_folder(inside), "{inside}");
        }
        for outside in [
            "",
            "/w",
            "../w",
            "sub/../../w",
            "C:/w",
            "c:w",
            "..",
            "//host/w",
        ] {
            assert!(leaves_folder(outside), "{outside}");
        }
    }
}
