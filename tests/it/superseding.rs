//! The window against an engine that says what the test has it say: late news, failures in between, death.

use std::sync::Arc;
use std::time::Duration;

use egui_kittest::kittest::{NodeT, Queryable};
use livr_explorer::analysis::query::Query;
use livr_explorer::app::hub::actions::{Action, EditAction, JobAction, ViewAction, WindowAction};
use livr_explorer::app::hub::state::PathKind;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice, MaskKind};
use livr_explorer::engine::fake::{Script, scripted};
use livr_explorer::engine::ids::{JobId, ModelId, Request, Run, RunId, Source};
use livr_explorer::engine::model_info::ModelInfo;
use livr_explorer::engine::models::Models;
use livr_explorer::engine::need::RunShape;
use livr_explorer::engine::protocol::{Command, News, Order};
use livr_explorer::engine::worker::{Backend, Watch, Worker};
use livr_explorer::progress::{Phase, Progress, Unobserved};
use livr_explorer::trace::Trace;

use crate::common::tiny;
use crate::window::{apply, first_actions, open, state};

fn fake() -> (Window, Script) {
    let (engine, script) = scripted();
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let startup = Startup { engine: Box::new(|_| Box::new(engine)), ..startup };
    let mut window = open([1000.0, 700.0], egui::Theme::Dark, startup);
    window.run_steps(2);
    (window, script)
}

fn last(script: &Script) -> Order {
    script.orders().last().unwrap().clone()
}

pub fn opened(command: &Command, name: &str) -> News {
    let id: ModelId = command.model().unwrap().clone();
    News::ModelOpened(Box::new(ModelInfo {
        id,
        name: name.to_owned(),
        family: "qwen3_vl",
        adapter: None,
        device: "CPU".to_owned(),
        device_advice: None,
        dtype: "f32",
        quantised: false,
        run_shape: RunShape {
            num_layers: 3,
            num_heads: 4,
            hidden_size: 64,
            vocab_size: 448,
            cache_bytes: 768,
            pixels_per_visual_token: 1024,
        },
        weight_bytes: 0,
        num_layers: 3,
        num_heads: 4,
        trained_latents: 0,
        max_latents: 0,
        auto_max_pixels: 1,
        checkpoint_max_pixels: 1,
        repetition_penalty: None,
    }))
}

fn answered(order: &Order, answer: &str) -> News {
    let Command::CaptureTrace { request, .. } = &order.command else { panic!("no question was asked") };
    let trace = Arc::new(Trace { answer: answer.to_owned(), ..Trace::default() });
    News::TraceCaptured(Arc::new(Run {
        id: RunId::Answer(order.job),
        request: Request::clone(request),
        trace,
    }))
}

/// The demo open and answered by "first".
fn answered_window() -> (Window, Script) {
    let (mut window, script) = fake();
    let open = last(&script);
    script.say(open.job, opened(&open.command, "demo"));
    window.run_steps(2);
    apply(&mut window, JobAction::Ask);
    let ask = last(&script);
    script.say(ask.job, answered(&ask, "first"));
    window.run_steps(3);
    assert!(window.query_by_label("first").is_some());
    (window, script)
}

fn shows(window: &mut Window, text: &str) -> bool {
    window.run_steps(2);
    window.query_all_by_label_contains(text).next().is_some()
}

#[test]
fn layers_and_heads_are_counted_once_a_model_is_open() {
    let (mut window, script) = fake();
    assert!(!shows(&mut window, "mean over"));
    let open = last(&script);
    script.say(open.job, opened(&open.command, "demo"));
    assert!(shows(&mut window, "mean over 3 layers and 4 heads"));
}

#[test]
fn a_new_question_supersedes_the_old_and_late_news_does_not_count() {
    let (mut window, script) = answered_window();
    apply(&mut window, JobAction::Ask);
    let old = last(&script);
    apply(&mut window, EditAction::SetMask(MaskKind::Bottleneck));
    let new = last(&script);
    assert!(old.is_cancelled() && !new.is_cancelled() && old.job != new.job);
    script.say(old.job, answered(&old, "too late"));
    script.say(old.job, News::Failed("too late as well".to_owned()));
    script.say(JobId(4711), News::Failed("of no job at all".to_owned()));
    assert!(!shows(&mut window, "too late") && state(&window).ui.notices.is_empty());
    assert!(state(&window).runs.asked.is_some());
    script.say(new.job, answered(&new, "second"));
    assert!(shows(&mut window, "second"));
    assert!(state(&window).runs.asked.is_none());
}

