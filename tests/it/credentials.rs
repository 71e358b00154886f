//! Content Credentials: the signature, the statement, and common mistakes with certificates, which the openssl program
//! creates, as a user would.

use std::fs;
use std::path::Path;
use std::process::Command;

use c2pa::assertions::{Actions, DigitalSourceType, SoftwareAgent};
use c2pa::validation_status::ValidationStatus;
use c2pa::{Context, Reader, SigningAlg, ValidationState};

use crate::errors::refused;
use crate::support::{Place, probe};

const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "ec -pkeyopt ec_paramgen_curve:P-384";
/// The extensions of a signer's certificate.
const SIGNER: &str = "basicConstraints=critical,CA:false\n\
    keyUsage=critical,digitalSignature\n\
    extendedKeyUsage=emailProtection\n\
    subjectKeyIdentifier=hash\n\
    authorityKeyIdentifier=keyid\n";

fn openssl(place: &Place, args: &str) {
    let output = Command::new("openssl")
        .args(args.split(' '))
        .current_dir(&place.path)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args}: {stderr}");
}

/// A place with a CA: `ca.pem`, `ca.key`.
fn place_with_ca() -> Place {
    let place = Place::new();
    openssl(
        &place,
        &format!(
            "req -x509 -newkey {P256} -nodes -keyout ca.key -out ca.pem -subj /CN=CA/O=Nobody \
            -addext keyUsage=critical,keyCertSign"
        ),
    );
    place
}

/// Creates `NAME.key` of a kind, and `NAME.pem` followed by the CA's certificate, valid for `days`.
fn certify(place: &Place, name: &str, kind: &str, extensions: &str, days: i32) {
    fs::write(place.join("extensions"), extensions).unwrap();
    openssl(
        place,
        &format!(
            "req -newkey {kind} -nodes -keyout {name}.key -out request -subj /CN=Signer/O=Nobody"
        ),
    );
    openssl(
        place,
        &format!(
            "x509 -req -in request -CA ca.pem -CAkey ca.key -days {days} -extfile extensions -out {name}.pem"
        ),
    );
    let own = fs::read_to_string(place.join(&format!("{name}.pem"))).unwrap();
    let ca = fs::read_to_string(place.join("ca.pem")).unwrap();
    fs::write(place.join(&format!("{name}.pem")), own + &ca).unwrap();
}

/// Renders 0.4 s, signed.
fn sign(place: &Place, name: &str, output: &str) {
    let (certificates, key) = (format!("{name}.pem"), format!("{name}.key"));
    let flags = ["--credentials", &certificates, "--key", &key];
    place.render(&[&flags[..], &["--limit", "0.4", "-o", output]].concat());
}

fn read(clip: &Path) -> Reader {
    Reader::from_context(Context::new())
        .with_file(clip)
        .unwrap()
}

/// The manifest's validation failures.
fn failures(reader: &Reader) -> Vec<&str> {
    let results = reader.validation_results().unwrap();
    let failures = results.active_manifest().unwrap().failure();
    failures.iter().map(ValidationStatus::code).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn each_kind_of_key_signs() {
    let place = place_with_ca();
    for (name, kind, algorithm, output) in [
        ("p256", P256, SigningAlg::Es256, "p256.mp4"),
        ("p384", P384, SigningAlg::Es384, "p384.mov"),
        ("rsa", "rsa:2048", SigningAlg::Ps256, "rsa.mp4"),
        ("ed25519", "ed25519", SigningAlg::Ed25519, "ed25519.mp4"),
    ] {
        certify(&place, name, kind, SIGNER, 30);
        let before = place.names();
        sign(&place, name, output);
        let mut after = place.names();
        after.retain(|name| !before.contains(name));
        assert_eq!(after, [output], "nothing else is left");
        let reader = read(&place.join(output));
        // The test's CA is not trusted.
        assert_eq!(failures(&reader), ["signingCredential.untrusted"], "{name}");
        assert_eq!(reader.validation_state(), ValidationState::Valid, "{name}");
        let signature = reader.active_manifest().unwrap().signature_info().unwrap();
        assert_eq!(signature.alg, Some(algorithm), "{name}");
        assert_eq!(signature.issuer.as_deref(), Some("Nobody"), "{name}");
    }
}

#[test]
fn the_manifest_says_how_the_clip_was_made() {
    let place = place_with_ca();
    certify(&place, "me", P256, SIGNER, 30);
    sign(&place, "me", "my talk.mp4");
    let reader = read(&place.join("my talk.mp4"));
    let manifest = reader.active_manifest().unwrap();
    assert_eq!(manifest.title(), Some("my talk.mp4"));
    let generator = &manifest.claim_generator_info.as_ref().unwrap()[0];
    let version = Some(env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (generator.name.as_str(), generator.version.as_deref()),
        ("lipsync", version)
    );
    let actions: Actions = manifest.find_assertion(Actions::LABEL).unwrap();
    let [action] = actions.actions() else {
        panic!("{actions:?}");
    };
    assert_eq!(action.action(), "c2pa.created");
    assert_eq!(
        action.source_type(),
        Some(&DigitalSourceType::CompositeWithTrainedAlgorithmicMedia)
    );
    let Some(SoftwareAgent::ClaimGeneratorInfo(agent)) = action.software_agent() else {
        panic!("{action:?}");
    };
    assert_eq!(
        (agent.name.as_str(), agent.version.as_deref()),
        ("lipsync", version)
    );
    let details: serde_json::Value = manifest.find_assertion("org.lipsync.render").unwrap();
    assert_eq!(details, serde_json::json!({ "model": "tiny" }));
}

#[test]
fn the_clip_and_its_mark_stay_as_they_were() {
    let place = place_with_ca();
    certify(&place, "me", P256, SIGNER, 30);
    place.render(&["--limit", "0.4", "-o", "plain.mp4"]);
    sign(&place, "me", "signed.mp4");
    let frames = |clip: &str| {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i", clip, "-f", "framemd5", "-"])
            .current_dir(&place.path)
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{clip}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(frames("plain.mp4"), frames("signed.mp4"));
    let [plain, signed] = ["plain.mp4", "signed.mp4"].map(|clip| probe(&place.join(clip)));
    assert_eq!(plain["format"]["tags"], signed["format"]["tags"]);
    let [plain, signed] =
        ["plain.mp4", "signed.mp4"].map(|clip| fs::read(place.join(clip)).unwrap());
    let start = plain.len() - 200;
    assert!(contains(&plain[start..], b"</x:xmpmeta>"));
    assert_eq!(
        plain[start..],
        signed[signed.len() - 200..],
        "the XMP box ends the file"
    );
    let at = |atom: &[u8]| signed.windows(4).position(|w| w == atom).unwrap();
    assert!(
        at(b"moov") < at(b"mdat"),
        "playback still starts while the clip loads"
    );
}

#[test]
fn a_changed_byte_shows() {
    let place = place_with_ca();
    certify(&place, "me", P256, SIGNER, 30);
    sign(&place, "me", "talk.mp4");
    let whole = fs::read(place.join("talk.mp4")).unwrap();
    let at = |part: &[u8]| whole.windows(part.len()).position(|w| w == part).unwrap();
    for (what, position) in [
        ("picture", at(b"mdat") + 2000),
        ("mark", at(b"AI-generated media") + 3),
    ] {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        fs::write(place.join("changed.mp4"), bytes).unwrap();
        let reader = read(&place.join("changed.mp4"));
        assert_eq!(
            reader.validation_state(),
            ValidationState::Invalid,
            "{what}"
        );
        assert!(
            failures(&reader).contains(&"assertion.bmffHash.mismatch"),
            "{what}"
        );
    }
}

/// The error of a render that refuses to sign.
fn refusal(place: &Place, args: &[&str]) -> String {
    let base = ["render", "speech.wav", "-m", "tiny", "-b", "bg"];
    refused(place, &[&base, args].concat())
}

fn snapshot(name: &str, error: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, error);
    });
}

