//! Which keys the queries of a pass may look at; never a matrix.

use candle_core::{Device, Tensor};

use crate::ask::MaskRule;
use crate::ask::looks::Looks;
use crate::error::Result;
use crate::units::Role;

/// Which of S keys each of T queries may look at; the queries are the last T positions.
#[derive(Debug, Clone)]
pub struct Mask {
    looks: Looks,
    num_queries: usize,
}

impl Mask {
    /// By role alone: over all S positions of `roles`, for the last `num_queries` of them.
    pub fn new(rule: MaskRule, roles: &[Role], num_queries: usize) -> Self {
        Self::of(Looks::of_roles(rule, roles), num_queries)
    }

    /// Over all S positions, for the last `num_queries` of them.
    pub fn of(looks: Looks, num_queries: usize) -> Self {
        let num_tokens = looks.num_tokens();
        assert!(num_queries <= num_tokens, "{num_queries} queries among {num_tokens} positions");
        Self { looks, num_queries }
    }

    /// Who may look at whom.
    pub fn looks(&self) -> &Looks {
        &self.looks
    }

    /// Keys that are not ahead of a query: the first so many. The last of them is its own.
    pub fn keys_behind(&self, query: usize) -> usize {
        self.looks.num_tokens() - self.num_queries + query + 1
    }

    /// May a query look at a key?
    pub fn allows(&self, query: usize, key: usize) -> bool {
        self.looks.allows(self.keys_behind(query) - 1, key)
    }

    /// What is added to the scores of all keys for queries of each group, whatever lies ahead and but for their own: 0, or
    /// minus infinity; `None` where nothing is blocked for that group, or no query is of it.
    pub(super) fn penalties(&self) -> Penalties {
        let groups = self.looks.groups();
        let mut is_asked = vec![false; self.looks.num_groups()];
        groups[groups.len() - self.num_queries..].iter().for_each(|group| is_asked[*group as usize] = true);
        let of = |query: u32| {
            let is_blocked = (0..is_asked.len() as u32).any(|key| !self.looks.group_allows(query, key));
            let penalty =
                |key: &u32| if self.looks.group_allows(query, *key) { 0.0 } else { f32::NEG_INFINITY };
            (is_blocked && is_asked[query as usize]).then(|| groups.iter().map(penalty).collect())
        };
        Penalties((0..is_asked.len() as u32).map(of).collect())
    }

    pub(in crate::ops) fn group_of_query(&self, query: usize) -> u32 {
        self.looks.groups()[self.keys_behind(query) - 1]
    }

    /// The whole mask as a tensor [T, S]: 0 where allowed, minus infinity where blocked.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        let num_keys = self.looks.num_tokens();
        let values: Vec<f32> = (0..self.num_queries * num_keys)
            .map(|i| if self.allows(i / num_keys, i % num_keys) { 0.0 } else { f32::NEG_INFINITY })
            .collect();
        Ok(Tensor::from_vec(values, (self.num_queries, num_keys), device)?)
    }
}

/// By group of the query.
pub(super) struct Penalties(Vec<Option<Vec<f32>>>);

impl Penalties {
    /// What is added to the scores of a query of this group.
    pub(super) fn of(&self, group: u32) -> Option<&[f32]> {
        self.0[group as usize].as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::MaskKind;
    use Role::{Answer, Image, Latent, Prompt};

    fn allowed(kind: MaskKind) -> Vec<Vec<u8>> {
        let roles = [Prompt, Image, Prompt, Latent, Prompt, Answer];
        let mask = Mask::new(kind.rule(), &roles, roles.len());
        (0..6).map(|q| (0..6).map(|k| u8::from(mask.allows(q, k))).collect()).collect()
    }

    #[test]
    fn every_mask_blocks_exactly_what_the_method_says() {
        let standard = allowed(MaskKind::Standard);
        for (q, row) in standard.iter().enumerate() {
            for (k, seen) in row.iter().enumerate() {
                assert_eq!(*seen == 1, k <= q);
            }
        }
        // Position 1 is the image; 2 and 4 prompt, 3 latent, 5 answer.
        let sees_image = |kind| allowed(kind).iter().map(|row| row[1]).collect::<Vec<_>>();
        assert_eq!(sees_image(MaskKind::Bottleneck), [0, 1, 0, 1, 0, 0]);
        assert_eq!(sees_image(MaskKind::AnswerOnly), [0, 1, 1, 1, 1, 0]);
        assert_eq!(sees_image(MaskKind::BottleneckLatentPrompt), [0, 1, 0, 1, 0, 0]);
        assert_eq!(allowed(MaskKind::BottleneckLatentPrompt)[3], [0, 1, 0, 1, 0, 0]);
        assert_eq!(allowed(MaskKind::Bottleneck)[3], [1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn queries_are_the_last_positions() {
        let roles = [Prompt, Image, Latent, Image, Prompt, Answer, Answer];
        let rule = MaskKind::Bottleneck.rule();
        let whole = Mask::new(rule, &roles, roles.len());
        for num_queries in 1..=roles.len() {
            let late = Mask::new(rule, &roles, num_queries);
            let first = roles.len() - num_queries;
            for query in 0..num_queries {
                for key in 0..roles.len() {
                    assert_eq!(late.allows(query, key), whole.allows(first + query, key));
                }
            }
            let tensor = late.tensor(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(tensor.len(), num_queries);
            assert!(tensor[num_queries - 1][1].is_infinite() && tensor[num_queries - 1][6] == 0.0);
        }
        let penalties = whole.penalties();
        let of = |role: Role| penalties.of(role.code() as u32);
        assert!(of(Image).is_none() && of(Answer).is_some_and(|p| p[1].is_infinite()));
    }

    #[test]
    fn a_token_sees_itself_whatever_is_blocked() {
        let blind = Role::ALL.into_iter().fold(MaskRule::CAUSAL, |rule, key| rule.with(Image, key, false));
        let mask = Mask::new(blind, &[Prompt, Image, Image], 3);
        let seen: Vec<bool> = (0..3).map(|key| mask.allows(2, key)).collect();
        assert_eq!(seen, [false, false, true]);
    }
}
