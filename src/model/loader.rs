//! Hands tensors to the constructors of a model, from whatever source of weights.
//!
//! Files, a look at their headers only (`livr check`) and chance (`livr bench`) build the same model through the
//! same constructors, so that they cannot disagree about names and shapes.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::informed::Informed;
use crate::checkpoint::source::{Grouped, Stored, StoredTensor, WeightSource};
use crate::error::{Error, Result};
use crate::ops::matmul::packed::Packed;
use crate::ops::matmul::quant::Codes;
use crate::ops::weight::{Precision, Weight};
use crate::progress::{Observer, Phase, Progress};
use crate::random::uniform_of_name;

/// Tensors by name, at one element type, on one device.
pub struct Loader<'a> {
    source: &'a dyn WeightSource,
    observer: &'a dyn Observer,
    done: Cell<usize>,
    /// What the model computes in, and how it holds its weights.
    pub precision: Precision,
    /// Where the model is.
    pub device: Device,
}

impl<'a> Loader<'a> {
    /// Takes tensors from `source`.
    pub fn new(
        source: &'a dyn WeightSource,
        precision: Precision,
        device: &Device,
        observer: &'a dyn Observer,
    ) -> Self {
        Self { source, observer, done: Cell::new(0), precision, device: device.clone() }
    }

    /// Is there such a tensor?
    pub fn has(&self, name: &str) -> bool {
        self.source.has(name)
    }

    /// Are there values behind the tensors?
    pub fn reads_values(&self) -> bool {
        self.source.has_values()
    }

    /// The tensor of that name and shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.read(name, shape, self.precision.dtype)
    }

    /// The weight of a linear layer, [out, in], that has `stored` as its shape in the file.
    pub fn linear(&self, name: &str, stored: &[usize], shape: [usize; 2]) -> Result<Weight> {
        if let Stored::Grouped(grouped) = self.source.linear(name, stored)? {
            return self.grouped(name, &grouped, shape);
        }
        let Some(format) = self.precision.quantised.filter(|_| self.reads_values()) else {
            let tensor = self.reshaped(self.read(name, stored, self.precision.dtype)?, &shape)?;
            let mixed = self.precision.mixed && self.device.is_cpu();
            return if mixed { Ok(Weight::Mixed(tensor)) } else { self.weight(tensor) };
        };
        // Rounded once, from what the file has.
        let tensor = self.read(name, stored, DType::F32)?;
        Weight::packed(&self.reshaped(tensor, &shape)?, format)
    }

    /// Whole numbers in groups: as they are where a format of the kernels holds them so, else their values.
    fn grouped(&self, name: &str, grouped: &Grouped, [rows, cols]: [usize; 2]) -> Result<Weight> {
        self.progress()?;
        self.done.set(self.done.get() + self.source.size_of(name));
        let own = self.precision.quantised.filter(|_| self.device.is_cpu());
        let Grouped { bits, group, codes, scales, zeros } = grouped;
        let codes = Codes { bits: *bits, group: *group, codes, scales, zeros };
        if let Some(packed) = own.and_then(|format| Packed::of_codes(codes, rows, cols, format)) {
            return Ok(Weight::Packed(Arc::new(packed)));
        }
        let values = Tensor::from_vec(grouped.values(), (rows, cols), &self.device)?;
        match own {
            Some(format) => Weight::packed(&values, format),
            None => self.weight(values.to_dtype(self.precision.dtype)?),
        }
    }

    fn progress(&self) -> Result<()> {
        let total = self.source.size_bytes();
        self.observer.progress(Progress { phase: Phase::Weights, done: self.done.get(), total })
    }

    /// A matrix as the kernels take it, in the model's own type.
    pub fn weight(&self, tensor: Tensor) -> Result<Weight> {
        if self.reads_values() { Weight::new(tensor) } else { Ok(Weight::Dense(tensor)) }
    }

    fn read(&self, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        self.progress()?;
        let tensor = self.source.read(name, shape, dtype, &self.device)?;
        self.done.set(self.done.get() + self.source.size_of(name));
        Ok(tensor)
    }

    fn reshaped(&self, tensor: Tensor, shape: &[usize]) -> Result<Tensor> {
        if tensor.dims() == shape {
            return Ok(tensor);
        }
        match tensor.reshape(shape) {
            Ok(tensor) => Ok(tensor),
            // A shape without values cannot be copied into another.
            Err(_) if !self.reads_values() => without_values(shape, tensor.dtype(), &self.device),
            Err(problem) => Err(problem.into()),
        }
    }
}

