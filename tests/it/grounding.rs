//! What drawn samples know of places, and what training makes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use livr_explorer::ask::MaskKind;
use livr_explorer::checkpoint::config::{ModelConfig, RotaryAxes, VisionKind};
use livr_explorer::checkpoint::folder::Folder;
use livr_explorer::data::dataset;
use livr_explorer::data::draw::marks::{Ink, Mark};
use livr_explorer::data::grounding::{Grounding, Place};
use livr_explorer::data::record::Record;
use livr_explorer::data::tasks::{Counts, Task, TasksOrder, make};
use livr_explorer::input::processor::Processor;
use livr_explorer::model::Model;
use livr_explorer::model::compute::Compute;
use livr_explorer::model::loader::{Loader, Random, Variables};
use livr_explorer::ops::tape::backward;
use livr_explorer::progress::Unobserved;
use livr_explorer::train::{Example, Examples, Parts, Recipe, Stage, Weights, parts};
use tempfile::TempDir;

fn made(tasks: &[Task], count: usize) -> (TempDir, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let order = TasksOrder {
        tasks: tasks.to_vec(),
        counts: Counts([count, 0, 0]),
        seed: 5,
        side: 168,
        ink: Ink::ByLetter,
        grounding: true,
        images: None,
    };
    let made = make(&order, dir.path(), &Unobserved).unwrap();
    let records = dataset::read(&made.files[0].0).unwrap();
    (dir, records)
}

fn words<'a>(record: &'a Record, group: &str) -> Vec<(Place, &'a str)> {
    let words = record.grounding.words.get(group).into_iter().flatten();
    words.map(|(place, word)| (*place, word.as_str())).collect()
}

/// The word of a group at a mark, of whichever image has one of that label first.
fn word_at<'a>(record: &'a Record, group: &str, label: &str) -> &'a str {
    let mark = record.marks.iter().find(|mark| mark.label == label).unwrap();
    word_at_mark(record, group, mark)
}

fn word_at_mark<'a>(record: &'a Record, group: &str, mark: &Mark) -> &'a str {
    let far = |place: &Place| {
        let other = if place.0 == mark.image { 0.0 } else { 1e9 };
        other + (place.1 - mark.at[0]).hypot(place.2 - mark.at[1])
    };
    let nearest = words(record, group).into_iter().min_by(|a, b| far(&a.0).total_cmp(&far(&b.0)));
    nearest.unwrap().1
}

/// Pairs of a list, as "A cup B key".
fn listed(target: &str) -> Vec<[&str; 2]> {
    let words: Vec<&str> = target.split(' ').collect();
    words.chunks(2).map(|pair| [pair[0], pair[1]]).collect()
}

fn count(record: &Record, name: &str) -> String {
    words(record, "thing").iter().filter(|(_, word)| *word == name).count().to_string()
}

/// Of tasks about one image.
fn one_image_answers(record: &Record) {
    let target = record.target.as_str();
    let offered = |group: &str| words(record, group).into_iter().map(|(_, word)| word);
    match record.task.as_str() {
        "counting" => {
            let name = record.object_name.as_deref().unwrap();
            assert_eq!(count(record, name), target);
            let of_it = words(record, "number").into_iter().zip(words(record, "thing"));
            let numbers = of_it.filter(|(_, (_, thing))| *thing == name);
            let most = numbers.map(|((_, number), _)| number.parse::<u32>().unwrap()).max();
            assert_eq!(most.unwrap().to_string(), target);
            let [(end, kind), (_, total)] = ["kind", "total"].map(|group| &record.grounding.prompt[group][0]);
            assert!(
                record.prompt[..*end].starts_with("How many ") && record.prompt[*end..].starts_with(" are")
            );
            assert_eq!((&**kind, &**total), (name, target));
        }
        "object_localization" => assert!(offered("fits").all(|word| word == target)),
        "relative_reflectance" => {
            let said = if target == "C" { "same" } else { target };
            assert_eq!(offered("darker").collect::<Vec<_>>(), [said]);
        }
        "naming" => assert_eq!(word_at(record, "thing", "A"), target),
        "comparing" => {
            let alike = word_at(record, "thing", "A") == word_at(record, "thing", "B");
            assert_eq!(if alike { "yes" } else { "no" }, target);
        }
        "locating" => {
            let name = record.object_name.as_deref().unwrap();
            let (place, _) = words(record, "thing").into_iter().find(|(_, word)| *word == name).unwrap();
            let part = |v: f32| (v / 56.0) as usize;
            let rows = ["top", "", "bottom"][part(place.2)];
            let cols = ["left", "", "right"][part(place.1)];
            let said = format!("{rows} {cols}").trim().to_owned();
            assert_eq!(if said.is_empty() { "middle" } else { &said }, target);
        }
        "tallying" => {
            assert!(listed(target).iter().all(|[name, number]| count(record, name) == *number));
        }
        "listing" => {
            for [first, second] in listed(target) {
                let (letter, thing) = if first.len() == 1 { (first, second) } else { (second, first) };
                assert_eq!(word_at(record, "thing", letter), thing);
            }
        }
        other => panic!("{other} is about several images"),
    }
}

