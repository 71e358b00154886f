//! A model drawn: what goes into each network, and what comes out.

use image::RgbImage;

use super::{ModelInfo, NetworkInfo};
use crate::draw::{self, Area, BLUE, Canvas, Colour, FAINT, GREEN, INK, ORANGE, Type};
use crate::inference::onnx::probe::TensorInfo;

/// Rows of a tensor's box.
const BOX: i32 = 76;
/// Rows between boxes.
const GAP: i32 = 16;
/// Columns of a tensor's box.
const TENSOR: i32 = 380;
/// Columns of a network's box.
const NETWORK: i32 = 396;

pub(super) fn draw(info: &ModelInfo, path: &str, warnings: &[String]) -> RgbImage {
    let mut canvas = Canvas::new(path, "lipsync inspect: a model");
    canvas.rows(&info.rows()[..3]);
    canvas.y += 6;
    canvas.warnings(warnings, 10);
    canvas.heading(
        "What goes in, and what comes out (N: any number of items at a time)",
        &[(BLUE, "input"), (ORANGE, "network"), (GREEN, "output")],
    );
    for network in &info.networks {
        diagram(&mut canvas, network);
    }
    canvas.finish()
}

/// One network: inputs on the left, itself in the middle, outputs on the right.
fn diagram(canvas: &mut Canvas, network: &NetworkInfo) {
    let most = network.inputs.len().max(network.outputs.len()).max(2) as i32;
    let height = most * BOX + (most - 1) * GAP;
    let top = canvas.y + 8;
    let left = Area::new(draw::MARGIN, top, TENSOR, height);
    let right = Area::new(draw::WIDTH - draw::MARGIN - TENSOR, top, TENSOR, height);
    let middle = Area::new((draw::WIDTH - NETWORK) / 2, top, NETWORK, height);
    boxed(canvas, middle, ORANGE);
    let count: u64 = network.weights.values().sum();
    let lines = [
        network.file.clone(),
        network
            .role
            .unwrap_or("no part of this renderer")
            .to_owned(),
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
    let step = Type::Body.line() + 2;
    let start = top + (height - step * lines.len() as i32) / 2;
    for (i, line) in lines.iter().enumerate() {
        let kind = if i == 0 { Type::Heading } else { Type::Body };
        let most = ((NETWORK - 16) / kind.advance()) as usize;
        let line: String = line.chars().take(most).collect();
        let y = start + i as i32 * step;
        canvas.text_centred(draw::WIDTH / 2, y, kind, INK, &line);
    }
    for (area, tensor) in spread(left, &network.inputs) {
        tensor_box(canvas, area, tensor, BLUE);
        let y = area.y + area.height / 2;
        arrow(canvas, area.x + area.width + 6, middle.x - 6, y);
    }
    for (area, tensor) in spread(right, &network.outputs) {
        tensor_box(canvas, area, tensor, GREEN);
        let y = area.y + area.height / 2;
        arrow(canvas, middle.x + middle.width + 6, area.x - 6, y);
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
    boxed(canvas, area, colour);
    let text = tensor.to_string();
    let shape = text.split_once(' ').map_or("", |(_, rest)| rest);
    let centre = area.x + area.width / 2;
    let most = (area.width / Type::Heading.advance()) as usize;
    let name: String = tensor.name.chars().take(most).collect();
    canvas.text_centred(centre, area.y + 8, Type::Heading, INK, &name);
    canvas.text_centred(centre, area.y + 30, Type::Body, INK, shape);
    canvas.text_centred(
        centre,
        area.y + 52,
        Type::Small,
        FAINT,
        meaning(&tensor.name),
    );
}

/// What the usual tensors hold.
fn meaning(name: &str) -> &'static str {
    match name {
        "mel" => "200 ms of sound: 80 bands, 16 moments",
        "emb" => "what is heard in these 200 ms",
        "input" => "the face, and the face with the mouth hidden",
        "audio" => "640 ms of what is heard",
        "output" => "the face, with the mouth painted anew",
        _ => "",
    }
}

fn boxed(canvas: &mut Canvas, area: Area, colour: Colour) {
    canvas.fill(area, [255, 255, 255]);
    canvas.tint(area, colour, 0.08);
    canvas.outline(area, colour, 2);
}

fn arrow(canvas: &mut Canvas, from: i32, to: i32, y: i32) {
    canvas.line((from, y), (to - 8, y), INK, 2);
    for i in 0..10 {
        canvas.line(
            (to - 10 + i, y - 5 + i / 2),
            (to - 10 + i, y + 5 - i / 2),
            INK,
            1,
        );
    }
}
