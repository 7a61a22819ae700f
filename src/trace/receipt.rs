//! What edits did to a run, beside the same run without them.

use serde::{Deserialize, Serialize};

use super::{ChoiceScore, Trace};

/// A receipt of an edited run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// What is said without the edits.
    pub base_answer: String,
    /// The choices without them.
    pub base_choices: Vec<ChoiceScore>,
    /// Length of the change of the state that says the answer's first token, behind the final norm, by the length it had.
    pub last_state: f64,
    /// Were the same edits, done with what was there, the run without them to the bit?
    pub sham: bool,
}

impl Receipt {
    /// Of an edited run, the run without its edits, and that of the sham.
    pub fn of(edited: &Trace, base: &Trace, sham: &Trace) -> Self {
        let length = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
        };
        let (own, was) = (&edited.last_state, &base.last_state);
        let moved = length(&mut own.iter().zip(was).map(|(own, was)| own - was));
        Self {
            base_answer: base.answer.clone(),
            base_choices: base.choices.clone(),
            last_state: moved / length(&mut was.iter().copied()).max(f64::MIN_POSITIVE),
            sham: said_bits(base) == said_bits(sham),
        }
    }

    /// Change of the log-probability of each choice, in nats.
    pub fn changes(&self, edited: &Trace) -> Vec<f32> {
        edited.choices.iter().zip(&self.base_choices).map(|(own, base)| own.logprob - base.logprob).collect()
    }
}

/// What two runs that are the same have to the bit: the state that says the answer, its tokens, the choices.
fn said_bits(trace: &Trace) -> Vec<u32> {
    let tokens = trace.generated.iter().flat_map(|token| [token.id, token.logprob.to_bits()]);
    let choices = trace.choices.iter().map(|choice| choice.logprob.to_bits());
    trace.last_state.iter().map(|value| value.to_bits()).chain(tokens).chain(choices).collect()
}
