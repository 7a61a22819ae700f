//! What a PNG says beside its pixels, wherever in the file it says so: other decoders stop at the first of these.

use std::io::Read;

use flate2::read::ZlibDecoder;

const SIGNATURE: usize = 8;
/// Metadata that grows beyond this says nothing of which way up a picture is.
const MOST_BYTES: u64 = 1 << 20;

/// A chunk's kind and data (PNG, 5.3).
type Chunk<'a> = (&'a [u8], &'a [u8]);

/// The whole chunks of a file, in order.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let (kind, data) = (rest.get(4..8)?, rest.get(8..)?.get(..length)?);
        rest = rest.get(8 + length + 4..).unwrap_or_default();
        Some((kind, data))
    })
}

/// The transparent colour of a PNG of 16 bits, or of grey in 2 or 4, as its tRNS chunk has it; `None` for any other (PNG,
/// 11.3.2.1). Pillow compares it with samples it has made eight bits of.
pub fn deep_key(bytes: &[u8]) -> Option<[u16; 3]> {
    let (depth, colours) = (*bytes.get(24)?, *bytes.get(25)?);
    let (_, key) =
        chunks(bytes).take_while(|(kind, _)| *kind != b"IDAT").find(|(kind, _)| *kind == b"tRNS")?;
    let number = |place: usize| Some(u16::from_be_bytes(key.get(2 * place..2 * place + 2)?.try_into().ok()?));
    match (depth, colours) {
        (2 | 4 | 16, 0) => number(0).map(|grey| [grey; 3]),
        (16, 2) => Some([number(0)?, number(1)?, number(2)?]),
        _ => None,
    }
}

/// EXIF and XMP: the last of each, as Pillow keeps them. EXIF is a chunk of its own, or a text as `ImageMagick` writes it,
/// which counts where there is none.
pub fn metadata(bytes: &[u8]) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let (mut exif, mut profile, mut xmp) = (None, None, None);
    for (kind, data) in chunks(bytes) {
        if kind == b"eXIf" {
            exif = Some(data.to_vec());
        } else if let Some((name, text)) = text_of(kind, data) {
            match name {
                b"XML:com.adobe.xmp" => xmp = Some(text),
                b"Raw profile type exif" => profile = of_profile(&text),
                _ => {}
            }
        }
    }
    (exif.or(profile), xmp)
}

/// The keyword and the text of a chunk of text (PNG, 11.3.4).
fn text_of<'a>(kind: &[u8], data: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
    let end = data.iter().position(|byte| *byte == 0)?;
    let (name, rest) = (&data[..end], &data[end + 1..]);
    match kind {
        b"tEXt" => Some((name, rest.to_vec())),
        b"zTXt" => Some((name, inflated(rest.get(1..)?)?)),
        b"iTXt" => {
            let is_compressed = *rest.first()? == 1;
            // A language and a translated keyword.
            let text = rest.get(2..)?.splitn(3, |byte| *byte == 0).nth(2)?;
            Some((name, if is_compressed { inflated(text)? } else { text.to_vec() }))
        }
        _ => None,
    }
}

fn inflated(data: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    ZlibDecoder::new(data).take(MOST_BYTES + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= MOST_BYTES).then_some(text)
}

/// The bytes of a profile written as hexadecimal lines, after three that say what it is.
fn of_profile(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n').skip(3);
    let digits: Vec<u8> = lines.flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::decoded;

    /// 3 x 2, turned right by EXIF as text of another program's, and by EXIF and XMP behind the pixels.
    const TURNED: [&str; 3] = [
        "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAAAAAC4HznGAAAATnpUWHRSYXcgcHJvZmlsZSB0eXBlIGV4aWYAAHic40qtyEzjUgADYyMuE1NzCzNLMzMDIDCxNLE0SgQyLAwgwBCIjICkMYQNBmYGKIALAIrAD5EoL1dFAAAAEElEQVR4nGNgZGJmYGFlAwAARgAWd/XIfwAAAABJRU5ErkJggg==",
        "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAAAAAC4HznGAAAAEElEQVR4nGNgZGJmYGFlAwAARgAWd/XIfwAAABplWElmSUkqAAgAAAABABIBAwABAAAABgAAAAAAAAC3SBEpAAAAAElFTkSuQmCC",
        "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAAAAAC4HznGAAAAEElEQVR4nGNgZGJmYGFlAwAARgAWd/XIfwAAAEhpVFh0WE1MOmNvbS5hZG9iZS54bXAAAAAAADx4OnhtcG1ldGE+PHJkZiB0aWZmOk9yaWVudGF0aW9uPSI2Ii8+PC94OnhtcG1ldGE+yo0fwgAAAABJRU5ErkJggg==",
    ];

    #[test]
    fn which_way_is_up_stands_anywhere() {
        for file in TURNED {
            let bytes = STANDARD.decode(file).unwrap();
            let picture = decoded(&bytes).unwrap();
            let levels: Vec<u8> = picture.pixels().map(|pixel| pixel.0[0]).collect();
            // As Pillow 13's exif_transpose has them.
            assert_eq!((picture.dimensions(), levels), ((2, 3), vec![4, 1, 5, 2, 6, 3]));
            for cut in 0..bytes.len() {
                let (_exif, _xmp) = super::metadata(&bytes[..cut]);
            }
        }
    }
}
