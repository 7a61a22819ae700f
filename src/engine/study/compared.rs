//! Results of the same samples side by side: what one is right about and the other is not.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::answers_file::read_answers;
use crate::analysis::statistics::{Draws, McNemarCells, bootstrap, holm, mcnemar_exact, newcombe};
use crate::error::{Error, Result};
use crate::paths;

/// Whether a sample was answered rightly: all that pairing needs of a result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Judged {
    /// Of the sample.
    pub id: String,
    /// What it should be answered with, where the file says so.
    #[serde(default)]
    pub target: String,
    /// Was it?
    pub correct: bool,
}

/// The verdicts of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// The file's name, or in a folder of a study that of the model and the condition.
    pub name: String,
    /// One a sample.
    pub all: Vec<Judged>,
}

/// A result file, of whatever program.
#[derive(Deserialize)]
struct ResultFile {
    predictions: Vec<Judged>,
}

impl Verdicts {
    /// Those of a file of `livr eval`, or of all cells of a folder of a study.
    ///
    /// # Errors
    /// A file that is no result, a folder without cells, a sample twice.
    pub fn read(path: &Path) -> Result<Vec<Self>> {
        let all = if path.is_dir() {
            let folder = paths::file_name(path);
            let of = |own: super::ReadAnswers| {
                let one =
                    |own: super::Prediction| Judged { id: own.id, target: own.target, correct: own.correct };
                let all = own.predictions.into_iter().map(one).collect();
                Self { name: format!("{folder}: {}", own.name), all }
            };
            read_answers(path)?.into_iter().map(of).collect()
        } else {
            let bytes = std::fs::read(path).map_err(|e| Error::io("read the result", path, e))?;
            let file: ResultFile = serde_json::from_slice(&bytes)
                .map_err(|e| Error::format(path, "the file is no result of an evaluation", e))?;
            let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            vec![Self { name, all: file.predictions }]
        };
        for own in &all {
            let mut ids: Vec<&str> = own.all.iter().map(|own| own.id.as_str()).collect();
            ids.sort_unstable();
            if let Some([twice, ..]) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Error::field(path, "predictions", "each sample once", format!("{twice} twice")));
            }
        }
        Ok(all)
    }
}

/// One result beside the base, over the samples that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairedResult {
    /// Of the other result.
    pub name: String,
    /// Samples that both have.
    pub n: usize,
    /// Right in both.
    pub both: usize,
    /// Right in the other alone.
    pub gained: usize,
    /// Right in the base alone.
    pub lost: usize,
    /// Right in neither.
    pub neither: usize,
    /// Accuracy of the other less that of the base; nothing without samples.
    pub difference: Option<f64>,
    /// 95 %, Newcombe's method 10.
    pub newcombe: Option<[f64; 2]>,
    /// 95 %, by samples drawn again; nothing of fewer than two.
    pub bootstrap: Option<[f64; 2]>,
    /// Exact, two-sided.
    pub mcnemar_p: f64,
    /// The same, corrected for all pairs (Holm).
    pub holm_p: f64,
    /// Samples that only the base has.
    pub only_base: usize,
    /// Samples that only the other has.
    pub only_other: usize,
    /// Samples of one id whose targets differ: they are left out.
    pub other_targets: usize,
}

/// Pairs each result with the base, by the ids of samples; p-values are corrected over all of them.
pub fn pair(base: &[Judged], others: &[Verdicts], draws: Draws) -> Vec<PairedResult> {
    let by_id: HashMap<&str, &Judged> = base.iter().map(|own| (own.id.as_str(), own)).collect();
    let mut pairs: Vec<PairedResult> =
        others.iter().map(|own| one(&own.name, &by_id, &own.all, draws)).collect();
    let p: Vec<f64> = pairs.iter().map(|pair| pair.mcnemar_p).collect();
    pairs.iter_mut().zip(holm(&p)).for_each(|(pair, p)| pair.holm_p = p);
    pairs
}

fn one(name: &str, base: &HashMap<&str, &Judged>, other: &[Judged], draws: Draws) -> PairedResult {
    let both: Vec<(&Judged, &Judged)> =
        other.iter().filter_map(|own| Some((own, *base.get(own.id.as_str())?))).collect();
    let shared = both.len();
    let same: Vec<(bool, bool)> = both
        .into_iter()
        .filter(|(own, base)| own.target == base.target)
        .map(|(own, base)| (own.correct, base.correct))
        .collect();
    let cells = McNemarCells::of(same.iter().copied());
    let differences: Vec<f64> =
        same.iter().map(|(own, base)| f64::from(u8::from(*own)) - f64::from(u8::from(*base))).collect();
    let newcombe = newcombe(cells);
    let mcnemar_p = mcnemar_exact(cells.first, cells.second);
    PairedResult {
        name: name.to_owned(),
        n: cells.total(),
        both: cells.both,
        gained: cells.first,
        lost: cells.second,
        neither: cells.neither,
        difference: newcombe.map(|own| own.difference),
        newcombe: newcombe.map(|own| own.interval),
        bootstrap: bootstrap(&differences, draws.rows(differences.len())),
        mcnemar_p,
        holm_p: mcnemar_p,
        only_base: base.len() - shared,
        only_other: other.len() - shared,
        other_targets: shared - cells.total(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(rights: &[(&str, bool)]) -> Vec<Judged> {
        let one = |(id, correct): &(&str, bool)| Judged {
            id: (*id).to_owned(),
            target: "A".to_owned(),
            correct: *correct,
        };
        rights.iter().map(one).collect()
    }

    fn named(name: &str, all: &[Judged]) -> Verdicts {
        Verdicts { name: name.to_owned(), all: all.to_vec() }
    }

    #[test]
    fn samples_are_paired_by_their_ids() {
        let base = answered(&[("a", true), ("b", false), ("c", true), ("d", false), ("x", true)]);
        let mut other =
            answered(&[("d", true), ("c", false), ("b", true), ("a", true), ("y", true), ("z", true)]);
        let draws = Draws { count: 500, seed: 1 };
        let pairs = pair(&base, &[named("other", &other), named("itself", &base)], draws);
        let PairedResult { n, both, gained, lost, neither, only_base, only_other, .. } = pairs[0];
        assert_eq!((n, both, gained, lost, neither, only_base, only_other), (4, 1, 2, 1, 0, 1, 2));
        assert_eq!((pairs[0].difference, pairs[0].mcnemar_p), (Some(0.25), 1.0));
        assert_eq!((pairs[1].difference, pairs[1].bootstrap), (Some(0.0), Some([0.0, 0.0])));
        // Of one id and of another target it is another sample.
        other[0].target = "B".to_owned();
        let again = &pair(&base, &[named("other", &other)], draws)[0];
        assert_eq!((again.n, again.other_targets), (3, 1));
        assert_eq!(pair(&[], &[named("other", &other)], draws)[0].difference, None);
    }
}
