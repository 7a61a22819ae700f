//! Image files of every kind, pixel by pixel as the reference reads them.

use livr_explorer::data::picture::Picture;

use crate::common::fixture;

#[test]
fn every_kind_of_file_is_read_to_the_last_bit() {
    let mut read = 0;
    for entry in std::fs::read_dir(fixture("pictures")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let expected =
            image::open(fixture("pictures/expected").join(format!("{name}.png"))).unwrap().into_rgb8();
        let picture = Picture::read(&path).unwrap();
        assert_eq!(picture.size(), expected.dimensions(), "{name}");
        let different = picture.pixels.as_raw().iter().zip(expected.as_raw()).filter(|(a, b)| a != b).count();
        assert_eq!(different, 0, "{name}: {different} samples differ");
        read += 1;
    }
    assert_eq!(read, 22);
}
