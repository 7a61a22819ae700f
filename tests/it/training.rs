//! What training computes, beside what `PyTorch` and PEFT recorded, and beside finite differences.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use livr_explorer::ask::{Condition, Keep, LogitRows, MaskKind, MaskRule};
use livr_explorer::checkpoint::adapter::Adapter;
use livr_explorer::checkpoint::config::ModelConfig;
use livr_explorer::checkpoint::folder::Folder;
use livr_explorer::checkpoint::livr::LivrConfig;
use livr_explorer::checkpoint::safetensors::Safetensors;
use livr_explorer::data::picture::Picture;
use livr_explorer::data::record::{ImageSource, Record};
use livr_explorer::data::sample::Sample;
use livr_explorer::input::processor::Processor;
use livr_explorer::model::Model;
use livr_explorer::model::compute::Compute;
use livr_explorer::model::loader::{Loader, Variables};
use livr_explorer::model::parts::Part;
use livr_explorer::ops::tape::backward;
use livr_explorer::ops::weight::Weight;
use livr_explorer::progress::Unobserved;
use livr_explorer::train::{AdamW, Example, Examples, Recipe, Trained, Updates, clip, hidden, losses};
use serde_json::Value;

use crate::common::{Asking, Golden, fixture, load, relative_error};

/// A fixture's model with what is trained on it, and the recorded examples.
struct Setup {
    model: Model,
    trained: Trained,
    examples: Vec<Arc<Example>>,
}

fn recipe(updates: Updates, latents: usize, dropout: f32) -> Recipe {
    let text = format!(
        "variant = \"livr\"\n[data]\ntrain = [\"x\"]\n[latents]\ncount = {latents}\n[lora]\nrank = 4\nalpha = 8.0\ndropout = {dropout}\n"
    );
    let mut recipe = Recipe::parse(&text, Path::new("test")).unwrap();
    recipe.updates = Some(updates);
    recipe.resolved(1)
}

impl Setup {
    fn new(name: &str, updates: Updates, dropout: f32) -> Self {
        let folder = Folder::open(fixture(name).join("model")).unwrap();
        let config = ModelConfig::read(&folder).unwrap();
        let source = Safetensors::open(&folder).unwrap();
        let adapter = Adapter::read(&fixture(name).join("adapter")).unwrap();
        let livr = LivrConfig::default_for(adapter.num_latents());
        let processor = Processor::read(&folder, &config).unwrap().with_latents(&livr).unwrap();
        let recipe = recipe(updates, livr.num_latents, dropout);
        let selects = move |name: &str| match updates {
            Updates::Everything => true,
            Updates::Full => !name.starts_with("visual."),
            _ => false,
        };
        let variables = Variables::new(&source, &selects);
        let loader = Loader::new(&variables, DType::F32.into(), &Device::Cpu, &Unobserved);
        let mut model = Model::load(&loader, &config).unwrap();
        let weights: Vec<(String, Var)> = variables.into_vars();
        let ids = processor.latents().token_ids.clone();
        let trained = Trained::attach(&mut model, &recipe, &ids, weights, Some(&adapter)).unwrap();
        let asked: Value =
            serde_json::from_str(&std::fs::read_to_string(fixture("training/examples.json")).unwrap())
                .unwrap();
        let records = asked.as_array().unwrap().iter().enumerate().map(|(i, e)| Record {
            id: i.to_string(),
            images: e["images"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| ImageSource::File(fixture(name).join(p.as_str().unwrap())))
                .collect(),
            prompt: e["prompt"].as_str().unwrap().to_owned(),
            target: e["target"].as_str().unwrap().to_owned(),
            ..Record::default()
        });
        let max_pixels = processor.images().max_pixels;
        let mut all = Examples::new(records.collect(), &processor, &recipe, max_pixels, u64::MAX).unwrap();
        let every: Vec<usize> = (0..all.len()).collect();
        let examples = all.get(&every, &model, &Compute::default()).unwrap();
        Self { model, trained, examples }
    }

    fn loss(&self, rule: MaskRule, compute: &Compute<'_>) -> Tensor {
        losses(&self.model, &self.examples, rule, compute).unwrap().mean_all().unwrap()
    }

