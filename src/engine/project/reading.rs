//! What chosen states say themselves: the words they would say were no layer to follow, and whom they are near.

use candle_core::{D, DType, Tensor};
use serde::Serialize;

use super::super::models::Models;
use super::super::session::OpenModel;
use super::order::Collected;
use super::store::{Chosen, StatePoint, States};
use crate::error::{Error, Result};
use crate::model::compute::Compute;
use crate::progress::{Observer, Phase, Progress};
use crate::projection::neighbours::among;
use crate::projection::rows::Rows;
use crate::units::Role;

use std::sync::Arc;

/// Points to read.
#[derive(Debug, Clone)]
pub struct ReadingOrder {
    /// Of these.
    pub collected: Arc<Collected>,
    /// On the layout of this layer.
    pub layer: usize,
    /// By number on the layout.
    pub points: Vec<u32>,
    /// The choice they are, so that an answer to an older one is known as such.
    pub choice: u64,
}

/// What they say.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Of which choice.
    pub choice: u64,
    /// Points it is of: of many chosen ones some, evenly.
    pub points: usize,
    /// By layer, ascending.
    pub words: Vec<LayerWords>,
    /// By role.
    pub near: Vec<Near>,
}

/// The likeliest words at a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerWords {
    /// 0 is the embedding, i + 1 the output of layer i, L after the final norm.
    pub layer: usize,
    /// With their probabilities, averaged over points; the likeliest first.
    pub words: Vec<(String, f32)>,
}

/// How near points are to tokens of a role.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// The role.
    pub role: Role,
    /// Mean cosine with those of the same sample; NaN where there are none.
    pub cosine: f64,
    /// Their share among the ten nearest of all samples.
    pub share: f64,
}

/// Points that are read of a choice.
const READ: usize = 128;
/// Points whose words are averaged: scores over a large vocabulary are long.
pub const SPOKEN: usize = 32;
/// Words that are named.
const WORDS: usize = 5;
/// Nearest others that count.
const NEAREST: usize = 10;

impl ReadingOrder {
    /// That the states are the model's as it is now.
    fn is_of(&self, session: &OpenModel, observer: &dyn Observer) -> Result<()> {
        let Collected { folder, plan, .. } = &*self.collected;
        let (base, adapter) = session.digests(observer)?;
        if (&plan.what.base, &plan.what.adapter) == (&base, &adapter) {
            return Ok(());
        }
        let expected = "states of the model that is named";
        Err(Error::field(
            folder,
            "the folder",
            expected,
            "those of a model or an adapter that has changed since",
        ))
    }

    /// Reads them.
    ///
    /// # Errors
    /// A model that cannot be read, a stop.
    pub fn read(&self, models: &mut Models, observer: &dyn Observer) -> Result<Reading> {
        let states = &self.collected.states;
        let Some(id) = &self.collected.model else {
            return Err(Error::Request(
                "the file of the layout does not say whose states they are".to_owned(),
            ));
        };
        let num_layers = models.open(id, observer)?.num_layers;
        let session = models.session(id).expect("opened above");
        self.is_of(session, observer)?;
        let all = states.at_layer(self.layer);
        let most = self.points.len().min(READ);
        let numbers: Vec<usize> =
            (0..most).map(|i| self.points[i * self.points.len() / most] as usize).collect();
        let points: Option<Vec<StatePoint>> = numbers.iter().map(|i| all.points().get(*i).copied()).collect();
        let Some(points) = points.filter(|points| !points.is_empty()) else {
            return Err(Error::Request("a reading: expected points of the layout, found others".to_owned()));
        };
        let is_read = |point: &StatePoint| {
            points.iter().any(|own| (own.sample, own.kept.token) == (point.sample, point.kept.token))
        };
        let compute = Compute::observed(observer);
        let layers = states.layers();
        let mut words = Vec::with_capacity(layers.len());
        for (done, layer) in layers.iter().enumerate() {
            observer.progress(Progress { phase: Phase::Words, done, total: layers.len() })?;
            let own = states.at_layer(*layer).filtered(is_read);
            words.push(LayerWords { layer: *layer, words: likeliest(own, num_layers, session, &compute)? });
        }
        let near = near(&all, &numbers, &points, observer)?;
        Ok(Reading { choice: self.choice, points: points.len(), words, near })
    }
}

