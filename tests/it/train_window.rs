//! Training from the window: what is asked of the engine, what is shown of what it says, and a whole run.

use std::sync::Arc;
use std::time::Duration;

use egui_kittest::kittest::Queryable;
use livr_explorer::app::hub::actions::{JobAction, TrainAction};
use livr_explorer::app::parts::training::RecipeForm;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::{Window, settle};
use livr_explorer::ask::{DeviceChoice, DtypeChoice};
use livr_explorer::data::draw::marks::Ink;
use livr_explorer::data::tasks::{Counts, Task, TasksOrder as TaskOrder, make};
use livr_explorer::engine::fake::{Script, scripted};
use livr_explorer::engine::ids::RunId;
use livr_explorer::engine::protocol::{Command, News, Order};
use livr_explorer::engine::study::Accuracy;
use livr_explorer::engine::training::{Before, Begun, TrainOrder, TrainedRun, Validation};
use livr_explorer::progress::Unobserved;
use livr_explorer::train::{Recipe, ResultChoice, Step};

use crate::window::{apply, first_actions, open, state, tolerant};

fn fake() -> (Window, Script) {
    fake_of([1000.0, 700.0], egui::Theme::Dark)
}

fn fake_of(size: [f32; 2], theme: egui::Theme) -> (Window, Script) {
    let (engine, script) = scripted();
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, Vec::new());
    let startup = Startup { engine: Box::new(move |_wake| Box::new(engine)), ..startup };
    let mut window = open(size, theme, startup);
    window.run_steps(2);
    (window, script)
}

fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click();
    window.run_steps(3);
}

/// The recipe is a file.
fn by_file() -> TrainAction {
    TrainAction::EditForm(Box::new(RecipeForm { by_file: true, ..RecipeForm::default() }))
}

fn started(window: &mut Window, script: &Script) -> Order {
    click(window, "Train");
    apply(window, by_file());
    apply(window, TrainAction::EditRecipe("recipe.toml".to_owned()));
    apply(window, TrainAction::EditFolder("run".to_owned()));
    window.run_steps(2);
    click(window, "Start training");
    script.orders().last().unwrap().clone()
}

fn begun() -> Begun {
    let text = "variant = \"livr\"\n[data]\ntrain = [\"x.jsonl\"]\n";
    Begun {
        recipe: Recipe::parse(text, "recipe.toml".as_ref()).unwrap().resolved(1),
        total_steps: 60,
        trained_values: 52_480,
        samples: [144, 18],
        before: Before::default(),
    }
}

fn step(number: usize) -> Step {
    Step {
        stage: 1 + number / 31,
        step: number,
        epoch: number as f64 / 6.0,
        loss: 4.0 / (1.0 + number as f64 / 8.0) + 0.3 * (number as f64).sin(),
        grad_norm: 2.0,
        rate: 1e-4,
        tokens: 700,
        examples: 8,
        parts: std::collections::BTreeMap::new(),
        secs: 0.5,
        ends_epoch: false,
        ends_stage: false,
    }
}

fn validation(step: usize, share: f64) -> Validation {
    let all = Accuracy { samples: 18, accuracy: share, interval: [0.2, 0.8], chance: Some(0.36) };
    Validation { stage: 1, step, all, tasks: std::collections::BTreeMap::new(), secs: 1.0 }
}

