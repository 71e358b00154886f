//! A composed frame -> Y U V 4:2:0, 8 bit, limited range.

use anyhow::{Context as _, Result};
use ff::frame;
use ffmpeg_next as ff;

use crate::background::Background;
use crate::encode::composed::ComposedFrame;
use crate::image::yuv420::{Yuv420, YuvConverter};

/// Draws the background's planes and, converted, the new mouth over them.
pub(super) fn draw_yuv420(
    composed: &ComposedFrame,
    converter: &mut YuvConverter,
    changed: &mut Yuv420,
    frame: &mut frame::Video,
) -> Result<()> {
    let Background { yuv420, area, .. } = composed.background.as_ref();
    let planes = yuv420.as_ref();
    let planes = planes.context("the background was prepared without its YUV planes")?;
    put(planes, frame, 0, 0);
    if let Some(patch) = &composed.patch {
        converter.convert(patch, changed)?;
        put(changed, frame, area.x0 as usize, area.y0 as usize);
    }
    Ok(())
}

/// Copies `planes` into `frame` at this even column and row.
fn put(planes: &Yuv420, frame: &mut frame::Video, column: usize, row: usize) {
    for (index, plane) in planes.planes().into_iter().enumerate() {
        let stride = frame.stride(index);
        let start = row / plane.step * stride + column / plane.step;
        let rows = frame.data_mut(index)[start..].chunks_mut(stride);
        for (to, from) in rows.zip(plane.values.chunks_exact(plane.width)) {
            to[..plane.width].copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ff::format;

    use super::*;
    use crate::image::Picture;
    use crate::image::Rect;
    use crate::image::pool::Pool;
    use crate::image::yuv420;

    /// A picture in which no two neighbours are equal.
    fn noise(width: usize, height: usize, step: usize) -> Picture {
        let mut picture = Picture::new(width, height);
        for (i, value) in picture.pixels.iter_mut().enumerate() {
            *value = (i * i / 7 + i * step) as u8;
        }
        picture
    }

    fn planes(picture: &Picture) -> Yuv420 {
        let mut planes = Yuv420::default();
        YuvConverter::default()
            .convert(picture, &mut planes)
            .unwrap();
        planes
    }

    #[test]
    fn a_converted_patch_gives_the_bytes_of_the_converted_frame() {
        for (width, height, [x0, y0, x1, y1]) in [
            (64, 48, [10, 8, 40, 38]),
            (64, 48, [11, 9, 40, 38]),
            (65, 47, [33, 15, 64, 46]),
            (65, 47, [34, 16, 65, 47]),
            (65, 47, [0, 0, 65, 47]),
            (7, 5, [6, 4, 7, 5]),
        ] {
            let rect = Rect { x0, y0, x1, y1 };
            let whole = noise(width, height, 3);
            let area = yuv420::extend_to_chroma(rect, whole.size());
            let mut area_pixels = Picture::default();
            area_pixels.copy_rect(&whole, area);
            let mut patch = Pool::<Picture>::default().take();
            patch.copy_from(&area_pixels);
            let mouth = noise(rect.width(), rect.height(), 11);
            patch.put(&mouth, rect.within(area));
            let composed = ComposedFrame {
                background: Arc::new(Background {
                    place: 0,
                    rect,
                    crop: Picture::default(),
                    area,
                    area_pixels,
                    yuv420: Some(planes(&whole)),
                    rgb: Some(whole),
                }),
                patch: Some(patch),
            };
            let mut drawn = Picture::default();
            composed.draw(&mut drawn).unwrap();
            let expected = planes(&drawn);
            let size = yuv420::even(drawn.size());
            let mut frame = frame::Video::new(format::Pixel::YUV420P, size.width, size.height);
            let (converter, changed) = (&mut YuvConverter::default(), &mut Yuv420::default());
            draw_yuv420(&composed, converter, changed, &mut frame).unwrap();
            for (index, plane) in expected.planes().iter().enumerate() {
                let rows = frame.data(index).chunks(frame.stride(index));
                for (row, expected) in rows.zip(plane.values.chunks_exact(plane.width)) {
                    assert_eq!(&row[..plane.width], expected, "{width}x{height} {rect}");
                }
            }
        }
    }
}
