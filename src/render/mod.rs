//! Drawing on the GPU, each picture beside a plain CPU version it is tested against.

pub mod blend;
pub mod fill;
pub mod frames;
pub mod overlay;
pub mod paint;
pub mod points;
pub mod still;
mod viewport;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wgpu::naga::front::wgsl::parse_str;
    use wgpu::naga::valid::{Capabilities, ValidationFlags, Validator};

    /// Without a graphics driver too, which would say it otherwise.
    #[test]
    fn every_shader_is_well_formed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            let module = parse_str(&source)
                .unwrap_or_else(|problem| panic!("{}: {}", path.display(), problem.emit_to_string(&source)));
            let mut validator = Validator::new(ValidationFlags::all(), Capabilities::default());
            if let Err(problem) = validator.validate(&module) {
                panic!("{}: {}", path.display(), problem.emit_to_string(&source));
            }
            seen += 1;
        }
        assert_eq!(seen, 5);
    }
}
