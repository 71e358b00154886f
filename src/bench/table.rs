//! The results for people: a table and a summary.

use std::fmt::Write as _;

use super::report::{BenchReport, ComponentReport, Timing};

/// The measurements as a table, and their summary.
pub(crate) fn table(report: &BenchReport) -> String {
    let mut text = report.subject() + "\n";
    let _ = writeln!(
        text,
        "\n{:<22} {:>10} {:>12} {:>10} {:>14} {:>10}",
        "", "ms/frame", "CPU ms/frame", "frames/s", "first run, s", "MB/frame"
    );
    for part in &report.parts {
        let bytes = part.bytes_read_per_frame + part.bytes_written_per_frame;
        line(&mut text, &name(part), &part.timing, Some(bytes));
    }
    line(&mut text, "whole render", &report.whole, None);
    let _ = writeln!(
        text,
        "\nTimes are medians of {} after the first run; CPU time is summed over all cores. MB/frame is the calculated size of\n\
        inputs and outputs. \"plain run\" is the unmodified generator in ONNX Runtime with its default settings.",
        runs(report.runs)
    );
    text.push('\n');
    for (what, value) in summary(report) {
        let _ = writeln!(text, "{what:<50} {value}");
    }
    text
}

/// A component's name; indented if it does not add to the full render.
pub(super) fn name(part: &ComponentReport) -> String {
    match part.counts {
        "within" => format!("  including {}", part.name),
        "instead" => format!("  or {}", part.name),
        _ => part.name.clone(),
    }
}

/// `1 run`, `3 runs`.
pub(super) fn runs(count: usize) -> String {
    match count {
        1 => "1 run".into(),
        n => format!("{n} runs"),
    }
}

fn line(text: &mut String, name: &str, timing: &Timing, bytes: Option<usize>) {
    let bytes = bytes.map_or_else(String::new, |n| format!("{:.2}", n as f64 / 1e6));
    let _ = writeln!(
        text,
        "{name:<22} {:>10.2} {:>12.2} {:>10.1} {:>14.3} {bytes:>10}",
        timing.ms_per_frame, timing.cpu_ms_per_frame, timing.frames_per_s, timing.cold_s
    );
}

/// The summary: what, and its value.
pub(super) fn summary(report: &BenchReport) -> Vec<(String, String)> {
    let ratios = &report.ratios;
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let times = |ratio: f64| format!("{ratio:.2}x");
    let mut lines = vec![
        (
            format!(
                "speed, whole render vs. slowest part ({})",
                ratios.slowest_part
            ),
            percent(ratios.whole_to_slowest_part),
        ),
        (
            "CPU utilization, all cores".into(),
            percent(ratios.cores_busy),
        ),
        (
            "CPU time, all parts vs. whole render".into(),
            percent(ratios.parts_cpu_to_whole_cpu),
        ),
        (
            "speed, whole render vs. plain run".into(),
            format!(
                "{} (first run {})",
                times(ratios.whole_to_plain_run),
                times(ratios.cold_whole_to_plain_run)
            ),
        ),
        (
            "CPU time, plain run vs. whole render".into(),
            times(ratios.plain_run_cpu_to_whole_cpu),
        ),
        (
            "speed, generator vs. plain run".into(),
            times(ratios.generator_to_plain_run),
        ),
        (
            "time to the first encoded frame".into(),
            format!(
                "{:.2} s, {:.2} s of it to load the networks",
                report.first_frame_s, report.load_s
            ),
        ),
    ];
    if let Some(peak) = report.peak_rss_mb {
        lines.push(("peak memory".into(), format!("{peak:.0} MB")));
    }
    if let Some(share) = report.others_share {
        let what = "CPU time used by other programs";
        lines.push((what.into(), percent(share)));
    }
    lines
}
