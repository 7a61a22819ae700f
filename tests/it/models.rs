//! Models by id: what is shared, what is read, what has to go, and what taps can do inside a pass.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Tensor;
use livr_explorer::ask::looks::Looks;
use livr_explorer::ask::{AttentionRows, Condition, DtypeChoice, Keep, MaskKind, MaskRule};
use livr_explorer::data::picture::Picture;
use livr_explorer::data::sample::Sample;
use livr_explorer::engine::ids::{ModelId, Request};
use livr_explorer::engine::models::Models;
use livr_explorer::error::{Error, Result};
use livr_explorer::model::Model;
use livr_explorer::model::compute::{Blocks, Compute};
use livr_explorer::model::tap::{PassInfo, Site, Tap};
use livr_explorer::model::text::{Pass, Sequence};
use livr_explorer::model::to_host;
use livr_explorer::progress::{Observer, Phase, Progress, Unobserved};
use livr_explorer::units::{LayerIdx, Role};

use crate::common::{Asking, Case, Copy, fixture, last_logits, logits, model_id, relative_error};

/// Counts tensors read of a base, and keeps notes.
#[derive(Default)]
struct Reads {
    tensors: Cell<usize>,
    notes: RefCell<Vec<String>>,
}

impl Observer for Reads {
    fn progress(&self, progress: Progress) -> Result<()> {
        if progress.phase == Phase::Weights {
            self.tensors.set(self.tensors.get() + 1);
        }
        Ok(())
    }

    fn note(&self, note: &str) {
        self.notes.borrow_mut().push(note.to_owned());
    }
}

fn id(family: &str, adapter: bool) -> ModelId {
    let dir = fixture(family);
    let adapter_dir = dir.join("adapter");
    model_id(&dir.join("model"), adapter.then_some(adapter_dir.as_path()), DtypeChoice::F32)
}

fn answer(models: &mut Models, model: &ModelId, case: &Case) -> Vec<f32> {
    let Asking { condition, keep } = case.settings(logits());
    let request = Request { model: model.clone(), sample: case.sample(), condition };
    last_logits(&models.run(&request, &keep, &Unobserved).unwrap()).to_vec()
}

#[test]
fn two_models_are_held_and_an_adapter_is_swapped_without_reading_the_base() {
    let mut models = Models::default();
    let reads = Reads::default();
    let (plain, adapted, other) = (id("qwen3_vl", false), id("qwen3_vl", true), id("qwen2_5_vl", false));
    models.open(&plain, &reads).unwrap();
    let of_base = reads.tensors.get();
    assert!(of_base > 50);
    models.open(&adapted, &reads).unwrap();
    assert_eq!(reads.tensors.get(), of_base, "the adapter's base was read again");
    models.open(&other, &reads).unwrap();
    assert!(reads.tensors.get() > of_base);
    let all = reads.tensors.get();
    // All three answer, as often as one likes, as the reference does.
    let (with, without) = (Case::named("qwen3_vl", "bottleneck"), Case::named("qwen3_vl", "plain"));
    let elsewhere = Case::named("qwen2_5_vl", "plain");
    for _ in 0..2 {
        for (model, case) in [(&adapted, &with), (&plain, &without), (&other, &elsewhere)] {
            let (ours, golden) = (answer(&mut models, model, case), case.golden().floats("logits"));
            assert!(relative_error(&ours, &golden[golden.len() - ours.len()..]) < 1e-5, "{}", case.name);
        }
    }
    models.open(&plain, &reads).unwrap();
    assert_eq!(reads.tensors.get(), all);
    models.close(&plain.base);
    let Asking { condition, keep } = with.settings(logits());
    let request = Request { model: adapted, sample: with.sample(), condition };
    let problem = models.run(&request, &keep, &Unobserved);
    assert!(problem.unwrap_err().to_string().contains("not open any more"));
}