/// Asserts that a place is in a square of this name.
fn is_in_square(record: &Record, Place(image, x, y): Place, name: &str) {
    let squares = words(record, "cell").into_iter().filter(|(square, _)| square.0 == image);
    let far: Vec<_> = squares.map(|(square, name)| ((square.1 - x).hypot(square.2 - y), name)).collect();
    let nearest = far.iter().map(|(far, _)| *far).fold(f32::MAX, f32::min);
    // Two are as near at the line between them.
    assert!(far.iter().any(|(far, square)| *square == name && *far < nearest + 0.2), "{}: {name}", record.id);
}

/// The right option is told, and no other; and where the point is that an option names.
fn options_are_told(record: &Record) {
    let told = |group: &str| record.grounding.prompt.get(group).map_or(&[][..], |told| told);
    let marks: Vec<_> = record.marks.iter().filter(|mark| mark.image == 1).collect();
    assert_eq!(told("spot").len(), if told("choice").is_empty() { 0 } else { marks.len() }, "{}", record.id);
    for ((end, word), mark) in told("spot").iter().zip(marks) {
        assert!(record.prompt[..*end].ends_with(&format!("({0}) Point {0}", mark.label)), "{}", record.id);
        is_in_square(record, Place(1, mark.at[0], mark.at[1]), word);
    }
    let told = told("choice");
    let offered = if record.prompt.contains(" (A) ") { record.choices.len() } else { 0 };
    assert_eq!(told.len(), offered, "{}", record.id);
    for ((end, word), letter) in told.iter().zip(&record.choices) {
        let said = record.prompt[..*end].rsplit_once(" (").unwrap().1;
        assert!(said.starts_with(&format!("{letter}) ")), "{}: {said}", record.id);
        assert_eq!(word == "yes", *letter == record.target, "{}", record.id);
    }
}

/// What is said at a place that an image before shows too is the name of the square it is in there.
fn matches_are_where_pairs_lead(record: &Record) {
    let back: Vec<_> = record.grounding.pairs.iter().filter(|(from, to)| to.0 < from.0).collect();
    let matches = words(record, "match");
    assert_eq!(matches.len(), back.len(), "{}", record.id);
    for ((place, word), (from, to)) in matches.into_iter().zip(back) {
        assert_eq!(place, *from);
        is_in_square(record, *to, word);
    }
}

/// Of tasks about several.
fn several_images_answer(record: &Record) {
    let target = record.target.as_str();
    matches_are_where_pairs_lead(record);
    let group = ["thing", "part"].into_iter().find(|group| !words(record, group).is_empty());
    match record.task.as_str() {
        "jigsaw" | "art_style" | "visual_similarity" => {
            for (place, word) in words(record, "same") {
                assert_eq!(word == "yes", ["A", "B"][place.0 - 1] == target, "{}", record.id);
            }
            if record.task == "jigsaw" {
                let missing = if target == "A" { 1 } else { 2 };
                assert!(record.grounding.pairs.iter().all(|(from, to)| from.0 == 0 && to.0 == missing));
                assert!(record.grounding.pairs.len() > 2);
            }
        }
        "pairing" => {
            for [first, second] in listed(target) {
                let at = |image: usize, label: &str| {
                    let is_it = |mark: &&Mark| mark.image == image && mark.label == label;
                    let mark = record.marks.iter().find(is_it).unwrap();
                    group.map(|group| word_at_mark(record, group, mark))
                };
                assert_eq!(at(0, first), at(1, second), "{}", record.id);
            }
        }
        _ => {
            assert_eq!(word_at(record, "same", target), "REF");
            if let Some(group) = group {
                assert_eq!(word_at(record, group, "REF"), word_at(record, group, target), "{}", record.id);
            }
        }
    }
}

