//! Gradients of a stretch of operations, handed from one to the next.
//!
//! candle's walk back through a graph adds every gradient to zeros of its own, one use of a tensor at a time, and for
//! small models that takes longer than the products. Within a [`stretch`] operations are noted here instead: the only
//! gradient of a tensor is handed on as it is, several are summed in one pass and rounded once. To candle the whole
//! stretch is one operation. Outside of a stretch the same functions leave all to candle.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use candle_core::backend::BackendStorage as _;
use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Shape, Storage, Tensor, TensorId, Var, WithDType,
};

use super::host::{for_element, slice};
use super::values::sum;
use crate::error::{Error, Result};

/// Operations of candle's own on some tensors.
type Native = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;

/// An operation that was done, for the way back.
enum Op {
    One(Box<dyn CustomOp1 + Send + Sync>),
    Two(Box<dyn CustomOp2 + Send + Sync>),
    Three(Box<dyn CustomOp3 + Send + Sync>),
    /// The same values in another shape or order in memory.
    Reshape,
    /// Part of a dimension, from a place on.
    Narrow {
        dim: usize,
        start: usize,
    },
    /// One below the other.
    CatRows,
    Native(Native),
}

/// An operation with what it was given and gave.
struct Step {
    op: Op,
    inputs: Vec<Tensor>,
    output: Tensor,
}

thread_local! {
    /// Tensors of the present stretch that hang on something with a gradient.
    static LIVE: RefCell<HashSet<TensorId>> = RefCell::default();
    /// Steps of the present stretch.
    static STEPS: RefCell<Option<Vec<Step>>> = const { RefCell::new(None) };
    /// Gradients of variables within stretches, while [`backward`] runs.
    static FOUND: RefCell<Option<HashMap<TensorId, Tensor>>> = const { RefCell::new(None) };
}

/// Does a tensor want a gradient? Like candle's `track_op`, within a stretch too.
pub fn wants(x: &Tensor) -> bool {
    x.track_op() || LIVE.with_borrow(|live| live.contains(&x.id()))
}

fn is_noting() -> bool {
    STEPS.with_borrow(Option::is_some)
}

/// Notes a step whose output hangs on something with a gradient.
fn note(op: Op, inputs: &[&Tensor], output: Tensor) -> candle_core::Result<Tensor> {
    if !inputs.iter().any(|input| wants(input)) {
        return Ok(output);
    }
    if inputs.iter().any(|input| input.track_op() && !input.is_variable()) {
        candle_core::bail!("a tensor of candle's graph within a stretch: its gradient would be lost");
    }
    LIVE.with_borrow_mut(|live| live.insert(output.id()));
    let inputs = inputs.iter().copied().cloned().collect();
    let step = Step { op, inputs, output: output.clone() };
    STEPS.with_borrow_mut(|steps| steps.get_or_insert_default().push(step));
    Ok(output)
}

/// In row order, without a copy where it is so already.
fn contiguous(x: &Tensor) -> candle_core::Result<Tensor> {
    if !is_noting() || x.is_contiguous() {
        return x.contiguous();
    }
    note(Op::Reshape, &[x], x.contiguous()?)
}

/// An operation on one tensor.
pub fn apply1<C: CustomOp1 + Send + Sync + 'static>(x: &Tensor, op: C) -> Result<Tensor> {
    let x = contiguous(x)?;
    if !is_noting() {
        return Ok(x.apply_op1(op)?);
    }
    let output = x.apply_op1_no_bwd(&op)?;
    Ok(note(Op::One(Box::new(op)), &[&x], output)?)
}

/// An operation on two.
pub fn apply2<C: CustomOp2 + Send + Sync + 'static>(a: &Tensor, b: &Tensor, op: C) -> Result<Tensor> {
    let (a, b) = (contiguous(a)?, contiguous(b)?);
    if !is_noting() {
        return Ok(a.apply_op2(&b, op)?);
    }
    let output = a.apply_op2_no_bwd(&b, &op)?;
    Ok(note(Op::Two(Box::new(op)), &[&a, &b], output)?)
}