#[test]
fn an_answer_never_stands_unmarked_under_another_model() {
    let (mut window, script) = answered_window();
    let before = script.orders().len();
    apply(&mut window, JobAction::OpenModel { base: Source::Folder("other".into()), adapter: None });
    // The question is asked of the new model too, behind it.
    let orders = script.orders();
    let [open, ask] = &orders[before..] else { panic!("{} orders", orders.len() - before) };
    assert_eq!(ask.command.model(), open.command.model());
    script.say(open.job, opened(&open.command, "other"));
    window.run_steps(2);
    apply(&mut window, JobAction::Stop);
    assert!(ask.is_cancelled());
    script.say(ask.job, News::Cancelled);
    assert!(shows(&mut window, "Since this answer you have changed the model"));
    assert!(shows(&mut window, "first"), "the old answer is still there to be read");
    // Back to the model it is of, it is current again.
    apply(&mut window, {
        let (base, adapter) = tiny();
        JobAction::OpenModel { base, adapter }
    });
    window.run_steps(2);
    let orders = script.orders();
    let [open, ask] = &orders[orders.len() - 2..] else { unreachable!() };
    script.say(open.job, opened(&open.command, "demo"));
    script.say(ask.job, News::Cancelled);
    assert!(!shows(&mut window, "Since this answer"));
}

#[test]
fn an_adapter_chosen_during_a_load_waits_for_the_base() {
    let (mut window, script) = fake();
    let base = last(&script);
    apply(&mut window, JobAction::SetAdapter(None));
    let bare = last(&script);
    assert!(!base.is_cancelled(), "the base must be read on");
    assert_eq!(bare.command.model(), Some(&base.command.model().unwrap().with_adapter(None)));
    // How far the base is, is still shown, and when it is there it can be used; the second is what the user chose.
    script.say(base.job, News::Progressed(Progress { phase: Phase::Weights, done: 1, total: 2 }));
    assert!(shows(&mut window, "Reading weights"));
    script.say(base.job, opened(&base.command, "with its adapter"));
    assert!(shows(&mut window, "with its adapter"));
    assert_eq!(state(&window).models.opening.as_ref(), bare.command.model());
    script.say(bare.job, opened(&bare.command, "without"));
    assert!(shows(&mut window, "without"));
    assert!(state(&window).models.opening.is_none());
    // An adapter that is no good leaves the base in use.
    apply(&mut window, JobAction::OpenModel { base: Source::Folder("c".into()), adapter: None });
    let base = last(&script);
    apply(&mut window, JobAction::SetAdapter(Some(Source::Folder("bad".into()))));
    let bad = last(&script);
    script.say(base.job, opened(&base.command, "base c"));
    script.say(bad.job, News::Failed("adapter_config.json is missing (bad)".to_owned()));
    assert!(shows(&mut window, "base c") && shows(&mut window, "adapter_config.json is missing"));
    assert_eq!(state(&window).models.chosen(), base.command.model());
    // A path that is no folder does not stop the reading, another base does.
    apply(&mut window, JobAction::OpenModel { base: Source::Folder("d".into()), adapter: None });
    let loading = last(&script);
    for (path, problem) in [
        ("/nowhere/at/all", "the folder is missing (/nowhere/at/all)"),
        ("Cargo.toml", "expected a folder, found a file"),
    ] {
        apply(&mut window, WindowAction::OpenPathDialog(PathKind::Model));
        apply(&mut window, WindowAction::EditPath(path.to_owned()));
        apply(&mut window, JobAction::TakePath);
        assert!((0..10_000).any(|_frame| shows(&mut window, problem)));
    }
    assert!(!loading.is_cancelled() && last(&script).job == loading.job);
    apply(&mut window, JobAction::OpenModel { base: Source::Folder("a".into()), adapter: None });
    let first = last(&script);
    apply(&mut window, JobAction::OpenModel { base: Source::Folder("b".into()), adapter: None });
    assert!(first.is_cancelled());
}

#[test]
fn a_load_that_fails_takes_the_question_behind_it_along() {
    let (mut window, script) = answered_window();
    let before = script.orders().len();
    apply(&mut window, JobAction::OpenModel { base: Source::Folder("broken".into()), adapter: None });
    let orders = script.orders();
    let [open, ask] = &orders[before..] else { panic!("{} orders", orders.len() - before) };
    script.say(open.job, News::Failed("config.json is missing (broken)".to_owned()));
    script.say(ask.job, News::Failed("the model is not open any more".to_owned()));
    assert!(shows(&mut window, "config.json is missing"));
    assert_eq!(state(&window).ui.notices.len(), 1);
    assert!(ask.is_cancelled() && state(&window).runs.asked.is_none());
    assert!(!shows(&mut window, "Since this answer"), "the model in use is still in use");
}

