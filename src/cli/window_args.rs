//! What the window begins with, as the command line says it.

use std::path::PathBuf;

use clap::Args;

use super::args::{ModelArgs, read_images};
use crate::app::hub::actions::{Action, EditAction, GalleryAction, ImagesAction, JobAction};
use crate::app::window::Startup;

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
