//! The results as a picture: where a frame's time goes, and which stage waits for which.

use image::RgbImage;

use super::report::{BenchReport, ComponentReport};
use super::table::{name, runs, summary};
use crate::draw::{
    Area, BLUE, CYAN, Canvas, Chart, Colour, GREEN, GRID, INK, MARGIN, MUTED, OLIVE, ORANGE,
    PURPLE, TextStyle, WIDTH, ink_on,
};

/// Columns on the left of the bars for names.
const NAMES: i32 = 210;
/// Columns on the right of the bars for numbers.
const NUMBERS: i32 = 264;
/// Where the first column of numbers ends, from the bars.
const FIRST_NUMBER: i32 = 104;
/// Height of a bar's row, in pixels.
const ROW: i32 = 36;
/// Height of a bar, in pixels.
const BAR: i32 = 22;
/// Height of the bar that is divided among the components, in pixels.
const SHARES: i32 = 60;
/// Waiting for the previous stage, and for the next one.
const STARVED: Colour = GRID;
const BLOCKED: Colour = [156, 163, 175];

/// Draws the report.
pub(crate) fn draw(report: &BenchReport) -> RgbImage {
    let title = format!("{:.1} frames per second", report.whole.frames_per_s);
    let subtitle = format!("{}; median of {}", report.subject(), runs(report.runs));
    let mut canvas = Canvas::new(&title, &subtitle);
    draw_shares(&mut canvas, report);
    draw_components(&mut canvas, report);
    draw_stages(&mut canvas, report);
    canvas.heading("Summary", &[]);
    canvas.rows(&summary(report));
    canvas.finish()
}

/// The colour of a component, and of the stage that runs it.
fn colour(name: &str) -> Colour {
    match name {
        "decode" | "crop" | "prepare" => GREEN,
        "mel" => CYAN,
        "audio encoder" | "listen" => PURPLE,
        "generator" | "infer" => BLUE,
        "paste" | "composite" => ORANGE,
        "plain run" => MUTED,
        _ => OLIVE,
    }
}

/// One bar: the CPU time of a frame, divided among the components.
fn draw_shares(canvas: &mut Canvas, report: &BenchReport) {
    let whole = report.whole.cpu_ms_per_frame;
    let parts: f64 = report.counted().map(|p| p.timing.cpu_ms_per_frame).sum();
    canvas.heading(
        &format!("CPU time per frame: {whole:.1} ms"),
        &[(GRID, "cost of running together")],
    );
    let area = Area::new(MARGIN, canvas.y, WIDTH - 2 * MARGIN, SHARES);
    canvas.fill(area, GRID);
    let all = whole.max(parts).max(1e-9);
    let (mut x, mut sum) = (area.x, 0.0);
    for part in report.counted() {
        sum += part.timing.cpu_ms_per_frame;
        let end = area.x + (sum / all * f64::from(area.width)).round() as i32;
        let share = Area::new(x, area.y, end - x, area.height);
        let tone = colour(&part.name);
        canvas.fill(share, tone);
        let percent = format!("{:.0} %", 100.0 * part.timing.cpu_ms_per_frame / all);
        let style = TextStyle::Small;
        let mut y = share.middle() - style.line();
        for text in [part.name.as_str(), &percent] {
            if style.width(text) + 8 <= share.width {
                canvas.text_centred(share.centre(), y, style, ink_on(tone), text);
            }
            y += style.line();
        }
        x = end;
    }
    canvas.y = area.bottom() + 6;
}

/// Two bars for each component on its own: wall time, and thinner CPU time.
fn draw_components(canvas: &mut Canvas, report: &BenchReport) {
    canvas.heading(
        "Each part on its own: ms per frame",
        &[
            (BLUE, "thick bar: wall time"),
            (MUTED, "thin bar: CPU time"),
            (INK, "line: whole render"),
        ],
    );
    let longest = |part: &ComponentReport| {
        let timing = part.timing;
        timing.ms_per_frame.max(timing.cpu_ms_per_frame)
    };
    let most = report.parts.iter().map(longest).fold(0.0, f64::max);
    let most = most.max(report.whole.ms_per_frame);
    let chart = bars(canvas, report.parts.len(), 1.04 * most);
    chart.grid(canvas);
    for (n, part) in (0..).zip(&report.parts) {
        let row = [chart.area.y + n * ROW, ROW];
        let (tone, share) = match part.counts {
            "whole" => (INK, 1.0),
            _ => (MUTED, 0.5),
        };
        chart.name(canvas, row, tone, name(part).trim_start());
        let timing = part.timing;
        let top = row[0] + (ROW - BAR) / 2;
        let wall = chart.bar(timing.ms_per_frame, top, BAR - 6);
        canvas.tint(wall, colour(&part.name), share);
        let cpu = chart.bar(timing.cpu_ms_per_frame, top + BAR - 5, 5);
        canvas.fill(cpu, MUTED);
        let time = format!("{:.2} ms", timing.ms_per_frame);
        chart.note(canvas, row, FIRST_NUMBER, tone, &time);
        let speed = format!("{:.0} frames/s", timing.frames_per_s);
        chart.note(canvas, row, NUMBERS, tone, &speed);
    }
    chart.mark(canvas, report.whole.ms_per_frame, INK, 3);
    chart.labels(canvas, " ms");
}

/// A bar for each stage of the full render: working, and waiting for the previous or the next stage.
fn draw_stages(canvas: &mut Canvas, report: &BenchReport) {
    canvas.heading(
        "Running together: share of each stage's time",
        &[
            (BLUE, "coloured: working"),
            (STARVED, "waiting for the previous stage"),
            (BLOCKED, "waiting for the next stage"),
        ],
    );
    let chart = bars(canvas, report.stages.len(), 100.0);
    chart.grid(canvas);
    for (n, stage) in (0..).zip(&report.stages) {
        let row = [chart.area.y + n * ROW, ROW];
        let name = match stage.workers {
            1 => stage.name.to_owned(),
            n => format!("{} ({n} in parallel)", stage.name),
        };
        chart.name(canvas, row, INK, &name);
        let all = (stage.busy_s + stage.starved_s + stage.blocked_s).max(1e-9);
        let (mut x, mut sum) = (chart.area.x, 0.0);
        for (time, tone) in [
            (stage.busy_s, colour(stage.name)),
            (stage.starved_s, STARVED),
            (stage.blocked_s, BLOCKED),
        ] {
            sum += time;
            let end = chart.column(100.0 * sum / all);
            let bar = Area::new(x, row[0] + (ROW - BAR) / 2, end - x, BAR);
            canvas.fill(bar, tone);
            x = end;
        }
        let percent = format!("{:.0} %", 100.0 * stage.busy_s / all);
        chart.note(canvas, row, FIRST_NUMBER, INK, &percent);
        chart.note(canvas, row, NUMBERS, INK, &format!("of {all:.2} s"));
    }
    chart.labels(canvas, " %");
}

/// A chart for `count` bars from 0 to `most`.
fn bars(canvas: &mut Canvas, count: usize, most: f64) -> Chart {
    let x = MARGIN + NAMES;
    let width = WIDTH - MARGIN - NUMBERS - x;
    let area = Area::new(x, canvas.y, width, count as i32 * ROW);
    Chart::within(canvas, area, [0.0, most.max(1e-3)], [0.0, 1.0])
}