#[test]
fn a_failed_run_leaves_the_one_before_in_sight() {
    let (mut window, script) = answered_window();
    apply(&mut window, JobAction::Ask);
    let ask = last(&script);
    script.say(ask.job, News::Failed("the program has a fault: index out of bounds".to_owned()));
    assert!(shows(&mut window, "the program has a fault"));
    assert!(shows(&mut window, "first"));
    apply(&mut window, JobAction::Ask);
    let again = last(&script);
    script.say(again.job, answered(&again, "recovered"));
    assert!(shows(&mut window, "recovered"));
    assert!(state(&window).runs.problem.is_none());
}

#[test]
fn a_query_of_the_run_before_does_not_outlive_it() {
    let (mut window, script) = answered_window();
    // Chosen among the maps of an answer that was longer, and asked for of one that has no tokens at all.
    for query in [Query::Answer(400), Query::Latent(31)] {
        apply(&mut window, ViewAction::SelectQuery(query));
        assert!(livr_explorer::app::window::offscreen::settle(&mut window, Duration::from_secs(30)));
        assert_eq!(state(&window).panes.map.query, Query::Answer(0));
    }
    apply(&mut window, JobAction::Ask);
    let ask = last(&script);
    script.say(ask.job, answered(&ask, "second"));
    apply(&mut window, ViewAction::SelectQuery(Query::Answer(7)));
    assert!(shows(&mut window, "second"));
}

#[test]
fn a_dead_engine_is_said_once_and_the_window_lives() {
    let (mut window, script) = answered_window();
    apply(&mut window, JobAction::Ask);
    script.die();
    assert!(shows(&mut window, "The engine has stopped"));
    window.run_steps(5);
    assert_eq!(state(&window).ui.notices.len(), 1);
    assert!(state(&window).runs.asked.is_none() && state(&window).ui.progress.is_none());
    assert!(livr_explorer::app::window::offscreen::settle(&mut window, Duration::from_secs(30)));
    assert!(window.get_by_label("Ask").accesskit_node().is_disabled());
    let sent = script.orders().len();
    apply(&mut window, JobAction::Ask);
    apply(&mut window, WindowAction::ToggleHelp);
    apply(&mut window, JobAction::OpenModel { base: tiny().0, adapter: None });
    assert!(shows(&mut window, "Keys") && shows(&mut window, "first"));
    assert!(state(&window).runs.asked.is_none() && state(&window).models.opening.is_none());
    assert_eq!(script.orders().len(), sent, "nothing more is sent to it");
}

#[test]
fn frames_go_on_while_the_engine_is_silent_and_show_each_step() {
    let (mut window, script) = answered_window();
    apply(&mut window, JobAction::Ask);
    let ask = last(&script);
    let mut seen = Vec::new();
    for done in 1..=5 {
        script.say(ask.job, News::Progressed(Progress { phase: Phase::Answer, done, total: 10 }));
        script.say(ask.job, News::AnswerGrew("x".repeat(done)));
        window.step();
        let progress = state(&window).ui.progress.unwrap();
        let partial = &state(&window).runs.asked.as_ref().unwrap().partial_answer;
        assert!(window.query_by_label(partial).is_some(), "the frame shows the answer so far");
        seen.push((progress.done, partial.len()));
    }
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
}

/// Works on the demo, and hangs once it has been told to.
struct Hangs {
    models: Models,
    hang: crossbeam_channel::Receiver<()>,
    hung: crossbeam_channel::Sender<()>,
}

impl Backend for Hangs {
    fn perform(
        &mut self,
        job: JobId,
        command: Command,
        watch: &Watch<'_>,
    ) -> livr_explorer::error::Result<News> {
        if matches!(command, Command::CaptureTrace { .. }) {
            self.hung.send(()).unwrap();
            let released = self.hang.recv();
            return Ok(News::Failed(format!("{released:?}")));
        }
        self.models.open(command.model().unwrap(), &Unobserved)?;
        Backend::perform(&mut self.models, job, command, watch)
    }
}

#[test]
fn the_window_closes_at_once_while_the_engine_works() {
    let (release, hang) = crossbeam_channel::unbounded();
    let (hung, hangs) = crossbeam_channel::unbounded();
    let backend = Hangs { models: Models::default(), hang, hung };
    let actions: Vec<Action> = [first_actions(), vec![JobAction::Ask.into()]].concat();
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, actions);
    let startup =
        Startup { engine: Box::new(move |wake| Box::new(Worker::start("engine", backend, wake))), ..startup };
    let mut window = open([900.0, 600.0], egui::Theme::Dark, startup);
    while hangs.try_recv().is_err() {
        window.step();
        std::thread::sleep(Duration::from_millis(1));
    }
    // Were closing to wait for the job, the test would never come to release it.
    drop(window);
    release.send(()).unwrap();
}
