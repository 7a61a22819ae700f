//! Which way up a picture is stored: by EXIF, and where that says nothing by XMP, as the reference looks for it.

use std::sync::LazyLock;

use fancy_regex::Regex;
use image::metadata::Orientation;

/// What EXIF and XMP say; upright where neither says anything that makes sense.
pub fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let number = exif.and_then(of_exif).or_else(|| xmp.and_then(of_xmp));
    number
        .and_then(|number| Orientation::from_exif(u8::try_from(number).ok()?))
        .unwrap_or(Orientation::NoTransforms)
}

/// Tag 274 of the first directory (TIFF 6.0, section 8), of whatever integer type: phones write SHORT, and some LONG.
fn of_exif(exif: &[u8]) -> Option<u32> {
    const ORIENTATION: u16 = 274;
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let is_little = match exif.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| -> Option<u32> {
        let bytes = exif.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let first = long(4)? as usize;
    let count = usize::from(short(first)?);
    let entries = (0..count).map(|entry| first + 2 + 12 * entry);
    let entry = entries.into_iter().find(|at| short(*at) == Some(ORIENTATION))?;
    let value = entry + 8;
    // BYTE, SHORT, LONG and their signed kin (TIFF 6.0, section 2).
    match short(entry + 2)? {
        1 | 6 => exif.get(value).map(|byte| u32::from(*byte)),
        3 | 8 => short(value).map(u32::from),
        4 | 9 => long(value),
        _ => None,
    }
}

/// `tiff:Orientation` as an attribute or an element.
fn of_xmp(xmp: &[u8]) -> Option<u32> {
    static ORIENTATION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"tiff:Orientation(?:="|>)([0-9])"#).expect("a pattern of this file"));
    let text = String::from_utf8_lossy(xmp);
    let found = ORIENTATION.captures(&text).ok().flatten()?;
    found.get(1)?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EXIF of one entry.
    fn exif(is_little: bool, kind: u16, value: [u8; 4]) -> Vec<u8> {
        let two = |v: u16| if is_little { v.to_le_bytes() } else { v.to_be_bytes() };
        let four = |v: u32| if is_little { v.to_le_bytes() } else { v.to_be_bytes() };
        let head: &[u8] = if is_little { b"II*\0" } else { b"MM\0*" };
        [head, &four(8), &two(1), &two(274), &two(kind), &four(1), &value, &four(0)].concat()
    }

    #[test]
    fn exif_says_it_in_any_integer_type() {
        for (is_little, kind, value) in [
            (true, 3, [6, 0, 0, 0]),
            (false, 3, [0, 6, 0, 0]),
            (true, 4, [6, 0, 0, 0]),
            (false, 4, [0, 0, 0, 6]),
            (true, 9, [6, 0, 0, 0]),
            (false, 8, [0, 6, 0, 0]),
            (true, 1, [6, 0, 0, 0]),
        ] {
            let bytes = exif(is_little, kind, value);
            assert_eq!(of_exif(&bytes), Some(6), "{kind}");
            assert_eq!(of_exif(&[b"Exif\0\0", &bytes[..]].concat()), Some(6), "{kind}");
            // Before the value is whole.
            for cut in 0..bytes.len() - 8 {
                assert_eq!(of_exif(&bytes[..cut]), None, "cut at {cut}");
            }
        }
        assert_eq!(of_exif(&exif(true, 2, [54, 0, 0, 0])), None);
        assert_eq!(orientation(Some(&exif(true, 3, [77, 0, 0, 0])), None), Orientation::NoTransforms);
    }

    #[test]
    fn xmp_counts_where_exif_says_nothing() {
        let attribute = br#"<rdf:Description tiff:Orientation="6"/>"#;
        let element = b"<tiff:Orientation>8</tiff:Orientation>";
        assert_eq!(orientation(None, Some(attribute)), Orientation::Rotate90);
        assert_eq!(orientation(None, Some(element)), Orientation::Rotate270);
        assert_eq!(orientation(Some(&exif(true, 3, [3, 0, 0, 0])), Some(attribute)), Orientation::Rotate180);
        assert_eq!(orientation(None, Some(b"no word of it")), Orientation::NoTransforms);
    }
}