fn without_values(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
    Ok(Tensor::zeros((), dtype, device)?.broadcast_as(shape)?)
}

/// Compares names, shapes and types with the headers of a source; reads no value.
pub struct Headers<'a> {
    source: &'a dyn WeightSource,
    problems: RefCell<Vec<Error>>,
}

impl<'a> Headers<'a> {
    /// Of this source.
    pub fn new(source: &'a dyn WeightSource) -> Self {
        Self { source, problems: RefCell::default() }
    }

    /// What did not fit.
    pub fn into_problems(self) -> Vec<Error> {
        self.problems.into_inner()
    }
}

impl WeightSource for Headers<'_> {
    fn has(&self, name: &str) -> bool {
        self.source.has(name)
    }

    fn has_values(&self) -> bool {
        false
    }

    fn tensors(&self) -> Vec<StoredTensor<'_>> {
        self.source.tensors()
    }

    fn stored_dtype(&self) -> DType {
        self.source.stored_dtype()
    }

    fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.source.expect(name, shape)
    }

    fn read(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        if let Err(problem) = self.expect(name, shape) {
            self.problems.borrow_mut().push(problem);
        }
        // No memory behind it, whatever the shape.
        without_values(shape, dtype, device)
    }

    fn size_bytes(&self) -> usize {
        self.source.size_bytes()
    }

    fn size_of(&self, name: &str) -> usize {
        self.source.size_of(name)
    }
}

/// Makes tensors of a source variables: what is built from them can be trained.
pub struct Variables<'a> {
    source: &'a dyn WeightSource,
    selects: &'a dyn Fn(&str) -> bool,
    vars: RefCell<Vec<(String, Var)>>,
}

impl<'a> Variables<'a> {
    /// Of this source those that are selected by canonical name.
    pub fn new(source: &'a dyn WeightSource, selects: &'a dyn Fn(&str) -> bool) -> Self {
        Self { source, selects, vars: RefCell::default() }
    }

    /// The variables by name, in the order they were taken.
    pub fn into_vars(self) -> Vec<(String, Var)> {
        self.vars.into_inner()
    }
}

impl WeightSource for Variables<'_> {
    fn has(&self, name: &str) -> bool {
        self.source.has(name)
    }

    fn has_values(&self) -> bool {
        self.source.has_values()
    }

    fn tensors(&self) -> Vec<StoredTensor<'_>> {
        self.source.tensors()
    }

    fn stored_dtype(&self) -> DType {
        self.source.stored_dtype()
    }

    fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.source.expect(name, shape)
    }

    fn read(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.source.read(name, shape, dtype, device)?;
        if !(self.selects)(name) {
            return Ok(tensor);
        }
        let var = Var::from_tensor(&tensor)?;
        let tensor = var.as_tensor().clone();
        self.vars.borrow_mut().push((name.to_owned(), var));
        Ok(tensor)
    }

    fn size_bytes(&self) -> usize {
        self.source.size_bytes()
    }

    fn size_of(&self, name: &str) -> usize {
        self.source.size_of(name)
    }
}

/// Weights of nothing learned, for benchmarks and to begin training with. Each is a function of the seed and its name:
/// norms one, other vectors zero, embeddings small, matrices of unit gain, those back into the residual stream less
/// (Radford et al. 2019).
pub struct Random {
    /// Decides all of them.
    pub seed: u64,
    /// Where given, much of what a model learns first is there already.
    pub informed: Option<Informed>,
}

impl Random {
    /// Plain ones.
    pub fn new(seed: u64) -> Self {
        Self { seed, informed: None }
    }
}

impl WeightSource for Random {
    /// Nothing that a model can do without.
    fn has(&self, name: &str) -> bool {
        name != "lm_head.weight"
    }

    fn has_values(&self) -> bool {
        true
    }

