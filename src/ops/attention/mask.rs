//! The attention mask of LIVR, by token role; never a matrix.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::settings::MaskRule;
use crate::units::Role;

/// Which of S keys each of T queries may look at; the queries are the last T positions.
#[derive(Debug, Clone)]
pub struct Mask {
    rule: MaskRule,
    roles: Arc<[Role]>,
    num_queries: usize,
}

impl Mask {
    /// Over all S positions of `roles`, for the last `num_queries` of them.
    pub fn new(rule: MaskRule, roles: &[Role], num_queries: usize) -> Self {
        assert!(num_queries <= roles.len(), "{num_queries} queries among {} positions", roles.len());
        Self { rule, roles: roles.into(), num_queries }
    }

    /// The rule it follows.
    pub fn rule(&self) -> MaskRule {
        self.rule
    }

    /// Keys that are not ahead of a query: the first so many.
    pub fn keys_behind(&self, query: usize) -> usize {
        self.roles.len() - self.num_queries + query + 1
    }

    /// May a query look at a key?
    pub fn allows(&self, query: usize, key: usize) -> bool {
        let behind = self.keys_behind(query);
        key < behind && self.rule.allows(self.roles[behind - 1], self.roles[key])
    }

    /// What is added to the scores of all keys for queries of each role, whatever lies ahead: 0, or minus
    /// infinity; `None` where the rule blocks nothing for that role.
    pub(super) fn penalties(&self) -> Penalties {
        let of = |query: Role| {
            let blocks = Role::ALL.into_iter().any(|key| !self.rule.allows(query, key));
            let penalty = |key: &Role| if self.rule.allows(query, *key) { 0.0 } else { f32::NEG_INFINITY };
            blocks.then(|| self.roles.iter().map(penalty).collect())
        };
        Penalties(Role::ALL.map(of))
    }

    /// The rule as the CUDA kernels have it: bit 4 · query + key allows.
    #[cfg(feature = "cuda")]
    pub(in crate::ops) fn bits(&self) -> u32 {
        let pairs = Role::ALL.into_iter().flat_map(|query| Role::ALL.map(|key| (query, key)));
        pairs.map(|(q, k)| u32::from(self.rule.allows(q, k)) << (4 * q.code() + k.code())).sum()
    }

    /// Of all S positions.
    #[cfg(feature = "cuda")]
    pub(in crate::ops) fn roles(&self) -> &[Role] {
        &self.roles
    }

    pub(in crate::ops) fn role_of_query(&self, query: usize) -> Role {
        self.roles[self.keys_behind(query) - 1]
    }

    /// The whole mask as a tensor [T, S]: 0 where allowed, minus infinity where blocked.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        let num_keys = self.roles.len();
        let values: Vec<f32> = (0..self.num_queries * num_keys)
            .map(|i| if self.allows(i / num_keys, i % num_keys) { 0.0 } else { f32::NEG_INFINITY })
            .collect();
        Ok(Tensor::from_vec(values, (self.num_queries, num_keys), device)?)
    }
}

/// By role of the query.
pub(super) struct Penalties([Option<Vec<f32>>; 4]);

impl Penalties {
    /// What is added to the scores of a query of this role.
    pub(super) fn of(&self, role: Role) -> Option<&[f32]> {
        self.0[role.code() as usize].as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::MaskKind;
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
        assert!(penalties.of(Image).is_none() && penalties.of(Answer).is_some_and(|p| p[1].is_infinite()));
    }
}
