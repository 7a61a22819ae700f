//! TIFF files as Pillow reads them, where other decoders do not or differ: samples beyond the colours are alpha only where
//! the file says so, colours multiplied by theirs are divided again, and grey of other than 8 or 16 bits is cut off to
//! levels.

use std::io::Cursor;

use image::RgbImage;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;

/// Does a file begin as one of the format does, a big one too?
pub fn is_tiff(bytes: &[u8]) -> bool {
    [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|start| bytes.starts_with(start))
}

/// What is beyond the colours of each pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// Alpha.
    Alpha,
    /// Alpha that the colours have been multiplied by.
    Multiplied,
    /// Something that is no part of the picture.
    Other,
}

/// At its first picture.
fn open(bytes: &[u8]) -> Option<Decoder<Cursor<&[u8]>>> {
    Decoder::new(Cursor::new(bytes)).ok()
}

/// What a file says of the samples beyond its colours; alpha where it says nothing, as Pillow takes it.
pub fn beyond(bytes: &[u8]) -> Beyond {
    let said = |mut decoder: Decoder<_>| decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).ok()?;
    match open(bytes).and_then(said).as_deref() {
        Some([0, ..]) => Beyond::Other,
        Some([1, ..]) => Beyond::Multiplied,
        _ => Beyond::Alpha,
    }
}

