//! Maps of states as a safetensors file: places, what each is of, and how the map was made.

use std::collections::HashMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::atomic;
use crate::error::{Error, Result};

/// What a place of a map is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
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
pub fn write(path: &Path, places: &[[f32; 2]], marks: &[Mark], metadata: &[(&str, String)]) -> Result<()> {
    let column = |of: fn(&Mark) -> i64| marks.iter().map(of).collect::<Vec<i64>>();
    let mut columns = vec![
        ("role", column(|mark| mark.role)),
        ("sample", column(|mark| mark.sample)),
        ("index", column(|mark| mark.index)),
        ("layer", column(|mark| mark.layer)),
    ];
    columns.retain(|_| !marks.is_empty());
    let view = |dtype, shape: &[usize], bytes| {
        TensorView::new(dtype, shape.to_vec(), bytes).expect("as many bytes as the shape says")
    };
    let mut tensors = vec![("layout", view(Dtype::F32, &[places.len(), 2], bytemuck::cast_slice(places)))];
    for (name, values) in &columns {
        tensors.push((name, view(Dtype::I64, &[values.len()], bytemuck::cast_slice(values))));
    }
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|e| Error::format(path, "the map cannot be written", e))?;
    atomic::write(path, |out| out.write_all(&bytes))
}