#[test]
fn a_folder_that_changed_is_read_again() {
    let (base, adapter) = (Copy::of("qwen3_vl", "model"), Copy::of("qwen3_vl", "adapter"));
    let model = model_id(base.path(), Some(adapter.path()), DtypeChoice::F32);
    let mut models = Models::default();
    let reads = Reads::default();
    let case = Case::named("qwen3_vl", "bottleneck");
    models.open(&model, &reads).unwrap();
    let (of_base, before) = (reads.tensors.get(), answer(&mut models, &model, &case));
    models.open(&model, &reads).unwrap();
    assert_eq!((reads.tensors.get(), answer(&mut models, &model, &case)), (of_base, before.clone()));
    // Trained on into the same folder: the base stays, the adapter is another.
    adapter.edit_json("adapter_config.json", |config| config["lora_alpha"] = 40.into());
    models.open(&model, &reads).unwrap();
    assert_eq!(reads.tensors.get(), of_base);
    let adapted = answer(&mut models, &model, &case);
    assert_ne!(adapted, before);
    // Another base in the place of the first.
    base.edit_json("config.json", |config| config["text_config"]["rms_norm_eps"] = 0.5.into());
    models.open(&model, &reads).unwrap();
    assert_eq!(reads.tensors.get(), 2 * of_base);
    assert_ne!(answer(&mut models, &model, &case), adapted);
}

#[test]
fn a_bad_adapter_is_found_before_the_base_is_read() {
    let mut models = Models::default();
    let reads = Reads::default();
    let other = fixture("qwen2_5_vl_big/adapter");
    let bad = model_id(&fixture("qwen3_vl/model"), Some(&other), DtypeChoice::F32);
    assert!(models.open(&bad, &reads).unwrap_err().to_string().contains("hidden_size 64"));
    assert_eq!(reads.tensors.get(), 0);
}

#[test]
fn an_adapter_that_fails_late_changes_nothing() {
    let mut models = Models::default();
    let adapted = id("qwen3_vl", true);
    models.open(&adapted, &Unobserved).unwrap();
    let case = Case::named("qwen3_vl", "bottleneck");
    let before = answer(&mut models, &adapted, &case);
    // Its LoRA fits the model and is on before the latents' ids are found not to fit the tokenizer.
    let late = Copy::of("qwen3_vl", "adapter");
    late.edit_tensors("latent_rows.safetensors", |t| {
        if t.0 == "token_ids" {
            t.3[..8].copy_from_slice(&7i64.to_le_bytes());
        }
    });
    let bad = adapted.with_adapter(Some(crate::common::source(late.path())));
    assert!(models.open(&bad, &Unobserved).unwrap_err().to_string().contains("token_ids"));
    assert_eq!(answer(&mut models, &adapted, &case), before);
    assert!(models.session(&bad).is_none());
}

