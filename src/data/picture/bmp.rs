//! BMP files of 16 bits a pixel as Pillow widens them: five or six bits to eight by 255 v / 31, cut off, where other
//! decoders round. All other kinds are read alike.

use image::RgbImage;

/// Where red, green and blue lie in a pixel.
type Masks = [u32; 3];

const FIVE_SIX_FIVE: Masks = [0xf800, 0x07e0, 0x001f];
const FIVE_FIVE_FIVE: Masks = [0x7c00, 0x03e0, 0x001f];

/// The picture of a file of 16 bits a pixel, or what is wrong with it; `None` for any other.
///
/// # Errors
/// A file that is cut off, no pixels or too many, a compression or colours of another kind.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Option<Result<RgbImage, String>> {
    // Headers of OS/2 are shorter, and their bits a pixel lie elsewhere.
    const SHORTEST: u32 = 40;
    let is_long = u32::from_le_bytes(at(bytes, 14)?) >= SHORTEST;
    if !bytes.starts_with(b"BM") || !is_long || u16::from_le_bytes(at(bytes, 28)?) != 16 {
        return None;
    }
    Some(whole(bytes, max_pixels).unwrap_or_else(|| Err("the file ends before the image does".to_owned())))
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset + N)?.try_into().ok()
}

fn whole(bytes: &[u8], max_pixels: u64) -> Option<Result<RgbImage, String>> {
    const PLAIN: u32 = 0;
    const MASKED: u32 = 3;
    let number = |offset| at(bytes, offset).map(u32::from_le_bytes);
    let (start, width) = (number(10)? as usize, number(18)?);
    // Below zero rows come from the top.
    let signed = i32::from_le_bytes(at(bytes, 22)?);
    let height = signed.unsigned_abs();
    if u64::from(width) * u64::from(height) > max_pixels || width == 0 || height == 0 {
        return Some(Err(format!("expected 1 to {max_pixels} pixels, found {width} x {height}")));
    }
    let masks = match number(30)? {
        PLAIN => FIVE_FIVE_FIVE,
        MASKED => [number(54)?, number(58)?, number(62)?],
        other => return Some(Err(format!("expected plain pixels or masks, found compression {other}"))),
    };
    if ![FIVE_SIX_FIVE, FIVE_FIVE_FIVE].contains(&masks) {
        return Some(Err(format!("expected five or six bits for each colour, found masks {masks:x?}")));
    }
    let widen = |pixel: u32, mask: u32| {
        let most = mask >> mask.trailing_zeros();
        ((pixel & mask) >> mask.trailing_zeros()) * 255 / most
    };
    // Rows end at whole words of four bytes.
    let stride = (width as usize * 2).next_multiple_of(4);
    let mut picture = RgbImage::new(width, height);
    for (y, row) in picture.rows_mut().enumerate() {
        let place = if signed < 0 { y } else { height as usize - 1 - y };
        let line = bytes.get(start + place * stride..)?.get(..width as usize * 2)?;
        for (pixel, raw) in row.zip(line.as_chunks::<2>().0) {
            let raw = u32::from(u16::from_le_bytes(*raw));
            pixel.0 = masks.map(|mask| widen(raw, mask) as u8);
        }
    }
    Some(Ok(picture))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of pixels, from the top or from the bottom.
    fn file(pixels: &[u16], height: i32, masks: Option<Masks>) -> Vec<u8> {
        let width = pixels.len() as u32 / height.unsigned_abs();
        let start = 54 + if masks.is_some() { 12 } else { 0 };
        let mut bytes = b"BM".to_vec();
        for number in [0, 0, start, 40, width, height as u32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([1, 0, 16, 0]);
        let compression = if masks.is_some() { 3u32 } else { 0 };
        for number in [compression, 0, 0, 0, 0, 0] {
            bytes.extend(number.to_le_bytes());
        }
        masks.into_iter().flatten().for_each(|mask| bytes.extend(mask.to_le_bytes()));
        for row in pixels.chunks(width as usize) {
            let line: Vec<u8> = row.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
            bytes.extend(&line);
            bytes.resize(bytes.len() + line.len().next_multiple_of(4) - line.len(), 0);
        }
        bytes
    }

    #[test]
    fn bits_are_widened_and_cut_off() {
        let decoded = |bytes: &[u8]| decode(bytes, 1000).unwrap().unwrap().into_raw();
        // 3 of 31, 3 of 63, 30 of 31.
        let pixel = 0b11 << 11 | 0b11 << 5 | 0b1_1110;
        assert_eq!(decoded(&file(&[pixel], 1, Some(FIVE_SIX_FIVE))), [24, 12, 246]);
        let pixel = 0b11 << 10 | 0b11 << 5 | 0b1_1110;
        assert_eq!(decoded(&file(&[pixel], 1, None)), [24, 24, 246]);
        let [black, white] = [0, 0x7fff];
        let rows = [white, white, white, black, black, black];
        let from_below = decoded(&file(&rows, 2, None));
        assert_eq!((from_below[0], from_below[17]), (0, 255));
        let from_above = decoded(&file(&rows, -2, None));
        assert_eq!((from_above[0], from_above[17]), (255, 0));
    }

    #[test]
    fn what_is_no_such_file_is_left_to_others_and_a_cut_one_is_refused() {
        let bytes = file(&[0; 6], 2, Some(FIVE_SIX_FIVE));
        for cut in 30..bytes.len() - 2 {
            assert!(decode(&bytes[..cut], 1000).unwrap().is_err(), "{cut}");
        }
        assert!(decode(&bytes[..20], 1000).is_none() && decode(b"GIF89a", 1000).is_none());
        assert!(decode(&bytes, 5).unwrap().is_err());
        assert!(decode(&file(&[0; 4], 1, Some([0xf00, 0xf0, 0xf])), 100).unwrap().is_err());
    }
}
