//! A run as the command that makes it again.

use std::fmt::Display;
use std::path::Path;

use clap::ValueEnum;

use crate::data::sample::choices_in;
use crate::engine::demo::DemoAdapter;
use crate::engine::ids::{Request, Source};
use crate::settings::{Decoding, DeviceChoice, DtypeChoice, LatentChoice, MaskKind, PixelBudget, Published};

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
    settings_words(request, &mut words);
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
    match base.device {
        DeviceChoice::Auto => {}
        DeviceChoice::Cpu => option(words, "--device", "cpu"),
        DeviceChoice::Cuda(n) => option(words, "--device", format!("cuda:{n}")),
    }
    if base.dtype != DtypeChoice::Auto {
        option(words, "--dtype", name(&base.dtype));
    }
}

fn settings_words(request: &Request, words: &mut Vec<String>) {
    let (settings, first) = (&request.settings, Decoding::default());
    if settings.mask != MaskKind::Standard {
        option(words, "--mask", name(&settings.mask));
    }
    match settings.latents {
        LatentChoice::Auto => {}
        LatentChoice::Off => option(words, "--latents", "off"),
        LatentChoice::Count(n) => option(words, "--latents", n),
    }
    match settings.max_pixels {
        PixelBudget::Auto => {}
        PixelBudget::Checkpoint => option(words, "--max-pixels", "checkpoint"),
        PixelBudget::Pixels(n) => option(words, "--max-pixels", n),
    }
    let decoding = &settings.decoding;
    option(words, "--max-new-tokens", decoding.max_new_tokens);
    if decoding.temperature != first.temperature {
        option(words, "--temperature", decoding.temperature);
    }
    if decoding.seed != first.seed {
        option(words, "--seed", decoding.seed);
    }
    published(words, "--top-p", decoding.top_p);
    published(words, "--top-k", decoding.top_k);
    published(words, "--repetition-penalty", decoding.repetition_penalty);
}

fn published<T: Display>(words: &mut Vec<String>, option_name: &str, value: Published<T>) {
    match value {
        Published::Auto => {}
        Published::Off => option(words, option_name, "off"),
        Published::Value(value) => option(words, option_name, value),
    }
}

/// As the command line calls it.
fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