#[test]
fn a_run_is_shown_as_it_goes() {
    let (mut window, script) = fake();
    let order = started(&mut window, &script);
    let Command::Train(asked) = &order.command else { panic!("{:?}", order.command) };
    let expected = TrainOrder {
        recipe: Some("recipe.toml".into()),
        out: "run".into(),
        prepare: None,
        resume: false,
        device: DeviceChoice::Cpu,
    };
    assert_eq!(**asked, expected);
    window.get_by_label_contains("Reading the recipe");
    script.say(order.job, News::TrainingBegun(Box::new(begun())));
    for number in 1..=40 {
        script.say(order.job, News::TrainingStepped(step(number)));
    }
    for (number, share) in [(6, 0.3), (18, 0.42), (36, 0.6)] {
        script.say(order.job, News::TrainingValidated(Box::new(validation(number, share))));
    }
    window.run_steps(3);
    window.get_by_label_contains("40 of 60 steps, stage 2, epoch 6.7, about 10 s left");
    window.get_by_label("Training 67 %");
    window.remove_cursor();
    window.run_steps(2);
    window.snapshot_options("training", &tolerant());

    // Escape stops questions, not a run of hours.
    apply(&mut window, JobAction::Stop);
    assert!(!order.is_cancelled());
    click(&mut window, "Stop training");
    assert!(order.is_cancelled());
    script.say(order.job, News::Cancelled);
    window.run_steps(3);
    // What is there can be gone on with, by the recipe in its folder.
    click(&mut window, "Resume training");
    let resumed = script.orders().last().unwrap().clone();
    let Command::Train(asked) = &resumed.command else { panic!("{:?}", resumed.command) };
    assert!(asked.resume && asked.recipe.is_none());
    let outcome = TrainedRun {
        folder: "run".into(),
        steps: 60,
        loss: Some(0.3),
        accuracy: Some(0.61),
        keep: ResultChoice::Best,
        seconds: 30.0,
        version: "0",
    };
    script.say(resumed.job, News::Trained(Box::new(outcome)));
    window.run_steps(3);
    window.get_by_label_contains("The best checkpoint, 61.0 % of the validation samples");
    click(&mut window, "Open the model with this adapter");
    let Command::OpenModel(model) = script.orders().last().unwrap().command.clone() else { panic!() };
    assert!(model.adapter.unwrap().path().unwrap().ends_with("run"));
}

#[test]
fn in_the_smallest_window_all_of_it_is_there() {
    let (mut window, script) = fake_of([820.0, 520.0], egui::Theme::Light);
    click(&mut window, "Light theme");
    let order = started(&mut window, &script);
    script.say(order.job, News::TrainingBegun(Box::new(begun())));
    for number in 1..=40 {
        script.say(order.job, News::TrainingStepped(step(number)));
    }
    script.say(order.job, News::TrainingValidated(Box::new(validation(36, 0.6))));
    script.say(order.job, News::Failed("training: expected numbers, found a loss of NaN and a gradient of length NaN in step 41 (stage 2, samples counting-train-000001, counting-train-000002)".to_owned()));
    window.run_steps(3);
    window.remove_cursor();
    window.run_steps(2);
    window.snapshot_options("training_light_small", &tolerant());
}

#[test]
fn what_fails_is_said_and_what_was_typed_stays() {
    let (mut window, script) = fake();
    let order = started(&mut window, &script);
    script.say(order.job, News::Failed("the recipe is missing (recipe.toml)".to_owned()));
    window.run_steps(3);
    window.get_by_label("the recipe is missing (recipe.toml)");
    window.get_by_label("Start training");
    assert_eq!(state(&window).kept.training.recipe, "recipe.toml");
    assert!(!state(&window).training.is_running());
    // With its window closed it is said where everything is.
    click(&mut window, "Start training");
    let order = script.orders().last().unwrap().clone();
    apply(&mut window, TrainAction::Toggle);
    script.say(order.job, News::Failed("another reason".to_owned()));
    window.run_steps(3);
    assert!(state(&window).ui.notices.contains(&"another reason".to_owned()));
}

