//! Matrices of anyone's states: `.npy`, or safetensors with `x`.

use std::io::{Cursor, ErrorKind};
use std::path::Path;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use npyz::{DType, NpyFile, Order};
use safetensors::{Dtype, SafeTensors};

use crate::array::Array;
use crate::error::{Error, Result};

/// Reads a matrix, [P, D], in single precision.
///
/// # Errors
/// A file of another format, something that is no matrix of floats.
pub fn read(path: &Path) -> Result<Array> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            Error::Missing { what: "the file of states".to_owned(), path: path.to_owned() }
        }
        _ => Error::io("read the states", path, e),
    })?;
    let is_npy = bytes.starts_with(b"\x93NUMPY");
    let array = if is_npy { npy(&bytes, path)? } else { safetensors(&bytes, path)? };
    if array.shape().len() != 2 || array.shape()[1] == 0 {
        return Err(Error::field(path, "shape", "[points, dimensions]", format!("{:?}", array.shape())));
    }
    Ok(array)
}

fn npy(bytes: &[u8], path: &Path) -> Result<Array> {
    let bad = |e: std::io::Error| Error::format(path, "the states are no .npy file", e);
    let file = NpyFile::new(Cursor::new(bytes)).map_err(bad)?;
    let shape: Vec<usize> = file.shape().iter().map(|size| *size as usize).collect();
    if Array::count(&shape).is_none_or(|count| count > bytes.len()) {
        return Err(Error::field(path, "shape", "as many values as the file holds", format!("{shape:?}")));
    }
    let order = file.order();
    let DType::Plain(kind) = file.dtype() else {
        return Err(Error::field(path, "descr", "floating-point numbers", file.dtype().descr()));
    };
    let values = match kind.to_string().trim_start_matches(['<', '>', '=', '|']) {
        "f2" => file.into_vec::<f16>().map_err(bad)?.to_f32_vec(),
        "f4" => file.into_vec::<f32>().map_err(bad)?,
        "f8" => file.into_vec::<f64>().map_err(bad)?.into_iter().map(|v| v as f32).collect(),
        _ => return Err(Error::field(path, "descr", "f2, f4 or f8", kind.to_string())),
    };
    let values = match (order, &shape[..]) {
        (Order::Fortran, &[rows, columns]) => {
            (0..rows * columns).map(|i| values[i % columns * rows + i / columns]).collect()
        }
        _ => values,
    };
    Ok(Array::new(shape, values))
}

fn safetensors(bytes: &[u8], path: &Path) -> Result<Array> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| Error::format(path, "the states are neither .npy nor safetensors", e))?;
    let Ok(tensor) = file.tensor("x") else {
        let names = file.names().iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        return Err(Error::field(path, "tensors", "one named \"x\"", names));
    };
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => bytemuck::pod_collect_to_vec::<u8, f32>(data),
        Dtype::F64 => bytemuck::pod_collect_to_vec::<u8, f64>(data).into_iter().map(|v| v as f32).collect(),
        Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(data).to_f32_vec(),
        Dtype::BF16 => bytemuck::pod_collect_to_vec::<u8, bf16>(data).to_f32_vec(),
        other => return Err(Error::field(path, "x", "floating-point numbers", format!("{other:?}"))),
    };
    Ok(Array::new(tensor.shape(), values))
}

#[cfg(test)]
mod tests {
    use npyz::WriterBuilder;

    use super::*;

    fn written<T: npyz::AutoSerialize + Copy>(order: Order, values: &[T]) -> Array {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = npyz::WriteOptions::new().default_dtype().order(order).shape(&[2, 3]);
        let mut writer = options.writer(file.as_file()).begin_nd().unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
        read(file.path()).unwrap()
    }

    #[test]
    fn a_shape_of_more_values_than_there_are_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for shape in ["(4294967296, 4294967296)", "(3, 1000000000000)"] {
            let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
            let head = format!("{head:<117}\n");
            let bytes =
                [b"\x93NUMPY\x01\x00".as_slice(), &(head.len() as u16).to_le_bytes(), head.as_bytes()];
            std::fs::write(file.path(), bytes.concat()).unwrap();
            let problem = read(file.path()).unwrap_err().to_string();
            assert!(problem.contains("shape: expected as many values as the file holds"), "{problem}");
        }
    }

    #[test]
    fn arrays_of_any_float_and_order_are_read() {
        let rows = [0.5_f32, 1.0, 2.0, -3.0, 4.0, 5.5];
        let expected = Array::new(vec![2, 3], rows.to_vec());
        assert_eq!(written(Order::C, &rows), expected);
        assert_eq!(written(Order::C, &rows.map(f64::from)), expected);
        assert_eq!(written(Order::C, &rows.map(f16::from_f32)), expected);
        // As `np.save` writes a transposed array.
        assert_eq!(written(Order::Fortran, &[0.5_f32, -3.0, 1.0, 4.0, 2.0, 5.5]), expected);
    }
}
