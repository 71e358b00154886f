//! What a batch prints at its end.

use serde_json::json;

use crate::batch::report::BatchReport;
use crate::cli::ui::Ui;

/// Lists the clips that failed, then the figures of the run.
pub(super) fn print(report: &BatchReport, ui: &Ui) {
    let failed: Vec<(&str, String, Option<String>)> = report.failures().collect();
    ui.failures(&failed);
    let totals = report.totals;
    if report.error.is_none() {
        ui.event(
            "success",
            json!({
                "output": report.output,
                "clips": totals.clips,
                "rendered": totals.rendered,
                "skipped": totals.skipped,
                "frames": report.frames,
                "seconds": report.seconds,
                "wall_s": report.wall_s,
                "fps": report.frames_per_s,
            }),
        );
    }
    let others = [
        (totals.skipped, "finished before"),
        (totals.failed, "failed"),
        (totals.stopped, "stopped"),
    ];
    let others: Vec<String> = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(", {count} {what}"))
        .collect();
    ui.say(&format!(
        "rendered {} of {} clips{}: {} frames, {:.2} s, in {:.1} s ({:.1} fps, {:.2}x real time)",
        totals.rendered,
        totals.clips,
        others.concat(),
        report.frames,
        report.seconds,
        report.wall_s,
        report.frames_per_s,
        report.realtime_factor
    ));
}
