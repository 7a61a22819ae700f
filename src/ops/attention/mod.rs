//! softmax(q kᵀ · scale + mask) v (Vaswani et al. 2017), in blocks of queries.
//!
//! The whole tensor of probabilities [H, T, S] never exists, forward or backward: the backward pass computes each
//! block of it again (as `FlashAttention` does, Dao et al. 2022). Rows that somebody wants to look at are computed on
//! their own.

mod backward;
mod forward;
mod geometry;
mod mask;
mod on_gpu;
mod plain;

use std::cell::RefCell;
use std::ops::Range;

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};

use self::geometry::Geometry;
pub use self::mask::Mask;
pub use self::plain::{attend as plain, rows as plain_rows};
use super::host::{for_element, slice};
use super::isa::Isa;
use super::tape;
use super::values::{flat, tensor_like, values};
use crate::error::{Error, Result};
use crate::progress::{Observer, Unobserved};

/// A stretch of queries and the keys they look at: a sequence, a window of an image.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Tokens of q.
    pub queries: Range<usize>,
    /// Tokens of k and v.
    pub keys: Range<usize>,
    /// Which of those keys each query may look at; all of them where there is none.
    pub mask: Option<Mask>,
}

impl Segment {
    /// Consecutive stretches of these lengths, each looking at all of itself.
    pub fn consecutive(lengths: &[usize]) -> Vec<Self> {
        let mut start = 0;
        let mut next = |len: &usize| {
            start += len;
            Self { queries: start - len..start, keys: start - len..start, mask: None }
        };
        lengths.iter().map(&mut next).collect()
    }

    /// One sequence: all keys, for all of the queries.
    pub fn whole(num_queries: usize, num_keys: usize, mask: Option<Mask>) -> Self {
        Self { queries: 0..num_queries, keys: 0..num_keys, mask }
    }
}

/// How it is computed.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Factor of the scores, 1 / √d.
    pub scale: f32,
    /// Queries at once.
    pub block: usize,
    /// Multiplications between two looks at who may stop it.
    pub products_at_once: usize,
    /// Instructions.
    pub isa: Isa,
}

/// Queries at once where nothing else is asked for: four tiles of the matrix kernels.
pub const BLOCK: usize = 64;
/// Multiplications between two looks where nothing else is asked for: well under a second on two cores.
pub const PRODUCTS_AT_ONCE: usize = 1 << 36;

/// q: [T, H, d], k and v: [S, Hkv, d] -> [T, H, d], each query head looking at the key-value head of its group.
///
/// Every query belongs to one segment. A query that may look at nothing gets zeros. NaN in a row of scores, or plus
/// infinity, gives NaN.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, segments: &[Segment], plan: Plan) -> Result<Tensor> {
    attend_watched(q, k, v, segments, plan, &Unobserved)
}

/// The same under an observer, who may stop it; where gradients are wanted, before it begins only.
pub fn attend_watched(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    segments: &[Segment],
    plan: Plan,
    observer: &dyn Observer,
) -> Result<Tensor> {
    observer.check()?;
    if !on_gpu::fits(q, segments) && !q.device().is_cpu() {
        return plain(q, k, v, segments, plan.scale);
    }
    let op = Attend { segments: segments.to_vec(), plan };
    if [q, k, v].into_iter().any(tape::wants) || !q.device().is_cpu() {
        return tape::apply3(q, k, v, op);
    }
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let watched = Watched { attend: op, observer, stopped: RefCell::default() };
    let out = q.apply_op3_no_bwd(&k, &v, &watched);
    match watched.stopped.take() {
        Some(stopped) => Err(stopped),
        None => Ok(out?),
    }
}

/// Probabilities of some queries of one segment: q [T, H, d], k [S, Hkv, d] -> [H, R, S'] in f32 for the R wanted
/// queries, counted from the segment's first, and the S' keys of the segment. Rows sum to 1, or to 0 where a query
/// may look at nothing. They carry no gradient.
pub fn rows(q: &Tensor, k: &Tensor, segment: &Segment, wanted: &[usize], plan: Plan) -> Result<Tensor> {
    if on_gpu::fits(q, std::slice::from_ref(segment)) {
        return on_gpu::rows(q, k, segment, wanted, plan);
    }
    if !q.device().is_cpu() {
        return plain_rows(q, k, segment, wanted, plan.scale);
    }
    let geometry = Geometry::new(q.dims3()?, k.dims3()?);
    // Of the queries only the wanted ones are read.
    let index: Vec<u32> = wanted.iter().map(|row| (segment.queries.start + row) as u32).collect();
    let picked = q.index_select(&Tensor::new(index, q.device())?, 0)?;
    let keys = k.narrow(0, segment.keys.start, segment.keys.len())?;
    let (heads, num_keys) = (geometry.heads, segment.keys.len());
    let found = {
        values!(qs = &picked, ks = &keys);
        forward::rows(geometry, qs, ks, segment, wanted, plan)
    };
    Ok(Tensor::from_vec(found, (heads, wanted.len(), num_keys), q.device())?)
}

struct Attend {
    segments: Vec<Segment>,
    plan: Plan,
}

type Side<'a> = (&'a CpuStorage, &'a Layout);

impl Attend {
    fn forward(
        &self,
        (q, q_layout): Side<'_>,
        (k, k_layout): Side<'_>,
        (v, v_layout): Side<'_>,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(q_layout.shape().dims3()?, k_layout.shape().dims3()?);
        let run = || -> candle_core::Result<Result<CpuStorage>> {
            for_element!(q.dtype(), T => {
                let (q, k, v) = (slice::<T>(q, q_layout)?, slice::<T>(k, k_layout)?, slice::<T>(v, v_layout)?);
                let out = forward::attend(geometry, q, k, v, &self.segments, self.plan, check);
                Ok(out.map(T::to_cpu_storage_owned))
            })
        };
        Ok((run()??, q_layout.shape().clone()))
    }
}

/// Attention without gradients, under the eyes of somebody.
struct Watched<'a> {
    attend: Attend,
    observer: &'a dyn Observer,
    /// Why it was stopped.
    stopped: RefCell<Option<Error>>,
}

impl CustomOp3 for Watched<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let check = || self.observer.check();
        self.attend.forward((q, q_layout), (k, k_layout), (v, v_layout), &check).map_err(|problem| {
            self.stopped.replace(Some(problem));
            candle_core::Error::Msg("attention came to nothing".to_owned())
        })
    }
}

impl CustomOp3 for Attend {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward((q, q_layout), (k, k_layout), (v, v_layout), &|| Ok(()))
            .map_err(candle_core::Error::wrap)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        q: &candle_core::CudaStorage,
        q_layout: &Layout,
        k: &candle_core::CudaStorage,
        k_layout: &Layout,
        v: &candle_core::CudaStorage,
        v_layout: &Layout,
    ) -> super::cuda::KernelOutput {
        on_gpu::forward(self, (q, q_layout), (k, k_layout), (v, v_layout), &[])
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if q.device().is_cuda() {
            return on_gpu::backward(self, q, k, v, res, grad);
        }
        let geometry = Geometry::new(q.dims3()?, k.dims3()?);
        let grad = flat(grad)?;
        let (dq, dk, dv) = {
            values!(qs = q, ks = k, vs = v, outs = res, gs = &grad);
            let given = backward::Given { q: qs, k: ks, v: vs, out: outs, grad: gs };
            backward::attend(geometry, &given, &self.segments, self.plan)
        };
        Ok((Some(tensor_like(dq, q)?), Some(tensor_like(dk, k)?), Some(tensor_like(dv, v)?)))
    }
}
