//! ONNX Runtime's messages, without the source paths, functions and conditions that it puts around them.

/// What an error of ONNX Runtime says.
pub(super) fn sentence_of<T>(error: &ort::Error<T>) -> String {
    sentence(&error.to_string())
}

/// Why something failed, for a report.
pub(super) fn reason(error: &anyhow::Error) -> String {
    sentence(&format!("{error:#}"))
}

/// The same, of the message itself: its first line, without what only its programmers understand.
pub(super) fn sentence(message: &str) -> String {
    let mut text = String::new();
    let mut rest = message.lines().next().unwrap_or_default();
    while let Some((before, after)) = split_at_source_path(rest) {
        text.push_str(without_status(before));
        rest = after_function(after);
    }
    text.push_str(without_status(rest));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_end_matches('.');
    if text.is_empty() {
        "ONNX Runtime gives no reason".into()
    } else {
        text.into()
    }
}

/// Endings of source files.
const SOURCES: [&str; 5] = [".cc:", ".h:", ".cpp:", ".cu:", ".hpp:"];

/// What is before a source path with a line number, and what is after it.
fn split_at_source_path(text: &str) -> Option<(&str, &str)> {
    let ends = SOURCES.iter().filter_map(|ending| {
        let found = text.match_indices(ending);
        let ends = found.map(|(at, _)| at + ending.len());
        ends.into_iter()
            .find(|&end| text[end..].starts_with(|c: char| c.is_ascii_digit()))
    });
    let end = ends.min()?;
    let start = text[..end].rfind([' ', '"', '(']).map_or(0, |at| at + 1);
    let after = text[end..].trim_start_matches(|c: char| c.is_ascii_digit());
    // Without a function after it, it is a path like any other.
    after
        .starts_with(' ')
        .then_some((&text[..start], &after[1..]))
}

/// What comes after a function with its parameters, and after the condition that it checks.
fn after_function(text: &str) -> &str {
    let mut rest = text;
    // Parameters, perhaps of a lambda within a function; then `const` and the values of template parameters.
    loop {
        let Some(open) = rest.find('(') else {
            return text;
        };
        let Some(close) = closing(&rest[open..], '(', ')') else {
            return text;
        };
        rest = &rest[open + close + 1..];
        if rest.is_empty() || rest.starts_with(' ') {
            break;
        }
    }
    rest = rest.trim_start();
    rest = rest.strip_prefix("const ").unwrap_or(rest).trim_start();
    if rest.starts_with("[with ")
        && let Some(close) = closing(rest, '[', ']')
    {
        rest = rest[close + 1..].trim_start();
    }
    match rest.split_once(" was false.") {
        Some((_, why)) if !why.trim().is_empty() => why.trim_start(),
        _ => rest,
    }
}

/// Where the bracket closes that `text` begins with.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_i64;
    text.char_indices().find_map(|(at, c)| {
        depth += i64::from(c == open) - i64::from(c == close);
        (depth == 0).then_some(at)
    })
}

/// Without `[ONNXRuntimeError] : 1 : FAIL : `.
fn without_status(text: &str) -> &str {
    let Some((before, status)) = text.split_once("[ONNXRuntimeError] : ") else {
        return text;
    };
    let mut fields = status.splitn(3, " : ");
    match (before.trim(), fields.nth(2)) {
        ("", Some(message)) => message,
        _ => text,
    }
}

/// The number after `label`.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let (_, rest) = text.split_once(label)?;
    let digits = rest
        .trim_start()
        .split(|c: char| !c.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

/// Why a network of this opset and IR version cannot be loaded, and what to do.
pub(super) fn explain_load_error(
    message: &str,
    opset: i64,
    ir_version: i64,
) -> (String, &'static str) {
    let cause = sentence(message);
    if let Some(max) = number_after(message, "max supported IR version:") {
        return (
            format!(
                "it is of IR version {ir_version}; this ONNX Runtime reads versions up to {max}"
            ),
            "save it with an older IR version (model.ir_version in the Python package onnx), or use a newer ONNX Runtime",
        );
    }
    if let Some(max) = number_after(message, "is till opset") {
        let cause = if message.contains("domain ai.onnx is till") && opset > 0 {
            format!("it is of opset {opset}; this ONNX Runtime runs opsets up to {max}")
        } else {
            cause
        };
        return (
            cause,
            "export it with an older opset (torch.onnx.export(.., opset_version=17)), or use a newer ONNX Runtime",
        );
    }
    (
        cause,
        "the file is not an ONNX network, or is damaged; export or copy it again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of ONNX Runtime 1.24 to 1.27.
    #[test]
    fn only_the_sentence_is_left() {
        for (message, expected) in [
            (
                "/onnxruntime_src/onnxruntime/core/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&, const onnxruntime::IOnnxRuntimeOpSchemaRegistryList*, const onnxruntime::logging::Logger&, const onnxruntime::ModelOptions&) Unsupported model IR version: 99, max supported IR version: 11\n",
                "Unsupported model IR version: 99, max supported IR version: 11",
            ),
            (
                "Non-zero status code returned while running Conv node. Name:'/up4/conv/Conv' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:359 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Available memory of 1048576 is smaller than requested bytes of 419430400",
                "Non-zero status code returned while running Conv node. Name:'/up4/conv/Conv' Status Message: Available memory of 1048576 is smaller than requested bytes of 419430400",
            ),
            (
                "/build/onnxruntime/core/graph/model_load_utils.h:47 void onnxruntime::model_load_utils::ValidateOpsetForDomain(const std::unordered_map<std::basic_string<char>, int>&, const onnxruntime::logging::Logger&, bool, const string&, int) ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions.",
                "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions",
            ),
            (
                "Exception during initialization: /x/y.cc:17 onnxruntime::A::B(int)::<lambda(const C&)>::operator()(const C&) const [with T = D<E[3]>] i < v.size() was false. the index is too large",
                "Exception during initialization: the index is too large",
            ),
            (
                "/x/y.cc:17 virtual int onnxruntime::A::B(int) const i < v.size() was false. ",
                "i < v.size() was false",
            ),
            (
                "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Protobuf parsing failed.",
                "Protobuf parsing failed",
            ),
            (
                "Error in cfg.h:x and a.cc:x stays",
                "Error in cfg.h:x and a.cc:x stays",
            ),
            ("", "ONNX Runtime gives no reason"),
        ] {
            assert_eq!(sentence(message), expected);
        }
    }

    #[test]
    fn versions_that_are_too_new_are_named() {
        let said = "Unsupported model IR version: 99, max supported IR version: 11";
        let (cause, hint) = explain_load_error(said, 17, 99);
        assert_eq!(
            cause,
            "it is of IR version 99; this ONNX Runtime reads versions up to 11"
        );
        assert!(hint.contains("ir_version"));
        let said = "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 99 is under development and support for this is limited. The operator schemas and or other functionality may change before next ONNX release and in this case ONNX Runtime will not guarantee backward compatibility. Current official support for domain ai.onnx is till opset 24.";
        let (cause, hint) = explain_load_error(said, 99, 10);
        assert_eq!(
            cause,
            "it is of opset 99; this ONNX Runtime runs opsets up to 24"
        );
        assert!(hint.contains("opset_version"));
    }
}