#[test]
fn what_is_grounded_answers_the_question() {
    let all = [&Task::ALL[..], &Task::GROUNDED].concat();
    let (_dir, records) = made(&all, 12);
    for record in &records {
        options_are_told(record);
        if record.images.len() == 1 {
            one_image_answers(record);
        } else {
            several_images_answer(record);
        }
        let sample = record.sample().unwrap();
        for Place(image, x, y) in record.grounding.places() {
            let (width, height) = sample.images[*image].size();
            assert!((-20.0..width as f32 + 20.0).contains(x) && (-20.0..height as f32 + 20.0).contains(y));
        }
    }
    let with_pairs = records.iter().filter(|record| !record.grounding.pairs.is_empty());
    let tasks: BTreeMap<&str, usize> =
        with_pairs.map(|record| (record.task.as_str(), record.grounding.pairs.len())).collect();
    assert_eq!(tasks.len(), 7, "{tasks:?}");
}

#[test]
fn grounding_that_is_wrong_is_said() {
    let (dir, records) = made(&[Task::Counting], 1);
    let line = dataset::line_of(&records[0], dir.path());
    for (from, to, words) in
        [("\"grounding\":{", "\"grounding\":{\"word\":1,", "grounding"), ("[0,", "[3,", "an image below 1")]
    {
        let path = dir.path().join("wrong.jsonl");
        std::fs::write(&path, line.replacen(from, to, 1)).unwrap();
        let problem = dataset::read(&path).unwrap_err().to_string();
        assert!(problem.contains(words) && problem.contains("line 1"), "{problem}");
    }
}

/// The demo's architecture with little in it.
struct Small {
    model: Model,
    weights: Vec<(String, Var)>,
    examples: Vec<Arc<Example>>,
    recipe: Recipe,
    all: Examples,
}

const RECIPE: &str = "variant = \"sft\"\nupdates = \"everything\"\n[data]\ntrain = [\"x\"]\n[grounding]\n\
                      tower = [\"thing\", \"mark\", \"part\"]\nmodel = [\"number\", \"same\", \"match\", \"choice\"]\nlayer = 0\nlayers = { choice = 1 }\n";

impl Small {
    fn new(records: Vec<Record>) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/base");
        let folder = Folder::open(folder).unwrap();
        let mut config = ModelConfig::read(&folder).unwrap();
        let processor = Processor::read(&folder, &config).unwrap();
        let (text, vision) = (&mut config.text, &mut config.vision);
        (text.hidden_size, text.intermediate_size, text.num_layers) = (32, 48, 2);
        (text.num_heads, text.num_kv_heads, text.head_dim) = (2, 1, 16);
        text.rotary.axes = RotaryAxes::Interleaved([4, 2, 2]);
        (vision.depth, vision.hidden_size, vision.intermediate_size, vision.num_heads) = (1, 32, 48, 2);
        vision.out_hidden_size = 32;
        vision.kind = VisionKind::DeepStack { positions_per_side: 12, deepstack_blocks: Vec::new() };
        let (random, selects) = (Random::new(3), |_: &str| true);
        let variables = Variables::new(&random, &selects);
        let loader = Loader::new(&variables, DType::F32.into(), &Device::Cpu, &Unobserved);
        let model = Model::load(&loader, &config).unwrap();
        let weights = variables.into_vars();
        let recipe = Recipe::parse(RECIPE, Path::new("test")).unwrap().resolved(1);
        let count = records.len();
        let mut all = Examples::new(records, &processor, &recipe, 168 * 168, u64::MAX).unwrap();
        let chosen: Vec<usize> = (0..count).collect();
        let examples = all.get(&chosen, &model, &Compute::default()).unwrap();
        Self { model, weights, examples, recipe, all }
    }

    fn parts(&self, weights: Weights) -> Parts {
        let stage = Stage { weights, ..Stage::new(MaskKind::Standard, 1) };
        let grounding = (self.all.groups(), &self.recipe.grounding);
        parts(&self.model, &self.examples, &stage, grounding, &Compute::default()).unwrap()
    }

    /// One part of the loss alone.
    fn loss(&self, which: &str) -> Tensor {
        let nothing = Weights { answers: 0.0, model: 0.0, tower: 0.0, pairs: 0.0 };
        let none = |losses: Option<Tensor>| losses.expect("the samples have some");
        match which {
            "tower" => of_groups(self.parts(Weights { tower: 1.0, ..nothing }).tower),
            "pairs" => none(self.parts(Weights { pairs: 1.0, ..nothing }).pairs),
            "model" => of_groups(self.parts(Weights { model: 1.0, ..nothing }).model),
            _ => none(self.parts(Weights { answers: 1.0, ..nothing }).answers).mean_all().unwrap(),
        }
    }
}

