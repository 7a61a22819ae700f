//! The first picture of a GIF where it leaves a part of the canvas free: Pillow fills that with its colour 0.

use image::{Rgb, RgbImage, RgbaImage};

use super::{Beyond, over};

/// The picture on its ground: what it leaves free in its own colour 0, where none of its colours is transparent; else white.
pub fn on_ground(picture: &RgbaImage, bytes: &[u8]) -> RgbImage {
    let ground = ground(bytes);
    let laid = |pixel: &image::Rgba<u8>| match (pixel.0, ground) {
        ([.., 0], Some(ground)) => Rgb(ground),
        ([r, g, b, alpha], _) => Rgb(over([r, g, b], alpha, Beyond::Alpha)),
    };
    let pixels = picture.pixels().flat_map(|pixel| laid(pixel).0).collect();
    RgbImage::from_raw(picture.width(), picture.height(), pixels).expect("as many pixels")
}

/// Colour 0 of the first picture, where it has no transparent one (`GIF89a`, 18 to 23).
fn ground(bytes: &[u8]) -> Option<[u8; 3]> {
    const SCREEN: usize = 13;
    const CONTROL: u8 = 0xf9;
    let table = |packed: u8| if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) };
    let colour = |at: usize| bytes.get(at..at + 3)?.try_into().ok();
    let global = table(*bytes.get(10)?);
    let mut at = SCREEN + global;
    loop {
        match *bytes.get(at)? {
            b'!' => {
                if *bytes.get(at + 1)? == CONTROL && bytes.get(at + 3)? & 1 == 1 {
                    return None;
                }
                at += 2;
                while *bytes.get(at)? != 0 {
                    at += 1 + usize::from(bytes[at]);
                }
                at += 1;
            }
            b',' if table(*bytes.get(at + 9)?) > 0 => return colour(at + 10),
            b',' if global > 0 => return colour(SCREEN),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::decoded;

    #[test]
    fn what_a_picture_leaves_free_is_colour_0_or_white() {
        // 2 x 1 of which the picture is the second pixel; without and with a transparent colour.
        for (file, free) in [
            ("R0lGODlhAgABAIEBAP8AAAD/AAAA/wkJCSwBAAAAAQABAAACAlQBADs=", [255, 0, 0]),
            ("R0lGODlhAgABAIEBAP8AAAD/AAAA/wkJCSH5BAEAAAEALAEAAAABAAEAAAICVAEAOw==", [255; 3]),
        ] {
            let bytes = STANDARD.decode(file).unwrap();
            // As Pillow 13 has them.
            assert_eq!(decoded(&bytes).unwrap().into_raw(), [&free[..], &[0, 0, 255]].concat());
            for cut in 0..bytes.len() {
                let _colour = super::ground(&bytes[..cut]);
            }
        }
    }
}
