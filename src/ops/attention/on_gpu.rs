//! Attention by kernels of our own on NVIDIA GPUs.

use candle_core::Tensor;

use super::Segment;

/// Does the kernel take these? Scores of a query's keys, and their gradients, must fit a block's shared memory.
pub(super) fn fits(q: &Tensor, segments: &[Segment]) -> bool {
    #[cfg(feature = "cuda")]
    {
        use crate::ops::cuda::MOST_SHARED_BYTES;
        let one_rule = segments.windows(2).all(|pair| {
            let table =
                |segment: &'_ Segment| segment.mask.as_ref().map(|mask| mask.looks().table().to_vec());
            table(&pair[0]) == table(&pair[1])
        });
        let most = segments.iter().map(|segment| segment.keys.len()).max().unwrap_or(0);
        q.device().is_cuda() && one_rule && 2 * most * size_of::<f32>() <= MOST_SHARED_BYTES
    }
    #[cfg(not(feature = "cuda"))]
    {
        let _: (&Tensor, &[Segment]) = (q, segments);
        false
    }
}

/// Never asked for in a build without kernels.
#[cfg(not(feature = "cuda"))]
pub(super) fn rows(
    _q: &Tensor,
    _k: &Tensor,
    _segment: &Segment,
    _wanted: &[usize],
    _plan: super::Plan,
) -> crate::error::Result<Tensor> {
    unreachable!("this build has no kernels")
}

#[cfg(feature = "cuda")]
pub(super) use kernels::{backward, forward, rows};

#[cfg(feature = "cuda")]
mod kernels {
    use candle_core::backend::BackendStorage as _;
    use candle_core::cuda_backend::cudarc::driver::CudaSlice;
    use candle_core::{
        CpuStorage, CudaDevice, CudaStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor,
    };

    use super::super::{Attend, Plan, Segment};
    use crate::ops::cuda::{ATTENTION, Arg, KernelOutput, ints, launch, pointer, pointer_of, suffix, zeros};

    /// Where each query looks, on the GPU: first key, end, its group, the groups of keys, which group may look at which, and
    /// how many groups there are.
    struct Where {
        _held: [CudaSlice<i32>; 5],
        args: [Arg; 6],
        most_keys: usize,
    }

    impl Where {
        /// Of segments over `num_queries` queries and `num_keys` keys; `None` where two segments follow different rules.
        fn new(
            device: &CudaDevice,
            segments: &[Segment],
            num_queries: usize,
            num_keys: usize,
        ) -> Result<Option<Self>> {
            let mut tables =
                [vec![0i32; num_queries], vec![0; num_queries], vec![0; num_queries], vec![0; num_keys]];
            let mut rule: Option<Vec<bool>> = None;
            let mut most_keys = 0;
            for segment in segments {
                // Without a mask all are of one group, which sees all of itself.
                let own =
                    segment.mask.as_ref().map_or_else(|| vec![true], |mask| mask.looks().table().to_vec());
                if *rule.get_or_insert_with(|| own.clone()) != own {
                    return Ok(None);
                }
                for (place, query) in segment.queries.clone().enumerate() {
                    let mask = segment.mask.as_ref();
                    let seen = mask.map_or(segment.keys.len(), |mask| mask.keys_behind(place));
                    tables[0][query] = segment.keys.start as i32;
                    tables[1][query] = (segment.keys.start + seen) as i32;
                    tables[2][query] = mask.map_or(0, |mask| mask.group_of_query(place)) as i32;
                    most_keys = most_keys.max(seen);
                }
                if let Some(mask) = &segment.mask {
                    for (key, group) in segment.keys.clone().zip(mask.looks().groups()) {
                        tables[3][key] = *group as i32;
                    }
                }
            }
            let rule = rule.unwrap_or_else(|| vec![true]);
            let num_groups = rule.len().isqrt();
            let rule: Vec<i32> = rule.into_iter().map(i32::from).collect();
            let [start, end, query_group, key_group] = tables.each_ref().map(|table| ints(device, table));
            let ((a, start), (b, end)) = (start?, end?);
            let ((c, query_group), (d, key_group)) = (query_group?, key_group?);
            let (e, allowed) = ints(device, &rule)?;
            let args = [start, end, query_group, key_group, allowed, Arg::Int(num_groups as i32)];
            Ok(Some(Self { _held: [a, b, c, d, e], args, most_keys }))
        }

        /// As arguments, in the kernels' order.
        fn args(&self) -> [Arg; 6] {
            self.args
        }

        /// Bytes of the scores of the query that sees most.
        fn score_bytes(&self) -> usize {
            self.most_keys.max(1) * size_of::<f32>()
        }
    }

    type Side<'a> = (&'a CudaStorage, &'a Layout);

    /// Sizes the kernels take: key-value heads, heads to each, their size.
    fn sizes(q: &Layout, k: &Layout) -> Result<[Arg; 3]> {
        let ((_, heads, dim), (_, kv_heads, _)) = (q.shape().dims3()?, k.shape().dims3()?);
        Ok([kv_heads, heads / kv_heads, dim].map(|n| Arg::Int(n as i32)))
    }

    fn where_of(op: &Attend, q: Side<'_>, k: Side<'_>) -> Result<Where> {
        let (queries, keys) = (q.1.shape().dims3()?.0, k.1.shape().dims3()?.0);
        match Where::new(q.0.device(), &op.segments, queries, keys)? {
            Some(found) => Ok(found),
            None => candle_core::bail!("segments of one call follow one rule"),
        }
    }

