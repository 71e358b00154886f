//! What was measured, as a picture that is read at a glance: where a frame's time goes, and what waits for what.

use image::RgbImage;

use super::report::{BenchReport, PartReport};
use super::table::conclusions;
use crate::draw::plot::Axis;
use crate::draw::{
    Area, BLUE, Canvas, Colour, FAINT, GREEN, GRID, INK, MARGIN, ORANGE, PAPER, RED, Type, WIDTH,
};

/// Columns on the left of the bars for names.
const NAMES: i32 = 190;
/// Columns on the right of the bars for numbers.
const NUMBERS: i32 = 230;
/// Rows of a bar, and from one to the next.
const BAR: i32 = 22;
const STEP: i32 = 34;
const VIOLET: Colour = [118, 70, 160];
const TEAL: Colour = [16, 130, 140];
/// Waiting for work, and for room.
const STARVED: Colour = GRID;
const BLOCKED: Colour = [164, 168, 176];

/// Draws the report.
pub(crate) fn draw(report: &BenchReport) -> RgbImage {
    let title = format!("{:.1} frames a second", report.whole.frames_per_s);
    let below = format!(
        "{}; median of {}",
        report.subject(),
        match report.runs {
            1 => "one run".to_owned(),
            n => format!("{n} runs"),
        }
    );
    let mut canvas = Canvas::new(&title, &below);
    draw_shares(&mut canvas, report);
    draw_parts(&mut canvas, report);
    draw_stages(&mut canvas, report);
    canvas.heading("What follows", &[]);
    for (what, value) in conclusions(report) {
        canvas.text(MARGIN, canvas.y, Type::Body, FAINT, &what);
        canvas.text(MARGIN + 440, canvas.y, Type::Body, INK, &value);
        canvas.y += Type::Body.line();
    }
    canvas.finish()
}

/// The colour of a part, and of the stage that does it.
fn colour(name: &str) -> Colour {
    match name {
        "decode" | "crop" | "prepare" => GREEN,
        "mel" => TEAL,
        "audio encoder" | "listen" => VIOLET,
        "generator" | "infer" => BLUE,
        "paste" | "composite" => ORANGE,
        "plain run" => FAINT,
        _ => RED,
    }
}

/// One bar: the time of all cores for a frame, cut into its parts.
fn draw_shares(canvas: &mut Canvas, report: &BenchReport) {
    let whole = report.whole.cpu_ms_per_frame;
    let parts: f64 = report.counted().map(|p| p.timing.cpu_ms_per_frame).sum();
    canvas.heading(
        &format!("Where a frame's {whole:.1} ms of CPU time go"),
        &[(GRID, "lost in being together")],
    );
    let area = Area::new(MARGIN, canvas.y, WIDTH - 2 * MARGIN, 46);
    canvas.fill(area, GRID);
    let all = whole.max(parts).max(1e-9);
    let (mut x, mut sum) = (area.x, 0.0);
    for part in report.counted() {
        sum += part.timing.cpu_ms_per_frame;
        let end = area.x + (sum / all * f64::from(area.width)).round() as i32;
        let range = Area::new(x, area.y, end - x, area.height);
        canvas.fill(range, colour(&part.name));
        let share = format!("{:.0} %", 100.0 * part.timing.cpu_ms_per_frame / all);
        for (line, text) in [part.name.as_str(), &share].iter().enumerate() {
            let width = text.chars().count() as i32 * Type::Body.advance();
            if width + 8 <= range.width {
                let y = range.y + 5 + line as i32 * Type::Body.line();
                canvas.text_centred(range.x + range.width / 2, y, Type::Body, PAPER, text);
            }
        }
        x = end;
    }
    canvas.y += area.height + 6;
}

