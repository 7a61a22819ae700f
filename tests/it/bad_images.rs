//! Images that are none, or that no model takes, and prompts that no model reads: one sentence each.

use std::path::Path;

use image::{ImageBuffer, Rgb, RgbImage};
use livr_explorer::ask::Keep;
use livr_explorer::data::picture::Picture;
use livr_explorer::data::sample::Sample;
use livr_explorer::progress::Unobserved;

use crate::bad_input::expect;
use crate::common::{Case, fixture, load};

fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn decode(bytes: &[u8]) -> Result<Picture, String> {
    Picture::decode("x.png", bytes, Path::new("dir/x.png")).map_err(|e| e.to_string())
}

#[test]
fn images_that_are_none() {
    let whole = png(&ImageBuffer::from_pixel(64, 64, Rgb([1, 2, 3])));
    assert!(decode(&whole).is_ok());
    expect(&decode(&whole[..whole.len() / 2]).unwrap_err(), &["cannot read the image", "dir/x.png"]);
    let jpeg = std::fs::read(fixture("pictures/chroma420.jpg")).unwrap();
    for cut in [3, 20, 200, jpeg.len() / 2] {
        expect(&decode(&jpeg[..cut]).unwrap_err(), &["dir/x.png"]);
    }
    expect(&decode(b"").unwrap_err(), &["expected PNG, JPEG", "dir/x.png"]);
    expect(&decode(b"hello, I am a text").unwrap_err(), &["expected PNG, JPEG", "dir/x.png"]);
    // A header that claims 20,000 x 20,000 pixels, and one that claims two thousand million squared.
    for (width, claims) in [(20_000u32, "20000 x 20000"), (2_000_000_000, "")] {
        let mut bomb = whole.clone();
        bomb[16..20].copy_from_slice(&width.to_be_bytes());
        bomb[20..24].copy_from_slice(&width.to_be_bytes());
        let checksum = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        expect(&decode(&bomb).unwrap_err(), &["cannot read the image", claims]);
    }
    let gone = Picture::read(Path::new("/nowhere/x.png")).unwrap_err().to_string();
    expect(&gone, &["image is missing", "/nowhere/x.png"]);
}

/// CRC-32 of a PNG chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

#[test]
fn images_too_narrow_and_prompts_too_long() {
    let mut session = load(&fixture("qwen3_vl/model"), None).unwrap();
    let settings = Case::named("qwen3_vl", "plain").settings(Keep::default());
    let thin = Picture::new("thin.png", RgbImage::new(300, 1));
    let sample = Sample { images: vec![thin.into()], prompt: "?".to_owned(), choices: Vec::new() };
    let problem = session.run(&sample, &settings, &Unobserved).err().unwrap().to_string();
    expect(&problem, &["thin.png", "300 x 1 pixels", "200 to 1"]);
    let sample = Sample { prompt: "word ".repeat(5000), ..Sample::default() };
    let problem = session.run(&sample, &settings, &Unobserved).err().unwrap().to_string();
    expect(&problem, &["tokens long", "less than 4096", "max_position_embeddings"]);
    let sample = Sample { prompt: "an <|image_pad|> of my own".to_owned(), ..Sample::default() };
    let problem = session.run(&sample, &settings, &Unobserved).err().unwrap().to_string();
    expect(&problem, &["the question contains <|image_pad|>"]);
    let sample = Sample { prompt: "<image> and <image>".to_owned(), ..Sample::default() };
    let problem = session.run(&sample, &settings, &Unobserved).err().unwrap().to_string();
    expect(&problem, &["2 <image> marks", "0 images"]);
}
