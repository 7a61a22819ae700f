//! The window from the command line: on the screen, or as a picture where there is none.

use std::path::PathBuf;

use super::args::dtypes;
use clap::Args;

use super::output::say;
use super::window_args::WindowArgs;
use crate::app::hub::actions::{Action, FileAction, JobAction};
use crate::app::session::{Session, SessionFile};
use crate::app::window::{Startup, open};
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::paths;

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
    #[arg(long, default_value = "auto", value_parser = dtypes())]
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