/// A machine with so much free memory.
fn machine(free: u64) -> (Models, Arc<AtomicU64>) {
    let memory = Arc::new(AtomicU64::new(free));
    let told = memory.clone();
    (Models::with_memory(Box::new(move || Some(told.load(Ordering::Relaxed)))), memory)
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_it_is_read_or_others_make_room() {
    let reads = Reads::default();
    let (small, large) = (id("qwen3_vl", false), id("qwen2_5_vl_big", false));
    let (mut models, memory) = machine(1 << 20);
    let problem = models.open(&large, &reads).unwrap_err().to_string();
    for word in ["model needs", "MiB as f32, 1.0 MiB are free", "a smaller model would fit"] {
        assert!(problem.contains(word), "{problem}");
    }
    assert_eq!(reads.tensors.get(), 0);
    // Just under what f32 takes there is room for bf16.
    memory.store(need_of(&large) - 1, Ordering::Relaxed);
    let problem = models.open(&large, &reads).unwrap_err().to_string();
    assert!(problem.contains("as bf16 it would need") && problem.contains("--dtype bf16"), "{problem}");
    memory.store(1 << 30, Ordering::Relaxed);
    models.open(&small, &reads).unwrap();
    // Free alone is not enough, but with what the first holds it is: that one goes, and the user hears of it.
    let need = need_of(&large);
    memory.store(need - 1000, Ordering::Relaxed);
    models.open(&large, &reads).unwrap();
    let notes = reads.notes.borrow().join("\n");
    assert!(notes.contains("was closed to make room for qwen2_5_vl_big/model, which needs"), "{notes}");
    assert!(models.session(&small).is_none() && models.session(&large).is_some());
}

fn need_of(id: &ModelId) -> u64 {
    use livr_explorer::checkpoint::folder::Folder;
    use livr_explorer::engine::opening::Unread;
    let folder = Folder::open(id.base.source.path().unwrap()).unwrap();
    let unread = Unread::open(folder, id.base.device, id.base.dtype).unwrap();
    unread.need(unread.precision).total()
}

#[test]
fn nothing_goes_for_a_model_that_would_fail_all_the_same() {
    let (mut models, memory) = machine(1 << 30);
    let small = id("qwen3_vl", false);
    models.open(&small, &Unobserved).unwrap();
    let broken = Copy::of("qwen2_5_vl_big", "model");
    broken.edit_tensors("model.safetensors", |t| {
        if t.0.ends_with("layers.3.mlp.down_proj.weight") {
            "something.else".clone_into(&mut t.0);
        }
    });
    let bad = model_id(broken.path(), None, DtypeChoice::F32);
    memory.store(need_of(&bad) - 1000, Ordering::Relaxed);
    let problem = models.open(&bad, &Unobserved).unwrap_err().to_string();
    assert!(problem.contains("layers.3.mlp.down_proj.weight is missing"), "{problem}");
    assert!(models.session(&small).is_some());
}

#[test]
fn what_would_not_fit_is_not_kept() {
    let (mut models, memory) = machine(1 << 30);
    let model = id("qwen3_vl", true);
    models.open(&model, &Unobserved).unwrap();
    let case = Case::named("qwen3_vl", "bottleneck");
    memory.store(400_000, Ordering::Relaxed);
    let keep = Keep { attention: AttentionRows::Full, ..Keep::default() };
    let condition = case.settings(Keep::default()).condition;
    let request = Request { model: model.clone(), sample: case.sample(), condition };
    let problem = models.run(&request, &keep, &Unobserved).unwrap_err().to_string();
    assert!(problem.contains("attention rows of the prompt") && problem.contains("are free"), "{problem}");
    assert!(models.run(&request, &Keep::default(), &Unobserved).is_ok());
}

#[test]
fn a_weight_file_cut_off_while_it_is_read_is_a_sentence() {
    /// Cuts the file when the second tensor is asked for.
    struct Cut<'a>(&'a Path, Cell<usize>);
    impl Observer for Cut<'_> {
        fn progress(&self, progress: Progress) -> Result<()> {
            if progress.phase == Phase::Weights {
                self.1.set(self.1.get() + 1);
                if self.1.get() == 2 {
                    std::fs::OpenOptions::new().write(true).open(self.0).unwrap().set_len(4096).unwrap();
                }
            }
            Ok(())
        }
    }
    let model = Copy::of("qwen3_vl", "model");
    let file = model.path().join("model.safetensors");
    let mut models = Models::default();
    let opened = models.open(&model_id(model.path(), None, DtypeChoice::F32), &Cut(&file, Cell::new(0)));
    let problem = opened.unwrap_err().to_string();
    assert!(problem.contains("cannot read the file") && problem.contains("model.safetensors"), "{problem}");
}

#[test]
fn a_job_is_stopped_inside_a_block_of_the_vision_tower() {
    /// Stops at the n-th look after the tower has begun.
    struct Stop {
        looks: Cell<usize>,
        blocks: Cell<usize>,
    }
    impl Observer for Stop {
        fn progress(&self, progress: Progress) -> Result<()> {
            if progress.phase == Phase::Vision {
                self.blocks.set(progress.done + 1);
            }
            Ok(())
        }
        fn check(&self) -> Result<()> {
            if self.blocks.get() == 0 {
                return Ok(());
            }
            self.looks.set(self.looks.get() + 1);
            if self.looks.get() == 20 { Err(Error::Cancelled) } else { Ok(()) }
        }
    }
    let mut models = Models::default();
    let model = id("qwen3_vl", false);
    models.open(&model, &Unobserved).unwrap();
    let stop = Stop { looks: Cell::new(0), blocks: Cell::new(0) };
    // As large images are cut into pieces, so is this small one.
    let blocks = Blocks { queries: Some(8), rows: Some(8) };
    let compute = Compute { blocks, observer: &stop, ..Compute::default() };
    let case = Case::named("qwen3_vl", "plain");
    let session = models.session(&model).unwrap();
    let stopped = session.run(&case.sample(), &case.settings(logits()), &logits(), None, &compute);
    assert!(stopped.unwrap_err().is_cancelled());
    assert_eq!((stop.blocks.get(), stop.looks.get()), (1, 20));
}

