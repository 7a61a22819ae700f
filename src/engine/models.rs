//! The models in memory, by id. Adapters of one base share its weights; what does not fit is not begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::DType;

use super::demo;
use super::protocol::{BaseId, Command, JobId, ModelId, ModelInfo, News, Request, Run, RunId, Source};
use super::session::{Base, Session, Unread};
use super::worker::{Backend, Watch};
use crate::checkpoint::folder::Folder;
use crate::error::{Error, Result};
use crate::memory;
use crate::model::compute::Compute;
use crate::progress::Observer;
use crate::trace::Trace;
use crate::units::human_bytes;

/// Asks how much memory is free; tests answer for the machine.
pub type FreeMemory = Box<dyn Fn() -> Option<u64> + Send>;

/// Sessions by id.
pub struct Models {
    sessions: BTreeMap<ModelId, Session>,
    /// Bases in memory, the one used last at the end.
    bases: Vec<(BaseId, Arc<Base>)>,
    free_memory: FreeMemory,
}

impl Default for Models {
    fn default() -> Self {
        Self::with_memory(Box::new(memory::free_bytes))
    }
}

impl Models {
    /// No models yet, in a machine with so much free memory.
    pub fn with_memory(free_memory: FreeMemory) -> Self {
        Self { sessions: BTreeMap::new(), bases: Vec::new(), free_memory }
    }

    /// Opens a model: what is in memory already is not read again. What fails changes nothing, but for models
    /// that had to go to make room, which the observer is told.
    pub fn open(&mut self, id: &ModelId, observer: &dyn Observer) -> Result<ModelInfo> {
        if let Some(session) = self.sessions.get(id) {
            let info = session.info();
            self.touch(&id.base);
            return Ok(info);
        }
        // Before the base is read, which takes minutes: the adapter's folder may not be there.
        let adapter = match &id.adapter {
            Some(source) => Some((source.clone(), adapter_folder(source)?)),
            None => None,
        };
        let base = self.base(&id.base, observer)?;
        let session = Session::new(base, adapter)?;
        let info = session.info();
        self.sessions.insert(id.clone(), session);
        Ok(info)
    }

    /// An open model.
    pub fn session(&mut self, id: &ModelId) -> Option<&mut Session> {
        self.sessions.get_mut(id)
    }

    /// Answers a request by an open model.
    pub fn run(&mut self, request: &Request, observer: &dyn Observer) -> Result<Trace> {
        self.touch(&request.model.base);
        let Some(session) = self.sessions.get_mut(&request.model) else {
            return Err(Error::Request("the model is not open any more: open it again".to_owned()));
        };
        let free_bytes = (self.free_memory)();
        session.run(&request.sample, &request.settings, free_bytes, &Compute::observed(observer))
    }

    /// Lets a base and every model on it go.
    pub fn close(&mut self, base: &BaseId) {
        self.sessions.retain(|id, _| id.base != *base);
        self.bases.retain(|(id, _)| id != base);
    }

    fn touch(&mut self, base: &BaseId) {
        if let Some(place) = self.bases.iter().position(|(id, _)| id == base) {
            let used = self.bases.remove(place);
            self.bases.push(used);
        }
    }

    fn base(&mut self, id: &BaseId, observer: &dyn Observer) -> Result<Arc<Base>> {
        self.touch(id);
        if let Some((held, base)) = self.bases.last()
            && held == id
        {
            return Ok(base.clone());
        }
        let unread = Unread::open(id, model_folder(&id.source)?)?;
        self.make_room(&unread, observer)?;
        let base = Arc::new(unread.load(observer)?);
        self.bases.push((id.clone(), base.clone()));
        Ok(base)
    }

    /// Sees that a base fits beside what there is; if need be lets others go, the one used longest ago first.
    fn make_room(&mut self, unread: &Unread, observer: &dyn Observer) -> Result<()> {
        let Some(free) = unread.is_on_cpu().then(|| (self.free_memory)()).flatten() else { return Ok(()) };
        let need = unread.need(unread.dtype()).total();
        if need <= free {
            return Ok(());
        }
        let held: u64 = self.bases.iter().map(|(_, base)| base.held_bytes()).sum();
        if need > free + held {
            return Err(Error::Request(refusal(unread, need, free, held)));
        }
        // Nothing goes for a model that would fail all the same.
        unread.check()?;
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
    let dtype = unread.dtype();
    let others =
        if held > 0 { format!(" and open models hold {}", human_bytes(held)) } else { String::new() };
    let narrow = unread.need(DType::BF16).total();
    let advice = match (dtype, narrow <= free + held) {
        (DType::F32, true) => format!("as bf16 it would need {} (--dtype bf16)", human_bytes(narrow)),
        (DType::F32, false) => format!("not even as bf16 ({}) would it fit", human_bytes(narrow)),
        _ => "a smaller model would fit".to_owned(),
    };
    format!(
        "{} needs {} as {}, {} are free{others}: {advice}",
        unread.name(),
        human_bytes(need),
        dtype.as_str(),
        human_bytes(free)
    )
}

fn model_folder(source: &Source) -> Result<Folder> {
    match source {
        Source::Demo => Ok(demo::model()),
        Source::Folder(path) => Folder::open(path),
    }
}

fn adapter_folder(source: &Source) -> Result<Folder> {
    match source {
        Source::Demo => Ok(demo::adapter()),
        Source::Folder(path) => Folder::open(path),
    }
}

impl Backend for Models {
    fn perform(&mut self, job: JobId, command: Command, watch: &Watch<'_>) -> Result<News> {
        match command {
            Command::OpenModel(id) => Ok(News::ModelOpened(Box::new(self.open(&id, watch)?))),
            Command::CaptureTrace(request) => {
                let trace = Arc::new(self.run(&request, watch)?);
                Ok(News::TraceCaptured(Arc::new(Run { id: RunId(job.0), request: *request, trace })))
            }
        }
    }
}