#[test]
fn keys_and_certificates_that_do_not_sign() {
    let place = place_with_ca();
    let tls = SIGNER.replace("emailProtection", "serverAuth");
    for (name, kind, extensions, days) in [
        ("me", P256, SIGNER, 30),
        ("you", P256, SIGNER, 30),
        ("ed25519", "ed25519", SIGNER, 30),
        ("old", P256, SIGNER, -1),
        ("server", P256, &tls, 30),
    ] {
        certify(&place, name, kind, extensions, days);
    }
    openssl(&place, "ec -in me.key -out sec1.key");
    openssl(
        &place,
        "pkey -in me.key -aes256 -passout pass:secret -out encrypted.key",
    );
    fs::write(place.join("text"), "not a certificate").unwrap();
    let key = fs::read_to_string(place.join("me.key")).unwrap();
    let middle = key.len() / 2;
    fs::write(
        place.join("cut.key"),
        key[..middle].to_owned() + "\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    for (name, certificates, key) in [
        ("credentials_missing", "nowhere.pem", "me.key"),
        ("credentials_not_pem", "text", "me.key"),
        ("credentials_key_missing", "me.pem", "nowhere.key"),
        ("credentials_key_not_pem", "me.pem", "text"),
        ("credentials_key_not_pkcs8", "me.pem", "sec1.key"),
        ("credentials_key_encrypted", "me.pem", "encrypted.key"),
        ("credentials_key_damaged", "me.pem", "cut.key"),
        ("credentials_key_of_another", "me.pem", "you.key"),
        ("credentials_key_of_another_kind", "me.pem", "ed25519.key"),
        ("credentials_of_a_ca", "ca.pem", "ca.key"),
        ("credentials_expired", "old.pem", "old.key"),
        ("credentials_of_a_server", "server.pem", "server.key"),
    ] {
        let args = ["--credentials", certificates, "--key", key];
        snapshot(name, &refusal(&place, &args));
    }
}

#[test]
fn what_cannot_be_signed() {
    let place = place_with_ca();
    certify(&place, "me", P256, SIGNER, 30);
    let with = |name: &str, args: &[&str]| {
        let base = ["--credentials", "me.pem", "--key", "me.key"];
        snapshot(name, &refusal(&place, &[&base, args].concat()));
    };
    with("credentials_in_matroska", &["-o", "talk.mkv"]);
    with("credentials_in_a_stream", &["-o", "-"]);
    with("credentials_of_frames", &["--frames", "pngs"]);
    with(
        "credentials_of_a_contact_sheet",
        &["--contact-sheet", "look.png"],
    );
    with("credentials_without_mark", &["--no-mark"]);
    with("credentials_deterministic", &["--deterministic"]);
    snapshot(
        "credentials_without_key",
        &refusal(&place, &["--credentials", "me.pem"]),
    );
    snapshot(
        "key_without_credentials",
        &refusal(&place, &["--key", "me.key"]),
    );
}

#[test]
fn help_names_both_flags() {
    let place = Place::new();
    let output = place.run(&["render", "--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(
        help.contains("--credentials <CERT>") && help.contains("--key <KEY>"),
        "{help}"
    );
}
