//! What people of this field reported of the programs they use, as small inputs: each is read as the reference reads it, or
//! refused in a sentence that names what is wrong. `tests/fixtures/reported/cases.json` says what each is; `want.*` beside
//! it is what transformers, PEFT and Pillow make of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use fancy_regex::Regex;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Golden, fixture};

const PROMPT: &str = "How many apples are there in this image?";

#[derive(Deserialize)]
struct Case {
    name: String,
    about: String,
    kind: String,
    args: Vec<String>,
}

/// What the program said.
struct Said {
    ok: bool,
    out: String,
    err: String,
}

/// A case with a place of its own.
struct Place<'a> {
    case: &'a Case,
    folder: PathBuf,
    dir: TempDir,
}

type Verdict = Result<(), String>;

fn ensure(holds: bool, otherwise: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn fits(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("(?i){pattern}")).unwrap().is_match(text).unwrap()
}

impl Place<'_> {
    fn option(&self, name: &str) -> Option<&str> {
        let at = self.case.args.iter().position(|arg| arg == name)?;
        self.case.args.get(at + 1).map(String::as_str)
    }

    fn family(&self) -> &str {
        self.option("--family").unwrap_or("qwen3_vl")
    }

    fn image(&self) -> PathBuf {
        fixture(self.family()).join("images/0.png")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A checkpoint of the fixtures with the case's files in the place of its own, and without some.
    fn model(&self, overlay: Option<&str>, without: &str) -> PathBuf {
        let place = self.dir.path().join("model");
        if place.exists() {
            return place;
        }
        std::fs::create_dir(&place).unwrap();
        let copy = |folder: &Path| {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, place.join(path.file_name().unwrap())).unwrap();
            }
        };
        copy(&fixture(self.family()).join("model"));
        for name in without.split(',').filter(|name| !name.is_empty()) {
            std::fs::remove_file(place.join(name)).unwrap();
        }
        if let Some(folder) = overlay.map(|name| self.path(name)).filter(|folder| folder.is_dir()) {
            copy(&folder);
        }
        place
    }

    fn own_model(&self) -> PathBuf {
        self.model(self.option("--overlay"), self.option("--drop").unwrap_or_default())
    }

    fn run(&self, args: &[&str], env: &[(String, String)]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_livr"));
        command.args(args).env_remove("HF_HOME").env_remove("HF_HUB_CACHE");
        command.envs(env.iter().map(|(name, value)| (name, value))).current_dir(self.dir.path());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Said { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Arguments with the folders they speak of.
    fn filled(&self, args: &[String]) -> Vec<String> {
        let made = Regex::new(r"^\{model:(\w+)(?::([\w.,]+))?\}$").unwrap();
        let one = |arg: &String| {
            if let Some(groups) = made.captures(arg).unwrap() {
                let without = groups.get(2).map_or("", |own| own.as_str());
                return self.model(Some(&groups[1]), without).display().to_string();
            }
            let text = |path: &Path| path.display().to_string();
            arg.replace("{case}", &text(&self.folder))
                .replace("{fix}", &text(&fixture("")))
                .replace("{tmp}", &text(self.dir.path()))
        };
        args.iter().map(one).collect()
    }

    fn trace(&self, name: &str, args: &[&str]) -> Result<Golden, Said> {
        let out = self.dir.path().join(name);
        let out_text = out.display().to_string();
        let said = self.run(&[&["trace", "--out", &out_text, "--dtype", "f32"], args].concat(), &[]);
        if said.ok { Ok(Golden::read(&out)) } else { Err(said) }
    }

    fn pictured(&self, file: &str, name: &str) -> Result<Golden, Said> {
        let (model, image) = (fixture("qwen3_vl/model"), self.path(file));
        let [model, image] = [&model, &image].map(|path| path.display().to_string());
        self.trace(name, &["--model", &model, "--image", &image, "--prompt", "x?", "--max-new-tokens", "1"])
    }

    fn judged(&self) -> Verdict {
        match self.case.kind.as_str() {
            "pixels" => self.pixels(),
            "pixels_or_refuses" => match self.pictured(&self.case.args[0], "a.safetensors") {
                Err(said) => {
                    ensure(fits(&self.case.args[2], &said.err) && !said.err.contains("Unknown("), said.err)
                }
                Ok(_) => self.pixels(),
            },
            "logits" => self.logits(),
            "generated" => self.generated(),
            "text" => self.text(),
            "refuses" => self.refuses(),
            "runs" => {
                let cut = self.case.args.iter().position(|arg| arg == "--").unwrap();
                let args = self.filled(&self.case.args[cut + 1..]);
                let said = self.run(&args.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
                ensure(said.ok, said.err)
            }
            "same_answers" => self.same_answers(),
            "budget" => self.budget(),
            "layout" => self.layout(),
            "rows" => self.rows(),
            "hub" | "hub_half" => self.hub(),
            other => Err(format!("no such kind: {other}")),
        }
    }

    /// The pixels Pillow reads, in the model's own patches.
    fn pixels(&self) -> Verdict {
        let read = |file: &str, name: &str| self.pictured(file, name).map_err(|said| said.err);
        let (ours, theirs) =
            (read(&self.case.args[0], "a.safetensors")?, read(&self.case.args[1], "b.safetensors")?);
        let grid = |golden: &Golden| golden.integers("image_grid_thw");
        ensure(
            grid(&ours) == grid(&theirs),
            format!("grid {:?}, Pillow's {:?}", grid(&ours), grid(&theirs)),
        )?;
        let (a, b) = (ours.floats("pixel_values"), theirs.floats("pixel_values"));
        let off = 127.5 * a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let most: f32 = self.option("--levels").map_or(0.001, |levels| levels.parse().unwrap());
        ensure(off <= most, format!("off by {off} levels of 255"))
    }

    fn asked(&self) -> Vec<String> {
        let (model, image) = (self.own_model(), self.image());
        let prompt = self.option("--prompt").unwrap_or(PROMPT);
        let mut args: Vec<String> = ["--model".to_owned(), model.display().to_string()].into();
        args.extend(["--image".to_owned(), image.display().to_string()]);
        args.extend(["--prompt".to_owned(), prompt.to_owned()]);
        args.extend(["--latents".to_owned(), self.option("--latents").unwrap_or("off").to_owned()]);
        if let Some(adapter) = self.option("--adapter") {
            args.extend(["--adapter".to_owned(), self.path(adapter).display().to_string()]);
        }
        args
    }

    fn traced(&self, more: &[&str]) -> Result<Golden, Said> {
        let args = self.asked();
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.trace("t.safetensors", &args)
    }

    fn logits(&self) -> Verdict {
        let ours = match self.traced(&["--max-new-tokens", "1"]) {
            Ok(ours) => ours,
            Err(said) => {
                let may = self.option("--or-refuses").is_some_and(|pattern| fits(pattern, &said.err));
                return ensure(may, said.err);
            }
        };
        let want = Golden::read(&self.path(self.option("--want").unwrap_or("want.safetensors")));
        if want.has("input_ids") {
            let (a, b) = (ours.integers("input_ids"), want.integers("input_ids"));
            ensure(a == b, format!("{} tokens for {}", a.len(), b.len()))?;
        }
        let off = relative(&ours.floats("logits"), &want.floats("logits"));
        ensure(off < 1e-4, format!("logits off by {off:e}"))
    }

    fn generated(&self) -> Verdict {
        let want: Vec<i64> = serde_json::from_slice(&std::fs::read(self.path("want.json")).unwrap()).unwrap();
        let count = want.len().to_string();
        match self.traced(&["--max-new-tokens", &count]) {
            Ok(ours) => {
                let ids = ours.integers("generated_ids");
                ensure(ids == want, format!("generated {ids:?}, the reference {want:?}"))
            }
            Err(said) => Err(said.err),
        }
    }

    /// The prompt as the reference renders it, placeholders once.
    fn text(&self) -> Verdict {
        let ours = self.traced(&["--max-new-tokens", "1"]).err();
        ensure(ours.is_none(), ours.map_or_else(String::new, |said| said.err))?;
        let bytes = std::fs::read(self.dir.path().join("t.safetensors")).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let text = header.metadata().as_ref().unwrap()["text"].clone();
        let once =
            Regex::new(r"(<\|image_pad\|>)+").unwrap().replace_all(&text, "<|image_pad|>").into_owned();
        let want = std::fs::read_to_string(self.path("want.txt")).unwrap();
        ensure(once == want, format!("{once:?}, the reference {want:?}"))
    }

    fn refuses(&self) -> Verdict {
        let cut = self.case.args.iter().position(|arg| arg == "--").unwrap();
        let (must, never) = (&self.case.args[0], &self.case.args[1]);
        let args = self.filled(&self.case.args[cut + 1..]);
        let said = self.run(&args.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        let all = format!("{} {}", said.err, said.out);
        let is_plain = !all.contains("the program has a fault") && all.len() < 2000;
        let avoids = never.is_empty() || !fits(never, &all);
        ensure(!said.ok && fits(must, &all) && avoids && is_plain, all)
    }

    fn choices(&self, data: &str) -> Result<Value, Said> {
        let (model, data) = (fixture("qwen3_vl/model"), self.path(data));
        let out = self.dir.path().join(data.file_name().unwrap()).with_extension("result");
        let [model, data, out_text] = [&model, &data, &out].map(|path| path.display().to_string());
        let said = self.run(
            &["eval", "--model", &model, "--data", &data, "--out", &out_text, "--max-new-tokens", "1"],
            &[],
        );
        if !said.ok {
            return Err(said);
        }
        let report: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        let each = report["predictions"].as_array().unwrap().iter().map(|own| own["choice_logprobs"].clone());
        Ok(each.collect())
    }

    fn same_answers(&self) -> Verdict {
        let want = self.choices(&self.case.args[1]).map_err(|said| said.err)?;
        match self.choices(&self.case.args[0]) {
            Ok(found) => ensure(found == want, format!("{found}, with the images in known columns {want}")),
            Err(said) => {
                let may = self.option("--or-refuses").is_some_and(|pattern| fits(pattern, &said.err));
                ensure(may && said.err.len() < 1500, said.err)
            }
        }
    }

    /// An image has at least one visual token.
    fn budget(&self) -> Verdict {
        let (model, image) = (fixture(self.family()).join("model"), self.path(&self.case.args[0]));
        let [model, image] = [&model, &image].map(|path| path.display().to_string());
        let args = ["--model", &model, "--image", &image, "--prompt", "x?", "--max-new-tokens", "1"];
        let traced =
            self.trace("t.safetensors", &[&args[..], &["--max-pixels", &self.case.args[1]]].concat());
        let grid = traced.map_err(|said| said.err)?.integers("image_grid_thw");
        let side = if self.family() == "qwen3_vl" { 16 } else { 14 };
        let most = self.case.args[1].parse().unwrap_or(i64::MAX);
        let area = grid[1] * grid[2] * side * side;
        ensure(grid[1] > 0 && grid[2] > 0 && area <= most, format!("grid {grid:?}"))
    }

    fn mapped(&self, file: &str, name: &str) -> Result<Golden, Said> {
        let (states, out) = (self.path(file), self.dir.path().join(name));
        let [states, out_text] = [&states, &out].map(|path| path.display().to_string());
        let args =
            ["project", "--states", &states, "--out", &out_text, "--engine", "exact", "--perplexity", "5"];
        let said = self.run(&args, &[]);
        if said.ok { Ok(Golden::read(&out)) } else { Err(said) }
    }

    fn layout(&self) -> Verdict {
        let places = match self.mapped(&self.case.args[0], "a.safetensors") {
            Ok(map) => map.floats("layout"),
            Err(said) => {
                let may = self.option("--or-refuses").is_some_and(|pattern| fits(pattern, &said.err));
                return ensure(may && !said.err.contains("fault"), said.err);
            }
        };
        ensure(places.iter().all(|v| v.is_finite()), "places that are no numbers")?;
        let Some(other) = self.option("--same") else { return Ok(()) };
        let other = self.mapped(other, "b.safetensors").map_err(|said| said.err)?.floats("layout");
        ensure(places == other, "another map than of the same numbers written plainly")
    }

    /// Latent rows in another spelling: the logits of the fixture's own.
    fn rows(&self) -> Verdict {
        let (model, image) = (fixture("qwen3_vl/model"), self.image());
        let logits = |adapter: PathBuf, name: &str| {
            let [model, image, adapter] = [&model, &image, &adapter].map(|path| path.display().to_string());
            let args = ["--model", &model, "--image", &image, "--prompt", PROMPT, "--max-new-tokens", "1"];
            let traced = self.trace(name, &[&args[..], &["--adapter", &adapter]].concat());
            traced.map(|golden| golden.floats("logits")).map_err(|said| said.err)
        };
        let want = logits(fixture("qwen3_vl/adapter"), "w.safetensors")?;
        let off = relative(&logits(self.path(&self.case.args[0]), "g.safetensors")?, &want);
        ensure(off < 2e-2, format!("logits off by {off:e}"))
    }

    /// A cache of links into blobs, found by whatever names it; or one of which the weights never came.
    fn hub(&self) -> Verdict {
        const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
        let home = self.dir.path().join("home");
        let folder = home.join("hf home/hub/models--Tiny--Qwen-VL");
        let snapshot = folder.join("snapshots").join(COMMIT);
        for dir in [folder.join("blobs"), folder.join("refs"), snapshot.clone()] {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::write(folder.join("refs/main"), COMMIT).unwrap();
        let is_half = self.case.kind == "hub_half";
        for entry in std::fs::read_dir(fixture("qwen3_vl/model")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if !(is_half && name == "model.safetensors") {
                std::fs::copy(&path, folder.join("blobs").join(name)).unwrap();
            }
            #[cfg(unix)]
            std::os::unix::fs::symlink(Path::new("../../blobs").join(name), snapshot.join(name)).unwrap();
        }
        let text = |path: &Path| path.display().to_string();
        let named = self.case.args.first().map_or("HF_HOME={home}/hf home", String::as_str);
        let (name, value) = named.split_once('=').unwrap();
        let env =
            [("HOME".to_owned(), text(&home)), (name.to_owned(), value.replace("{home}", &text(&home)))];
        if is_half {
            let said = self.run(&["check", "--model", "Tiny/Qwen-VL"], &env);
            let all = format!("{} {}", said.out, said.err);
            return ensure(!said.ok && all.contains("model.safetensors"), all);
        }
        let image = text(&self.image());
        let args =
            ["ask", "--model", "Tiny/Qwen-VL", "--image", &image, "--prompt", "x?", "--max-new-tokens", "1"];
        let said = self.run(&args, &env);
        ensure(said.ok, said.err)
    }
}

/// Largest difference, relative to the largest value of the reference.
fn relative(ours: &[f32], theirs: &[f32]) -> f32 {
    let largest = theirs.iter().fold(0f32, |most, v| most.max(v.abs()));
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn what_was_reported_is_read_as_the_reference_reads_it_or_refused_by_name() {
    let folder = fixture("reported");
    let text = std::fs::read(folder.join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&text).unwrap();
    assert!(cases.len() >= 81);
    let wrong: Vec<String> = cases
        .par_iter()
        .filter_map(|case| {
            let place = Place { case, folder: folder.join(&case.name), dir: TempDir::new().unwrap() };
            let problem = place.judged().err()?;
            Some(format!("{} ({}): {}", case.name, case.about, problem.chars().take(600).collect::<String>()))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
