//! JPEG files by libjpeg's own arithmetic, which the reference uses too: other decoders differ by a level or two
//! in a quarter of the pixels.

use image::RgbImage;
use mozjpeg::ColorSpace;

/// Decodes a whole file to RGB as stored, not yet turned upright, or says why that does not work. `max_pixels` is
/// looked at before any pixel is made.
///
/// # Errors
/// A file that is cut off or damaged, too many pixels.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<RgbImage, String> {
    // Decoders would fill the rest with grey.
    let end = end_of_image(bytes).ok_or("the file ends before the image does")?;
    // libjpeg reports what it cannot go on from by unwinding.
    std::panic::catch_unwind(|| decode_whole(&bytes[..end], max_pixels))
        .unwrap_or_else(|_| Err("the JPEG decoder cannot go on".to_owned()))
}

fn decode_whole(bytes: &[u8], max_pixels: u64) -> Result<RgbImage, String> {
    let failed = |e: std::io::Error| e.to_string();
    let header = mozjpeg::Decompress::new_mem(bytes).map_err(failed)?;
    let (width, height) = header.size();
    if width as u64 * height as u64 > max_pixels {
        return Err(format!("expected at most {max_pixels} pixels, found {width} x {height}"));
    }
    let is_cmyk = matches!(header.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let samples: Vec<[u8; 3]> = if is_cmyk {
        let mut started = header.to_colorspace(ColorSpace::JCS_CMYK).map_err(failed)?;
        let inks: Vec<[u8; 4]> = started.read_scanlines().map_err(failed)?;
        started.finish().map_err(failed)?;
        inks.into_iter().map(rgb_from_inverted_cmyk).collect()
    } else {
        let mut started = header.rgb().map_err(failed)?;
        let samples = started.read_scanlines().map_err(failed)?;
        started.finish().map_err(failed)?;
        samples
    };
    RgbImage::from_raw(width as u32, height as u32, samples.into_flattened())
        .ok_or_else(|| "it has fewer pixels than it says".to_owned())
}

/// Pillow's conversion, for the inverted inks every CMYK JPEG holds by Adobe's convention.
fn rgb_from_inverted_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let white = u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(255 - ink) * white + 128;
        (white - (((product >> 8) + product) >> 8)) as u8
    })
}

/// One past the end-of-image marker, found by walking from marker to marker: segments (with thumbnails of their
/// own) are stepped over, and what follows the image (a film, an archive) is not looked at.
fn end_of_image(bytes: &[u8]) -> Option<usize> {
    const RESTARTS: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
    let mut at = 2;
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    loop {
        // Fill bytes may stand before a marker, and a scan's data before the next.
        while *bytes.get(at)? != 0xff {
            at += 1;
        }
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xd9 => return Some(at + 2),
            0xff => at += 1,
            0x00 | 0x01 => at += 2,
            restart if RESTARTS.contains(&restart) => at += 2,
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]);
                at += 2 + usize::from(length.max(2));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = include_bytes!("../../../tests/fixtures/pictures/chroma420.jpg");

    #[test]
    fn the_end_is_found_whatever_follows() {
        assert_eq!(end_of_image(JPEG), Some(JPEG.len()));
        for tail in [&b"ftypmp42"[..], &[0xff, 0xda, 0, 3, 1], &[0xff, 0xd9], &[0xff, 0xd8, 0xff, 0xda]] {
            let followed = [JPEG, tail].concat();
            assert_eq!(end_of_image(&followed), Some(JPEG.len()));
            assert_eq!(decode(&followed, u64::MAX).unwrap(), decode(JPEG, u64::MAX).unwrap());
        }
    }

    #[test]
    fn a_cut_file_is_refused_even_with_a_whole_thumbnail() {
        for len in (0..JPEG.len()).step_by(97) {
            assert_eq!(end_of_image(&JPEG[..len]), None, "{len}");
            assert!(decode(&JPEG[..len], u64::MAX).is_err());
        }
        // An application segment that holds a whole JPEG, then the scan cut off.
        let mut nested = vec![0xff, 0xd8, 0xff, 0xe1];
        nested.extend(((JPEG.len() + 2) as u16).to_be_bytes());
        nested.extend(JPEG);
        nested.extend(&JPEG[2..JPEG.len() - 50]);
        assert_eq!(end_of_image(&nested), None);
        nested.extend(&JPEG[JPEG.len() - 50..]);
        assert_eq!(end_of_image(&nested), Some(nested.len()));
    }

    #[test]
    fn inks_are_light() {
        assert_eq!(rgb_from_inverted_cmyk([255, 255, 255, 255]), [255, 255, 255]);
        assert_eq!(rgb_from_inverted_cmyk([255, 0, 255, 255]), [255, 0, 255]);
        assert_eq!(rgb_from_inverted_cmyk([10, 20, 30, 0]), [0, 0, 0]);
    }
}
