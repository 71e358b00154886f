//! Content Credentials (C2PA): a statement in the clip on how it was made, signed with the user's own certificate.
//!
//! The signature covers the whole file and reveals any change. Nothing uses the network: the clip has neither a trusted
//! timestamp nor the certificate's revocation status.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Error, Result};
use c2pa::assertions::Actions;
use c2pa::validation_status::{
    CLAIM_SIGNATURE_MISMATCH, SIGNING_CREDENTIAL_UNTRUSTED, ValidationStatus,
};
use c2pa::{BoxedSigner, Builder, Context, Reader, SigningAlg, ValidationState, create_signer};
use serde_json::{Value, json};

use crate::error::Fault;
use crate::files::{self, SizeLimit};

/// Signature algorithms; a key fits exactly one of them.
const ALGORITHMS: [SigningAlg; 5] = [
    SigningAlg::Es256,
    SigningAlg::Es384,
    SigningAlg::Es512,
    SigningAlg::Ed25519,
    SigningAlg::Ps256,
];
/// MiB up to which a clip's working copy stays in memory; a larger one is written to the temporary folder.
const COPY_IN_MEMORY: usize = 64;
/// A chain of certificates takes 10 kB.
const PEM: SizeLimit = SizeLimit {
    kind: "a PEM file",
    bytes: 1 << 20,
};
/// A file to try the key with before there is a clip.
const TRIAL: &str = r#"<svg xmlns="http://www.w3.org/2000/svg"></svg>"#;

/// The files with the user's certificates and private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerFiles {
    /// PEM: the signer's certificate, followed by its chain.
    pub certificates: PathBuf,
    /// PEM: an unencrypted PKCS#8 key.
    pub key: PathBuf,
}

impl fmt::Display for SignerFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [certificates, key] = [&self.certificates, &self.key].map(|path| path.display());
        write!(f, "certificate `{certificates}` and key `{key}`")
    }
}

/// What the credentials say about a clip.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// Its file name.
    pub title: &'a str,
    /// The id of the model that rendered the mouth.
    pub model: &'a str,
    /// The kind of recording: a URI of IPTC's digital source types.
    pub source_type: &'a str,
}

impl Statement<'_> {
    /// The manifest definition, in the c2pa crate's format.
    fn manifest(&self) -> Value {
        let tool = json!({
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
        });
        // `created` assertions are attributed to the signer.
        json!({
            "title": self.title,
            "claim_generator_info": [tool],
            "assertions": [
                {
                    "label": Actions::LABEL_VERSIONED,
                    "created": true,
                    "data": {
                        "actions": [{
                            "action": "c2pa.created",
                            "digitalSourceType": self.source_type,
                            "softwareAgent": tool,
                        }],
                    },
                },
                {
                    "label": "org.lipsync.render",
                    "created": true,
                    "data": { "model": self.model },
                },
            ],
        })
    }
}

/// Signs clips with the user's certificates and private key.
#[derive(Clone)]
pub struct Signer(Arc<BoxedSigner>);

// The key must never appear in messages.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.0.alg())
    }
}

impl Signer {
    /// Reads both files and signs a trial file, so that mistakes show before a clip is rendered.
    pub fn open(files: &SignerFiles) -> Result<Self> {
        let certificates = pem(
            &files.certificates,
            "CERTIFICATE",
            "--credentials takes a chain of certificates in PEM, the signer's own first",
        )?;
        let key = pem(
            &files.key,
            "PRIVATE KEY",
            &format!(
                "--key takes an unencrypted PKCS#8 key: openssl pkcs8 -topk8 -nocrypt -in '{}' -out key.pem",
                files.key.display()
            ),
        )?;
        let signer = ALGORITHMS.into_iter().find_map(|algorithm| {
            create_signer::from_keys(certificates.as_bytes(), key.as_bytes(), algorithm, None).ok()
        });
        let Some(signer) = signer else {
            return Err(Fault::failed(format!("cannot sign with {files}"))
                .because("the key is damaged, or its type is not EC (P-256, P-384, P-521), RSA or Ed25519")
                .into());
        };
        let signer = Self(Arc::new(signer));
        let trial = Statement {
            title: "trial",
            model: "none",
            source_type: "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation",
        };
        let [mut from, mut to] = [TRIAL.into(), Vec::new()].map(Cursor::new);
        signer
            .sign_stream(&trial, "image/svg+xml", &mut from, &mut to)
            .map_err(|e| {
                Fault::failed(format!("cannot sign with {files}")).because(e).hint(
                    "the first certificate must belong to the key, be valid now, be neither a CA nor self-signed, and allow \
                        digitalSignature and emailProtection or documentSigning",
                )
            })?;
        Ok(signer)
    }