#[test]
fn a_whole_run_beside_questions() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = TaskOrder {
        tasks: vec![Task::ObjectLocalization],
        counts: Counts([6, 2, 0]),
        seed: 3,
        side: 64,
        ink: Ink::Red,
        grounding: false,
        images: None,
    };
    make(&tasks, &dir.path().join("data"), &Unobserved).unwrap();
    let recipe = dir.path().join("recipe.toml");
    let text = "variant = \"livr\"\nprobe_every = 2\n[data]\ntrain = [\"data/train.jsonl\"]\nvalidation = [\"data/validation.jsonl\"]\nmax_pixels = 4096\n[optimizer]\naccumulation = 2\n[[stages]]\nmask = \"bottleneck\"\nepochs = 1\n[[stages]]\nepochs = 1\n";
    std::fs::write(&recipe, text).unwrap();
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let mut window = open([1000.0, 700.0], egui::Theme::Dark, startup);
    apply(&mut window, TrainAction::Toggle);
    apply(&mut window, by_file());
    apply(&mut window, TrainAction::EditRecipe(recipe.display().to_string()));
    apply(&mut window, TrainAction::EditFolder(dir.path().join("run").display().to_string()));
    apply(&mut window, TrainAction::Start);
    apply(&mut window, JobAction::Ask);
    assert!(settle(&mut window, Duration::from_mins(2)));

    let training = &state(&window).training;
    assert_eq!((training.problem.as_ref(), training.steps.len(), training.validations.len()), (None, 6, 2));
    let steps: Vec<usize> = training.probes.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [1, 2, 3, 4, 6]);
    assert!(training.outcome.as_ref().unwrap().folder.join("adapter_config.json").is_file());
    // Every look is at the same pictures, and is kept beside the answer to the question.
    let looks: Vec<RunId> = training.probes.iter().map(|(_, run)| *run).collect();
    let runs: Vec<_> = looks.iter().map(|id| state(&window).runs.get(*id).unwrap().clone()).collect();
    assert!(runs.windows(2).all(|pair| pair[0].request.sample == pair[1].request.sample));
    assert!(runs.iter().all(|run| run.trace.latent_attentions.is_some()));

    apply(&mut window, TrainAction::ShowProbe(1));
    assert!(settle(&mut window, Duration::from_secs(20)));
    assert_eq!(state(&window).training.shown_look(), Some(looks[1]));
    assert!(!state(&window).training.follow);
    // What the other panes show stays what it was, until they are told.
    assert!(!looks.contains(&state(&window).shown_run().unwrap().id));
    click(&mut window, "Show in the other panes");
    assert_eq!(state(&window).shown_run().unwrap().id, looks[1]);
    let question = state(&window).kept.question.clone();
    click(&mut window, "Take the sample");
    assert_eq!(state(&window).kept.question, runs[0].request.sample.prompt);
    assert!(Arc::ptr_eq(&state(&window).images[0], &runs[0].request.sample.images[0]));
    apply(&mut window, livr_explorer::app::hub::actions::EditAction::Undo);
    assert_eq!(state(&window).kept.question, question);
}

#[test]
fn a_form_makes_its_data_and_a_recipe_that_can_be_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let mut window = open([1000.0, 700.0], egui::Theme::Dark, startup);
    assert!(settle(&mut window, Duration::from_secs(20)));
    apply(&mut window, TrainAction::Toggle);
    let form = RecipeForm {
        task: "counting".to_owned(),
        samples: 10,
        epochs: [1, 1],
        latents: 4,
        rank: 2,
        ..RecipeForm::default()
    };
    apply(&mut window, TrainAction::EditForm(Box::new(form)));
    window.run_steps(3);
    window.get_by_label("Passes behind the mask");
    let out = dir.path().join("run");
    apply(&mut window, TrainAction::EditFolder(out.display().to_string()));
    window.run_steps(3);
    click(&mut window, "Start training");
    assert!(settle(&mut window, Duration::from_mins(2)));
    let training = &state(&window).training;
    assert_eq!((training.problem.as_ref(), training.steps.len()), (None, 2));
    assert!(out.join("adapter_config.json").is_file());
    let recipe = Recipe::read(&dir.path().join("run.toml")).unwrap();
    assert_eq!((recipe.stages.len(), recipe.latents.count, recipe.lora.rank), (2, 4, 2));
    assert!(dir.path().join("run-data/train.jsonl").is_file());
    // Another recipe does not take its place.
    let other = RecipeForm { rank: 3, ..state(&window).kept.training.form.clone() };
    apply(&mut window, TrainAction::EditForm(Box::new(other)));
    std::fs::remove_dir_all(&out).unwrap();
    apply(&mut window, TrainAction::SetResume(false));
    apply(&mut window, TrainAction::Start);
    assert!(settle(&mut window, Duration::from_secs(30)));
    let problem = state(&window).training.problem.clone().unwrap();
    assert!(
        problem.contains("run.toml") && problem.contains("expected nothing, or this very recipe"),
        "{problem}"
    );
}
