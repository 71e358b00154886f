//! Draws a model: the inputs and outputs of each network.

use image::RgbImage;

use super::{ModelInfo, NetworkInfo};
use crate::draw::{self, Area, BLUE, Canvas, Colour, GREEN, INK, MUTED, ORANGE, TextStyle};
use crate::inference::onnx::probe::TensorInfo;

/// Height of a tensor's box, in pixels.
const BOX: i32 = 96;
/// Rows between boxes.
const GAP: i32 = 16;
/// Width of a tensor's box, in pixels.
const TENSOR: i32 = 400;
/// Width of a network's box, in pixels.
const NETWORK: i32 = 416;

pub(super) fn draw(info: &ModelInfo, path: &str, warnings: &[String]) -> RgbImage {
    let mut canvas = Canvas::new(path, "Model");
    canvas.rows(&info.rows()[..3]);
    canvas.findings(warnings, 10);
    canvas.heading(
        "Inputs and outputs (N: any batch size)",
        &[(BLUE, "input"), (ORANGE, "network"), (GREEN, "output")],
    );
    for network in &info.networks {
        diagram(&mut canvas, network);
    }
    canvas.finish()
}

/// One network: inputs on the left, itself in the middle, outputs on the right.
fn diagram(canvas: &mut Canvas, network: &NetworkInfo) {
    // At least as high as the lines about the network.
    let most = network.inputs.len().max(network.outputs.len()).max(2) as i32;
    let height = most * BOX + (most - 1) * GAP;
    let top = canvas.y + 8;
    let left = Area::new(draw::MARGIN, top, TENSOR, height);
    let right = Area::new(draw::WIDTH - draw::MARGIN - TENSOR, top, TENSOR, height);
    let middle = Area::new((draw::WIDTH - NETWORK) / 2, top, NETWORK, height);
    canvas.rounded(middle, ORANGE);
    let count: u64 = network.weights.values().sum();
    let lines = [
        network.file.clone(),
        network.role.unwrap_or("not used by lipsync").to_owned(),
        format!(
            "{:.2} million weights, {}",
            count as f64 / 1e6,
            network.precision
        ),
        format!(
            "{:.1} MB, opset {}, batch {}",
            network.megabytes,
            network.opset,
            network.batch()
        ),
        network.speed(),
        network.memory(),
    ];
    let styles = lines.iter().enumerate();
    let styles = styles.map(|(i, line)| match i {
        0 => (TextStyle::Heading, line),
        _ => (TextStyle::Body, line),
    });
    let rows: i32 = styles.clone().map(|(style, _)| style.line()).sum();
    let mut y = middle.middle() - rows / 2;
    for (style, line) in styles {
        let line = style.fit(line, NETWORK - 24);
        canvas.text_centred(middle.centre(), y, style, INK, &line);
        y += style.line();
    }
    for (area, tensor) in spread(left, &network.inputs) {
        tensor_box(canvas, area, tensor, BLUE);
        arrow(canvas, [area.right(), middle.x], area.middle());
    }
    for (area, tensor) in spread(right, &network.outputs) {
        tensor_box(canvas, area, tensor, GREEN);
        arrow(canvas, [middle.right(), area.x], area.middle());
    }
    canvas.y = top + height + 2 * GAP;
}

/// Boxes for the tensors, spread evenly over a column.
fn spread(column: Area, tensors: &[TensorInfo]) -> Vec<(Area, &TensorInfo)> {
    let step = column.height / tensors.len().max(1) as i32;
    let tensors = tensors.iter().enumerate();
    tensors
        .map(|(i, tensor)| {
            let y = column.y + i as i32 * step + (step - BOX) / 2;
            (Area::new(column.x, y, column.width, BOX), tensor)
        })
        .collect()
}

fn tensor_box(canvas: &mut Canvas, area: Area, tensor: &TensorInfo, colour: Colour) {
    canvas.rounded(area, colour);
    let text = tensor.to_string();
    let shape = text.split_once(' ').map_or("", |(_, rest)| rest);
    let lines = [
        (TextStyle::Heading, INK, tensor.name.as_str()),
        (TextStyle::Body, INK, shape),
        (TextStyle::Small, MUTED, meaning(&tensor.name)),
    ];
    let rows: i32 = lines.iter().map(|(style, ..)| style.line()).sum();
    let mut y = area.middle() - rows / 2;
    for (style, colour, line) in lines {
        let line = style.fit(line, area.width - 16);
        canvas.text_centred(area.centre(), y, style, colour, &line);
        y += style.line();
    }
}

/// What the usual tensors hold.
fn meaning(name: &str) -> &'static str {
    match name {
        "mel" => "200 ms of audio: 80 mel bands, 16 steps",
        "emb" => "embedding of these 200 ms",
        "input" => "face crop, whole and mouth masked",
        "audio" => "embeddings of 640 ms",
        "output" => "face crop with the new mouth",
        _ => "",
    }
}

/// An arrow between two columns, with a little room at its ends.
fn arrow(canvas: &mut Canvas, [from, to]: [i32; 2], y: i32) {
    const GAP: f32 = 8.0;
    const HEAD: [f32; 2] = [12.0, 6.0];
    let (from, tip, y) = (from as f32 + GAP, to as f32 - GAP, y as f32);
    let back = tip - HEAD[0];
    canvas.lines([(from, y), (back, y)], INK, 2.0);
    canvas.polygon(
        [(tip, y), (back, y - HEAD[1]), (back, y + HEAD[1])],
        INK,
        1.0,
    );
}
