//! `model.yaml`: the description in a model's folder.

use std::path::Path;

use anyhow::Result;

use super::yaml::{Document, FileKind, Located, Section};
use crate::error::Fault;
use crate::files::SizeLimit;

const DESCRIPTION: FileKind = FileKind {
    name: "model description",
    limit: SizeLimit {
        kind: "a model description",
        bytes: 1 << 20,
    },
    fault: Fault::failed,
};

/// All keys. Those that [`ModelYaml`] leaves out are for people: how the networks are fed, and how they were trained.
const KEYS: [&str; 19] = [
    "model_id",
    "version",
    "family",
    "generator",
    "audio_encoder",
    "background",
    "crop",
    "inner",
    "mask",
    "channel_order",
    "sample_rate",
    "mel",
    "fps",
    "inputs",
    "outputs",
    "sha256",
    "licence",
    "cost",
    "trained",
];

/// What the program uses of a `model.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModelYaml {
    /// The model's name.
    pub(crate) model_id: Option<String>,
    /// The networks' contract: `synctalk-328`.
    pub(crate) family: Option<Located<String>>,
    /// A bundled background folder, by name.
    pub(crate) background: Option<String>,
}

impl ModelYaml {
    /// Reads the file at `path`; empty if there is none.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        Self::parse(&DESCRIPTION.text_of(path)?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let document = Document {
            kind: &DESCRIPTION,
            root: "a model description",
            path,
            text,
            lines_before: 0,
        };
        let Some(tree) = document.tree()? else {
            return Ok(Self::default());
        };
        let section = Section::new(&document, &tree, "", &KEYS)?;
        let text =
            |key| -> Result<Option<String>> { Ok(section.text(key)?.map(|text| text.value)) };
        Ok(Self {
            model_id: text("model_id")?,
            family: section.text("family")?,
            background: text("background")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::{ErrorReport, Exit};

    fn message(text: &str) -> String {
        let error = ModelYaml::parse(text, Path::new("ada/model.yaml")).unwrap_err();
        let report = ErrorReport::of(&error);
        assert_eq!(report.exit, Exit::Failed);
        let hint = report.hint.unwrap_or_default();
        format!("{}: {}\n{hint}", report.message, report.causes.join("\n"))
    }

    #[test]
    fn the_bundled_descriptions_are_valid() {
        let models = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/models")).unwrap();
        let paths: Vec<_> = models.map(|model| model.unwrap().path()).collect();
        assert!(!paths.is_empty());
        for path in paths {
            let read = ModelYaml::read(&path.join("model.yaml")).unwrap();
            assert_eq!(read.model_id.as_deref(), path.file_name().unwrap().to_str());
            assert_eq!(read.family.unwrap().value, "synctalk-328");
        }
    }

    #[test]
    fn mistakes_have_a_line_and_the_nearest_key() {
        let unknown = message("model_id: ada\nfamliy: synctalk-328\n");
        assert_eq!(
            unknown,
            "cannot read model description `ada/model.yaml`, line 2, column 1: unknown key `famliy`\n\
             2 | famliy: synctalk-328\n  | ^\ndid you mean `family`?"
        );
        let wrong = message("model_id: [t\n]\n");
        assert!(wrong.contains("line 1, column 11: `model_id` must be text, found a list"));
        assert!(message("family:\n").contains("found no value"));
        assert!(message("- a\n").contains("a model description must be a mapping, found a list"));
    }

    #[test]
    fn a_missing_or_empty_description_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.yaml");
        assert_eq!(ModelYaml::read(&path).unwrap(), ModelYaml::default());
        fs::write(&path, "\u{feff}# nothing\n").unwrap();
        assert_eq!(ModelYaml::read(&path).unwrap(), ModelYaml::default());
        fs::write(&path, "\u{feff}family: f\n").unwrap();
        let family = ModelYaml::read(&path).unwrap().family.unwrap();
        assert_eq!((&*family.value, family.line), ("f", 1));
        fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
        assert!(ModelYaml::read(&path).is_err());
    }
}
