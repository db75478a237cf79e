//! Sample pictures: a gradient with a sun in it, in colours that depend on the prompt.

use std::f32::consts::TAU;

use anyhow::Context;

/// Width and height, in pixels.
const SIZE: usize = 256;

/// The content of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The prompt's seed, for the colours.
    pub(crate) seed: u64,
    /// The task's seed, for the arrangement.
    pub(crate) variant: u64,
    /// The one of the four images to show; `None` shows all four in a grid.
    pub(crate) picked: Option<u8>,
    /// The step of a preview. Earlier previews are coarser.
    pub(crate) step: Option<usize>,
}

impl Picture {
    /// The picture as a PNG.
    pub(crate) fn png(&self) -> anyhow::Result<Vec<u8>> {
        let grain = self.step.map_or(1, |step| 64 >> step.min(6));
        let mut pixels = Vec::with_capacity(SIZE * SIZE * 3);
        for y in 0..SIZE {
            for x in 0..SIZE {
                pixels.extend(self.pixel(x / grain * grain, y / grain * grain));
            }
        }

        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, SIZE as u32, SIZE as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header().context("could not begin the picture")?;
        writer.write_image_data(&pixels).context("could not write the picture")?;
        writer.finish().context("could not finish the picture")?;
        Ok(file)
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        match self.picked {
            Some(tile) => self.tile(tile.max(1) - 1, x, y, SIZE),
            None => {
                let half = SIZE / 2;
                let tile = (x / half + y / half * 2) as u8;
                self.tile(tile, x % half, y % half, half)
            }
        }
    }

    fn tile(&self, tile: u8, x: usize, y: usize, size: usize) -> [u8; 3] {
        let (x, y) = (x as f32 / size as f32, y as f32 / size as f32);
        let bits = self.variant.rotate_left(u32::from(tile) * 13);
        let hue = (self.seed % 360) as f32 / 360.0 + f32::from(tile) * 0.06;
        let sun_x = 0.2 + (bits % 60) as f32 / 100.0;
        let sun_y = 0.2 + (bits / 64 % 40) as f32 / 100.0;

        let distance = (x - sun_x).hypot(y - sun_y);
        let glow = (1.0 - distance / 0.55).clamp(0.0, 1.0).powi(2);
        let disc = if distance < 0.13 { 1.0 } else { 0.0 };
        let hills = 0.72 + 0.08 * ((x * 1.3 + (bits / 4096 % 100) as f32 / 100.0) * TAU).sin();
        if y > hills {
            return color(hue + 0.55, 0.55, 0.32 - (y - hills) * 0.5);
        }
        color(hue + y * 0.22, 0.62 - 0.3 * glow - 0.2 * disc, 0.42 + 0.38 * y + 0.3 * glow + 0.2 * disc)
    }
}

/// The colour for a hue in turns, and a saturation and brightness from 0 to 1.
fn color(hue: f32, saturation: f32, brightness: f32) -> [u8; 3] {
    let brightness = brightness.clamp(0.0, 1.0);
    [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|shift| {
        let wave = 0.5 + 0.5 * ((hue - shift) * TAU).cos();
        (brightness * (1.0 - saturation.clamp(0.0, 1.0) * (1.0 - wave)) * 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_png_and_the_same_every_time() {
        let picture = Picture { seed: 7, variant: 3, picked: None, step: None };

        let png = picture.png().unwrap();

        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
        assert_eq!(png, picture.png().unwrap());
        assert_ne!(png, Picture { seed: 8, ..picture }.png().unwrap());
        assert_ne!(png, Picture { step: Some(2), ..picture }.png().unwrap());
    }
}
