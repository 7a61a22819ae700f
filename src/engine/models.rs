//! The models in memory, by id. Adapters of one base share its weights; what does not fit is not begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::DType;

use super::answer::{AnswerWatch, FromAfar};
use super::ids::{BaseId, ModelId, Request, Source};
use super::model_info::ModelInfo;
use super::opening::Unread;
use super::session::{Base, OpenModel, ReadAdapter};
use crate::ask::{Condition, Keep};
use crate::checkpoint::folder::Folder;
use crate::error::{Error, Result};
use crate::memory;
use crate::model::compute::Compute;
use crate::ops::matmul::packed::Format;
use crate::ops::weight::Precision;
use crate::progress::Observer;
use crate::trace::{Receipt, Trace};
use crate::units::human_bytes;

/// Asks how much memory is free; tests answer for the machine.
pub type FreeMemory = Box<dyn Fn() -> Option<u64> + Send>;

/// Sessions by id.
pub struct Models {
    sessions: BTreeMap<ModelId, OpenModel>,
    /// Bases in memory, the one used last at the end.
    bases: Vec<(BaseId, Arc<Base>)>,
    /// Ids of sessions, the one used last at the end.
    used: Vec<ModelId>,
    free_memory: FreeMemory,
}

/// Adapters of a base kept at once: what an adapter holds is little beside the base, but not nothing.
const MAX_SESSIONS: usize = 6;

impl Default for Models {
    fn default() -> Self {
        Self::with_memory(Box::new(memory::free_bytes))
    }
}

impl Models {
    /// No models yet, in a machine with so much free memory.
    pub fn with_memory(free_memory: FreeMemory) -> Self {
        Self { sessions: BTreeMap::new(), bases: Vec::new(), used: Vec::new(), free_memory }
    }

    /// Opens a model: what is in memory already is not read again, unless its folder has changed since. What
    /// fails changes nothing, but for models that had to go to make room, which the observer is told.
    ///
    /// # Errors
    /// Files that are missing or damaged, an adapter that does not fit, a device that is not there, too little
    /// memory, a stop.
    pub fn open(&mut self, id: &ModelId, observer: &dyn Observer) -> Result<ModelInfo> {
        let base_folder = id.base.source.open()?;
        let adapter_folder = id.adapter.as_ref().map(Source::open).transpose()?;
        let base_now = base_folder.stamp();
        if self.bases.iter().any(|(held, base)| *held == id.base && *base.stamp() != base_now) {
            self.close(&id.base);
        }
        let adapter_now = adapter_folder.as_ref().map(Folder::stamp);
        if let Some(session) = self.sessions.get(id)
            && session.adapter_stamp() == adapter_now.as_ref()
        {
            let info = session.info();
            self.touch(id);
            return Ok(info);
        }
        // Before the base is read, which takes minutes: the adapter may be no good.
        let adapter = id.adapter.clone().zip(adapter_folder.as_ref());
        let adapter = adapter.map(|(source, folder)| ReadAdapter::read(source, folder)).transpose()?;
        let base = self.base(&id.base, base_folder, adapter.as_ref(), observer)?;
        let session = OpenModel::new(base, adapter)?;
        let info = session.info();
        self.sessions.insert(id.clone(), session);
        self.touch(id);
        Ok(info)
    }

    /// An open model.
    pub fn session(&mut self, id: &ModelId) -> Option<&mut OpenModel> {
        self.sessions.get_mut(id)
    }

    /// Answers a request by an open model.
    ///
    /// # Errors
    /// A model that is not open, a request it cannot answer, a stop.
    pub fn run(&mut self, request: &Request, keep: &Keep, watch: &dyn AnswerWatch) -> Result<Trace> {
        self.touch(&request.model);
        let Some(session) = self.sessions.get_mut(&request.model) else {
            return Err(Error::Request("the model is not open any more: open it again".to_owned()));
        };
        let free_bytes = (self.free_memory)();
        let (sample, condition) = (&request.sample, &request.condition);
        session.run_watched(sample, condition, keep, free_bytes, watch, &Compute::observed(watch))
    }