    fn tensors(&self) -> Vec<StoredTensor<'_>> {
        Vec::new()
    }

    fn stored_dtype(&self) -> DType {
        DType::F32
    }

    fn expect(&self, _name: &str, _shape: &[usize]) -> Result<()> {
        Ok(())
    }

    fn read(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        if let Some(values) = self.informed.and_then(|informed| informed.values(self.seed, name, shape)) {
            return Ok(Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?);
        }
        let [_, inner @ ..] = shape else { return Ok(Tensor::zeros(shape, dtype, device)?) };
        if inner.is_empty() {
            let is_norm = name.contains("norm") && name.ends_with("weight");
            let fill = if is_norm { Tensor::ones } else { Tensor::zeros };
            return Ok(fill(shape, dtype, device)?);
        }
        let unit = 1.0 / (inner.iter().product::<usize>() as f32).sqrt();
        let deviation = match name {
            _ if name.ends_with("embed_tokens.weight") || name.ends_with("pos_embed.weight") => 0.02,
            _ if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") => 0.3 * unit,
            _ => unit,
        };
        let values = uniform_of_name(self.seed, name, shape.iter().product(), deviation);
        Ok(Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?)
    }

    fn size_bytes(&self) -> usize {
        0
    }

    fn size_of(&self, _name: &str) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matmul::packed::Format;
    use crate::progress::Unobserved;

    /// One matrix [rows, cols] of whole numbers in groups of 32.
    struct InGroups(Grouped, [usize; 2]);

    impl InGroups {
        fn new(bits: u32, scale: f32, zero: f32) -> Self {
            let [rows, cols] = [19, 64];
            let code = |i: usize| ((i * 2_654_435_761) >> 7) as u8 & (((1u32 << bits) - 1) as u8);
            let groups = rows * cols / 32;
            let scales = (0..groups).map(|i| scale * (1 << (i % 3)) as f32).collect();
            let codes = (0..rows * cols).map(code).collect();
            Self(Grouped { bits, group: 32, codes, scales, zeros: vec![zero; groups] }, [rows, cols])
        }

        fn weight(&self, quantised: Option<Format>) -> Weight {
            let precision = Precision { dtype: DType::F32, quantised, mixed: false };
            Loader::new(self, precision, &Device::Cpu, &Unobserved).linear("w", &self.1, self.1).unwrap()
        }
    }

    impl WeightSource for InGroups {
        fn has(&self, _name: &str) -> bool {
            true
        }

        fn has_values(&self) -> bool {
            true
        }

        fn tensors(&self) -> Vec<StoredTensor<'_>> {
            Vec::new()
        }

        fn stored_dtype(&self) -> DType {
            DType::F32
        }

        fn expect(&self, _name: &str, _shape: &[usize]) -> Result<()> {
            Ok(())
        }

        fn read(&self, name: &str, _shape: &[usize], _dtype: DType, _device: &Device) -> Result<Tensor> {
            Err(Error::Request(format!("{name} is read as it is stored")))
        }

        fn linear(&self, _name: &str, _shape: &[usize]) -> Result<Stored> {
            Ok(Stored::Grouped(self.0.clone()))
        }

        fn size_bytes(&self) -> usize {
            0
        }

        fn size_of(&self, _name: &str) -> usize {
            0
        }
    }

    #[test]
    fn whole_numbers_in_groups_are_not_rounded_twice() {
        let values =
            |weight: &Weight| weight.values().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (source, format) in
            [(InGroups::new(8, 1.0 / 64.0, 128.0), Format::Q8), (InGroups::new(4, 0.25, 8.0), Format::Q4)]
        {
            let exact = source.0.values();
            let held = source.weight(Some(format));
            assert!(matches!(&held, Weight::Packed(packed) if packed.format() == format));
            // Tiles are handed out in bf16, which holds these values as they are.
            assert_eq!(values(&held), exact);
            assert_eq!(values(&source.weight(None)), exact);
        }
        // What no format holds as it is comes by its values.
        let odd = InGroups::new(8, 0.1, 3.0);
        let (held, exact) = (values(&odd.weight(Some(Format::Q8))), odd.0.values());
        let most = exact.iter().fold(0f32, |most, v| most.max(v.abs()));
        assert!(held.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 0.01 * most));
    }
}