#[test]
fn a_pixel_budget_is_obeyed_and_a_large_model_reads_less_by_default() {
    let mut models = Models::default();
    let model = id("qwen3_vl", false);
    let info = models.open(&model, &Unobserved).unwrap();
    // A tiny model reads what its checkpoint says, so that it equals the reference everywhere.
    assert_eq!(info.auto_max_pixels, info.checkpoint_max_pixels);
    let picture = Picture::new("large", image::RgbImage::new(640, 480));
    let sample = Sample { images: vec![picture.into()], prompt: "?".to_owned(), choices: Vec::new() };
    let mut tokens = |max_pixels: &str| {
        let condition = Condition { max_pixels: max_pixels.parse().unwrap(), ..Condition::default() };
        let request = Request { model: model.clone(), sample: sample.clone(), condition };
        let trace = models.run(&request, &Keep::default(), &Unobserved);
        trace.map(|trace| (trace.image_spans[0].len(), trace.applied.max_pixels))
    };
    assert_eq!(tokens("auto").unwrap(), tokens("checkpoint").unwrap());
    let (few, applied) = tokens("8192").unwrap();
    assert!(few <= 8 && few < tokens("auto").unwrap().0);
    assert_eq!(applied, 8192);
    assert!(tokens("100").unwrap_err().to_string().contains("max-pixels: expected at least 1024"));
}

/// Multiplies hidden states after a layer.
struct Steer(LayerIdx, f64);

impl Tap for Steer {
    fn on_hidden(&mut self, _pass: &PassInfo<'_>, site: Site, hidden: &Tensor) -> Result<Option<Tensor>> {
        Ok(if site == Site::AfterLayer(self.0) { Some((hidden * self.1)?) } else { None })
    }
}

/// Blocks a pair of roles from a layer on.
struct Block(LayerIdx);

impl Tap for Block {
    fn edit_mask(&mut self, pass: &PassInfo<'_>, layer: LayerIdx, looks: &mut Looks) {
        if layer >= self.0 {
            *looks = Looks::of_roles(MaskRule::CAUSAL.with(Role::Prompt, Role::Image, false), pass.roles);
        }
    }
}

/// Scales the heads of a layer.
struct Heads(LayerIdx, Vec<f32>);

impl Tap for Heads {
    fn on_heads(&mut self, pass: &PassInfo<'_>, layer: LayerIdx, mixed: &Tensor) -> Result<Option<Tensor>> {
        if layer != self.0 {
            return Ok(None);
        }
        let factors = Tensor::from_vec(self.1.clone(), (1, pass.num_heads, 1), mixed.device())?;
        Ok(Some(mixed.broadcast_mul(&factors)?))
    }
}

/// Keeps the rows of one token.
struct KeepRow(usize, Vec<Vec<f32>>);

impl Tap for KeepRow {
    fn wanted_rows(&self, _pass: &PassInfo<'_>, _layer: LayerIdx) -> Vec<usize> {
        vec![self.0]
    }

    fn on_rows(&mut self, pass: &PassInfo<'_>, _layer: LayerIdx, rows: &Tensor) -> Result<()> {
        assert_eq!(rows.dims(), [pass.num_heads, 1, pass.roles.len()]);
        self.1.push(to_host(rows)?.data().to_vec());
        Ok(())
    }
}

/// A pass over as many tokens as there are roles, under the eyes of taps.
fn watched<'a>(model: &Model, roles: &'a [Role], taps: Vec<&'a mut dyn Tap>) -> Vec<f32> {
    let ids: Vec<u32> = (5..5 + roles.len() as u32).collect();
    let positions: Vec<[i64; 3]> = (0..roles.len() as i64).map(|i| [i; 3]).collect();
    let pass = Pass {
        embeddings: model.text.embedding().forward(&ids).unwrap(),
        positions: &positions,
        sequences: vec![Sequence { roles, rule: MaskKind::Standard.rule(), cache: None, taps }],
        deepstack: None,
        phase: None,
        compute: Compute::default(),
    };
    to_host(&model.text.forward(pass).unwrap()).unwrap().data().to_vec()
}