/// An operation on three.
pub fn apply3<C: CustomOp3 + Send + Sync + 'static>(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    op: C,
) -> Result<Tensor> {
    let (a, b, c) = (contiguous(a)?, contiguous(b)?, contiguous(c)?);
    if !is_noting() {
        return Ok(a.apply_op3(&b, &c, op)?);
    }
    let output = a.apply_op3_no_bwd(&b, &c, &op)?;
    Ok(note(Op::Three(Box::new(op)), &[&a, &b, &c], output)?)
}

/// The same values in another shape.
pub fn reshape(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    let output = x.reshape(shape.into())?;
    if is_noting() { Ok(note(Op::Reshape, &[x], output)?) } else { Ok(output) }
}

/// `len` of a dimension, from `start` on.
pub fn narrow(x: &Tensor, dim: usize, start: usize, len: usize) -> Result<Tensor> {
    if !is_noting() {
        return Ok(x.narrow(dim, start, len)?);
    }
    Ok(note(Op::Narrow { dim, start }, &[x], x.detach().narrow(dim, start, len)?)?)
}

/// Tensors one below the other.
pub fn cat_rows(parts: &[Tensor]) -> Result<Tensor> {
    let output = Tensor::cat(parts, 0)?;
    let inputs: Vec<&Tensor> = parts.iter().collect();
    if is_noting() { Ok(note(Op::CatRows, &inputs, output)?) } else { Ok(output) }
}

/// Operations of candle's own on some tensors; within a stretch they are done again on the way back.
pub fn native(
    inputs: &[&Tensor],
    run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let owned: Vec<Tensor> = inputs.iter().copied().cloned().collect();
    if !is_noting() {
        return run(&owned);
    }
    let output = run(&owned.iter().map(Tensor::detach).collect::<Vec<_>>())?;
    Ok(note(Op::Native(Box::new(run)), inputs, output)?)
}

/// Notes steps for as long as it lives, so that an error on the way leaves nothing behind.
struct Noting;

impl Noting {
    fn begin(live: Option<TensorId>) -> Self {
        LIVE.set(live.into_iter().collect());
        STEPS.set(Some(Vec::new()));
        Self
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        LIVE.take();
        STEPS.take();
    }
}

/// Runs operations on x as one stretch: `run` may use this module's functions, operations that use them, and what has
/// no gradient, but no other operation of candle on what hangs on x or on a variable. On the CPU; elsewhere, and within
/// another stretch, it just runs them.
///
/// # Errors
/// Those of `run`.
pub fn stretch(x: &Tensor, run: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if !x.device().is_cpu() || is_noting() {
        return run(x);
    }
    let input = x.detach();
    let noting = Noting::begin(x.track_op().then(|| input.id()));
    let output = run(&input)?;
    let (live, steps) = (LIVE.take(), STEPS.take().unwrap_or_default());
    drop(noting);
    if !live.contains(&output.id()) {
        if x.track_op() || output.track_op() || !steps.is_empty() {
            return Err(Error::Tensor("a stretch lost its gradient on the way".to_owned()));
        }
        return Ok(output);
    }
    // What candle walks to must hang on something with a gradient, which the variables within it do not see to.
    let anchor = if x.track_op() { x.clone() } else { Var::zeros((), x.dtype(), x.device())?.into_inner() };
    let taped = Taped { input, output, way_back: Mutex::new(Some((live, steps))) };
    Ok(x.apply_op2(&anchor, taped)?)
}

/// A stretch as one operation. Its second input only sees to it that candle walks through it.
struct Taped {
    input: Tensor,
    output: Tensor,
    /// Taken by the way back, which leaves nothing of it.
    way_back: Mutex<Option<(HashSet<TensorId>, Vec<Step>)>>,
}

impl CustomOp2 for Taped {
    fn name(&self) -> &'static str {
        "stretch"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let output = self.output.contiguous()?;
        let (storage, layout) = output.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a stretch that is not on the CPU") };
        for_element!(storage.dtype(), T => {
            Ok((T::to_cpu_storage_owned(slice::<T>(storage, layout)?.to_vec()), output.shape().clone()))
        })
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let taken = self.way_back.lock().ok().and_then(|mut held| held.take());
        let Some((live, steps)) = taken else { candle_core::bail!("gradients of a stretch are there once") };
        if FOUND.with_borrow(Option::is_none) {
            candle_core::bail!("gradients of a stretch are found by `tape::backward`");
        }
        LIVE.set(live);
        let own = way_back(steps, &self.input, &self.output, grad);
        LIVE.take();
        Ok((own?, None))
    }
}

