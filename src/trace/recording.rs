//! The states of a run that another run may take over.

use crate::array::Array;
use crate::units::Role;

/// What a run had at some of its tokens, in every layer. N prompt tokens, n of them recorded, L layers, H heads, D hidden size,
/// d head size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// [N]: temporal, height and width.
    pub positions: Vec<[i64; 3]>,
    /// [N].
    pub roles: Vec<Role>,
    /// [N]: of which image each is; -1 of none.
    pub image: Vec<i64>,
    /// [N]: its number among the latents of the unedited prompt; -1 where it is none.
    pub latent: Vec<i64>,
    /// [n]: those whose states follow.
    pub tokens: Vec<usize>,
    /// [n, D].
    pub embedding: Array,
    /// [n, D], after the final norm.
    pub norm: Array,
    /// [L, n, D]: what layers give, before features are added.
    pub after: Array,
    /// [L, n, D]: what layers read.
    pub into: Array,
    /// [L, Hkv, n, d], after the rotation.
    pub keys: Array,
    /// [L, Hkv, n, d].
    pub values: Array,
    /// [L, H, n, d]: outputs of heads, before `o_proj`.
    pub heads: Array,
}