    /// The same; where the condition has edits, the run without them and their sham are asked too, and a receipt says what the
    /// edits did.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with_receipt(
        &mut self,
        request: &Request,
        keep: &Keep,
        watch: &dyn AnswerWatch,
    ) -> Result<Trace> {
        let mut trace = self.run(request, keep, watch)?;
        let condition = &request.condition;
        if condition.edits.is_empty() || condition.sham || trace.stopped {
            trace.last_state.clear();
            return Ok(trace);
        }
        let mut as_asked = |condition: Condition| {
            let request = Request { condition, ..request.clone() };
            self.run(&request, &Keep::default(), &FromAfar(watch))
        };
        let base = as_asked(condition.clone().unedited())?;
        let sham = as_asked(Condition { sham: true, ..condition.clone() })?;
        trace.receipt = Some(Box::new(Receipt::of(&trace, &base, &sham)));
        trace.last_state.clear();
        Ok(trace)
    }

    /// Lets a base and every model on it go.
    pub fn close(&mut self, base: &BaseId) {
        self.sessions.retain(|id, _| id.base != *base);
        self.used.retain(|id| id.base != *base);
        self.bases.retain(|(id, _)| id != base);
    }

    /// This model is the one used last. Of others only the latest are kept, and none of their images.
    fn touch(&mut self, model: &ModelId) {
        self.used.retain(|other| other != model && self.sessions.contains_key(other));
        for other in &self.used {
            if let Some(session) = self.sessions.get_mut(other) {
                session.forget_images();
            }
        }
        self.used.push(model.clone());
        while self.used.len() > MAX_SESSIONS {
            let oldest = self.used.remove(0);
            self.sessions.remove(&oldest);
        }
        // A base without models stays until its memory is needed.
        if let Some(place) = self.bases.iter().position(|(id, _)| *id == model.base) {
            let base = self.bases.remove(place);
            self.bases.push(base);
        }
    }

    fn base(
        &mut self,
        id: &BaseId,
        folder: Folder,
        adapter: Option<&ReadAdapter>,
        observer: &dyn Observer,
    ) -> Result<Arc<Base>> {
        if let Some((_, base)) = self.bases.iter().find(|(held, _)| held == id) {
            return Ok(base.clone());
        }
        let unread = Unread::open(folder, id.device, id.dtype)?;
        // Nothing is read, and nothing goes, for a model that would fail all the same.
        unread.check(adapter.map(|read| &read.adapter))?;
        self.make_room(&unread, observer)?;
        let base = Arc::new(Base::read(id.clone(), unread, observer)?);
        self.bases.push((id.clone(), base.clone()));
        Ok(base)
    }

    /// Sees that a base fits beside what there is; if need be lets others go, the one used longest ago first.
    fn make_room(&mut self, unread: &Unread, observer: &dyn Observer) -> Result<()> {
        let Some(free) = unread.is_on_cpu().then(|| (self.free_memory)()).flatten() else { return Ok(()) };
        let need = unread.need(unread.precision).total();
        if need <= free {
            return Ok(());
        }
        let held: u64 = self.bases.iter().map(|(_, base)| base.held_bytes()).sum();
        if need > free + held {
            return Err(Error::Request(refusal(unread, need, free, held)));
        }
        let mut room = free;
        while need > room && !self.bases.is_empty() {
            let (id, base) = self.bases.remove(0);
            room += base.held_bytes();
            observer.note(&format!(
                "{} was closed to make room for {}, which needs {} where {} were free",
                base.name(),
                unread.name(),
                human_bytes(need),
                human_bytes(free)
            ));
            drop(base);
            self.close(&id);
        }
        Ok(())
    }
}

/// Need, free, and what would fit.
fn refusal(unread: &Unread, need: u64, free: u64, held: u64) -> String {
    let precision = unread.precision;
    let others =
        if held > 0 { format!(" and open models hold {}", human_bytes(held)) } else { String::new() };
    let narrower = [
        ("bf16", Precision::from(DType::BF16)),
        ("q8", Precision { dtype: DType::BF16, quantised: Some(Format::Q8), mixed: false }),
        ("q4", Precision { dtype: DType::BF16, quantised: Some(Format::Q4), mixed: false }),
    ];
    let mut needs = narrower.map(|(name, precision)| (name, unread.need(precision).total())).into_iter();
    let advice = match needs.find(|(_, narrow)| *narrow < need && *narrow <= free + held) {
        Some((name, narrow)) => format!("as {name} it would need {} (--dtype {name})", human_bytes(narrow)),
        None => "a smaller model would fit".to_owned(),
    };
    format!(
        "{} needs {} as {}, {} are free{others}: {advice}",
        unread.name(),
        human_bytes(need),
        precision.name(),
        human_bytes(free)
    )
}
