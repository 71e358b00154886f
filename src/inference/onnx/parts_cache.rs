//! Parts of generators on disk, by a digest of everything they were made from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::parts::{GeneratorParts, InputNames};
use crate::inference::precision::Tuning;

/// Raised whenever the same file would be rewritten differently, or an entry stored differently.
const VERSION: u32 = 5;
/// How many entries are kept; those of the full-width generator take 60 MB each.
const MAX_ENTRIES: usize = 8;
const INDEX: &str = "parts.json";

/// The folder of entries.
#[derive(Debug, Clone)]
pub(super) struct PartsCache(pub(super) PathBuf);

/// The name of an entry.
pub(super) struct CacheKey(String);

impl CacheKey {
    /// A digest of everything that decides the result.
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
    /// The key under which it was stored: an entry moved to another key's place is not used.
    key: String,
    tuning: Tuning,
    /// None if the network stays whole.
    parts: Option<PartsIndex>,
}

/// Checksums of the parts' files.
#[derive(Serialize, Deserialize)]
struct PartsIndex {
    inputs: InputNames,
    image: String,
    cheap_image: Option<String>,
    joint: String,
}

/// The parts, none if the network stays whole, and how they were made.
pub(super) type CachedParts = (Option<GeneratorParts>, Tuning);

impl PartsCache {
    /// The entry of `key`, if it exists and is undamaged.
    pub(super) fn get(&self, key: &CacheKey) -> Option<CachedParts> {
        let folder = self.0.join(&key.0);
        let index: Index = serde_json::from_slice(&fs::read(folder.join(INDEX)).ok()?).ok()?;
        if index.key != key.0 {
            return None;
        }
        let Some(parts) = index.parts else {
            return Some((None, index.tuning));
        };
        let read = |name: &str, expected: &str| {
            let bytes = fs::read(folder.join(name)).ok()?;
            (checksum(&bytes) == expected).then_some(bytes)
        };
        let cheap_image = match &parts.cheap_image {
            Some(checksum) => Some(read("cheap_image.onnx", checksum)?),
            None => None,
        };
        let parts = GeneratorParts {
            image: read("image.onnx", &parts.image)?,
            cheap_image,
            joint: read("joint.onnx", &parts.joint)?,
            inputs: parts.inputs,
        };
        Some((Some(parts), index.tuning))
    }

    /// Stores `entry`, whole or not at all, and removes the oldest ones.
    pub(super) fn put(&self, key: &CacheKey, entry: &CachedParts) -> std::io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let staged = tempfile::tempdir_in(&self.0)?;
        let (parts, tuning) = entry;
        let write = |name: &str, bytes: &[u8]| fs::write(staged.path().join(name), bytes);
        if let Some(parts) = parts {
            write("image.onnx", &parts.image)?;
            write("joint.onnx", &parts.joint)?;
            if let Some(cheap_image) = &parts.cheap_image {
                write("cheap_image.onnx", cheap_image)?;
            }
        }
        let index = Index {
            key: key.0.clone(),
            tuning: tuning.clone(),
            parts: parts.as_ref().map(|parts| PartsIndex {
                inputs: parts.inputs.clone(),
                image: checksum(&parts.image),
                cheap_image: parts.cheap_image.as_deref().map(checksum),
                joint: checksum(&parts.joint),
            }),
        };
        write(INDEX, &serde_json::to_vec_pretty(&index)?)?;
        let folder = self.0.join(&key.0);
        // Replaces a damaged entry.
        let _ = fs::remove_dir_all(&folder);
        fs::rename(staged.path(), &folder)?;
        self.remove_oldest()
    }

    fn remove_oldest(&self) -> std::io::Result<()> {
        let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified());
        let mut entries: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.0)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter_map(|path| Some((modified(&path).ok()?, path)))
            .collect();
        entries.sort();
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
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
            cheap_image: Some(vec![9]),
            joint: vec![2, 3],
            inputs: InputNames {
                picture: "input".into(),
                audio: "audio".into(),
            },
        };
        (Some(parts), Tuning::none("a test"))
    }

    #[test]
    fn an_entry_is_read_back_unless_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PartsCache(folder.path().join("new"));
        let key = CacheKey::new(&[b"a network"]);
        assert!(cache.get(&key).is_none());
        cache.put(&key, &entry()).unwrap();
        let (parts, tuning) = cache.get(&key).unwrap();
        let parts = parts.unwrap();
        assert_eq!((parts.image, parts.joint), (vec![1], vec![2, 3]));
        assert_eq!(parts.cheap_image, Some(vec![9]));
        assert_eq!(tuning, Tuning::none("a test"));
        let other = CacheKey::new(&[b"another"]);
        assert!(cache.get(&other).is_none());
        // An entry in the place of another one is not used.
        cache.put(&other, &entry()).unwrap();
        fs::copy(
            cache.0.join(&key.0).join(INDEX),
            cache.0.join(&other.0).join(INDEX),
        )
        .unwrap();
        assert!(cache.get(&other).is_none());
        fs::write(cache.0.join(&key.0).join("joint.onnx"), b"x").unwrap();
        assert!(cache.get(&key).is_none());
        cache.put(&key, &entry()).unwrap();
        assert!(cache.get(&key).is_some());
    }

    #[test]
    fn the_oldest_entries_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PartsCache(folder.path().to_owned());
        for n in 0..MAX_ENTRIES as u8 + 3 {
            cache.put(&CacheKey::new(&[&[n]]), &entry()).unwrap();
        }
        assert_eq!(fs::read_dir(&cache.0).unwrap().count(), MAX_ENTRIES);
        assert!(
            cache
                .get(&CacheKey::new(&[&[MAX_ENTRIES as u8 + 2]]))
                .is_some()
        );
    }
}
