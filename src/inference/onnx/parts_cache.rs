//! Parts of generators on disk, by the content of what they were made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::split_generator::{GeneratorParts, Names};
use crate::inference::precision::Tuning;

/// Changes whenever the same file would be rewritten in another way.
const VERSION: u32 = 3;
/// Entries that stay; those of the full-width generator take 60 MB each.
const MOST_ENTRIES: usize = 8;
const INDEX: &str = "parts.json";

/// The folder of entries.
#[derive(Debug, Clone)]
pub(super) struct PartsCache(pub(super) PathBuf);

/// What an entry was made of.
pub(super) struct CacheKey(String);

impl CacheKey {
    /// Of everything that decides the result.
    pub(super) fn new(ingredients: &[&[u8]]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&VERSION.to_le_bytes());
        for ingredient in ingredients {
            hash.update(&ingredient.len().to_le_bytes());
            hash.update(ingredient);
        }
        Self(format!("{:032x}", hash.digest128()))
    }
}

/// An entry's index file.
#[derive(Serialize, Deserialize)]
struct Index {
    tuning: Tuning,
    /// None if nothing could be made.
    parts: Option<Listed>,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    names: Names,
    image: String,
    cheap: Option<String>,
    joint: String,
}

/// What is stored.
pub(super) type CachedParts = (Option<GeneratorParts>, Tuning);

impl PartsCache {
    /// The entry of `key`, if it is there and whole.
    pub(super) fn get(&self, key: &CacheKey) -> Option<CachedParts> {
        let folder = self.0.join(&key.0);
        let index: Index = serde_json::from_slice(&fs::read(folder.join(INDEX)).ok()?).ok()?;
        let Some(listed) = index.parts else {
            return Some((None, index.tuning));
        };
        let read = |name: &str, sum: &str| {
            let bytes = fs::read(folder.join(name)).ok()?;
            (checksum(&bytes) == sum).then_some(bytes)
        };
        let cheap = match &listed.cheap {
            Some(sum) => Some(read("cheap.onnx", sum)?),
            None => None,
        };
        let parts = GeneratorParts {
            image: read("image.onnx", &listed.image)?,
            cheap,
            joint: read("joint.onnx", &listed.joint)?,
            names: listed.names,
        };
        Some((Some(parts), index.tuning))
    }

    /// Keeps `entry`, and drops the oldest ones. It appears whole or not at all; without it, the next run makes it again.
    pub(super) fn put(&self, key: &CacheKey, entry: &CachedParts) -> std::io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let part = tempfile::tempdir_in(&self.0)?;
        let (parts, tuning) = entry;
        let write = |name: &str, bytes: &[u8]| fs::write(part.path().join(name), bytes);
        if let Some(parts) = parts {
            write("image.onnx", &parts.image)?;
            write("joint.onnx", &parts.joint)?;
            if let Some(cheap) = &parts.cheap {
                write("cheap.onnx", cheap)?;
            }
        }
        let index = Index {
            tuning: tuning.clone(),
            parts: parts.as_ref().map(|parts| Listed {
                names: parts.names.clone(),
                image: checksum(&parts.image),
                cheap: parts.cheap.as_deref().map(checksum),
                joint: checksum(&parts.joint),
            }),
        };
        write(INDEX, &serde_json::to_vec_pretty(&index)?)?;
        let place = self.0.join(&key.0);
        // One that was damaged gives way.
        let _ = fs::remove_dir_all(&place);
        fs::rename(part.path(), &place)?;
        self.drop_oldest()
    }

    fn drop_oldest(&self) -> std::io::Result<()> {
        let age = |path: &Path| fs::metadata(path).and_then(|m| m.modified());
        let mut entries: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.0)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter_map(|path| Some((age(&path).ok()?, path)))
            .collect();
        entries.sort();
        let surplus = entries.len().saturating_sub(MOST_ENTRIES);
        for (_, path) in &entries[..surplus] {
            let _ = fs::remove_dir_all(path);
        }
        Ok(())
    }
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> CachedParts {
        let parts = GeneratorParts {
            image: vec![1],
            cheap: None,
            joint: vec![2, 3],
            names: Names {
                picture: "input".into(),
                sound: "audio".into(),
            },
        };
        (Some(parts), Tuning::none("a test"))
    }

    #[test]
    fn what_is_stored_comes_back_unless_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let store = PartsCache(folder.path().join("new"));
        let key = CacheKey::new(&[b"a network"]);
        assert!(store.get(&key).is_none());
        store.put(&key, &entry()).unwrap();
        let (parts, tuning) = store.get(&key).unwrap();
        assert_eq!(parts.unwrap().joint, [2, 3]);
        assert_eq!(tuning, Tuning::none("a test"));
        assert!(store.get(&CacheKey::new(&[b"another"])).is_none());
        fs::write(store.0.join(&key.0).join("joint.onnx"), b"x").unwrap();
        assert!(store.get(&key).is_none());
        store.put(&key, &entry()).unwrap();
        assert!(store.get(&key).is_some());
    }

    #[test]
    fn old_entries_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = PartsCache(folder.path().to_owned());
        for n in 0..MOST_ENTRIES as u8 + 3 {
            store.put(&CacheKey::new(&[&[n]]), &entry()).unwrap();
        }
        assert_eq!(fs::read_dir(&store.0).unwrap().count(), MOST_ENTRIES);
        assert!(
            store
                .get(&CacheKey::new(&[&[MOST_ENTRIES as u8 + 2]]))
                .is_some()
        );
    }
}
