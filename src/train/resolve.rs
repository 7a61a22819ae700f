//! From a recipe as written to one in which nothing is left open; what makes no sense is said by name.

use std::path::{Path, PathBuf};

use super::recipe::{MODULES, Recipe, ResultChoice, Stage, Updates, Variant};
use crate::ask::{DtypeChoice, MAX_LATENTS, MaskKind};
use crate::error::{Error, Result};

impl Recipe {
    /// Reads a recipe; paths in it are relative to it.
    ///
    /// # Errors
    /// A file that is not there or cannot be read, and as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                return Error::Missing { what: "the recipe".to_owned(), path: path.to_owned() };
            }
            Error::io("read the recipe", path, e)
        })?;
        let mut recipe = Self::parse(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = recipe.data.train.iter_mut().chain(&mut recipe.data.validation);
        for path in paths.chain(&mut recipe.model).chain(&mut recipe.adapter) {
            *path = absolute(&folder.join(&*path));
        }
        Ok(recipe)
    }

    /// From the text of a recipe; `path` is for messages.
    ///
    /// # Errors
    /// A text that is no TOML, a key that is unknown or missing, a value that it may not have.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let recipe: Self = toml::from_str(text).map_err(|e| {
            let before =
                |span: std::ops::Range<usize>| text[..span.start.min(text.len())].matches('\n').count();
            let line = e.span().map_or(0, |span| before(span) + 1);
            let place = if line > 0 { format!(" in line {line}") } else { String::new() };
            Error::format(path, format!("the recipe cannot be followed{place}"), e.message())
        })?;
        recipe.check(path)?;
        Ok(recipe)
    }

    /// As a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is plain data")
    }

    /// The same with everything filled in: of one task, or of several.
    #[must_use]
    pub fn resolved(&self, num_tasks: usize) -> Self {
        let mut recipe = self.clone();
        let several = num_tasks > 1;
        recipe.updates.get_or_insert(match self.variant {
            Variant::PromptTuning => Updates::Latents,
            _ => Updates::Lora,
        });
        recipe.keep.get_or_insert(if several { ResultChoice::Final } else { ResultChoice::Best });
        if !self.variant.has_latents() {
            recipe.latents.count = 0;
        }
        if recipe.stages.is_empty() {
            let (first, second) = if several { (2, 3) } else { (4, 6) };
            let two = |mask| vec![Stage::new(mask, first), Stage::new(MaskKind::Standard, second)];
            recipe.stages = match self.variant {
                Variant::Livr => two(MaskKind::Bottleneck),
                Variant::MaskOnly => two(MaskKind::AnswerOnly),
                _ => vec![Stage::new(MaskKind::Standard, first + second)],
            };
        }
        recipe
    }

    fn check(&self, path: &Path) -> Result<()> {
        let wrong = |field: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(Error::field(path, field, expected, found.to_string()))
        };
        if self.data.train.is_empty() {
            return wrong("data.train", "at least one data file", &"none");
        }
        let k = self.latents.count;
        if self.variant.has_latents() && !(1..=MAX_LATENTS).contains(&k) {
            return wrong("latents.count", &format!("a whole number from 1 to {MAX_LATENTS}"), &k);
        }
        if self.latents.deviation.is_some_and(|d| !(d.is_finite() && d >= 0.0)) {
            return wrong("latents.deviation", "a number from 0", &self.latents.deviation.unwrap_or(0.0));
        }
        if self.updates == Some(Updates::Latents) && !self.variant.has_latents() {
            return wrong(
                "updates",
                "lora, full or everything, since this variant has no latents",
                &"latents",
            );
        }
        let trains_lora = matches!(self.updates, None | Some(Updates::Lora));
        if self.random_weights.is_some() && !matches!(self.updates, Some(Updates::Full | Updates::Everything))
        {
            return wrong("random_weights", "updates = \"full\" or \"everything\" with it", &"other updates");
        }
        if !matches!(self.store, DtypeChoice::Auto | DtypeChoice::F32 | DtypeChoice::Bf16) {
            return wrong("store", "f32 or bf16", &format!("{:?}", self.store).to_lowercase());
        }
        let lora = &self.lora;
        if trains_lora && !(1..=1024).contains(&lora.rank) {
            return wrong("lora.rank", "a whole number from 1 to 1024", &lora.rank);
        }
        if !(lora.alpha.is_finite() && lora.alpha > 0.0) {
            return wrong("lora.alpha", "a number above 0", &lora.alpha);
        }
        if !(0.0..1.0).contains(&lora.dropout) {
            return wrong("lora.dropout", "a number from 0, below 1", &lora.dropout);
        }
        if lora.modules.is_empty() {
            return wrong("lora.modules", "at least one layer", &"none");
        }
        if let Some(module) = lora.modules.iter().find(|module| !MODULES.contains(&module.as_str())) {
            return wrong("lora.modules", &format!("some of {}", MODULES.join(", ")), module);
        }
        self.check_optimizer(path)?;
        if self.save_every == 0 {
            return wrong("save_every", "a whole number from 1", &0);
        }
        for (i, stage) in self.stages.iter().enumerate() {
            if stage.epochs == 0 && self.stages.iter().all(|stage| stage.epochs == 0) {
                return wrong("stages", "at least one epoch", &"none");
            }
            if stage.max_steps == Some(0) {
                return wrong(&format!("max_steps of stage {}", i + 1), "a whole number from 1", &0);
            }
            if let Some(rate) = stage.learning_rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
                return wrong(&format!("learning_rate of stage {}", i + 1), "a number above 0", &rate);
            }
        }
        Ok(())
    }

    fn check_optimizer(&self, path: &Path) -> Result<()> {
        let o = &self.optimizer;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let from_zero = |x: f64| x.is_finite() && x >= 0.0;
        let share = |x: f64| (0.0..1.0).contains(&x);
        let numbers = [
            ("learning_rate", o.learning_rate, positive(o.learning_rate), "a number above 0"),
            ("weight_decay", o.weight_decay, from_zero(o.weight_decay), "a number from 0"),
            ("betas", o.betas[0], share(o.betas[0]), "two numbers from 0, below 1"),
            ("betas", o.betas[1], share(o.betas[1]), "two numbers from 0, below 1"),
            ("epsilon", o.epsilon, positive(o.epsilon), "a number above 0"),
            ("warmup", o.warmup, share(o.warmup), "a share from 0, below 1"),
            ("max_grad_norm", o.max_grad_norm, from_zero(o.max_grad_norm), "a number from 0"),
            ("vision_rate", o.vision_rate, from_zero(o.vision_rate), "a number from 0"),
            ("batch_size", o.batch_size as f64, o.batch_size > 0, "a whole number from 1"),
            ("accumulation", o.accumulation as f64, o.accumulation > 0, "a whole number from 1"),
        ];
        match numbers.into_iter().find(|(_, _, holds, _)| !holds) {
            None => Ok(()),
            Some((name, found, _, expected)) => {
                Err(Error::field(path, format!("optimizer.{name}"), expected, found.to_string()))
            }
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Recipe> {
        Recipe::parse(text, Path::new("recipe.toml"))
    }

    const LEAST: &str = "variant = \"livr\"\n[data]\ntrain = [\"a.jsonl\"]\n";

    #[test]
    fn what_is_left_out_is_the_papers() {
        let recipe = parse(LEAST).unwrap();
        let single = recipe.resolved(1);
        let epochs = |recipe: &Recipe| recipe.stages.iter().map(|s| (s.mask, s.epochs)).collect::<Vec<_>>();
        assert_eq!(epochs(&single), [(MaskKind::Bottleneck, 4), (MaskKind::Standard, 6)]);
        assert_eq!((single.keep, single.updates), (Some(ResultChoice::Best), Some(Updates::Lora)));
        let multi = recipe.resolved(6);
        assert_eq!(epochs(&multi), [(MaskKind::Bottleneck, 2), (MaskKind::Standard, 3)]);
        assert_eq!(multi.keep, Some(ResultChoice::Final));
        let o = &single.optimizer;
        assert_eq!(
            (o.learning_rate, o.weight_decay, o.batch_size * o.accumulation, o.warmup),
            (1e-4, 0.01, 8, 0.05)
        );
        let l = &single.lora;
        assert_eq!(
            (l.rank, l.alpha, l.dropout, l.modules.len(), single.latents.count),
            (16, 32.0, 0.05, 7, 16)
        );
        let sft = parse(&LEAST.replace("livr", "sft")).unwrap().resolved(1);
        assert_eq!((epochs(&sft), sft.latents.count), (vec![(MaskKind::Standard, 10)], 0));
        let masked = parse(&LEAST.replace("livr", "mask-only")).unwrap().resolved(1);
        assert_eq!(epochs(&masked), [(MaskKind::AnswerOnly, 4), (MaskKind::Standard, 6)]);
        let tuned = parse(&LEAST.replace("livr", "prompt-tuning")).unwrap().resolved(1);
        assert_eq!((tuned.updates, tuned.latents.count), (Some(Updates::Latents), 16));
    }

    #[test]
    fn the_example_is_the_papers_recipe() {
        let example = parse(super::super::recipe::EXAMPLE).unwrap().resolved(1);
        let plain = Recipe { data: example.data.clone(), ..parse(LEAST).unwrap().resolved(1) };
        assert_eq!(example, plain);
    }

    #[test]
    fn a_resolved_recipe_reads_back_the_same() {
        for variant in ["livr", "sft", "latents-only", "mask-only", "image-twice", "prompt-tuning"] {
            let resolved = parse(&LEAST.replace("livr", variant)).unwrap().resolved(1);
            assert_eq!(parse(&resolved.to_toml()).unwrap(), resolved, "{}", resolved.to_toml());
        }
    }

    #[test]
    fn what_makes_no_sense_is_said_by_name() {
        for (text, said) in [
            ("", "missing field `variant`"),
            ("variant = \"liver\"\n[data]\ntrain = []", "in line 1: unknown variant `liver`"),
            (&LEAST.replace("train", "trian"), "in line 3: unknown field `trian`"),
            (
                &LEAST.replace("[\"a.jsonl\"]", "[]"),
                "data.train: expected at least one data file, found none",
            ),
            (
                &format!("{LEAST}[latents]\ncount = 0"),
                "latents.count: expected a whole number from 1 to 256, found 0",
            ),
            (&format!("{LEAST}[latents]\ncuont = 4"), "unknown field `cuont`"),
            (&format!("{LEAST}[lora]\nrank = 0"), "lora.rank: expected"),
            (
                &format!("{LEAST}[lora]\ndropout = 1.0"),
                "lora.dropout: expected a number from 0, below 1, found 1",
            ),
            (&format!("{LEAST}[lora]\nmodules = [\"qkv\"]"), "lora.modules: expected some of q_proj"),
            (
                &format!("{LEAST}[optimizer]\nlearning_rate = -1.0"),
                "optimizer.learning_rate: expected a number above 0, found -1",
            ),
            (&format!("{LEAST}[optimizer]\nlearning_rate = nan"), "optimizer.learning_rate"),
            (
                &format!("{LEAST}[optimizer]\nbatch_size = 0"),
                "optimizer.batch_size: expected a whole number from 1, found 0",
            ),
            (&format!("{LEAST}[optimizer]\nbatch_size = -2"), "in line 5"),
            (&format!("{LEAST}[optimizer]\nwarmup = 1.5"), "optimizer.warmup"),
            (&format!("{LEAST}[[stages]]\nepochs = 0"), "stages: expected at least one epoch, found none"),
            (&format!("{LEAST}[[stages]]\nepochs = 1\nmask = \"none\""), "unknown variant `none`"),
            (&format!("updates = \"latents\"\n{}", LEAST.replace("livr", "sft")), "updates: expected lora"),
            (&format!("save_every = 0\n{LEAST}"), "save_every"),
        ] {
            let problem = parse(text).unwrap_err().to_string();
            assert!(
                problem.contains(said) && !problem.contains('\n') && problem.ends_with("(recipe.toml)"),
                "{text}: {problem}"
            );
        }
    }
}
