//! What ARCHITECTURE.md says of the source holds: layers, no circles of files, one name for one type.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source_tree::{Module, SourceTree, rust_files};

/// Longer files are hard to keep in mind.
const LONGEST_FILE: usize = 450;

/// Public types of one name that are one thing in two places: each vision tower is its module's `Tower`.
const SHARED_NAMES: [&str; 1] = ["Tower"];

/// The layers from the ground up as ARCHITECTURE.md lists them: rooms, and what these have no business with.
fn layers() -> Vec<(BTreeSet<String>, BTreeSet<String>)> {
    let text = include_str!("../../ARCHITECTURE.md");
    let listed = text.split("```layers\n").nth(1).expect("a list of the layers").split("```").next().unwrap();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let line = |line: &str| {
        let (rooms, never) = line.split_once("not").unwrap_or((line, ""));
        (words(rooms), words(never))
    };
    listed.lines().map(line).collect()
}

#[test]
fn dependencies_point_one_way() {
    let layers = layers();
    let place = |room: &str| layers.iter().position(|(rooms, _)| rooms.contains(room));
    let mut wrong = Vec::new();
    for (module, file) in &SourceTree::read().0 {
        let own = place(&module[0]).unwrap_or_else(|| panic!("{} has no layer", module[0]));
        let used: BTreeSet<&str> =
            file.names.iter().filter_map(|(path, _)| Some(path.first()?.as_str())).collect();
        for room in used.into_iter().filter(|room| *room != module[0]) {
            let Some(other) = place(room) else { continue };
            if other >= own || layers[own].1.contains(room) {
                wrong.push(format!("{} uses {room}", file.path.display()));
            }
        }
        let draws = matches!(module[0].as_str(), "app" | "render" | "cli");
        // Layouts are made on graphics cards too, without anything being drawn.
        let may_wgpu = draws || module[0] == "projection";
        if (!draws && file.code.contains("egui")) || (!may_wgpu && file.code.contains("wgpu::")) {
            wrong.push(format!("{} draws", file.path.display()));
        }
        if file.code.contains("clap::") && !matches!(module[0].as_str(), "cli" | "main") {
            wrong.push(format!("{} knows of a command line", file.path.display()));
        }
        let computes = matches!(module[0].as_str(), "checkpoint" | "ops" | "model" | "train" | "engine");
        if !computes && file.code.contains("candle_") {
            wrong.push(format!("{} touches tensors", file.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The storeys of the window from the ground up, as ARCHITECTURE.md lists them.
fn storeys() -> Vec<&'static str> {
    let text = include_str!("../../ARCHITECTURE.md");
    let listed =
        text.split("```storeys\n").nth(1).expect("a list of the storeys").split("```").next().unwrap();
    listed.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn storeys_of_the_window_know_none_above_them() {
    let storeys = storeys();
    let place = |storey: &str| storeys.iter().position(|own| *own == storey);
    let mut wrong = Vec::new();
    for (module, file) in &SourceTree::read().0 {
        let [room, storey, ..] = &module[..] else { continue };
        if room != "app" {
            continue;
        }
        let own = place(storey).unwrap_or_else(|| panic!("{storey} has no place"));
        for (path, _) in &file.names {
            if let [room, other, ..] = &path[..]
                && room == "app"
                && place(other).is_some_and(|other| other > own)
            {
                wrong.push(format!("{} uses {other}", file.path.display()));
            }
        }
    }
    assert!(storeys.len() == 6 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lines = |file: &Path| std::fs::read_to_string(file).unwrap().lines().count();
    let files = ["src", "tests", "examples"].map(|folder| rust_files(&root.join(folder))).concat();
    let long = files.iter().filter(|file| lines(file) > LONGEST_FILE);
    let long: Vec<String> =
        long.map(|file| format!("{} has {} lines and asks to be two", file.display(), lines(file))).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// What can be reached from a module, itself only where a circle leads back to it.
fn reached<'a>(from: &'a Module, needs: &BTreeMap<&'a Module, Vec<&'a Module>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        next.extend(needs[module].iter().filter(|other| reached.insert(**other)));
    }
    reached
}

#[test]
fn no_files_need_each_other() {
    let tree = SourceTree::read();
    let needs = tree.needs();
    assert!(needs.values().map(Vec::len).sum::<usize>() > 1000, "the source is read");
    let reached: BTreeMap<_, _> = needs.keys().map(|module| (*module, reached(module, &needs))).collect();
    let in_circles = needs.keys().filter(|module| reached[*module].contains(*module));
    let say = |module: &&Module| {
        let back = needs[*module].iter().filter(|other| reached[**other].contains(*module));
        let back: Vec<String> = back.map(|other| other.join("/")).collect();
        format!("{} needs {}", module.join("/"), back.join(", "))
    };
    let circles: Vec<String> = in_circles.map(say).collect();
    assert!(circles.is_empty(), "files that lead back to themselves:\n{}", circles.join("\n"));
}

#[test]
fn no_two_public_types_have_one_name() {
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in SourceTree::read().0.values() {
        for line in file.code.lines().map(str::trim_start).filter(|line| line.starts_with("pub")) {
            let mut words = line.split([' ', '<', '(', '{', ';', ':']).filter(|word| !word.is_empty());
            if words.any(|word| matches!(word, "struct" | "enum" | "trait" | "type"))
                && let Some(name) = words.next()
            {
                homes.entry(name.to_owned()).or_default().push(file.path.display().to_string());
            }
        }
    }
    homes.retain(|name, files| files.len() > 1 && !SHARED_NAMES.contains(&name.as_str()));
    assert!(homes.is_empty(), "{homes:#?}");
}
