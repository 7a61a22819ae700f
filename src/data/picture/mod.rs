//! Image files as the reference reads them: first frame, upright, 8-bit RGB, transparency on white.

mod bmp;
mod gif;
mod jpeg;
mod orientation;
mod png;
mod tiff;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, RgbaImage};

use self::tiff::Beyond;
use crate::error::{Error, Result};
use crate::paths::{LFS_POINTER, is_lfs_pointer};

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
    ///
    /// # Errors
    /// A path where no file is, a file that is too large, cannot be read or is damaged, another format, too many
    /// pixels.
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
    ///
    /// # Errors
    /// Another format, bytes that are cut off or damaged, no pixels or too many.
    pub fn decode(name: &str, bytes: &[u8], path: &Path) -> Result<Self> {
        let upright =
            decoded(bytes).map_err(|problem| Error::format(path, "cannot read the image", problem))?;
        Ok(Self::new(name, upright))
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.pixels.dimensions()
    }
}

/// The upright pixels of a file, or what is wrong with it.
fn decoded(bytes: &[u8]) -> Result<RgbImage, String> {
    let said = |e: &dyn std::fmt::Display| e.to_string();
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| said(&e))?;
    // A big one of more than 4 GiB begins otherwise.
    let guessed = reader.format().or(self::tiff::is_tiff(bytes).then_some(ImageFormat::Tiff));
    let Some(format) = guessed else {
        let found = if is_lfs_pointer(bytes) { LFS_POINTER } else { "something else" };
        return Err(format!("expected PNG, JPEG, WebP, BMP, GIF or TIFF, found {found}"));
    };
    reader.set_format(format);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    let own = match format {
        ImageFormat::Jpeg => Some(jpeg::decode(bytes, MAX_PIXELS)),
        ImageFormat::Bmp => bmp::decode(bytes, MAX_PIXELS),
        ImageFormat::Tiff => self::tiff::decode(bytes, MAX_PIXELS),
        _ => None,
    };
    let own = own.transpose()?;
    let mut decoder = match (reader.into_decoder(), own) {
        (Ok(decoder), own) => (Some(decoder), own),
        // What it says besides pixels is missed, no more.
        (Err(_), Some(own)) => (None, Some(own)),
        (Err(problem), None) => return Err(said(&problem)),
    };
    // Metadata that cannot be read say nothing about the picture.
    let orientation = decoder.0.as_mut().map_or(Orientation::NoTransforms, |decoder| {
        let (exif, xmp) = match format {
            ImageFormat::Png => self::png::metadata(bytes),
            _ => (decoder.exif_metadata().ok().flatten(), decoder.xmp_metadata().ok().flatten()),
        };
        // A TIFF has it among its own tags.
        let own = decoder.orientation().ok().filter(|_| format == ImageFormat::Tiff);
        own.filter(|own| *own != Orientation::NoTransforms)
            .unwrap_or_else(|| orientation::orientation(exif.as_deref(), xmp.as_deref()))
    });
    let pixels = match decoder {
        (_, Some(own)) => own,
        (Some(decoder), None) => {
            let (width, height) = decoder.dimensions();
            if u64::from(width) * u64::from(height) > MAX_PIXELS {
                return Err(format!("expected at most {MAX_PIXELS} pixels, found {width} x {height}"));
            }
            let decoded = DynamicImage::from_decoder(decoder).map_err(|e| said(&e))?;
            match format {
                ImageFormat::Tiff => to_rgb(decoded, self::tiff::beyond(bytes), None),
                ImageFormat::Png => to_rgb(decoded, Beyond::Alpha, self::png::deep_key(bytes)),
                ImageFormat::Gif => gif::on_ground(&decoded.into_rgba8(), bytes),
                _ => to_rgb(decoded, Beyond::Alpha, None),
            }
        }
        (None, None) => unreachable!("either decodes"),
    };
    let mut upright = DynamicImage::ImageRgb8(pixels);
    upright.apply_orientation(orientation);
    if upright.width() == 0 || upright.height() == 0 {
        return Err("it has no pixels".to_owned());
    }
    Ok(upright.into_rgb8())
}

