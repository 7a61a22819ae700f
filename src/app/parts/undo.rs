//! What the user can lose by one action, and get back: the images, the question, the choices, what is changed in runs.

use std::sync::Arc;

use crate::ask::Edit;
use crate::data::picture::Picture;

/// Steps back that are kept.
const MAX_STEPS: usize = 50;

/// What was asked about, as it stood.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The images.
    pub images: Vec<Arc<Picture>>,
    /// The question.
    pub question: String,
    /// The choices as they were typed.
    pub choices: String,
    /// What is changed in runs.
    pub edits: Vec<Edit>,
}

/// Where letters are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextField {
    /// The question's.
    Question,
    /// That of the choices.
    Choices,
}

/// Steps back and forth.
#[derive(Debug, Default)]
pub struct Undo {
    past: Vec<Draft>,
    future: Vec<Draft>,
    /// The last step was a letter typed, in this field: the next one there belongs to it.
    typing: Option<TextField>,
}

impl Undo {
    /// Keeps a draft that is about to change. Letters typed one after another in one field are one step.
    pub fn keep(&mut self, draft: Draft, typed: Option<TextField>) {
        self.future.clear();
        if typed.is_some() && typed == self.typing {
            return;
        }
        self.typing = typed;
        self.past.push(draft);
        let excess = self.past.len().saturating_sub(MAX_STEPS);
        self.past.drain(..excess);
    }

    /// The draft before the present one.
    pub fn undo(&mut self, present: Draft) -> Option<Draft> {
        self.typing = None;
        let earlier = self.past.pop()?;
        self.future.push(present);
        Some(earlier)
    }

    /// The draft that was undone last.
    pub fn redo(&mut self, present: Draft) -> Option<Draft> {
        self.typing = None;
        let later = self.future.pop()?;
        self.past.push(present);
        Some(later)
    }

    /// Is there anything to take back?
    pub fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    /// Is there anything to bring back?
    pub fn can_redo(&self) -> bool {
        !self.future.is_empty()
    }

    /// Forgets all steps.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(question: &str) -> Draft {
        let (images, edits) = (Vec::new(), Vec::new());
        Draft { images, question: question.to_owned(), choices: String::new(), edits }
    }

    #[test]
    fn letters_are_one_step_and_other_changes_one_each() {
        let mut undo = Undo::default();
        let typed = Some(TextField::Question);
        undo.keep(draft(""), typed);
        undo.keep(draft("w"), typed);
        undo.keep(draft("wh"), typed);
        undo.keep(draft("why"), None);
        undo.keep(draft("from history"), typed);
        assert_eq!(undo.undo(draft("from history!")), Some(draft("from history")));
        assert_eq!(undo.undo(draft("from history")), Some(draft("why")));
        assert_eq!(undo.undo(draft("why")), Some(draft("")));
        assert_eq!(undo.undo(draft("")), None);
        assert_eq!(undo.redo(draft("")), Some(draft("why")));
        assert!(undo.can_undo() && undo.can_redo());
        undo.keep(draft("why"), None);
        assert!(!undo.can_redo());
        undo.keep(draft("why"), typed);
        undo.keep(draft("why?"), Some(TextField::Choices));
        assert_eq!(undo.undo(draft("why?")), Some(draft("why?")), "another field is another step");
    }
}
