//! The values that are trained, put on a model.

use candle_core::{DType, Device, Tensor, Var};
use rand::RngExt;

use super::recipe::{Recipe, Updates};
use crate::checkpoint::adapter::{Adapter, LoraPair};
use crate::checkpoint::latent_rows::LatentRows;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::parts::Part;
use crate::random::stream_of_name;

/// One of them.
#[derive(Debug, Clone)]
pub struct TrainedValue {
    /// Canonical: a tensor of the checkpoint, a module with `.lora_A` or `.lora_B`, or `latent_rows`.
    pub name: String,
    /// f32.
    pub var: Var,
    /// Its share of the learning rate.
    pub rate: f64,
}

impl TrainedValue {
    /// Is it pulled towards zero? Matrices are, norms and biases are not, as transformers' trainer has it.
    pub fn decays(&self) -> bool {
        self.var.rank() > 1
    }
}

/// The rows of the latents among the values.
#[derive(Debug, Clone)]
struct LatentValue {
    index: usize,
    token_ids: Vec<u32>,
}

/// All values that are trained.
#[derive(Debug, Clone)]
pub struct Trained {
    /// In the order they were put on.
    pub values: Vec<TrainedValue>,
    latents: Option<LatentValue>,
}

/// Uniform within ± `bound`.
fn uniform(seed: u64, name: &str, shape: (usize, usize), bound: f64) -> Result<Tensor> {
    let mut rng = stream_of_name(seed, name);
    let values = (0..shape.0 * shape.1).map(|_| rng.random_range(-bound..bound) as f32).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Normal with mean 0 (Box and Muller 1958).
pub(super) fn normal(seed: u64, name: &str, count: usize, deviation: f64) -> Vec<f32> {
    let mut rng = stream_of_name(seed, name);
    (0..count)
        .map(|_| {
            let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
            (deviation * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
        })
        .collect()
}

impl Trained {
    /// Puts what a recipe trains on a model: low-rank updates that change nothing yet, or those of an adapter, and
    /// rows for the latents. `weights` are variables the model was built of.
    ///
    /// # Errors
    /// An adapter to begin from that does not fit the recipe.
    pub fn attach(
        model: &mut Model,
        recipe: &Recipe,
        token_ids: &[u32],
        weights: Vec<(String, Var)>,
        begin: Option<&Adapter>,
    ) -> Result<Self> {
        let rate = |name: &str| if name.starts_with("visual.") { recipe.optimizer.vision_rate } else { 1.0 };
        let mut values: Vec<TrainedValue> =
            weights.into_iter().map(|(name, var)| TrainedValue { rate: rate(&name), name, var }).collect();
        if recipe.updates == Some(Updates::Lora) {
            attach_lora(model, recipe, begin, &mut values)?;
        }
        let latents = if recipe.latents.count == 0 {
            None
        } else {
            let var = latent_rows(model, recipe, token_ids, begin)?;
            values.push(TrainedValue { name: "latent_rows".to_owned(), var, rate: 1.0 });
            Some(LatentValue { index: values.len() - 1, token_ids: token_ids.to_vec() })
        };
        let trained = Self { values, latents };
        trained.refresh(model)?;
        Ok(trained)
    }

    /// Puts the latents' rows on the model, before a step: where all share one, it is repeated.
    pub fn refresh(&self, model: &mut Model) -> Result<()> {
        match self.latent_rows()? {
            Some(rows) => model.set_latents(&rows),
            None => Ok(()),
        }
    }

    /// The latents' rows, K of them, as the model takes them.
    pub fn latent_rows(&self) -> Result<Option<LatentRows>> {
        let Some(latents) = &self.latents else { return Ok(None) };
        let (rows, count) = (self.values[latents.index].var.as_tensor(), latents.token_ids.len());
        let width = rows.dim(1)?;
        let rows = if rows.dim(0)? == count {
            rows.clone()
        } else {
            rows.broadcast_as((count, width))?.contiguous()?
        };
        Ok(Some(LatentRows { rows, token_ids: latents.token_ids.clone() }))
    }

    /// The low-rank updates: module, A [r, in], B [out, r].
    pub fn lora(&self) -> impl Iterator<Item = (&str, &Tensor, &Tensor)> {
        self.values.windows(2).filter_map(|pair| {
            let module = pair[0].name.strip_suffix(".lora_A")?;
            Some((module, pair[0].var.as_tensor(), pair[1].var.as_tensor()))
        })
    }

    /// Values in all.
    pub fn num_values(&self) -> usize {
        self.values.iter().map(|value| value.var.elem_count()).sum()
    }
}

fn attach_lora(
    model: &mut Model,
    recipe: &Recipe,
    begin: Option<&Adapter>,
    values: &mut Vec<TrainedValue>,
) -> Result<()> {
    let lora = &recipe.lora;
    let scale = lora.alpha / lora.rank as f64;
    let device = model.device().clone();
    model.text.each_part(&mut |part| {
        let Part::Linear(linear) = part else { return Ok(()) };
        let name = linear.name().to_owned();
        if !lora.modules.iter().any(|module| name.rsplit('.').next() == Some(module)) {
            return Ok(());
        }
        let (out_dim, in_dim) = linear.dims()?;
        let (a, b) = if let Some(pair) = begin.and_then(|adapter| adapter.lora.get(&name)) {
            let rank = pair.a.dim(0)?;
            if rank != lora.rank || (pair.scale - scale).abs() > 1e-9 || pair.magnitude.is_some() {
                let expected = format!("plain LoRA of rank {} and scale {scale} as in the recipe", lora.rank);
                let found = format!("rank {rank} and scale {}", pair.scale);
                return Err(mismatch(begin, &name, expected, found));
            }
            (pair.a.clone(), pair.b.clone())
        } else {
            // As PEFT begins: Kaiming-uniform with a = sqrt(5), and nothing.
            let bound = 1.0 / (in_dim as f64).sqrt();
            let a = uniform(recipe.seed, &format!("{name}.lora_A"), (lora.rank, in_dim), bound)?;
            (a, Tensor::zeros((out_dim, lora.rank), DType::F32, &Device::Cpu)?)
        };
        let var = |tensor: &Tensor| -> Result<Var> {
            Ok(Var::from_tensor(&tensor.to_dtype(DType::F32)?.to_device(&device)?)?)
        };
        let (a, b) = (var(&a)?, var(&b)?);
        linear.set_lora(&LoraPair {
            a: a.as_tensor().clone(),
            b: b.as_tensor().clone(),
            scale,
            magnitude: None,
        })?;
        linear.set_dropout(lora.dropout);
        for (half, var) in [("lora_A", a), ("lora_B", b)] {
            values.push(TrainedValue { name: format!("{name}.{half}"), var, rate: 1.0 });
        }
        Ok(())
    })
}

fn mismatch(begin: Option<&Adapter>, field: &str, expected: String, found: String) -> Error {
    let path = begin.map_or_else(std::path::PathBuf::new, |adapter| adapter.folder.root().to_owned());
    Error::field(path, field, expected, found)
}

/// Rows for the latents: those of the adapter to begin from, or random ones.
fn latent_rows(model: &Model, recipe: &Recipe, token_ids: &[u32], begin: Option<&Adapter>) -> Result<Var> {
    let options = &recipe.latents;
    let (_, width) = model.text.embedding().dims()?;
    let count = if options.shared { 1 } else { options.count };
    let held = begin.and_then(|adapter| adapter.latent_rows.as_ref());
    let rows = match held {
        Some(held) if held.token_ids == token_ids && held.rows.dim(1)? == width => {
            held.rows.narrow(0, 0, count)?
        }
        Some(held) => {
            let expected = format!("rows for the tokens {token_ids:?}");
            return Err(mismatch(begin, "latent_rows", expected, format!("{:?}", held.token_ids)));
        }
        None => {
            let deviation = options.deviation.map_or_else(|| deviation(model), Ok)?;
            let values = normal(recipe.seed, "latent_rows", count * width, deviation);
            Tensor::from_vec(values, (count, width), &Device::Cpu)?
        }
    };
    Ok(Var::from_tensor(&rows.to_dtype(DType::F32)?.to_device(model.device())?.contiguous()?)?)
}

/// The standard deviation of the first rows of the embedding.
fn deviation(model: &Model) -> Result<f64> {
    let embedding = model.text.embedding();
    let ids: Vec<u32> = (0..embedding.dims()?.0.min(1024) as u32).collect();
    let rows = embedding.forward(&ids)?.to_dtype(DType::F32)?.flatten_all()?;
    let values = rows.to_vec1::<f32>()?;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
    let square = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / values.len() as f64;
    Ok(square.sqrt())
}