/// A bar for each part alone: its time, and thinner that of all cores.
fn draw_parts(canvas: &mut Canvas, report: &BenchReport) {
    canvas.heading(
        "Each part alone: milliseconds for a frame",
        &[(INK, "the whole"), (FAINT, "thin: time of all cores")],
    );
    let millis = |part: &PartReport| {
        let timing = part.timing;
        timing.ms_per_frame.max(timing.cpu_ms_per_frame)
    };
    let most = report.parts.iter().map(millis).fold(0.0, f64::max);
    let axis = bars(
        canvas,
        report.parts.len(),
        most.max(report.whole.ms_per_frame),
    );
    axis.grid(canvas);
    for (n, part) in (0..).zip(&report.parts) {
        let y = axis.area.y + n * STEP + 5;
        let (name, tone) = match part.counts {
            "whole" => (part.name.clone(), INK),
            "within" => (format!("of it {}", part.name), FAINT),
            _ => (format!("or {}", part.name), FAINT),
        };
        label(canvas, y, tone, &name);
        let bar = |from: i32, millis: f64, height: i32| {
            Area::new(
                axis.area.x,
                from,
                (axis.x(millis) - axis.area.x).max(1),
                height,
            )
        };
        let time = bar(y, part.timing.ms_per_frame, BAR - 8);
        canvas.fill(time, PAPER);
        let share = if part.counts == "whole" { 1.0 } else { 0.45 };
        canvas.tint(time, colour(&part.name), share);
        canvas.tint(
            bar(y + BAR - 6, part.timing.cpu_ms_per_frame, 4),
            FAINT,
            1.0,
        );
        let timing = part.timing;
        let number = format!(
            "{:>7.2} ms {:>6.0} a second",
            timing.ms_per_frame, timing.frames_per_s
        );
        canvas.text(
            axis.area.x + axis.area.width + 8,
            y + 2,
            Type::Small,
            tone,
            &number,
        );
    }
    axis.mark(canvas, report.whole.ms_per_frame, INK, 2);
    axis.labels(canvas, " ms");
}

/// A bar for each stage of the whole: at work, and waiting for the one before or the one after.
fn draw_stages(canvas: &mut Canvas, report: &BenchReport) {
    canvas.heading(
        "All together: what waits for what",
        &[
            (INK, "at work"),
            (STARVED, "waits for the stage before"),
            (BLOCKED, "waits for the stage after"),
        ],
    );
    let axis = bars(canvas, report.stages.len(), 100.0);
    for (n, stage) in (0..).zip(&report.stages) {
        let y = axis.area.y + n * STEP + 5;
        let name = match stage.workers {
            1 => stage.name.to_owned(),
            n => format!("{} ({n} side by side)", stage.name),
        };
        label(canvas, y, INK, &name);
        let all = (stage.busy_s + stage.starved_s + stage.blocked_s).max(1e-9);
        let (mut x, mut sum) = (axis.area.x, 0.0);
        for (time, tone) in [
            (stage.busy_s, colour(stage.name)),
            (stage.starved_s, STARVED),
            (stage.blocked_s, BLOCKED),
        ] {
            sum += time;
            let end = axis.x(100.0 * sum / all);
            canvas.fill(Area::new(x, y, end - x, BAR), tone);
            x = end;
        }
        let number = format!("{:>4.0} % of {all:.2} s", 100.0 * stage.busy_s / all);
        let x = axis.area.x + axis.area.width + 8;
        canvas.text(x, y + 4, Type::Small, INK, &number);
    }
    axis.labels(canvas, " %");
}

/// Room for `count` bars from 0 to `most`.
fn bars(canvas: &Canvas, count: usize, most: f64) -> Axis {
    let x = MARGIN + NAMES;
    Axis {
        area: Area::new(
            x,
            canvas.y,
            WIDTH - MARGIN - NUMBERS - x,
            count as i32 * STEP,
        ),
        from: 0.0,
        to: most.max(1e-3),
    }
}

/// A name on the left of a bar.
fn label(canvas: &mut Canvas, y: i32, tone: Colour, name: &str) {
    let width = name.chars().count() as i32 * Type::Small.advance();
    canvas.text(MARGIN + NAMES - 10 - width, y + 2, Type::Small, tone, name);
}
