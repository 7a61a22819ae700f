//! Pictures of one height side by side.

use image::{Rgb, RgbImage};

/// One beside the other, with so many pixels of a grey between them; as high as the first.
pub fn side_by_side(pictures: &[RgbImage], gap: u32, grey: u8) -> RgbImage {
    let gaps = gap * (pictures.len().max(1) - 1) as u32;
    let width = pictures.iter().map(RgbImage::width).sum::<u32>() + gaps;
    let mut sheet = RgbImage::from_pixel(width, pictures.first().map_or(0, RgbImage::height), Rgb([grey; 3]));
    let mut left = 0;
    for own in pictures {
        image::imageops::replace(&mut sheet, own, i64::from(left), 0);
        left += own.width() + gap;
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_place() {
        let one = |width: u32, value: u8| RgbImage::from_pixel(width, 2, Rgb([value; 3]));
        let sheet = side_by_side(&[one(2, 10), one(1, 20)], 3, 99);
        assert_eq!(sheet.dimensions(), (6, 2));
        let row: Vec<u8> = (0..6).map(|x| sheet.get_pixel(x, 1).0[0]).collect();
        assert_eq!(row, [10, 10, 99, 99, 99, 20]);
        assert_eq!(side_by_side(&[], 3, 0).dimensions(), (0, 0));
    }
}
