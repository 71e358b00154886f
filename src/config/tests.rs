//! `lipsync.yaml` as a whole: what is read, and every mistake with its message.

use std::fs;
use std::path::Path;

use anyhow::Result;
use proptest::prelude::*;

use super::expansion::tests::variables;
use super::file::{ConfigFile, ConfiguredModel, OutputSection};
use super::yaml::Located;
use crate::error::{ErrorReport, Exit};
use crate::timeline::FrameRate;

const WHOLE: &str = "\
models_root: models
background_root: ${FRAMES}/all
models:
  - model_id: ada
    model_path: ada/generator.onnx
    background_dir: ada
    crop_rects_path: ada/crop_rects.json
  - {model_id: anna, model_path: /m/anna.onnx, audio_encoder_path: ~/a.onnx, source_video: 'anna take.mp4'}
gpu: {device_id: 1, memory_limit_gb: 7.5}
output:
  codec: h265
  crf: 20
  preset: 8
  audio_bitrate: 192
  fps: 29.97
  paste: reference
  silence: rest
  mark: false
log_level: debug
";

fn parse(text: &str) -> Result<ConfigFile> {
    ConfigFile::parse(text, Path::new("conf/lipsync.yaml"), &variables)
}

fn on_line<T>(value: T, line: usize) -> Located<T> {
    Located { value, line }
}

fn message(text: &str) -> String {
    let report = ErrorReport::of(&parse(text).unwrap_err());
    assert_eq!(report.exit, Exit::Usage);
    let hint = report.hint.map(|hint| format!("\nhint: {hint}"));
    format!(
        "{}\n{}{}",
        report.message,
        report.causes.join("\n"),
        hint.unwrap_or_default()
    )
}

#[test]
fn every_key_is_read_with_its_line() {
    let config = parse(WHOLE).unwrap();
    let ada = ConfiguredModel {
        model_id: on_line("ada".into(), 4),
        generator: on_line("conf/models/ada/generator.onnx".into(), 5),
        audio_encoder: on_line("conf/models/ada/audio_encoder.onnx".into(), 5),
        background: Some(on_line("/mnt/frames/all/ada".into(), 6)),
        crop_rects: Some(on_line("/mnt/frames/all/ada/crop_rects.json".into(), 7)),
    };
    let anna = ConfiguredModel {
        model_id: on_line("anna".into(), 8),
        generator: on_line("/m/anna.onnx".into(), 8),
        audio_encoder: on_line("/home/eve/a.onnx".into(), 8),
        background: Some(on_line("/mnt/frames/all/anna take.mp4".into(), 8)),
        crop_rects: None,
    };
    assert_eq!(config.models, [ada, anna]);
    assert_eq!(config.gpu.device_id, Some(on_line(1, 9)));
    assert_eq!(config.gpu.memory_limit_gb, Some(on_line(7.5, 9)));
    let output = OutputSection {
        codec: Some(on_line("h265", 11)),
        crf: Some(on_line(20, 12)),
        preset: Some(on_line("8".into(), 13)),
        audio_bitrate: Some(on_line(192, 14)),
        fps: FrameRate::new(30_000, 1001).map(|rate| on_line(rate, 15)),
        paste: Some(on_line("reference", 16)),
        silence: Some(on_line("rest", 17)),
        mark: Some(on_line(false, 18)),
    };
    assert_eq!(config.output, output);
    assert_eq!(config.log_level, Some(on_line("debug", 19)));
}

#[test]
fn an_empty_file_is_valid() {
    for text in [
        "",
        "# nothing yet\n",
        "models:\ngpu:\noutput: ~\n",
        "{}",
        "---\n",
    ] {
        let config = parse(text).unwrap();
        assert_eq!(
            (config.models.len(), config.log_level),
            (0, None),
            "{text:?}"
        );
        assert_eq!(config.output, OutputSection::default(), "{text:?}");
    }
}

#[test]
fn paths_without_roots_start_from_the_folder_of_the_file() {
    let text = "models: [{model_id: a, model_path: a.onnx, background_dir: ../frames}]";
    let model = &parse(text).unwrap().models[0];
    assert_eq!(model.generator.value, Path::new("conf/a.onnx"));
    assert_eq!(model.background, Some(on_line("conf/../frames".into(), 1)));
}

#[test]
fn aliases_repeat_what_their_anchor_names() {
    let text = "\
models:
  - {model_id: a, model_path: &net a.onnx}
  - {model_id: b, model_path: *net}
";
    let models = parse(text).unwrap().models;
    assert_eq!(models[1].generator, on_line("conf/a.onnx".into(), 2));
}