    /// The output, or where rows are wanted those instead: [H, R, S] in f32.
    pub fn forward(op: &Attend, q: Side<'_>, k: Side<'_>, v: Side<'_>, wanted: &[usize]) -> KernelOutput {
        let (device, shape) = (q.0.device(), q.1.shape().clone());
        let (queries, heads, _) = shape.dims3()?;
        let keys = k.1.shape().dims3()?.0;
        let looks = where_of(op, q, k)?;
        let out = zeros(device, shape.elem_count(), q.0.dtype())?;
        let rows_shape = Shape::from((heads, wanted.len(), keys));
        let rows = zeros(device, rows_shape.elem_count().max(1), DType::F32)?;
        let mut places = vec![-1; queries];
        for (row, query) in wanted.iter().enumerate() {
            places[*query] = row as i32;
        }
        let (_held, row_of_query) = ints(device, &places)?;
        let mut args = vec![
            pointer(q.0, q.1)?,
            pointer(k.0, k.1)?,
            pointer(v.0, v.1)?,
            pointer(&out, &Layout::contiguous(&shape))?,
            pointer(&rows, &Layout::contiguous(&rows_shape))?,
            row_of_query,
            Arg::Int(wanted.len() as i32),
            Arg::Int(keys as i32),
        ];
        args.extend(looks.args());
        args.extend(sizes(q.1, k.1)?);
        args.push(Arg::Float(op.plan.scale));
        let kernel = format!("attention_forward_{}", suffix(q.0.dtype()));
        launch(device, ATTENTION, &kernel, (queries, heads), looks.score_bytes(), &args)?;
        Ok(if wanted.is_empty() { (out, shape) } else { (rows, rows_shape) })
    }

    /// Probabilities of the wanted queries of a segment, [H, R, S].
    pub fn rows(
        q: &Tensor,
        k: &Tensor,
        segment: &Segment,
        wanted: &[usize],
        plan: Plan,
    ) -> crate::error::Result<Tensor> {
        let part =
            |x: &Tensor, range: &std::ops::Range<usize>| x.narrow(0, range.start, range.len())?.contiguous();
        let (q, k) = (part(q, &segment.queries)?, part(k, &segment.keys)?);
        let own = Segment::whole(segment.queries.len(), segment.keys.len(), segment.mask.clone());
        let op = Rows { attend: Attend { segments: vec![own], plan }, wanted: wanted.to_vec() };
        Ok(q.apply_op2_no_bwd(&k, &op)?)
    }

    struct Rows {
        attend: Attend,
        wanted: Vec<usize>,
    }

    impl CustomOp2 for Rows {
        fn name(&self) -> &'static str {
            "attention-rows"
        }

        fn cpu_fwd(
            &self,
            _: &CpuStorage,
            _: &Layout,
            _: &CpuStorage,
            _: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            candle_core::bail!("the CPU has rows of its own")
        }

        fn cuda_fwd(
            &self,
            q: &CudaStorage,
            q_layout: &Layout,
            k: &CudaStorage,
            k_layout: &Layout,
        ) -> KernelOutput {
            // What is mixed is not looked at: keys stand in for values.
            forward(&self.attend, (q, q_layout), (k, k_layout), (k, k_layout), &self.wanted)
        }
    }

    /// Gradients of q, k and v.
    pub fn backward(
        op: &Attend,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let attend = Attend { segments: op.segments.clone(), plan: op.plan };
        let back = Back { attend, out: out.contiguous()?, grad: grad.contiguous()? };
        let all = q.contiguous()?.apply_op3_no_bwd(&k.contiguous()?, &v.contiguous()?, &back)?;
        let mut start = 0;
        let mut next = |like: &Tensor| {
            let part =
                all.narrow(0, start, like.elem_count())?.reshape(like.shape())?.to_dtype(like.dtype())?;
            start += like.elem_count();
            Ok::<_, candle_core::Error>(Some(part))
        };
        Ok((next(q)?, next(k)?, next(v)?))
    }

    struct Back {
        attend: Attend,
        out: Tensor,
        grad: Tensor,
    }

    impl CustomOp3 for Back {
        fn name(&self) -> &'static str {
            "attention-backward"
        }

        fn cpu_fwd(
            &self,
            _: &CpuStorage,
            _: &Layout,
            _: &CpuStorage,
            _: &Layout,
            _: &CpuStorage,
            _: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            candle_core::bail!("the CPU has a backward pass of its own")
        }

        /// All three gradients as f32, one after the other.
        fn cuda_fwd(
            &self,
            q: &CudaStorage,
            q_layout: &Layout,
            k: &CudaStorage,
            k_layout: &Layout,
            v: &CudaStorage,
            v_layout: &Layout,
        ) -> KernelOutput {
            let (device, (queries, heads, _)) = (q.device(), q_layout.shape().dims3()?);
            let counts = [q_layout, k_layout, v_layout].map(|layout| layout.shape().elem_count());
            let looks = where_of(&self.attend, (q, q_layout), (k, k_layout))?;
            let total: usize = counts.iter().sum();
            let all = zeros(device, total, DType::F32)?;
            let Arg::Pointer(first) = pointer(&all, &Layout::contiguous(total))? else {
                unreachable!("a pointer")
            };
            let at = |count: usize| Arg::Pointer(first + (count * size_of::<f32>()) as u64);
            let mut args = vec![
                pointer(q, q_layout)?,
                pointer(k, k_layout)?,
                pointer(v, v_layout)?,
                pointer_of(&self.out)?,
                pointer_of(&self.grad)?,
                at(0),
                at(counts[0]),
                at(counts[0] + counts[1]),
            ];
            args.extend(looks.args());
            args.extend(sizes(q_layout, k_layout)?);
            args.push(Arg::Float(self.attend.plan.scale));
            let kernel = format!("attention_backward_{}", suffix(q.dtype()));
            launch(device, ATTENTION, &kernel, (queries, heads), 2 * looks.score_bytes(), &args)?;
            Ok((all, total.into()))
        }
    }
}