    /// Writes the clip `from`, with the statement added, into the existing file `to`, and validates the result.
    /// `media_type` is that of the clip.
    pub fn sign(
        &self,
        statement: &Statement,
        media_type: &str,
        from: &Path,
        to: &Path,
    ) -> Result<()> {
        let mut from = File::open(from)?;
        let mut to = OpenOptions::new().read(true).write(true).open(to)?;
        self.sign_stream(statement, media_type, &mut from, &mut to)
            .map_err(|e| match e.downcast::<io::Error>() {
                Ok(io) => io.into(),
                Err(other) => Fault::failed("cannot sign the clip").because(other).into(),
            })
    }

    fn sign_stream(
        &self,
        statement: &Statement,
        media_type: &str,
        from: &mut (impl Read + Seek + Send),
        to: &mut (impl Read + Write + Seek + Send),
    ) -> Result<()> {
        let context = Context::new().with_settings(settings())?.into_shared();
        let mut builder =
            Builder::from_shared_context(&context).with_definition(statement.manifest())?;
        builder
            .sign(self.0.as_ref().as_ref(), media_type, from, to)
            .map_err(plain)?;
        let reader = Reader::from_shared_context(&context)
            .with_stream(media_type, to)
            .map_err(plain)?;
        if reader.validation_state() != ValidationState::Invalid {
            return Ok(());
        }
        let found = reader.validation_status().unwrap_or_default();
        let wrong: Vec<&str> = found
            .iter()
            .map(ValidationStatus::code)
            // Whom to trust is up to those who watch the clip.
            .filter(|code| *code != SIGNING_CREDENTIAL_UNTRUSTED)
            .collect();
        if wrong.contains(&CLAIM_SIGNATURE_MISMATCH) {
            anyhow::bail!("the key does not belong to the first certificate");
        }
        anyhow::bail!("the signature is not valid: {}", wrong.join(", "));
    }
}

/// The crate's settings: no network, no thumbnails.
fn settings() -> Value {
    json!({
        "core": {
            "allowed_network_hosts": [],
            "backing_store_memory_threshold_in_mb": COPY_IN_MEMORY,
        },
        "verify": { "ocsp_fetch": false, "remote_manifest_fetch": false },
        "builder": { "thumbnail": { "enabled": false } },
    })
}

/// The crate's error; a failed read or write as the I/O error.
fn plain(error: c2pa::Error) -> Error {
    match error {
        c2pa::Error::IoError(io) => io.into(),
        other => other.into(),
    }
}

/// The blocks with this label in a PEM file, without the text between them. Fails with `hint` if there is none.
fn pem(path: &Path, label: &str, hint: &str) -> Result<String, Fault> {
    let cannot_read = || Fault::failed(format!("cannot read `{}`", path.display()));
    let bytes = files::read(path, PEM, cannot_read)?;
    let text = String::from_utf8_lossy(&bytes);
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let mut blocks = String::new();
    let mut inside = false;
    for line in text.lines().map(str::trim_end) {
        inside |= line == begin;
        if inside {
            blocks.push_str(line);
            blocks.push('\n');
        }
        inside &= line != end;
    }
    if blocks.is_empty() {
        return Err(cannot_read()
            .because(format!("it has no `{begin}`"))
            .hint(hint));
    }
    Ok(blocks)
}