/// 8-bit RGB as Pillow makes it: 16-bit grey cut off at 255, other 16-bit samples cut to their high byte, transparency
/// laid on white as the reference does. A transparent colour of 16 bits counts after that, as Pillow compares it.
fn to_rgb(decoded: DynamicImage, beyond: Beyond, key: Option<[u16; 3]>) -> RgbImage {
    let high = |sample: u16| (sample >> 8) as u8;
    let low = |sample: u16| sample.min(255) as u8;
    // Each pixel once: copies of a large picture are gigabytes.
    match decoded {
        DynamicImage::ImageLuma16(deep) => each(&deep, |[v]| [low(v); 3]),
        DynamicImage::ImageLumaA16(deep) => match key {
            Some(key) => each(&deep, |[v, _]| keyed([low(v); 3], key)),
            None => each(&deep, |[v, a]| over([high(v); 3], high(a), beyond)),
        },
        DynamicImage::ImageRgb16(deep) => each(&deep, |pixel| pixel.map(high)),
        DynamicImage::ImageRgba16(deep) => match key {
            Some(key) => each(&deep, |[r, g, b, _]| keyed([r, g, b].map(high), key)),
            None => each(&deep, |[r, g, b, a]| over([r, g, b].map(high), high(a), beyond)),
        },
        DynamicImage::ImageLumaA8(flat) => match key {
            Some(key) => each(&flat, |[v, _]| keyed([v; 3], key)),
            None => each(&flat, |[v, a]| over([v; 3], a, beyond)),
        },
        DynamicImage::ImageRgba8(flat) => each(&flat, |[r, g, b, a]| over([r, g, b], a, beyond)),
        other => other.into_rgb8(),
    }
}

/// A picture whose pixels are made of another's.
fn each<P, const N: usize>(
    from: &image::ImageBuffer<P, Vec<P::Subpixel>>,
    of: impl Fn([P::Subpixel; N]) -> [u8; 3],
) -> RgbImage
where
    P: image::Pixel,
{
    let samples = from.as_raw().as_chunks::<N>().0.iter().flat_map(|pixel| of(*pixel)).collect();
    RgbImage::from_raw(from.width(), from.height(), samples).expect("three samples a pixel")
}

/// White where a pixel has the transparent colour.
fn keyed(pixel: [u8; 3], key: [u16; 3]) -> [u8; 3] {
    if pixel.map(u16::from) == key { [255; 3] } else { pixel }
}

/// A pixel laid on white.
fn over(pixel: [u8; 3], alpha: u8, beyond: Beyond) -> [u8; 3] {
    match beyond {
        Beyond::Other => pixel,
        Beyond::Alpha => pixel.map(|sample| over_white(sample, alpha)),
        Beyond::Multiplied => pixel.map(|sample| {
            // As Pillow divides.
            let divided = (u32::from(sample) * 255).checked_div(u32::from(alpha)).unwrap_or(0);
            over_white(divided.min(255) as u8, alpha)
        }),
    }
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

    #[test]
    fn a_transparent_grey_of_few_bits_is_compared_as_eight() {
        use base64::Engine;
        const KEY_1: &str = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAABAgAAAACW50iwAAAAAnRSTlMAAQGU/a4AAAAKSURBVHicY5AGAAAdAByO9PUhAAAAAElFTkSuQmCC";
        const KEY_85: &str = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAABAgAAAACW50iwAAAAAnRSTlMAVW2SaEMAAAAKSURBVHicY5AGAAAdAByO9PUhAAAAAElFTkSuQmCC";
        // 4 x 1 in two bits: 0, 1, 2, 3.
        let levels = |file: &str| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(file).unwrap();
            decoded(&bytes).unwrap().pixels().map(|pixel| pixel.0[0]).collect::<Vec<u8>>()
        };
        // As Pillow 13 has them.
        assert_eq!(levels(KEY_1), [0, 85, 170, 255]);
        assert_eq!(levels(KEY_85), [0, 255, 170, 255]);
    }
}
