//! Layouts of states as a safetensors file: places, what each is of, and how the layout was made.

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::tensor_file::{self, Entry};

/// What a place of a layout is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointOrigin {
    /// As in trace files.
    pub role: i64,
    /// Number of its sample in the data.
    pub sample: i64,
    /// Number of the latent, or of the visual token among its sample's; else the position in the prompt.
    pub index: i64,
    /// 0 is the embedding, i + 1 the output of layer i, L after the final norm.
    pub layer: i64,
}

/// Writes `layout` [P, 2], and where marks are known `role`, `sample`, `index` and `layer` [P].
///
/// # Errors
/// A disk that cannot be written.
pub fn write(
    path: &Path,
    places: &[[f32; 2]],
    marks: &[PointOrigin],
    metadata: &[(&str, String)],
) -> Result<()> {
    let column = |of: fn(&PointOrigin) -> i64| marks.iter().map(of).collect::<Vec<i64>>();
    let mut columns = vec![
        ("role", column(|mark| mark.role)),
        ("sample", column(|mark| mark.sample)),
        ("index", column(|mark| mark.index)),
        ("layer", column(|mark| mark.layer)),
    ];
    columns.retain(|_| !marks.is_empty());
    let mut entries = vec![Entry::floats("layout", &[places.len(), 2], places.as_flattened())];
    for (name, values) in columns {
        entries.push(Entry::integers(name, &[values.len()], values));
    }
    let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    tensor_file::write(path, entries, metadata)
}

/// A layout that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct LayoutFile {
    /// [P].
    pub places: Vec<[f32; 2]>,
    /// [P]; none where nothing is known of them.
    pub marks: Vec<PointOrigin>,
    /// What is said of how it was made.
    pub metadata: HashMap<String, String>,
}

impl LayoutFile {
    /// That it has so many points.
    ///
    /// # Errors
    /// Others.
    pub fn is_of(&self, points: usize, path: &Path) -> Result<()> {
        if self.places.len() == points {
            return Ok(());
        }
        Err(Error::field(path, "layout", format!("{points} points"), format!("{} points", self.places.len())))
    }
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// No such file, a file of another kind.
pub fn read(path: &Path) -> Result<LayoutFile> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read the layout", path, e))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::format(path, "the layout is no safetensors", e))?;
    let layout = file.tensor("layout").ok();
    let layout =
        layout.filter(|own| own.dtype() == Dtype::F32 && own.shape().len() == 2 && own.shape()[1] == 2);
    let Some(layout) = layout else {
        let found = format!("{:?}", file.names());
        return Err(Error::field(path, "tensors", "layout, F32 of [points, 2], of a layout", found));
    };
    let places: Vec<[f32; 2]> = bytemuck::pod_collect_to_vec(layout.data());
    if places.iter().flatten().any(|v| !v.is_finite()) {
        return Err(Error::field(path, "layout", "finite numbers", "others"));
    }
    let column = |name: &str| -> Option<Vec<i64>> {
        let own = file.tensor(name).ok()?;
        let fits = own.dtype() == Dtype::I64 && own.shape() == [places.len()];
        fits.then(|| bytemuck::pod_collect_to_vec(own.data()))
    };
    let columns = ["role", "sample", "index", "layer"].map(column);
    let marks = match columns {
        [Some(role), Some(sample), Some(index), Some(layer)] => (0..places.len())
            .map(|i| PointOrigin { role: role[i], sample: sample[i], index: index[i], layer: layer[i] })
            .collect(),
        _ => Vec::new(),
    };
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| Error::format(path, "the layout is no safetensors", e))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    Ok(LayoutFile { places, marks, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layout.safetensors");
        let places = vec![[1.0, 2.0], [3.0, -4.0]];
        let marks = vec![
            PointOrigin { role: 2, sample: 0, index: 3, layer: 1 },
            PointOrigin { role: 1, sample: 5, index: 9, layer: 1 },
        ];
        write(&path, &places, &marks, &[("kl", "1.0".to_owned())]).unwrap();
        let file = read(&path).unwrap();
        assert_eq!((&file.places, &file.marks), (&places, &marks));
        assert_eq!(file.metadata["kl"], "1.0");
        file.is_of(2, &path).unwrap();
        assert!(file.is_of(3, &path).unwrap_err().to_string().contains("expected 3 points, found 2 points"));
        std::fs::write(&path, b"no layout").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("the layout is no safetensors"));
    }
}
