//! Sets of conditions by name: what the paper asks, what its critics ask, what is asked layer by layer.

use super::condition::Condition;
use super::mask::MaskKind;

/// A set of conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionSet {
    /// With and without latents, with and without the bottleneck.
    Paper,
    /// Something else in the latents' place, with a control that must not move and one that must.
    Replacement,
    /// Samples made harder.
    Robustness,
    /// Latents without what each layer gave them; latents that do not see the images in it.
    Layers,
}

impl ConditionSet {
    /// All of them, by name.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("paper", Self::Paper),
        ("replacement", Self::Replacement),
        ("robustness", Self::Robustness),
        ("layers", Self::Layers),
    ];

    /// Its conditions, beside others that are asked as `usual` says, of a model of so many layers. Noise is by the seed of
    /// `usual`.
    pub fn conditions(self, usual: &Condition, num_layers: usize) -> Vec<Condition> {
        let edited = |text: String| {
            let edit = text.parse().expect("the statements of sets can be read");
            Condition { edits: vec![edit], ..usual.clone() }
        };
        let seed = usual.decoding.seed;
        match self {
            Self::Paper => Condition::battery(usual),
            Self::Replacement => {
                let blind = edited("block latents->image".to_owned()).masked(MaskKind::Bottleneck);
                let statements = [
                    "latents=self@embedding..".to_owned(),
                    "latents=zero@embedding".to_owned(),
                    "latents=zero@embedding..".to_owned(),
                    "latents=first@embedding..".to_owned(),
                    format!("latents=norm-matched:seed={seed}@embedding.."),
                    format!("latents=same-dist:seed={seed}@embedding.."),
                    format!("latents=jitter:0.3,seed={seed}@embedding"),
                    "latents=remove".to_owned(),
                    "latents=markers".to_owned(),
                    "latents=gap".to_owned(),
                    "block readers->latents".to_owned(),
                    "block latents->image".to_owned(),
                ];
                std::iter::once(usual.clone()).chain([blind]).chain(statements.map(edited)).collect()
            }
            Self::Robustness => {
                let ways = ["occlusion=0.3", "noise=0.1", "rotation=10", "no-images", "no-question"];
                let disturbed = |how: &str| Condition { disturbance: how.parse().ok(), ..usual.clone() };
                std::iter::once(usual.clone()).chain(ways.map(disturbed)).collect()
            }
            Self::Layers => {
                let zero = (0..num_layers).map(|layer| format!("latents=zero@after-{layer}"));
                let blind = (0..num_layers).map(|layer| format!("block latents->image @{layer}"));
                std::iter::once(usual.clone()).chain(zero.chain(blind).map(edited)).collect()
            }
        }
    }
}

impl std::str::FromStr for ConditionSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
        found.map(|(_, set)| set).ok_or_else(|| format!("expected one of {}, found {text}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_of_a_set_has_a_name_that_is_read_back() {
        let usual = Condition::of_studies();
        for (name, set) in ConditionSet::NAMES {
            assert_eq!(name.parse(), Ok(set));
            let conditions = set.conditions(&usual, 3);
            assert_eq!(conditions[0], usual, "{name}: the base comes first");
            for condition in &conditions {
                assert_eq!(
                    Condition::named(&condition.name(&usual), &usual).as_ref(),
                    Ok(condition),
                    "{name}"
                );
            }
        }
        assert_eq!(ConditionSet::Layers.conditions(&usual, 3).len(), 7);
        assert!("paper ".parse::<ConditionSet>().is_err());
    }
}
