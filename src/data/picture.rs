//! Image files as the reference reads them: first frame, upright, 8-bit RGB, transparency on white.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, RgbaImage,
};

use crate::error::{Error, Result};

/// Pillow refuses more (twice its `MAX_IMAGE_PIXELS`); a file that claims more is a mistake or a bomb.
const MAX_PIXELS: u64 = 178_956_970;

/// Larger files are no images.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A decoded image with where it came from.
#[derive(Clone)]
pub struct Picture {
    /// File name, or what it was pasted from.
    pub name: String,
    /// The file, where there is one.
    pub path: Option<PathBuf>,
    /// Upright RGB pixels.
    pub pixels: RgbImage,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (width, height) = self.size();
        write!(f, "Picture {{ {}, {width} x {height} }}", self.name)
    }
}

impl Picture {
    /// Reads an image file of any supported format, by content rather than by name.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(Error::field(path, "the image", "a file", "a folder or device"));
            }
            Ok(found) if found.len() > MAX_FILE_BYTES => {
                let (expected, found) = (format!("at most {MAX_FILE_BYTES} bytes"), found.len().to_string());
                return Err(Error::field(path, "the image", expected, found));
            }
            Ok(_) | Err(_) => {}
        }
        let bytes = std::fs::read(path).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                Error::Missing { what: "the image".to_owned(), path: path.to_owned() }
            } else {
                Error::io("read the image", path, e)
            }
        })?;
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { path: Some(path.to_owned()), ..Self::decode(&name, &bytes, path)? })
    }

    /// Decodes the bytes of an image file; `path` is for messages.
    pub fn decode(name: &str, bytes: &[u8], path: &Path) -> Result<Self> {
        let bad = |problem: String| Error::format(path, "cannot read the image", problem);
        let reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|e| Error::io("read the image", path, e))?;
        if reader.format().is_none() {
            return Err(bad("expected PNG, JPEG, WebP, BMP, GIF or TIFF, found something else".to_owned()));
        }
        let reader_format = reader.format();
        let mut reader = reader;
        let mut limits = image::Limits::default();
        limits.max_alloc = Some(MAX_PIXELS * 8);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(|e| bad(e.to_string()))?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(bad(format!("expected at most {MAX_PIXELS} pixels, found {width} x {height}")));
        }
        // EXIF that cannot be read says nothing about the picture.
        let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
        let is_jpeg = reader_format == Some(ImageFormat::Jpeg);
        if is_jpeg && !has_jpeg_end(bytes) {
            // Decoders would fill the rest with grey.
            return Err(bad("the file ends before the image does".to_owned()));
        }
        let is_plain =
            matches!(decoder.original_color_type(), ExtendedColorType::Rgb8 | ExtendedColorType::L8);
        let mut decoded = DynamicImage::from_decoder(decoder).map_err(|e| bad(e.to_string()))?;
        if is_jpeg
            && is_plain
            && let Some(exact) = decode_jpeg(bytes)
        {
            decoded = exact;
        }
        decoded.apply_orientation(orientation);
        if decoded.width() == 0 || decoded.height() == 0 {
            return Err(bad("it has no pixels".to_owned()));
        }
        Ok(Self { name: name.to_owned(), path: None, pixels: to_rgb(decoded) })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.pixels.dimensions()
    }
}

/// Is there an end-of-image marker after the start of the last scan? Neither occurs inside a scan's data.
fn has_jpeg_end(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xda]).is_some_and(|scan| last([0xff, 0xd9]).is_some_and(|end| end > scan))
}

/// A JPEG by libjpeg's own arithmetic, which the reference uses too: other decoders differ by a level or
/// two in a quarter of the pixels. `None` where libjpeg does not take it.
fn decode_jpeg(bytes: &[u8]) -> Option<DynamicImage> {
    // libjpeg reports what it cannot go on from by unwinding.
    std::panic::catch_unwind(|| {
        let mut started = mozjpeg::Decompress::new_mem(bytes).ok()?.rgb().ok()?;
        let (width, height) = (started.width(), started.height());
        let samples: Vec<[u8; 3]> = started.read_scanlines().ok()?;
        started.finish().ok()?;
        let rgb = RgbImage::from_raw(width as u32, height as u32, samples.into_flattened())?;
        Some(DynamicImage::ImageRgb8(rgb))
    })
    .ok()
    .flatten()
}

/// 8-bit RGB: 16-bit samples cut to their high byte, transparency laid on white as the reference does.
fn to_rgb(decoded: DynamicImage) -> RgbImage {
    let has_alpha = decoded.color().has_alpha();
    let decoded = match decoded {
        deep @ (DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_)) => {
            let deep = deep.to_rgba16();
            let (width, height) = deep.dimensions();
            let samples = deep.into_raw().into_iter().map(|sample| (sample >> 8) as u8).collect();
            let rgba = RgbaImage::from_raw(width, height, samples).expect("one sample for one sample");
            DynamicImage::ImageRgba8(rgba)
        }
        other => other,
    };
    if !has_alpha {
        return decoded.into_rgb8();
    }
    let rgba = decoded.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0;
        Rgb([r, g, b].map(|sample| over_white(sample, a)))
    })
}

/// Pillow's `alpha_composite` over opaque white, in its fixed-point arithmetic.
fn over_white(sample: u8, alpha: u8) -> u8 {
    if alpha == 0 {
        return 255;
    }
    let (sample, alpha) = (u32::from(sample), u32::from(alpha));
    let sum = ((sample * alpha + 255 * (255 - alpha)) << 7) + (0x80 << 7);
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparency_lies_on_white() {
        assert_eq!(over_white(10, 255), 10);
        assert_eq!(over_white(10, 0), 255);
        assert_eq!(over_white(0, 128), 127);
        assert_eq!(over_white(200, 51), 244);
    }
}