    fn loss_now(&self, rule: MaskRule) -> f64 {
        f64::from(self.loss(rule, &Compute::default()).to_scalar::<f32>().unwrap())
    }
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

const RECORDED: [(&str, Updates, &str, MaskKind); 5] = [
    ("qwen2_5_vl", Updates::Lora, "lora", MaskKind::Bottleneck),
    ("qwen3_vl", Updates::Lora, "lora", MaskKind::Bottleneck),
    ("qwen2_5_vl_big", Updates::Lora, "lora", MaskKind::Standard),
    ("qwen2_5_vl", Updates::Full, "full", MaskKind::Standard),
    ("qwen3_vl", Updates::Full, "full", MaskKind::Bottleneck),
];

#[test]
fn losses_gradients_and_three_steps_as_pytorch_has_them() {
    for (name, updates, kind, mask) in RECORDED {
        let golden = Golden::read(&fixture(&format!("training/{name}-{kind}.safetensors")));
        let setup = Setup::new(name, updates, 0.0);
        let (rule, compute) = (mask.rule(), Compute::default());
        let close = |what: &str, ours: &[f32], theirs: &[f32], most: f32| {
            let error = relative_error(ours, theirs);
            assert!(error < most, "{name} {kind}: {what} differs by {error}");
        };
        let (states, targets) = hidden(&setup.model, &setup.examples, rule, &compute).unwrap();
        let logits = setup.model.text.logits(&states, &compute).unwrap();
        close("logits", &floats(&logits), &golden.floats("logits"), 2e-5);
        let each = setup.model.text.losses(&states, &targets, &compute).unwrap();
        close("losses", &floats(&each), &golden.floats("nll"), 2e-5);

        let options = livr_explorer::train::Optimizer::default();
        let values = &setup.trained.values;
        let mut adamw = AdamW::new(&options, values.iter().map(|value| value.var.elem_count()));
        for (step, rate) in [1e-2, 5e-3, 2e-3].into_iter().enumerate() {
            let loss = setup.loss(rule, &compute);
            let grads = backward(&loss).unwrap();
            let grads: Vec<Tensor> =
                values.iter().map(|value| grads.get(value.var.as_tensor()).unwrap().unwrap()).collect();
            if step == 0 {
                for (value, grad) in values.iter().zip(&grads) {
                    let theirs = golden.floats(&format!("grad.{}", value.name));
                    close(&value.name, &floats(grad), &theirs, 1e-4);
                }
            }
            let (norm, scale) = clip(&grads, 1.0).unwrap();
            close("loss", &[loss.to_scalar().unwrap()], &golden.floats(&format!("loss{step}")), 2e-4);
            close("norm", &[norm as f32], &golden.floats(&format!("norm{step}")), 2e-3);
            adamw.begin();
            for (i, (value, grad)) in values.iter().zip(&grads).enumerate() {
                let decay = if value.decays() { 0.01 } else { 0.0 };
                adamw.update(i, &value.var, grad, scale, rate, decay).unwrap();
            }
        }
        let count = golden.names().filter(|name| name.starts_with("grad.")).count();
        assert_eq!(count, values.len(), "{name} {kind}");
        for value in values {
            let theirs = golden.floats(&format!("after.{}", value.name));
            close(&value.name, &floats(value.var.as_tensor()), &theirs, 5e-3);
        }
    }
}

#[test]
fn everything_trained_gets_a_gradient_and_nothing_frozen_does() {
    for name in ["qwen2_5_vl", "qwen3_vl"] {
        for (updates, dropout) in
            [(Updates::Lora, 0.1), (Updates::Latents, 0.0), (Updates::Full, 0.0), (Updates::Everything, 0.0)]
        {
            let setup = Setup::new(name, updates, dropout);
            let compute = Compute { dropout: Some(3), ..Compute::default() };
            // Under the bottleneck what is added late to the image's states never reaches the answer.
            let grads = backward(&setup.loss(MaskKind::Standard.rule(), &compute)).unwrap();
            for value in &setup.trained.values {
                let grad = grads.get(value.var.as_tensor()).unwrap();
                let grad = grad.unwrap_or_else(|| panic!("{name} {updates:?}: {} has none", value.name));
                let largest = floats(&grad).into_iter().fold(0f32, |most, g| most.max(g.abs()));
                assert!(
                    largest > 0.0 && largest.is_finite(),
                    "{name} {updates:?}: {} is {largest}",
                    value.name
                );
            }
            let is_trained = |name: &str| setup.trained.values.iter().any(|value| value.name == name);
            let mut frozen = 0;
            let mut model = setup.model.clone();
            model
                .each_part(&mut |part| {
                    let (name, weight) = match &part {
                        Part::Linear(linear) => (format!("{}.weight", linear.name()), linear.weight()),
                        Part::Embedding(embedding) => (format!("{}.weight", part.name()), embedding.rows()),
                        Part::Norm(_) => return Ok(()),
                    };
                    let Weight::Dense(tensor) = weight else { panic!("{name} is packed") };
                    // A tied output is the embedding, and a patch is flattened.
                    if !is_trained(&name)
                        && name != "lm_head.weight"
                        && !is_trained("visual.patch_embed.proj.weight")
                    {
                        frozen += 1;
                        assert!(
                            grads.get(tensor).unwrap().is_none(),
                            "{updates:?}: {name} is frozen and has a gradient"
                        );
                    }
                    Ok(())
                })
                .unwrap();
            assert_eq!(frozen > 0, updates != Updates::Everything);
            let expected = match updates {
                Updates::Latents => 1,
                Updates::Lora => 3 * 7 * 2 + 1,
                _ => setup.trained.values.len(),
            };
            assert_eq!(setup.trained.values.len(), expected);
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for (name, updates) in
        [("qwen3_vl", Updates::Lora), ("qwen2_5_vl", Updates::Everything), ("qwen3_vl", Updates::Everything)]
    {
        let setup = Setup::new(name, updates, 0.0);
        let rule = MaskKind::Standard.rule();
        let grads = backward(&setup.loss(rule, &Compute::default())).unwrap();
        let mut sharp = 0;
        for value in &setup.trained.values {
            let (var, grad) = (&value.var, grads.get(value.var.as_tensor()).unwrap().unwrap());
            let before = var.as_tensor().copy().unwrap();
            let length = floats(&grad).iter().map(|g| g * g).sum::<f32>().sqrt();
            let size = floats(&before).iter().map(|v| v * v).sum::<f32>().sqrt().max(1.0);
            let step = (2e-3 * size).min(0.02 / length.max(1e-3));
            let along = (grad * f64::from(step / length)).unwrap();
            let loss_at = |values: Tensor| {
                var.set(&values).unwrap();
                setup.loss_now(rule)
            };
            let (up, down) = (loss_at((&before + &along).unwrap()), loss_at((&before - &along).unwrap()));
            var.set(&before).unwrap();
            let slope = (up - down) / (2.0 * f64::from(step));
            let error = (slope - f64::from(length)).abs();
            // The loss itself is known to a few millionths.
            let noise = 4e-6 * up.abs() / f64::from(step);
            sharp += usize::from(noise < 0.05 * f64::from(length));
            assert!(
                error < 0.02 * f64::from(length) + noise,
                "{name} {}: {slope} where {length} was expected",
                value.name
            );
        }
        // Slopes lost in that noise would pass whatever they are.
        let count = setup.trained.values.len();
        assert!(sharp * 10 >= count * 9, "{name}: only {sharp} of {count} slopes stand out");
    }
}

#[test]
fn one_batch_or_several_give_the_same_gradient() {
    let setup = Setup::new("qwen3_vl", Updates::Lora, 0.0);
    let rule = MaskKind::Bottleneck.rule();
    let sum = |examples: &[Arc<Example>]| {
        let all = losses(&setup.model, examples, rule, &Compute::default()).unwrap().sum_all().unwrap();
        let grads = backward(&all).unwrap();
        setup
            .trained
            .values
            .iter()
            .map(|v| floats(&grads.get(v.var.as_tensor()).unwrap().unwrap()))
            .collect::<Vec<_>>()
    };
    let together = sum(&setup.examples);
    let apart: Vec<Vec<Vec<f32>>> = setup.examples.iter().map(|one| sum(std::slice::from_ref(one))).collect();
    for (i, value) in setup.trained.values.iter().enumerate() {
        let added: Vec<f32> =
            (0..together[i].len()).map(|j| apart.iter().map(|one| one[i][j]).sum()).collect();
        let error = relative_error(&added, &together[i]);
        assert!(error < 1e-4, "{}: {error}", value.name);
    }
}

#[test]
fn what_drops_out_is_decided_by_the_key() {
    let setup = Setup::new("qwen3_vl", Updates::Lora, 0.3);
    let rule = MaskKind::Bottleneck.rule();
    let at = |key: Option<u64>| {
        setup.loss(rule, &Compute { dropout: key, ..Compute::default() }).to_scalar::<f32>().unwrap()
    };
    assert_eq!(at(Some(1)), at(Some(1)));
    assert_ne!(at(Some(1)), at(Some(2)));
    assert_ne!(at(Some(1)), at(None));
    assert_eq!(
        at(None),
        Setup::new("qwen3_vl", Updates::Lora, 0.0)
            .loss(rule, &Compute::default())
            .to_scalar::<f32>()
            .unwrap()
    );
}

#[test]
fn what_was_trained_here_computes_the_same_in_peft() {
    for name in ["qwen2_5_vl", "qwen3_vl"] {
        let trained = fixture("trained").join(name);
        let mut loaded = load(&fixture(name).join("model"), Some(&trained)).unwrap();
        let picture =
            |i: usize| Arc::new(Picture::read(&fixture(name).join(format!("images/{i}.png"))).unwrap());
        let sample = Sample {
            images: vec![picture(0), picture(1)],
            prompt: "Which point corresponds to REF? Select A or B.".to_owned(),
            choices: Vec::new(),
        };
        let keep = Keep { logits: LogitRows::Full, ..Keep::default() };
        let settings = Asking { condition: Condition::default().masked(MaskKind::Bottleneck), keep };
        let trace = loaded.run(&sample, &settings, &Unobserved).unwrap();
        let golden = Golden::read(&trained.join("golden.safetensors"));
        let [rows, vocab] = golden.shape("logits")[..] else { panic!("a matrix") };
        let logits = trace.logits.unwrap();
        let last = &logits.data()[logits.data().len() - rows * vocab..];
        let error = relative_error(last, &golden.floats("logits"));
        assert!(error < 2e-5, "{name}: {error}");
    }
}