/// Hands the gradient of the output back from step to step, to the input; variables' gradients go to [`FOUND`].
fn way_back(
    steps: Vec<Step>,
    first: &Tensor,
    last: &Tensor,
    grad: &Tensor,
) -> candle_core::Result<Option<Tensor>> {
    let mut pending: HashMap<TensorId, Vec<Tensor>> = HashMap::new();
    pending.insert(last.id(), vec![grad.clone()]);
    for Step { op, inputs, output } in steps.into_iter().rev() {
        // A part that the output does not hang on.
        let Some(grads) = pending.remove(&output.id()) else { continue };
        let grad = sum(&grads)?;
        for (input, grad) in inputs.iter().zip(op.back(&inputs, &output, &grad)?) {
            match grad {
                Some(grad) if input.is_variable() => found(input, grad)?,
                Some(grad) if wants(input) => pending.entry(input.id()).or_default().push(grad),
                _ => {}
            }
        }
    }
    pending.remove(&first.id()).map(|grads| sum(&grads)).transpose()
}

/// Adds to the gradient of a variable.
fn found(variable: &Tensor, grad: Tensor) -> candle_core::Result<()> {
    FOUND.with_borrow_mut(|found| {
        let found = found.get_or_insert_default();
        let before = found.remove(&variable.id());
        found.insert(variable.id(), sum(&before.into_iter().chain([grad]).collect::<Vec<_>>())?);
        Ok(())
    })
}

impl Op {
    /// Gradients of the inputs.
    fn back(
        &self,
        inputs: &[Tensor],
        output: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        Ok(match (self, inputs) {
            (Self::One(op), [x]) => vec![op.bwd(x, output, grad)?],
            (Self::Two(op), [a, b]) => {
                let (a, b) = op.bwd(a, b, output, grad)?;
                vec![a, b]
            }
            (Self::Three(op), [a, b, c]) => {
                let (a, b, c) = op.bwd(a, b, c, output, grad)?;
                vec![a, b, c]
            }
            (Self::Reshape, [x]) => vec![Some(grad.reshape(x.shape())?)],
            (Self::Narrow { dim, start }, [x]) => {
                let after = x.dim(*dim)? - start - grad.dim(*dim)?;
                vec![Some(grad.pad_with_zeros(*dim, *start, after)?)]
            }
            (Self::CatRows, parts) => {
                let mut start = 0;
                let part = |part: &Tensor| {
                    let (first, len) = (start, part.dim(0)?);
                    start += len;
                    grad.narrow(0, first, len).map(Some)
                };
                parts.iter().map(part).collect::<candle_core::Result<_>>()?
            }
            (Self::Native(run), inputs) => native_back(run, inputs, grad)?,
            _ => candle_core::bail!("an operation with another number of inputs than it was given"),
        })
    }
}

/// Does candle's operations again, where it sees them, and asks it for the gradients.
fn native_back(run: &Native, inputs: &[Tensor], grad: &Tensor) -> candle_core::Result<Vec<Option<Tensor>>> {
    let variables = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let given: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let grads = (run(&given).map_err(candle_core::Error::wrap)? * grad)?.sum_all()?.backward()?;
    Ok(given.iter().map(|input| grads.get(input).cloned()).collect())
}

/// The gradients of a loss.
pub struct Gradients {
    within: HashMap<TensorId, Tensor>,
    outside: GradStore,
}

impl Gradients {
    /// That of a variable; none where the loss does not hang on it.
    ///
    /// # Errors
    /// Gradients that cannot be summed.
    pub fn get(&self, variable: &Tensor) -> Result<Option<Tensor>> {
        let both = [self.within.get(&variable.id()), self.outside.get(variable)];
        let parts: Vec<Tensor> = both.into_iter().flatten().cloned().collect();
        Ok(if parts.is_empty() { None } else { Some(sum(&parts)?) })
    }
}

