//! Image files as the reference reads them: first frame, upright, 8-bit RGB, transparency on white.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, RgbaImage};

use super::jpeg;
use crate::error::{Error, Result};

/// Pillow refuses more (twice its `MAX_IMAGE_PIXELS`); a file that claims more is a mistake or a bomb.
const MAX_PIXELS: u64 = 178_956_970;

/// Larger files are no images.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Larger images are shown smaller; the model still reads the original.
const MAX_SHOWN_SIDE: u32 = 4096;

/// Which picture, among all that were ever decoded by this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PictureId(pub u64);

/// A decoded image with where it came from. Equal to itself and its clones only.
#[derive(Clone)]
pub struct Picture {
    id: PictureId,
    /// File name, or what it was pasted from.
    pub name: String,
    /// The file, where there is one.
    pub path: Option<PathBuf>,
    /// Upright RGB pixels.
    pub pixels: RgbImage,
    shown: OnceLock<Vec<RgbImage>>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (width, height) = self.size();
        write!(f, "Picture {{ {}, {width} x {height} }}", self.name)
    }
}

impl PartialEq for Picture {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Picture {
    /// A picture of its own.
    pub fn new(name: impl Into<String>, pixels: RgbImage) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = PictureId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id, name: name.into(), path: None, pixels, shown: OnceLock::new() }
    }

    /// Its identity.
    pub fn id(&self) -> PictureId {
        self.id
    }

    /// The picture as it is shown and its halvings, largest first; made once, which takes a while for large ones.
    pub fn shown(&self) -> &[RgbImage] {
        self.shown.get_or_init(|| {
            let (width, height) = self.size();
            let shrink = f64::from(MAX_SHOWN_SIDE) / f64::from(width.max(height));
            let scaled = |side: u32| ((f64::from(side) * shrink) as u32).max(1);
            let largest = if shrink < 1.0 {
                image::imageops::resize(&self.pixels, scaled(width), scaled(height), FilterType::Triangle)
            } else {
                self.pixels.clone()
            };
            let (width, height) = largest.dimensions();
            let mut levels = vec![largest];
            for level in 1..=width.max(height).ilog2() {
                let (w, h) = ((width >> level).max(1), (height >> level).max(1));
                let last = levels.last().expect("begun above");
                levels.push(image::imageops::resize(last, w, h, FilterType::Triangle));
            }
            levels
        })
    }

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
        let mut reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|e| Error::io("read the image", path, e))?;
        let Some(format) = reader.format() else {
            return Err(bad("expected PNG, JPEG, WebP, BMP, GIF or TIFF, found something else".to_owned()));
        };
        let mut limits = image::Limits::default();
        limits.max_alloc = Some(MAX_PIXELS * 8);
        reader.limits(limits);
        let decoder = reader.into_decoder();
        let (pixels, orientation) = if format == ImageFormat::Jpeg {
            // EXIF that cannot be read says nothing about the picture.
            let orientation = decoder.ok().and_then(|mut decoder| decoder.orientation().ok());
            (jpeg::decode(bytes, MAX_PIXELS).map_err(bad)?, orientation)
        } else {
            let mut decoder = decoder.map_err(|e| bad(e.to_string()))?;
            let (width, height) = decoder.dimensions();
            if u64::from(width) * u64::from(height) > MAX_PIXELS {
                return Err(bad(format!("expected at most {MAX_PIXELS} pixels, found {width} x {height}")));
            }
            let orientation = decoder.orientation().ok();
            let decoded = DynamicImage::from_decoder(decoder).map_err(|e| bad(e.to_string()))?;
            (to_rgb(decoded), orientation)
        };
        let mut upright = DynamicImage::ImageRgb8(pixels);
        upright.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
        if upright.width() == 0 || upright.height() == 0 {
            return Err(bad("it has no pixels".to_owned()));
        }
        Ok(Self::new(name, upright.into_rgb8()))
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.pixels.dimensions()
    }
}

/// 8-bit RGB as Pillow makes it: 16-bit grey cut off at 255, other 16-bit samples cut to their high byte,
/// transparency laid on white as the reference does.
fn to_rgb(decoded: DynamicImage) -> RgbImage {
    let has_alpha = decoded.color().has_alpha();
    let decoded = match decoded {
        DynamicImage::ImageLuma16(deep) => {
            let samples = deep.as_raw().iter().map(|sample| (*sample).min(255) as u8);
            let pixels = samples.flat_map(|sample| [sample; 3]).collect();
            return RgbImage::from_raw(deep.width(), deep.height(), pixels).expect("three for each sample");
        }
        deep @ (DynamicImage::ImageLumaA16(_)
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
    on_white(&decoded.into_rgba8())
}

/// Transparency laid on white.
pub fn on_white(rgba: &RgbaImage) -> RgbImage {
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