/// The words that tokens of each role would say at each layer, on average over some of them.
///
/// # Errors
/// States that cannot be read, a stop.
pub fn words_by_role(
    states: &States,
    roles: &[Role],
    num_layers: usize,
    session: &OpenModel,
    compute: &Compute<'_>,
) -> Result<Vec<(Role, Vec<LayerWords>)>> {
    let of = |role: &Role| {
        let at = |layer: usize| {
            let own = states.at_layer(layer).filtered(|point| point.kept.role == *role);
            Ok(LayerWords { layer, words: likeliest(own, num_layers, session, compute)? })
        };
        Ok((*role, states.layers().into_iter().map(at).collect::<Result<_>>()?))
    };
    roles.iter().map(of).collect()
}

/// The likeliest words of states of one layer: the logit lens, and after the final norm what the model itself says.
fn likeliest(
    chosen: Chosen<'_>,
    num_layers: usize,
    session: &OpenModel,
    compute: &Compute<'_>,
) -> Result<Vec<(String, f32)>> {
    compute.check()?;
    let chosen = chosen.thinned(SPOKEN);
    let Some(point) = chosen.points().first() else { return Ok(Vec::new()) };
    let model = session.model();
    let shape = (chosen.count(), chosen.width());
    let states =
        Tensor::from_vec(chosen.values()?, shape, model.device())?.to_dtype(model.precision().dtype)?;
    let scores = if point.layer as usize == num_layers {
        model.text.logits(&states, compute)?
    } else {
        model.text.lens(&states, compute)?
    };
    let scores = scores.to_dtype(DType::F32)?;
    let powers = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    let shares = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?.mean(0)?.to_vec1::<f32>()?;
    let mut ids: Vec<usize> = (0..shares.len()).collect();
    let most = WORDS.min(ids.len());
    let by_share = |a: &usize, b: &usize| shares[*b].total_cmp(&shares[*a]).then(a.cmp(b));
    ids.select_nth_unstable_by(most - 1, by_share);
    ids.truncate(most);
    ids.sort_unstable_by(by_share);
    Ok(ids.into_iter().map(|id| (session.processor().token_text(id as u32), shares[id])).collect())
}

fn near(
    all: &Chosen<'_>,
    numbers: &[usize],
    points: &[StatePoint],
    observer: &dyn Observer,
) -> Result<Vec<Near>> {
    let width = all.width();
    let mut sums = [(0f64, 0usize); 3];
    let mut row = vec![0f32; width];
    for (number, point) in numbers.iter().zip(points) {
        all.read(*number, &mut row)?;
        let own = direction(&row);
        // Points come sample by sample.
        let first = all.points().partition_point(|other| other.sample < point.sample);
        let count = all.points()[first..].iter().take_while(|other| other.sample == point.sample).count();
        let mut others = vec![0f32; count * width];
        all.read(first, &mut others)?;
        for (i, other) in others.chunks_exact(width).enumerate() {
            let role = all.points()[first + i].kept.role;
            if first + i != *number
                && let Some(place) = ROLES.iter().position(|known| *known == role)
            {
                let cosine: f64 = own.iter().zip(direction(other)).map(|(a, b)| a * b).sum();
                sums[place].0 += cosine;
                sums[place].1 += 1;
            }
        }
    }
    let nearest: Vec<u32> = among(all, numbers, NEAREST, observer)?.into_iter().flatten().collect();
    let share = |role: Role| {
        let of_role = nearest.iter().filter(|i| all.points()[**i as usize].kept.role == role).count();
        of_role as f64 / nearest.len().max(1) as f64
    };
    let of = |(role, (sum, count)): (&Role, (f64, usize))| Near {
        role: *role,
        cosine: if count == 0 { f64::NAN } else { sum / count as f64 },
        share: share(*role),
    };
    Ok(ROLES.iter().zip(sums).map(of).collect())
}

const ROLES: [Role; 3] = [Role::Latent, Role::Image, Role::Prompt];

fn direction(row: &[f32]) -> Vec<f64> {
    let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1e-12);
    row.iter().map(|v| f64::from(*v) / length).collect()
}