#[test]
fn mistakes_show_their_line() {
    let model = "models:\n  - model_id: ada\n    model_path: a.onnx\n";
    let cases = [
        (
            "unknown key",
            "models:\n  - model_id: ada\n    model_pth: a.onnx\n".to_owned(),
        ),
        (
            "unknown key, nothing near",
            "output: {codec: h264, colour: red}".into(),
        ),
        ("wrong type", "output:\n  crf: best\n".into()),
        ("a number in quotes", "gpu: {device_id: \"0\"}".into()),
        ("out of range", "gpu: {memory_limit_gb: 0}".into()),
        ("a list for a section", "gpu: [0]".into()),
        ("a word for the list", "models: ada".into()),
        ("a word for the file", "ada".into()),
        ("no value", "output:\n  crf:\n  codec: h264\n".into()),
        (
            "missing key",
            "models:\n  - model_id: ada\n  - model_id: b\n".into(),
        ),
        (
            "duplicate key",
            "log_level: info\ngpu:\nlog_level: warn\n".into(),
        ),
        ("duplicate model_id", format!("{model}{}", &model[8..])),
        (
            "both backgrounds",
            format!("{model}    background_dir: a\n    source_video: a.mp4\n"),
        ),
        ("bad word", "output: {codec: x264}".into()),
        ("bad rate", "output: {fps: 0}".into()),
        ("unset variable", "models_root: ${NOWHERE}/models".into()),
        ("unclosed variable", "models_root: ${NOWHERE/models".into()),
        ("tab", "gpu:\n\tdevice_id: 0\n".into()),
        ("unclosed quote", "models_root: \"models\n".into()),
        ("unclosed list", "models: [\n".into()),
        (
            "two documents",
            "log_level: info\n---\nlog_level: warn\n".into(),
        ),
        ("tag", "log_level: !level info\n".into()),
        ("list as key", "[a]: b\n".into()),
        ("unknown alias", "models_root: *nets\n".into()),
        (
            "long line",
            format!("# ok\n{{models_root: {}, gpus: 1}}", "é".repeat(400)),
        ),
    ];
    let messages: Vec<String> = cases
        .iter()
        .map(|(name, text)| format!("# {name}\n{}\n", message(text)))
        .collect();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("config_mistakes", messages.join("\n"));
    });
}

#[test]
fn windows_paths_and_tabs_get_a_hint() {
    let escape = "invalid YAML: in double quotes, a backslash begins an escape sequence";
    let single = r"hint: write a path in single quotes ('C:\Users\me'), or with / ('C:/Users/me')";
    for path in [r"C:\Users\me", r"C:\xeon", r"C:\dir", r"D:\me\"] {
        let told = message(&format!(
            "gpu:\r\n  device_id: 1\r\nmodels_root: \"{path}\"\r\n"
        ));
        assert!(told.contains("line 3, column 14"), "{told}");
        assert!(told.contains(escape) && told.ends_with(single), "{told}");
    }
    // Escape sequences by accident.
    let told = message("models_root: \"C:\\new\\table\"\n");
    assert!(
        told.contains("`models_root` contains a tab or a line break"),
        "{told}"
    );
    let config = parse("models_root: 'C:\\new'\nmodels: [{model_id: a, model_path: g.onnx}]\n");
    assert!(config.is_ok());
    for (text, place) in [
        ("output:\n\tcrf: 3\n", "line 2, column 1"),
        ("output:\n  crf: 3\n\tfps: 24\n", "line 3, column 1"),
        ("output:\n  crf:\t3\n", "line 2, column 7"),
        (
            "models:\n- model_id: a\n\tmodel_path: g.onnx\n",
            "line 3, column 1",
        ),
    ] {
        let told = message(text);
        assert!(told.contains(place), "{told}");
        assert!(told.ends_with("hint: replace the tab by spaces"), "{told}");
    }
}

#[test]
fn hostile_files_are_refused_in_bounded_memory() {
    let lines: Vec<String> = (1..60)
        .map(|i| format!("a{i}: &a{i} [{}]", format!("*a{},", i - 1).repeat(9)))
        .collect();
    let laughs = format!("a0: &a0 [ha]\n{}\n", lines.join("\n"));
    assert!(message(&laughs).contains("too deeply"));
    assert!(message(&laughs[..laughs.find("a9:").unwrap()]).contains("unknown key `a0`"));
    let chain: Vec<String> = (1..40_000)
        .map(|i| format!("- &a{i} [*a{}]", i - 1))
        .collect();
    assert!(message(&format!("- &a0 []\n{}", chain.join("\n"))).contains("too deeply"));
    assert!(message(&"[".repeat(33)).contains("too deeply"));
    assert!(message(&"[".repeat(1 << 20)).len() < 1000);
    assert!(message(&"- ".repeat(1 << 19)).contains("too deeply"));
    assert!(message("models: &a [*a]").contains("refers to a value that contains it"));
    let wide = format!("models: [{}]", "a, ".repeat(300_000));
    assert!(message(&wide).contains("`models[0]` must be a mapping"));
    let long = format!("? {}\n: 1\n", "k".repeat(1 << 20));
    assert!(message(&long).len() < 1000);
}

#[test]
fn files_that_are_not_text_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lipsync.yaml");
    let cause = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        ErrorReport::of(&ConfigFile::read(&path).unwrap_err())
            .causes
            .remove(0)
    };
    assert_eq!(cause(b"gpu:\n# caf\xe9\n"), "line 2 is not UTF-8 text");
    assert!(cause(&vec![b'#'; (1 << 20) + 1]).contains("1 MiB"));
    let report = ErrorReport::of(&ConfigFile::read(dir.path()).unwrap_err());
    assert_eq!(
        (report.exit, &*report.causes[0]),
        (Exit::Usage, "is a directory")
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*|[\\[\\]{}:,\\-?&*a!|>%@'\"~$ \\n\\t#]{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_change_of_a_good_file_is_read_or_refused(
        at in 0..WHOLE.len(),
        removed in 0..20_usize,
        put_in in "[\\[\\]{}:,\\-?&*a!|>%'\"~$ \\n\\t#]{0,5}",
    ) {
        let end = (at + removed).min(WHOLE.len());
        let text = format!("{}{put_in}{}", &WHOLE[..at], &WHOLE[end..]);
        let _ = parse(&text);
    }
}