#[test]
fn taps_chain_and_reach_hidden_states_masks_heads_and_rows() {
    use Role::{Image, Latent, Prompt};
    let mut models = Models::default();
    let model = id("qwen3_vl", false);
    models.open(&model, &Unobserved).unwrap();
    let model = models.session(&model).unwrap().model();
    let roles = [Prompt, Image, Image, Prompt, Latent, Prompt];
    macro_rules! forward {
        ($($tap:expr),*) => { watched(model, &roles, vec![$($tap),*]) };
    }
    let plain = forward!();
    assert_eq!(forward!(&mut Steer(LayerIdx(1), 1.0), &mut Heads(LayerIdx(0), vec![1.0; 4])), plain);
    // Two steering taps act one after the other: 0.5 times 2 is nothing, 0.5 alone is something.
    let steer = |factor| Steer(LayerIdx(0), factor);
    assert_eq!(forward!(&mut steer(0.5), &mut steer(2.0)), plain);
    assert_ne!(forward!(&mut steer(0.5)), plain);
    let silent = forward!(&mut Heads(LayerIdx(1), vec![0.0; 4]));
    assert_ne!(silent, plain);
    // Factors of several taps multiply.
    let mut halves = [Heads(LayerIdx(1), vec![0.0; 4]), Heads(LayerIdx(1), vec![3.0; 4])];
    let [a, b] = &mut halves;
    assert_eq!(forward!(a, b), silent);
    // The mask is edited from layer 1 on only, and two taps that want different rows each get their own.
    let (mut first, mut last) = (KeepRow(3, Vec::new()), KeepRow(5, Vec::new()));
    let edited = forward!(&mut Block(LayerIdx(1)), &mut first, &mut last);
    assert_ne!(edited, plain);
    for keep in [&first, &last] {
        for (layer, rows) in keep.1.iter().enumerate() {
            for row in rows.chunks(6) {
                let sees_image = row[1] > 0.0 && row[2] > 0.0;
                assert_eq!(sees_image, layer == 0, "token {} in layer {layer}: {row:?}", keep.0);
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                assert!(row[keep.0 + 1..].iter().all(|p| *p == 0.0));
            }
        }
        assert_eq!(keep.1.len(), 3);
    }
}

#[test]
fn the_lens_is_the_output_behind_the_final_norm() {
    let dir = fixture("qwen3_vl");
    let mut loaded = crate::common::load(&dir.join("model"), None).unwrap();
    let case = Case::named("qwen3_vl", "plain");
    let trace = loaded.run(&case.sample(), &case.settings(crate::common::everything()), &Unobserved).unwrap();
    let hidden = trace.hidden_states.as_ref().unwrap();
    let [layers, tokens, width] = *hidden.values.shape() else { panic!("[l, t, D]") };
    let mut models = Models::default();
    let id = id("qwen3_vl", false);
    models.open(&id, &Unobserved).unwrap();
    let text = &models.session(&id).unwrap().model().text;
    let compute = Compute::observed(&Unobserved);
    let at = |layer: usize| {
        let values = hidden.values.at(&[layer]).to_vec();
        Tensor::from_vec(values, (tokens, width), &candle_core::Device::Cpu).unwrap()
    };
    // What the trace has of the last place of all is the model's own output.
    let said = to_host(&text.logits(&at(layers - 1), &compute).unwrap()).unwrap();
    let own = trace.logits.as_ref().unwrap().data();
    assert!(relative_error(&said.data()[said.data().len() - own.len()..], own) < 1e-5);
    // Before it, the norm by its formula, with the checkpoint's weight.
    let bytes = std::fs::read(dir.join("model/model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let name = file.names().into_iter().find(|name| name.ends_with("language_model.norm.weight")).unwrap();
    let tensor = file.tensor(name).unwrap();
    let weight: Vec<f32> = match tensor.dtype() {
        safetensors::Dtype::F32 => bytemuck::pod_collect_to_vec(tensor.data()),
        other => panic!("{other:?}"),
    };
    for layer in 0..layers - 1 {
        let rows = at(layer);
        let normed: Vec<f32> = to_host(&rows)
            .unwrap()
            .data()
            .chunks(width)
            .flat_map(|row| {
                let mean = row.iter().map(|v| v * v).sum::<f32>() / width as f32;
                row.iter().zip(&weight).map(move |(v, w)| v / (mean + 1e-6).sqrt() * w)
            })
            .collect();
        let normed = Tensor::from_vec(normed, (tokens, width), rows.device()).unwrap();
        let expected = to_host(&text.logits(&normed, &compute).unwrap()).unwrap();
        let found = to_host(&text.lens(&rows, &compute).unwrap()).unwrap();
        assert!(relative_error(found.data(), expected.data()) < 1e-5, "layer {layer}");
    }
}
