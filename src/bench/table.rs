//! What was measured, for people: lines of text.

use std::fmt::Write as _;

use super::report::{BenchReport, PartReport, Timing};

/// The measurements as a table, and what follows from them.
pub(crate) fn table(report: &BenchReport) -> String {
    let mut text = report.subject() + "\n";
    let _ = writeln!(
        text,
        "\n{:<22} {:>10} {:>10} {:>10} {:>12} {:>10}",
        "", "ms/frame", "CPU ms", "frames/s", "first run s", "MB/frame"
    );
    for part in &report.parts {
        let bytes = part.bytes_read_per_frame + part.bytes_written_per_frame;
        line(&mut text, &name(part), &part.timing, Some(bytes));
    }
    line(&mut text, "whole", &report.whole, None);
    let _ = writeln!(
        text,
        "\nms/frame and frames/s are the median of what came after the first run ({}); CPU is the time of all {} cores together;\n\
        MB/frame is what goes in and what comes out, by arithmetic",
        report.runs, report.cores
    );
    text.push('\n');
    for (what, value) in conclusions(report) {
        let _ = writeln!(text, "{what:<44} {value}");
    }
    text
}

/// A part's name, indented if the whole does not do it beside the others.
fn name(part: &PartReport) -> String {
    match part.counts {
        "within" => format!("  of it {}", part.name),
        "instead" => format!("  or {}", part.name),
        _ => part.name.clone(),
    }
}

fn line(text: &mut String, name: &str, timing: &Timing, bytes: Option<usize>) {
    let bytes = bytes.map_or_else(String::new, |n| format!("{:.2}", n as f64 / 1e6));
    let _ = writeln!(
        text,
        "{name:<22} {:>10.2} {:>10.2} {:>10.1} {:>12.3} {bytes:>10}",
        timing.ms_per_frame, timing.cpu_ms_per_frame, timing.frames_per_s, timing.cold_s
    );
}

/// What follows, in words and numbers.
pub(super) fn conclusions(report: &BenchReport) -> Vec<(String, String)> {
    let ratios = &report.ratios;
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let times = |ratio: f64| format!("{ratio:.2} times");
    let mut lines = vec![
        (
            format!("whole, of its slowest part ({})", ratios.slowest_part),
            percent(ratios.whole_to_slowest_part),
        ),
        (
            format!("time of all {} cores that is used", report.cores),
            percent(ratios.cores_busy),
        ),
        (
            "CPU time of the parts, of the whole's".into(),
            percent(ratios.parts_cpu_to_whole_cpu),
        ),
        (
            "whole, of the unmodified generator's own run".into(),
            format!(
                "{} (first run {:.2})",
                times(ratios.whole_to_plain_run),
                ratios.cold_whole_to_plain_run
            ),
        ),
        (
            "CPU time of that run, of the whole's".into(),
            times(ratios.plain_run_cpu_to_whole_cpu),
        ),
        (
            "generator, of that run".into(),
            times(ratios.generator_to_plain_run),
        ),
        (
            "to the first encoded frame".into(),
            format!(
                "{:.2} s, of them {:.2} to load the networks",
                report.first_frame_s, report.load_s
            ),
        ),
    ];
    if let Some(peak) = report.peak_rss_mb {
        lines.push(("peak memory of the whole".into(), format!("{peak:.0} MB")));
    }
    if let Some(share) = report.others_share {
        let what = "time of all cores that other programs took";
        lines.push((what.into(), percent(share)));
    }
    lines
}
