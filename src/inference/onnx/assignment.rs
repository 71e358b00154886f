//! Which execution provider each node of a loaded network was assigned to.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::ptr;

use ort::session::Session;
use ort::{AsPointer, ortsys};

/// ONNX Runtime's key that makes a session record it (onnxruntime_session_options_config_keys.h).
pub(super) const RECORD: &str = "session.record_ep_graph_assignment_info";

const ON_CPU: &str = "CPUExecutionProvider";

/// Operators that ONNX Runtime deliberately computes on the CPU where they work on shapes. CUDA has all of them for pictures.
const SHAPE_OPERATORS: [&str; 19] = [
    "Add",
    "Cast",
    "Ceil",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Div",
    "Floor",
    "Gather",
    "Identity",
    "Mul",
    "Range",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Squeeze",
    "Sub",
    "Unsqueeze",
];

/// How many nodes of each operator run on the CPU, and how many elsewhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Assignment {
    on_cpu: BTreeMap<String, usize>,
    elsewhere: BTreeMap<String, usize>,
}

impl Assignment {
    /// Reads it from a session that was started with [`RECORD`].
    #[expect(unsafe_code, reason = "ort has no call for this part of ONNX Runtime")]
    pub(super) fn of(session: &Session) -> ort::Result<Self> {
        let mut assignment = Self::default();
        let (mut parts, mut count) = (ptr::null(), 0);
        // SAFETY: the session is alive, and the call writes to the two variables.
        ortsys![unsafe Session_GetEpGraphAssignmentInfo(session.ptr(), &raw mut parts, &raw mut count)?];
        // SAFETY: ONNX Runtime returned `count` pointers, which live as long as the session.
        for &part in unsafe { elements(parts, count) } {
            let mut provider = ptr::null();
            // SAFETY: `part` is alive, and the call writes to the variable.
            ortsys![unsafe EpAssignedSubgraph_GetEpName(part, &raw mut provider)?];
            let (mut nodes, mut count) = (ptr::null(), 0);
            // SAFETY: as above.
            ortsys![unsafe EpAssignedSubgraph_GetNodes(part, &raw mut nodes, &raw mut count)?];
            // SAFETY: a C string of the session.
            let operators = if unsafe { text(provider) } == ON_CPU {
                &mut assignment.on_cpu
            } else {
                &mut assignment.elsewhere
            };
            // SAFETY: as above.
            for &node in unsafe { elements(nodes, count) } {
                let mut operator = ptr::null();
                // SAFETY: `node` is alive, and the call writes to the variable.
                ortsys![unsafe EpAssignedNode_GetOperatorType(node, &raw mut operator)?];
                // SAFETY: as above.
                *operators.entry(unsafe { text(operator) }).or_default() += 1;
            }
        }
        Ok(assignment)
    }

    /// The operators that should run on a GPU and do not, such as `3 Resize, 1 Conv`.
    pub(super) fn left_on_cpu(&self) -> Option<String> {
        let left: Vec<String> = self
            .on_cpu
            .iter()
            .filter(|(operator, _)| {
                self.elsewhere.is_empty() || !SHAPE_OPERATORS.contains(&operator.as_str())
            })
            .map(|(operator, count)| format!("{count} {operator}"))
            .collect();
        (!left.is_empty()).then(|| left.join(", "))
    }
}

/// # Safety
///
/// `first` points to `count` elements that outlive `'a`, or `count` is 0.
#[expect(
    unsafe_code,
    reason = "ONNX Runtime's arrays are a pointer and a length"
)]
unsafe fn elements<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// # Safety
///
/// `text` is null or points to a C string that is alive.
#[expect(unsafe_code, reason = "ONNX Runtime's strings are C strings")]
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::onnx::runtime::Runtime;

    fn counts(operators: &[(&str, usize)]) -> BTreeMap<String, usize> {
        operators.iter().map(|(o, n)| ((*o).into(), *n)).collect()
    }

    #[test]
    fn a_session_on_the_cpu_is_all_on_the_cpu() {
        let builder = Session::builder(&Runtime::for_tests().environment).unwrap();
        let session = builder
            .with_config_entry(RECORD, "1")
            .unwrap()
            .commit_from_file("tests/golden/models/tiny_generator.onnx")
            .unwrap();
        let assignment = Assignment::of(&session).unwrap();
        assert!(assignment.elsewhere.is_empty(), "{assignment:?}");
        let left = assignment.left_on_cpu().unwrap();
        assert!(left.contains(" Conv"), "{left}");
    }

    #[test]
    fn shape_operators_may_run_on_the_cpu_and_others_may_not() {
        let mut assignment = Assignment {
            on_cpu: counts(&[("Shape", 4), ("Gather", 2)]),
            elsewhere: counts(&[("Conv", 60)]),
        };
        assert_eq!(assignment.left_on_cpu(), None);
        assignment.on_cpu = counts(&[("Shape", 4), ("Resize", 3), ("GridSample", 1)]);
        assert_eq!(
            assignment.left_on_cpu().as_deref(),
            Some("1 GridSample, 3 Resize")
        );
        assignment.elsewhere.clear();
        assert_eq!(
            assignment.left_on_cpu().as_deref(),
            Some("1 GridSample, 3 Resize, 4 Shape")
        );
    }
}
