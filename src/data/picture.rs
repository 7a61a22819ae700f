//! Image files as the reference reads them: first frame, upright, 8-bit RGB, transparency dropped.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use crate::error::{Error, Result};

/// Pillow refuses more (twice its `MAX_IMAGE_PIXELS`); a file that claims more is a mistake or a bomb.
const MAX_PIXELS: u64 = 178_956_970;

/// A decoded image with where it came from.
#[derive(Debug, Clone)]
pub struct Picture {
    /// File name, or what it was pasted from.
    pub name: String,
    /// The file, where there is one.
    pub path: Option<PathBuf>,
    /// Upright RGB pixels.
    pub pixels: RgbImage,
}

impl Picture {
    /// Reads an image file of any supported format, by content rather than by name.
    pub fn read(path: &Path) -> Result<Self> {
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
        let mut decoded = DynamicImage::from_decoder(decoder).map_err(|e| bad(e.to_string()))?;
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

/// 8-bit RGB the way Pillow converts: alpha dropped, 16-bit samples cut to their high byte.
fn to_rgb(decoded: DynamicImage) -> RgbImage {
    match decoded {
        DynamicImage::ImageRgb8(rgb) => rgb,
        deep @ (DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_)) => {
            let deep = deep.to_rgb16();
            let (width, height) = deep.dimensions();
            let samples = deep.into_raw().into_iter().map(|sample| (sample >> 8) as u8).collect();
            RgbImage::from_raw(width, height, samples).expect("one sample for one sample")
        }
        other => other.to_rgb8(),
    }
}