/// The gradients of a loss, of all stretches and of what is between them.
///
/// # Errors
/// Those of the operations' ways back.
pub fn backward(loss: &Tensor) -> Result<Gradients> {
    FOUND.set(Some(HashMap::new()));
    let outside = loss.backward();
    let within = FOUND.take().unwrap_or_default();
    Ok(Gradients { within, outside: outside? })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::ops::elementwise::add;
    use crate::ops::gelu::{Form, gelu};
    use crate::ops::isa::Isa;
    use crate::ops::linear::linear;
    use crate::ops::weight::Weight;

    fn values(shape: (usize, usize), seed: f32) -> Tensor {
        let of = |i: usize| (i as f32 * 0.37 + seed).sin();
        Tensor::from_vec((0..shape.0 * shape.1).map(of).collect(), shape, &Device::Cpu).unwrap()
    }

    /// x several times, every function of this module, a part that the result does not hang on.
    fn function(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let isa = Isa::best();
        let y = linear(x, &Weight::Dense(narrow(weight, 0, 2, 6)?), None, isa)?;
        let _unused = gelu(&y, Form::Erf, isa)?;
        let y = add(&reshape(&y, x.shape())?, x, isa)?;
        let turned =
            native(&[&y, weight], |of| Ok((of[0].tanh()? * of[1].mean_all()?.to_scalar::<f32>()? as f64)?))?;
        let halves = [narrow(&turned, 1, 3, 3)?, narrow(&turned, 1, 0, 3)?];
        let halves = [gelu(&halves[0], Form::Tanh, isa)?, reshape(&halves[1], (5, 3))?];
        let stacked = cat_rows(&halves)?;
        add(&reshape(&stacked, (5, 6))?, &add(x, &y, isa)?, isa)
    }

    #[test]
    fn gradients_of_a_stretch_are_candles() {
        let given = Var::from_tensor(&values((5, 6), 0.1)).unwrap();
        let weight = Var::from_tensor(&values((9, 6), 0.7)).unwrap();
        let up = values((5, 6), 2.0);
        let loss = |in_stretch: bool| {
            // Between stretches candle sees to it: the weight is used within and without.
            let x = (given.as_tensor() * 1.5).unwrap();
            let run = |x: &Tensor| function(x, weight.as_tensor());
            let once = if in_stretch { stretch(&x, run) } else { run(&x) }.unwrap();
            let once = (once + weight.narrow(0, 1, 5).unwrap()).unwrap();
            let twice = if in_stretch { stretch(&once, run) } else { run(&once) }.unwrap();
            (twice * &up).unwrap().sum_all().unwrap()
        };
        let (ours, theirs) = (backward(&loss(true)).unwrap(), loss(false).backward().unwrap());
        for variable in [given.as_tensor(), weight.as_tensor()] {
            let flat = |grad: &Tensor| grad.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let ours = flat(&ours.get(variable).unwrap().unwrap());
            let theirs = flat(theirs.get(variable).unwrap());
            assert!(theirs.iter().any(|g| g.abs() > 0.1));
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_stretch_of_constants_is_one_and_a_gradient_that_would_be_lost_is_an_error() {
        let (x, weight) = (values((5, 6), 0.1), values((9, 6), 0.7));
        let out = stretch(&x, |x| function(x, &weight)).unwrap();
        assert!(!out.track_op());
        // Only the weight within has a gradient.
        let variable = Var::from_tensor(&weight).unwrap();
        let out = stretch(&x, |x| function(x, variable.as_tensor())).unwrap();
        let loss = out.sum_all().unwrap();
        assert!(loss.backward().is_err(), "nobody takes the gradients of variables within");
        let out = stretch(&x, |x| function(x, variable.as_tensor())).unwrap().sum_all().unwrap();
        assert!(backward(&out).unwrap().get(variable.as_tensor()).unwrap().is_some());
        assert!(backward(&out).is_err(), "what the way back needs is there once");
        // candle's own operations within a stretch.
        let tracked = Var::from_tensor(&x).unwrap();
        assert!(stretch(tracked.as_tensor(), |x| Ok((x * 2.0)?)).is_err());
        let isa = Isa::best();
        assert!(stretch(&x, |x| add(x, &(tracked.as_tensor() * 2.0)?, isa)).is_err());
        // An error leaves no stretch open.
        assert!(!is_noting());
        assert!(stretch(&x, |x| function(x, &weight)).is_ok());
    }
}
