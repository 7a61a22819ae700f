//! The window from the command line: on the screen, or as a picture where there is none.

use std::path::PathBuf;

use clap::Args;

use super::args::{ModelArgs, read_images};
use super::output::say;
use crate::app::actions::{Action, EditAction, FileAction, GalleryAction, ImagesAction, JobAction};
use crate::app::session::{Session, SessionFile};
use crate::app::window::{Startup, open};
use crate::paths;
use crate::settings::{DeviceChoice, DtypeChoice};

/// Options of the window.
#[derive(Debug, Clone, Args)]
pub struct WindowArgs {
    #[command(flatten)]
    pub(super) model: ModelArgs,
    /// Images in the canvas [default: the built-in sample that was taken last]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) image: Vec<PathBuf>,
    /// The question
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
}

impl WindowArgs {
    /// What these options ask of the window first.
    pub(super) fn actions(&self) -> anyhow::Result<Vec<Action>> {
        let images = read_images(&self.image)?;
        for image in &images {
            // Here, so that the first frame need not wait for it.
            image.shown();
        }
        // Not before the window is there to say so: whether the folders are any good.
        self.model.folder()?;
        self.model.adapter_folder()?;
        let model = self.model.id();
        let open = JobAction::OpenModel { base: model.base.source, adapter: model.adapter };
        let mut actions: Vec<Action> = vec![open.into()];
        if images.is_empty() {
            actions.push(GalleryAction::Return.into());
        } else {
            actions.push(ImagesAction::Add(images).into());
        }
        actions.extend(self.prompt.clone().map(|prompt| EditAction::SetQuestion(prompt).into()));
        Ok(actions)
    }

    /// A window that begins with these.
    pub(super) fn startup(&self, actions: Vec<Action>) -> Startup {
        Startup::new(self.model.device, self.model.dtype, actions)
    }
}

/// Options of `livr open`.
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// The session file
    #[arg(value_name = "FILE")]
    session: PathBuf,
    /// auto, cpu or cuda:N, for models that are opened after it
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Element type of their weights
    #[arg(long, value_enum, default_value_t = DtypeChoice::Auto)]
    dtype: DtypeChoice,
}

/// Opens the window with a session; a file that is none is said before there is a window.
pub fn open_session(args: &OpenArgs) -> anyhow::Result<()> {
    let path = paths::one(&args.session.to_string_lossy()).unwrap_or_else(|_| args.session.clone());
    let path = std::path::absolute(&path).unwrap_or(path);
    let session = Session::read(&path)?;
    let actions: Vec<Action> =
        vec![FileAction::TakeSession(Box::new(SessionFile::new(path, session))).into()];
    let startup = || Startup::new(args.device, args.dtype, actions.clone());
    show(startup().remembering(), startup)
}

/// Opens the window; without a display, makes a picture of it instead and says where.
pub fn run(args: &WindowArgs) -> anyhow::Result<()> {
    let actions = args.actions()?;
    let asking = [actions.clone(), vec![JobAction::Ask.into()]].concat();
    show(args.startup(actions).remembering(), || args.startup(asking))
}

/// Opens the window, or makes a picture of one that begins otherwise.
fn show(startup: Startup, pictured: impl FnOnce() -> Startup) -> anyhow::Result<()> {
    let Err(problem) = open(startup) else { return Ok(()) };
    say(&format!("livr: the window cannot be opened here: {}", why(&problem)));
    #[cfg(not(feature = "offscreen"))]
    {
        drop(pictured);
        anyhow::bail!("this program was built without the feature offscreen, which makes a picture of it");
    }
    #[cfg(feature = "offscreen")]
    {
        // A folder of its own: others may write to the shared one, and lay links there.
        let path = tempfile::TempDir::with_prefix("livr-")?.keep().join("window.png");
        super::screenshot::picture_as_begun(pictured(), &path)?;
        super::output::print(&format!("a picture of the window is in {}", path.display()));
        Ok(())
    }
}

/// The reason without source positions and backtraces.
fn why(problem: &eframe::Error) -> String {
    match problem {
        eframe::Error::WinitEventLoop(_) | eframe::Error::Winit(_) => "there is no display".to_owned(),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
