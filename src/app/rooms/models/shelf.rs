//! The models of this machine, and those of the Hub that are fetched.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::app::hub::controller::Controller;
use crate::app::hub::files::DownloadEnd;
use crate::app::hub::state::Download;
use crate::engine::shelf::Search;

pub fn download(controller: &mut Controller) {
    let models = &mut controller.state.models;
    let repository = models.repository.trim().to_owned();
    if models.download.is_some() || repository.is_empty() {
        return;
    }
    let Some(cache) = controller.hub_cache.clone() else {
        return controller.state.notify("There is no folder for a cache: set HF_HOME");
    };
    let stop = Arc::<AtomicBool>::default();
    models.download = Some(Download { repository: repository.clone(), share: 0.0, stop: stop.clone() });
    controller.files.download(repository, cache, stop);
}

/// A download is over; what it brought is on the shelf.
pub fn downloaded(controller: &mut Controller, end: DownloadEnd) {
    let download = controller.state.models.download.take();
    let name = download.map_or_else(String::new, |download| download.repository);
    match end {
        DownloadEnd::Cached => controller.state.say(format!("{name} is in the cache")),
        DownloadEnd::Failed(problem) => controller.state.notify(problem),
        DownloadEnd::Stopped => controller
            .state
            .say(format!("{name} was stopped: asked for again it goes on with the files it lacks")),
    }
    look_for_models(controller);
}

/// Opens the window of models, with what there is now, or closes it.
pub fn toggle_browser(controller: &mut Controller) {
    let open = !controller.state.ui.browser_open;
    controller.state.ui.browser_open = open;
    if open {
        look_for_models(controller);
    }
}

/// Has somebody look which models there are.
pub fn look_for_models(controller: &mut Controller) {
    let kept = &controller.state.kept;
    let search = Search {
        models: kept.recent_models.clone(),
        adapters: kept.recent_adapters.clone(),
        cache: controller.hub_cache.clone(),
        device: controller.device,
        dtype: controller.dtype,
    };
    controller.files.look_for_models(search);
}
