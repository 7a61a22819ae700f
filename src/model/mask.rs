//! The additive attention mask of LIVR, by token role.

use std::ops::Range;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::settings::MaskRule;
use crate::units::Role;

/// Up to this many entries the whole mask is made once and shared by all layers.
const KEEP_WHOLE: usize = 1 << 26;

/// Which of S keys each of T queries may look at; the queries are the last T positions.
#[derive(Debug, Clone)]
pub struct Mask {
    rule: MaskRule,
    roles: Vec<Role>,
    num_queries: usize,
    device: Device,
    whole: Option<Tensor>,
}

impl Mask {
    /// A mask over all S positions of `roles`, for the last `num_queries` of them.
    pub fn new(rule: MaskRule, roles: &[Role], num_queries: usize, device: &Device) -> Result<Self> {
        Self::with_limit(rule, roles, num_queries, device, KEEP_WHOLE)
    }

    /// The same, kept whole only up to `keep_whole` entries; beyond, rows are made as they are asked for.
    pub fn with_limit(
        rule: MaskRule,
        roles: &[Role],
        num_queries: usize,
        device: &Device,
        keep_whole: usize,
    ) -> Result<Self> {
        let mut mask = Self { rule, roles: roles.to_vec(), num_queries, device: device.clone(), whole: None };
        if num_queries * roles.len() <= keep_whole {
            mask.whole = Some(mask.build(0..num_queries)?);
        }
        Ok(mask)
    }

    /// The rule it follows.
    pub fn rule(&self) -> MaskRule {
        self.rule
    }

    /// Rows of the mask, [rows, S]: 0 where allowed, minus infinity where blocked.
    pub fn rows(&self, queries: Range<usize>) -> Result<Tensor> {
        match &self.whole {
            Some(whole) => Ok(whole.narrow(0, queries.start, queries.len())?),
            None => self.build(queries),
        }
    }

    fn build(&self, queries: Range<usize>) -> Result<Tensor> {
        let num_keys = self.roles.len();
        let offset = num_keys - self.num_queries;
        let mut values = vec![0f32; queries.len() * num_keys];
        let first = queries.start;
        values.par_chunks_mut(num_keys).enumerate().for_each(|(row, out)| {
            let query = offset + first + row;
            let query_role = self.roles[query];
            for (key, value) in out.iter_mut().enumerate() {
                if key > query || !self.rule.allows(query_role, self.roles[key]) {
                    *value = f32::NEG_INFINITY;
                }
            }
        });
        Ok(Tensor::from_vec(values, (queries.len(), num_keys), &self.device)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::MaskKind;
    use Role::{Answer, Image, Latent, Prompt};

    fn allowed(kind: MaskKind) -> Vec<Vec<u8>> {
        let roles = [Prompt, Image, Prompt, Latent, Prompt, Answer];
        let mask = Mask::new(kind.rule(), &roles, roles.len(), &Device::Cpu).unwrap();
        let rows = mask.rows(0..roles.len()).unwrap().to_vec2::<f32>().unwrap();
        rows.iter().map(|row| row.iter().map(|v| u8::from(*v == 0.0)).collect()).collect()
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
    fn rows_made_one_by_one_are_those_of_the_whole() {
        let roles = [Prompt, Image, Latent, Image, Prompt, Answer, Answer];
        for num_queries in [1, 3, roles.len()] {
            let rule = MaskKind::Bottleneck.rule();
            let whole = Mask::new(rule, &roles, num_queries, &Device::Cpu).unwrap();
            let made = Mask::with_limit(rule, &roles, num_queries, &Device::Cpu, 0).unwrap();
            assert!(whole.whole.is_some() && made.whole.is_none());
            for start in 0..num_queries {
                for end in start + 1..=num_queries {
                    let rows = |mask: &Mask| mask.rows(start..end).unwrap().to_vec2::<f32>().unwrap();
                    assert_eq!(rows(&whole), rows(&made));
                }
            }
            // Queries of a step of decoding are the last of the sequence.
            let last = whole.rows(num_queries - 1..num_queries).unwrap().to_vec2::<f32>().unwrap();
            assert!(last[0][1].is_infinite() && last[0][6] == 0.0);
        }
    }
}