fn of_groups(groups: Vec<(String, Tensor)>) -> Tensor {
    let losses: Vec<Tensor> = groups.into_iter().map(|(_, loss)| loss).collect();
    Tensor::stack(&losses, 0).unwrap().mean_all().unwrap()
}

fn number(tensor: &Tensor) -> f64 {
    f64::from(tensor.to_scalar::<f32>().unwrap())
}

#[test]
fn slopes_of_every_part_are_those_of_its_values() {
    let (_dir, records) = made(&[Task::Counting, Task::SemanticCorrespondence, Task::Matching], 1);
    let small = Small::new(records);
    for which in ["tower", "pairs", "model", "answers"] {
        let grads = backward(&small.loss(which)).unwrap();
        let mut met = 0;
        for (name, var) in &small.weights {
            let Some(grad) = grads.get(var.as_tensor()).unwrap() else { continue };
            let length = number(&grad.sqr().unwrap().sum_all().unwrap()).sqrt();
            if length < 1e-3 {
                continue;
            }
            let before = var.as_tensor().copy().unwrap();
            let step = 2e-3;
            let along = (grad * (step / length)).unwrap();
            let loss_at = |values: Tensor| {
                var.set(&values).unwrap();
                number(&small.loss(which))
            };
            let slope =
                (loss_at((&before + &along).unwrap()) - loss_at((&before - &along).unwrap())) / (2.0 * step);
            var.set(&before).unwrap();
            assert!((slope - length).abs() < 0.03 * length + 2e-3, "{which} {name}: {slope} and {length}");
            met += usize::from(length > 0.05);
        }
        assert!(met >= 4, "{which}: only {met} slopes stand out");
        // The tower's words and pairs are learned without the language model.
        let of_text = |name: &str| name.starts_with("language_model.layers");
        let touched = small
            .weights
            .iter()
            .any(|(name, var)| of_text(name) && grads.get(var.as_tensor()).unwrap().is_some());
        assert_eq!(touched, matches!(which, "model" | "answers"), "{which}");
    }
}

#[test]
fn a_perfect_tower_has_no_loss_and_a_blind_one_that_of_chance() {
    let (_dir, records) = made(&[Task::Matching], 2);
    let small = Small::new(records);
    // All tokens alike: a pair could be any of 36.
    for (name, var) in &small.weights {
        if name.starts_with("visual.merger.linear_fc2.weight") {
            var.set(&var.zeros_like().unwrap()).unwrap();
        }
        if name.starts_with("visual.merger.linear_fc2.bias") {
            var.set(&var.ones_like().unwrap()).unwrap();
        }
    }
    assert!((number(&small.loss("pairs")) - 36f64.ln()).abs() < 1e-3);
}

#[test]
fn a_word_of_several_tokens_is_said() {
    let (_dir, mut records) = made(&[Task::Counting], 1);
    let mut grounding = Grounding::default();
    grounding.word("thing", 0, [3.0, 3.0], "unheardof");
    records[0].grounding = grounding;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/base");
    let folder = Folder::open(folder).unwrap();
    let processor = Processor::read(&folder, &ModelConfig::read(&folder).unwrap()).unwrap();
    let recipe = Recipe::parse(RECIPE, Path::new("test")).unwrap();
    let problem = Examples::new(records, &processor, &recipe, 168 * 168, 0).err().unwrap().to_string();
    assert!(problem.contains("\"unheardof\"") && problem.contains("one token"), "{problem}");
}
