//! The text of a YAML file: limited in size, UTF-8, without its byte-order mark.

use std::io::Read;
use std::path::Path;

use super::document::FileKind;
use crate::error::{Fault, plain_io};
use crate::output::open_input;

impl FileKind {
    /// Reads the file at `path`.
    pub(crate) fn text_of(&self, path: &Path) -> Result<String, Fault> {
        let fault = || (self.fault)(format!("cannot read {} `{}`", self.name, path.display()));
        let file = open_input(path).map_err(|e| fault().because(plain_io(&e)))?;
        self.text_from(file, fault)
    }

    /// Reads `source` to its end; `fault` begins the error.
    pub(crate) fn text_from(
        &self,
        source: impl Read,
        fault: impl Fn() -> Fault,
    ) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        let read = source.take(self.max_bytes + 1).read_to_end(&mut bytes);
        read.map_err(|e| fault().because(plain_io(&e)))?;
        if bytes.len() as u64 > self.max_bytes {
            return Err(fault()
                .because(format!(
                    "it is larger than {} MiB, the limit for a {}",
                    self.max_bytes >> 20,
                    self.name
                ))
                .hint("is this the right file?"));
        }
        let mut text = String::from_utf8(bytes).map_err(|e| {
            let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            fault()
                .because(format!("line {line} is not UTF-8 text"))
                .hint("save the file as UTF-8")
        })?;
        // Some editors begin files with a byte-order mark.
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Ok(text)
    }
}
