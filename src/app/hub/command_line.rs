//! A run as the command that makes it again.

use std::fmt::Display;
use std::path::Path;

use crate::ask::words::usual_of_ask;
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::data::sample::choices_in;
use crate::engine::demo::DemoAdapter;
use crate::engine::ids::{Request, Source};

/// The command, and the images that it cannot name because they lie in no file.
pub fn command_of(request: &Request) -> (String, Vec<&str>) {
    let mut words = vec!["livr".to_owned(), "ask".to_owned()];
    model_words(request, &mut words);
    let unnamed: Vec<&str> = request
        .sample
        .images
        .iter()
        .filter(|image| image.path.is_none())
        .map(|image| image.name.as_str())
        .collect();
    if !request.sample.images.is_empty() {
        words.push("--image".to_owned());
        for image in &request.sample.images {
            let name = image.path.as_deref().unwrap_or(Path::new(&image.name));
            words.push(
                std::path::absolute(name)
                    .ok()
                    .filter(|_| image.path.is_some())
                    .map_or_else(|| image.name.clone(), |path| path.display().to_string()),
            );
        }
    }
    words.extend(["--prompt".to_owned(), request.sample.prompt.clone()]);
    if request.sample.choices != choices_in(&request.sample.prompt) && !request.sample.choices.is_empty() {
        words.push("--choice".to_owned());
        words.extend(request.sample.choices.iter().cloned());
    }
    words.extend(request.condition.options(&usual_of_ask()));
    let quoted = words.iter().map(|word| match shlex::try_quote(word) {
        Ok(word) => word.into_owned(),
        Err(_) => word.replace('\0', ""),
    });
    (quoted.collect::<Vec<_>>().join(" "), unnamed)
}

fn option<T: Display>(words: &mut Vec<String>, name: &str, value: T) {
    words.extend([name.to_owned(), value.to_string()]);
}

fn model_words(request: &Request, words: &mut Vec<String>) {
    let base = &request.model.base;
    if let Some(path) = base.source.path() {
        option(words, "--model", path.display());
    }
    match &request.model.adapter {
        None if base.source == Source::Demo => option(words, "--adapter", "none"),
        None | Some(Source::Demo) => {}
        Some(Source::DemoAdapter(DemoAdapter::Livr)) if base.source == Source::Demo => {}
        Some(Source::DemoAdapter(adapter)) => option(words, "--adapter", format!("demo:{}", adapter.key())),
        Some(Source::Folder(path)) => option(words, "--adapter", path.display()),
    }
    if base.device != DeviceChoice::Auto {
        option(words, "--device", base.device);
    }
    if base.dtype != DtypeChoice::Auto {
        option(words, "--dtype", base.dtype.name());
    }
}
