//! `lipsync doctor` on this machine, and with missing dependencies.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::Place;

/// The findings of `doctor --json`, which must exit with this code.
fn findings(output: &Output, exit: i32) -> Vec<Value> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = json!({
        "type": "object",
        "required": ["schema_version", "version", "ok", "findings"],
        "additionalProperties": false,
        "properties": {
            "schema_version": {"const": 1},
            "version": {"const": env!("CARGO_PKG_VERSION")},
            "ok": {"const": exit == 0},
            "findings": {"type": "array", "minItems": 10, "items": {
                "type": "object",
                "required": ["name", "state", "detail"],
                "additionalProperties": false,
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "state": {"enum": ["ok", "warning", "missing"]},
                    "detail": {"type": "string", "minLength": 1},
                    "remedy": {"type": "string", "minLength": 1},
                },
            }},
        },
    });
    jsonschema::validate(&schema, &report).unwrap();
    report["findings"].as_array().unwrap().clone()
}

fn finding<'f>(findings: &'f [Value], name: &str) -> &'f Value {
    let found = findings.iter().find(|finding| finding["name"] == name);
    found.unwrap_or_else(|| panic!("no `{name}` in {findings:#?}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn this_machine_has_what_is_needed() {
    let place = Place::new();
    let output = place.run(&["doctor"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{lines}");
    assert!(output.stderr.is_empty());
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = lines.lines().map(words).collect();
    for begin in [
        "ok lipsync ",
        "ok cores ",
        "ok FFmpeg ",
        "ok encoder libx264 H.264 video",
        "ok encoder aac AAC audio",
        "ok ONNX Runtime 1.",
        "ok configuration none, using defaults",
        "ok bundled sample ",
        "ok bundled model ada runs on ",
        "ok bundled background ada ",
        "ok GPU ",
    ] {
        let there = lines.iter().any(|line| line.starts_with(begin));
        assert!(there, "no line begins with `{begin}`: {lines:#?}");
    }
    assert_eq!(place.names(), ["bg", "speech.wav", "tiny"]);
}

#[test]
fn json_says_the_same() {
    let findings = findings(&Place::new().run(&["doctor", "--json"]), 0);
    assert_eq!(finding(&findings, "bundled model ada")["state"], "ok");
    assert!(findings.iter().all(|finding| finding["state"] != "missing"));
}

#[test]
fn without_onnx_runtime_nothing_can_be_rendered() {
    let place = Place::new();
    let mut command = place.command(&["doctor", "--json"]);
    let output = command.env("ORT_DYLIB_PATH", "nowhere").output().unwrap();
    let findings = findings(&output, 4);
    let runtime = finding(&findings, "ONNX Runtime");
    assert_eq!(runtime["state"], "missing");
    assert!(text(&runtime["detail"]).contains("`nowhere`"));
    assert!(text(&runtime["remedy"]).contains("set it to the path of libonnxruntime.so"));
    assert_eq!(finding(&findings, "models")["state"], "missing");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: 2 missing dependencies on this machine"),
        "{said}"
    );
}

#[test]
fn configured_models_are_tried() {
    let place = Place::new();
    fs::write(place.join("broken.onnx"), "not a network").unwrap();
    let config = "\
models:
  - {model_id: tiny, model_path: tiny/generator.onnx, background_dir: bg}
  - {model_id: broken, model_path: broken.onnx, audio_encoder_path: tiny/audio_encoder.onnx, background_dir: no}
";
    fs::write(place.join("lipsync.yaml"), config).unwrap();
    let findings = findings(&place.run(&["doctor", "--json"]), 0);
    let detail = text(&finding(&findings, "configuration")["detail"]);
    assert_eq!(detail, "`lipsync.yaml`, models: tiny, broken");
    assert_eq!(finding(&findings, "configured model tiny")["state"], "ok");
    assert_eq!(
        finding(&findings, "background of tiny")["detail"],
        "12 frames of 360x320"
    );
    let broken = finding(&findings, "configured model broken");
    assert_eq!(broken["state"], "warning");
    assert!(text(&broken["detail"]).contains("cannot load generator `broken.onnx`"));
    assert!(broken["remedy"].is_string());
    assert_eq!(
        finding(&findings, "background of broken")["state"],
        "warning"
    );
}

#[test]
fn a_configuration_that_stops_every_render_is_told() {
    let place = Place::new();
    fs::write(place.join("lipsync.yaml"), "gpus: {}\n").unwrap();
    let output = place.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(4));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains("missing  configuration"), "{lines}");
    assert!(lines.contains("1 | gpus: {}\n"), "{lines}");
    assert!(lines.contains("-> did you mean `gpu`?"), "{lines}");
}

#[test]
fn without_any_model_nothing_can_be_rendered() {
    let place = Place::new();
    for folder in ["home/models", "home/backgrounds"] {
        fs::create_dir_all(place.join(folder)).unwrap();
    }
    let mut command = place.command(&["doctor", "--json"]);
    let runtime = crate::support::project().join("target/onnxruntime/libonnxruntime.so");
    let output = command
        .env("LIPSYNC_HOME", place.join("home"))
        .env("ORT_DYLIB_PATH", runtime)
        .output()
        .unwrap();
    let findings = findings(&output, 4);
    assert_eq!(finding(&findings, "models")["state"], "missing");
    assert_eq!(finding(&findings, "bundled sample")["state"], "warning");
}

/// Stub libraries that only report a version, in place of NVIDIA's.
#[test]
fn cuda_libraries_tell_their_versions() {
    let place = Place::new();
    for (library, function) in [
        (
            "libcudart.so.13",
            "int cudaRuntimeGetVersion(int *v) { *v = 13020; return 0; }",
        ),
        (
            "libcudnn.so.9",
            "unsigned long cudnnGetVersion(void) { return 92804; }",
        ),
    ] {
        fs::write(place.join("stub.c"), function).unwrap();
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "stub.c", "-o", library])
            .current_dir(&place.path)
            .status();
        assert!(status.unwrap().success());
    }
    let mut command = place.command(&["doctor"]);
    let output = command
        .env("LD_LIBRARY_PATH", &place.path)
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    for told in ["libcudart.so.13 (13.2)", "libcudnn.so.9 (9.28.4)"] {
        // With a GPU, the missing libraries are listed instead.
        assert!(
            lines.contains(told) || lines.contains("libcurand.so.10:"),
            "{lines}"
        );
    }
}