/// The picture of a file with a palette, or with grey of an unusual type, or what is wrong with it; `None` for a kind that
/// any decoder reads.
///
/// # Errors
/// A file that is cut off or damaged, samples of a kind that is not read, too many pixels.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Option<Result<RgbImage, String>> {
    let mut decoder = open(bytes)?;
    let colours = decoder.colortype().ok()?;
    let (width, height) = decoder.dimensions().ok()?;
    let format = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).ok().flatten();
    // 1 whole numbers, 2 signed ones, 3 floating point.
    let format = format.and_then(|all| all.first().copied()).unwrap_or(1);
    // 0 is white: Pillow turns only samples of up to eight bits.
    let is_turned = matches!(decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation), Ok(Some(0)));
    let kind = match (colours, format) {
        (ColorType::Gray(16), 1) | (ColorType::Gray(32), 3) if is_turned => Kind::TurnedGrey,
        (ColorType::Gray(32 | 64), _) | (ColorType::Gray(16), 2) => Kind::Grey,
        (ColorType::Palette(8), 1) => Kind::Palette,
        (
            ColorType::Gray(1 | 8 | 16)
            | ColorType::GrayA(8 | 16)
            | ColorType::RGB(8 | 16)
            | ColorType::RGBA(8 | 16)
            | ColorType::CMYK(8 | 16),
            1,
        ) => return None,
        (colours, format) => return Some(Err(unread(colours, format))),
    };
    if u64::from(width) * u64::from(height) > max_pixels {
        return Some(Err(format!("expected at most {max_pixels} pixels, found {width} x {height}")));
    }
    Some(read(decoder, kind).and_then(|samples| {
        RgbImage::from_raw(width, height, samples)
            .ok_or_else(|| "it has fewer pixels than it says".to_owned())
    }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grey,
    /// What the decoder turned, and is not to be.
    TurnedGrey,
    Palette,
}

fn read(mut decoder: Decoder<Cursor<&[u8]>>, kind: Kind) -> Result<Vec<u8>, String> {
    let failed = |e: tiff::TiffError| e.to_string();
    let read = decoder.read_image().map_err(failed)?;
    if kind == Kind::Palette {
        let map = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(failed)?;
        let (DecodingResult::U8(numbers), 768) = (read, map.len()) else {
            return Err("expected a palette of 256 colours".to_owned());
        };
        // All reds, then all greens, then all blues, in sixteen bits.
        let colour = |number: u8| [0, 1, 2].map(|part| (map[256 * part + usize::from(number)] >> 8) as u8);
        return Ok(numbers.into_iter().flat_map(colour).collect());
    }
    // As Pillow cuts its modes I and F off to levels.
    let levels = |values: &mut dyn Iterator<Item = f64>| {
        values.flat_map(|value| [value.clamp(0.0, 255.0) as u8; 3]).collect::<Vec<u8>>()
    };
    Ok(match read {
        DecodingResult::U16(values) if kind == Kind::TurnedGrey => {
            levels(&mut values.into_iter().map(|value| f64::from(u16::MAX - value)))
        }
        DecodingResult::F32(values) if kind == Kind::TurnedGrey => {
            levels(&mut values.into_iter().map(|value| 1.0 - f64::from(value)))
        }
        DecodingResult::U16(values) => levels(&mut values.into_iter().map(f64::from)),
        DecodingResult::I16(values) => levels(&mut values.into_iter().map(f64::from)),
        DecodingResult::U32(values) => levels(&mut values.into_iter().map(f64::from)),
        DecodingResult::I32(values) => levels(&mut values.into_iter().map(f64::from)),
        DecodingResult::F32(values) => levels(&mut values.into_iter().map(f64::from)),
        DecodingResult::F64(values) => levels(&mut values.into_iter()),
        _ => return Err("expected grey of up to 32 bits, or in floating point".to_owned()),
    })
}

/// What is said of a kind that nobody here reads.
fn unread(colours: ColorType, format: u16) -> String {
    let (name, bits) = match colours {
        ColorType::Gray(bits) => ("grey", bits),
        ColorType::GrayA(bits) => ("grey with alpha", bits),
        ColorType::RGB(bits) => ("RGB", bits),
        ColorType::RGBA(bits) => ("RGBA", bits),
        ColorType::Palette(bits) => ("a palette", bits),
        ColorType::CMYK(bits) => ("CMYK", bits),
        ColorType::CMYKA(bits) => ("CMYK with alpha", bits),
        ColorType::YCbCr(bits) => ("YCbCr", bits),
        ColorType::Lab(bits) => ("L*a*b*", bits),
        ColorType::Multiband { bit_depth, .. } => ("several bands", bit_depth),
        _ => ("colours of another kind", 0),
    };
    let numbers = match format {
        1 => "",
        2 => " signed",
        3 => " floating-point",
        _ => " complex or unknown",
    };
    format!(
        "expected grey, RGB, RGBA, CMYK or a palette of 8 or 16 bits, found a TIFF with {name} of {bits}{numbers} bits"
    )
}

#[cfg(test)]
mod tests {
    use tiff::encoder::{TiffEncoder, colortype};

    use super::*;

    fn file<C: colortype::ColorType>(width: u32, samples: &[C::Inner], big: bool) -> Vec<u8>
    where
        [C::Inner]: tiff::encoder::TiffValue,
    {
        let mut bytes = Cursor::new(Vec::new());
        let height = samples.len() as u32 / width / C::BITS_PER_SAMPLE.len() as u32;
        if big {
            let mut encoder = TiffEncoder::new_big(&mut bytes).unwrap();
            encoder.write_image::<C>(width, height, samples).unwrap();
        } else {
            let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
            encoder.write_image::<C>(width, height, samples).unwrap();
        }
        bytes.into_inner()
    }

    #[test]
    fn grey_of_any_type_is_cut_off_to_levels() {
        let first = |bytes: &[u8]| -> Vec<u8> {
            let picture = decode(bytes, 1000).unwrap().unwrap();
            picture.pixels().map(|pixel| pixel.0[0]).collect()
        };
        let floats = file::<colortype::Gray32Float>(2, &[-3.5, 0.9, 254.99, 1e9, f32::NAN, 12.0], false);
        assert_eq!(first(&floats), [0, 0, 254, 255, 0, 12]);
        let whole = file::<colortype::Gray32>(2, &[0, 77, 255, 256], false);
        assert_eq!(first(&whole), [0, 77, 255, 255]);
        let signed = file::<colortype::GrayI16>(2, &[-5, 5, 300, 255], false);
        assert_eq!(first(&signed), [0, 5, 255, 255]);
        assert!(decode(&floats, 5).unwrap().is_err());
    }

    #[test]
    fn white_is_turned_in_eight_bits_only() {
        let whites = |mut bytes: Vec<u8>| {
            // The tag of what 0 stands for, 262, says 1, black.
            let tag = [6, 1, 3, 0, 1, 0, 0, 0, 1, 0];
            let at = bytes.windows(tag.len()).position(|window| window == tag).unwrap();
            bytes[at + 8] = 0;
            let picture = decode(&bytes, 1000)?.unwrap();
            Some(picture.pixels().map(|pixel| pixel.0[0]).collect::<Vec<u8>>())
        };
        // As Pillow 13 has them.
        assert_eq!(whites(file::<colortype::Gray16>(2, &[100, 65500], false)).unwrap(), [100, 255]);
        assert_eq!(whites(file::<colortype::Gray32Float>(2, &[100.0, 200.0], false)).unwrap(), [100, 200]);
        assert!(whites(file::<colortype::Gray8>(2, &[100, 200], false)).is_none(), "others turn it");
    }

    #[test]
    fn what_others_read_is_left_to_them_and_what_nobody_does_is_named() {
        for big in [false, true] {
            let plain = file::<colortype::RGB8>(1, &[1, 2, 3], big);
            assert!(is_tiff(&plain) && decode(&plain, 1000).is_none());
            assert_eq!(beyond(&plain), Beyond::Alpha);
        }
        let colours = file::<colortype::RGB32Float>(1, &[0.1, 0.2, 0.3], false);
        let problem = decode(&colours, 1000).unwrap().unwrap_err();
        assert!(problem.contains("RGB of 32 floating-point bits"), "{problem}");
        assert!(!is_tiff(b"\x89PNG") && decode(b"II*\0", 9).is_none());
    }
}
