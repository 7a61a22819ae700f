//! The edits of a condition, on one run: in the pass over its prompt, at every step of its answer, on every choice.

use crate::ask::looks::{Edges, Looks, Prompt};
use crate::ask::{Condition, Edit};
use crate::error::{Error, Result};
use crate::model::tap::{PassInfo, Tap};
use crate::trace::Intervened;
use crate::units::{LayerIdx, Role, Span};

/// What a condition changes in a run.
pub struct Intervention {
    edges: Edges,
    /// What each statement changed, in their order.
    pub done: Vec<Intervened>,
}

impl Intervention {
    /// The edits of a condition on a prompt; nothing where it has none.
    ///
    /// # Errors
    /// Tokens or layers that are not there; an edit that is not done by this version.
    pub fn of(
        condition: &Condition,
        roles: &[Role],
        image_spans: &[Span],
        num_layers: usize,
    ) -> Result<Option<Self>> {
        if condition.edits.is_empty() {
            return Ok(None);
        }
        check_done(condition)?;
        let edges = Edges::new(&condition.edits, Prompt { roles, image_spans }, num_layers);
        let edges = edges.map_err(Error::Request)?;
        let changed = edges.changed(condition.mask.rule(), roles, num_layers);
        let said = |(edit, changed): (&Edit, usize)| Intervened { statement: edit.to_string(), changed };
        let done = condition.edits.iter().zip(changed).map(said).collect();
        Ok(Some(Self { edges, done }))
    }
}

/// Are all edits of a condition done by this version?
///
/// # Errors
/// One that is not.
pub fn check_done(condition: &Condition) -> Result<()> {
    let Some(other) = condition.edits.iter().find(|edit| edit.edge().is_none()) else { return Ok(()) };
    Err(Error::Request(format!(
        "{other}: expected a statement that blocks or allows looks, as in \"block latents->image @8-12\"; others are read \
         and kept, and not done by this version"
    )))
}

impl Tap for Intervention {
    fn edit_mask(&mut self, _pass: &PassInfo<'_>, layer: LayerIdx, looks: &mut Looks) {
        self.edges.apply(looks, layer.0);
    }
}
