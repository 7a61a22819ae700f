//! Statements on the prompt they are about: what has no meaning is refused before anything runs.

use super::donors::{Donors, OfDonor};
use super::exchange::{Exchange, Exchanged};
use super::images::ImageEdit;
use super::replace::{Replacement, StateSite};
use super::sequence::EditedSequence;
use super::{HeadFactor, Intervention};
use crate::ask::looks::{Edges, Prompt};
use crate::ask::{
    CacheDonor, Condition, Edit, EditSite, EditValue, HeadPart, LayerRange, PathValue, Receiver, Sender,
    TokenGroup, Tokens,
};
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::model::Model;
use crate::model::changes::{DirectPath, PathEnd, PathPart, PathStart, Readers, Rewiring};
use crate::model::compute::Compute;
use crate::trace::Intervened;
use crate::units::Role;
use candle_core::Tensor;

/// A prompt and the model that reads it.
struct Stage<'a> {
    prompt: Prompt<'a>,
    input: &'a ModelInput,
    model: &'a Model,
    compute: &'a Compute<'a>,
    donors: Donors,
    sham: bool,
}

type Said<T> = std::result::Result<T, String>;

impl Intervention {
    /// The edits of a condition on a prompt; nothing where it has none.
    ///
    /// # Errors
    /// Tokens, layers or heads that are not there; a donor that has not what is asked of it; whatever has no meaning.
    pub fn of(
        condition: &Condition,
        input: &ModelInput,
        sequence: &EditedSequence,
        model: &Model,
        compute: &Compute<'_>,
    ) -> Result<Option<Self>> {
        if condition.edits.is_empty() {
            return Ok(None);
        }
        let num_layers = model.text.num_layers();
        let prompt =
            Prompt { roles: &input.roles, image_spans: &input.image_spans, latents: Some(&sequence.left) };
        let edges = Edges::new(&condition.edits, prompt, num_layers).map_err(Error::Request)?;
        let edges = if condition.sham { edges.into_sham() } else { edges };
        let mut counts = edges.changed(condition.mask.rule(), &input.roles, num_layers).into_iter();
        let said = |edit: &Edit| Intervened {
            statement: edit.to_string(),
            changed: if edit.edge().is_some() { counts.next().unwrap_or(0) } else { 0 },
            moved: None,
        };
        let mut all = Self {
            done: condition.edits.iter().map(said).collect(),
            edges,
            pixels: Vec::new(),
            features: Vec::new(),
            replacements: Vec::new(),
            heads: Vec::new(),
            exchanges: Vec::new(),
            rewiring: Rewiring::new(num_layers),
            paths: Vec::new(),
            num_tokens: input.num_tokens(),
        };
        if let Some((statement, count)) = sequence.taken_out {
            all.done[statement].changed = count;
        }
        let donors = Donors::new(condition.donor.as_deref());
        let mut stage = Stage { prompt, input, model, compute, donors, sham: condition.sham };
        for (statement, edit) in condition.edits.iter().enumerate() {
            stage.add(&mut all, statement, edit).map_err(|problem| match problem {
                Error::Request(why) => Error::Request(format!("{edit}: {why}")),
                other => other,
            })?;
        }
        all.check_reads(&condition.edits)?;
        Ok(Some(all))
    }

    /// A state whose keys and values are exchanged is not replaced too, and none is exchanged twice.
    fn check_reads(&self, edits: &[Edit]) -> Result<()> {
        let mut exchanged: Vec<usize> = Vec::new();
        for own in &self.exchanges {
            let refused = |why: &str| Err(Error::Request(format!("{}: {why}", edits[own.statement])));
            let mine = &own.tokens;
            if mine.iter().any(|token| exchanged.contains(token)) {
                return refused("keys and values of a token are exchanged twice");
            }
            exchanged.extend(mine);
        }
        let read_by_nobody = |own: &&Replacement| own.tokens.iter().any(|token| exchanged.contains(token));
        match self.replacements.iter().find(read_by_nobody) {
            None => Ok(()),
            Some(own) => Err(Error::Request(format!(
                "{}: a state whose keys and values are exchanged is read by nobody behind it",
                edits[own.statement]
            ))),
        }
    }
}

impl Stage<'_> {
    fn add(&mut self, all: &mut Intervention, statement: usize, edit: &Edit) -> Result<()> {
        match edit {
            Edit::Block(_) | Edit::Allow(_) | Edit::Sequence { .. } => Ok(()),
            Edit::Replace { tokens, value, place: site @ (EditSite::Pixels | EditSite::Features) } => {
                let pixels = *site == EditSite::Pixels;
                if tokens.0.iter().any(|part| part.group != TokenGroup::Image) {
                    let what = if pixels { "pixels" } else { "features" };
                    return Err(Error::Request(format!("{what} are of images")));
                }
                let visual = self.visual(&self.select(tokens)?);
                let mut own = ImageEdit { statement, visual, value: value.clone() };
                own.check(pixels)?;
                if self.sham {
                    own.value = EditValue::Itself;
                }
                if pixels { &mut all.pixels } else { &mut all.features }.push(own);
                Ok(())
            }
            Edit::Replace { tokens, value, place } => {
                if tokens.0.iter().any(|part| is_behind(part.group)) {
                    let why = "states of tokens yet to be generated cannot be replaced";
                    return Err(Error::Request(why.to_owned()));
                }
                let own = self.select(tokens)?;
                let sites = StateSite::all(*place, self.model.text.num_layers()).map_err(Error::Request)?;
                let width = self.model.config.text.hidden_size;
                let own = Replacement::new(statement, value, (tokens, own), sites, width, &mut self.donors)?;
                all.replacements.push(if self.sham { own.into_sham() } else { own });
                Ok(())
            }
            Edit::Head { heads, factor, tokens } => {
                self.check_heads(heads)?;
                let tokens = self.readers(tokens.as_ref().unwrap_or(&TokenGroup::All.into()))?;
                let factor = if self.sham { 1.0 } else { *factor };
                all.heads.push(HeadFactor { statement, heads: heads.clone(), factor, tokens });
                Ok(())
            }
            Edit::Cache { tokens, donor, layers } => self.exchange(all, statement, tokens, donor, *layers),
            Edit::Path { tokens, from, to, readers, value } => {
                let path = self.path(tokens, *from, *to, readers.as_ref(), value)?;
                all.rewiring.paths.push(path);
                all.paths.push(statement);
                Ok(())
            }
        }
    }

    /// Tokens of the prompt, in the order named.
    fn select(&self, tokens: &Tokens) -> Result<Vec<usize>> {
        Ok(self.prompt.select(tokens).map_err(Error::Request)?.0)
    }

    fn readers(&self, tokens: &Tokens) -> Result<Readers> {
        let (places, behind) = self.prompt.select(tokens).map_err(Error::Request)?;
        let mut of_prompt = vec![false; self.input.num_tokens()];
        for place in places {
            of_prompt[place] = true;
        }
        Ok(Readers { of_prompt, behind })
    }

    /// Visual tokens by number among all of the sample's.
    fn visual(&self, tokens: &[usize]) -> Vec<usize> {
        let images: Vec<usize> = self.input.image_spans.iter().flat_map(|span| span.range()).collect();
        tokens.iter().filter_map(|token| images.binary_search(token).ok()).collect()
    }

    fn check_heads(&self, heads: &[(usize, usize)]) -> Result<()> {
        let config = &self.model.config.text;
        let (layers, count) = (config.num_layers, config.num_heads);
        if heads.iter().any(|(layer, head)| *layer >= layers || *head >= count) {
            let there = format!("there are {layers} layers of {count} heads, counted from 0");
            return Err(Error::Request(there));
        }
        let twice = (1..heads.len()).any(|i| heads[..i].contains(&heads[i]));
        if twice { Err(Error::Request("a head is named twice".to_owned())) } else { Ok(()) }
    }

    fn exchange(
        &mut self,
        all: &mut Intervention,
        statement: usize,
        tokens: &Tokens,
        CacheDonor::Cache(donor): &CacheDonor,
        layers: Option<LayerRange>,
    ) -> Result<()> {
        let own = self.select(tokens)?;
        let first = self.first_reader(tokens).map_err(Error::Request)?;
        let layers = layers.unwrap_or(LayerRange { first: 0, last: None });
        layers.check(self.model.text.num_layers()).map_err(Error::Request)?;
        let wants = || Error::Request("cache wants a file, as by --donor FILE".to_owned());
        let file = self.donors.file(donor.file.as_deref())?.ok_or_else(wants)?;
        let donor = OfDonor::select(file, tokens, own.len()).map_err(Error::Request)?;
        let count = self.input.num_tokens();
        let exchanged = Exchanged {
            tokens: &own,
            positions: own.iter().map(|token| self.input.positions[*token]).collect(),
            donor,
            readers: Readers { of_prompt: (0..count).map(|token| token >= first).collect(), behind: true },
            layers,
        };
        let model = (self.model.device(), self.model.precision().dtype);
        let config = &self.model.config.text;
        let mut own = Exchange::new(statement, &exchanged, config, &mut all.rewiring, model, self.compute)?;
        own.sham = self.sham;
        all.exchanges.push(own);
        Ok(())
    }

    /// The first token that reads exchanged keys and values: behind all latents, or behind the images that are named.
    fn first_reader(&self, tokens: &Tokens) -> Said<usize> {
        let of = |group: TokenGroup| tokens.0.iter().all(|part| part.group == group);
        if of(TokenGroup::Latents) {
            let last = self.input.roles.iter().rposition(|role| *role == Role::Latent);
            return Ok(last.map_or(0, |last| last + 1));
        }
        if of(TokenGroup::Image) {
            let is_named =
                |image: usize| tokens.0.iter().any(|part| part.image.is_none_or(|own| own == image));
            let spans = self.input.image_spans.iter().enumerate();
            return Ok(spans
                .filter(|(image, _)| is_named(*image))
                .map(|(_, span)| span.end)
                .max()
                .unwrap_or(0));
        }
        Err("keys and values of latents or of images are exchanged, of one of the two at a time".to_owned())
    }

    fn path(
        &mut self,
        tokens: &Tokens,
        from: Sender,
        to: Receiver,
        readers: Option<&Tokens>,
        value: &PathValue,
    ) -> Result<DirectPath> {
        let config = &self.model.config.text;
        let (num_layers, num_heads) = (config.num_layers, config.num_heads);
        let refused = |why: &str| Error::Request(why.to_owned());
        if tokens.0.iter().any(|part| is_behind(part.group) || part.group == TokenGroup::All) {
            return Err(refused("a path begins at tokens of the prompt"));
        }
        let own = self.select(tokens)?;
        // Layers through which it does not go: from behind its start on.
        let (start, behind) = match from {
            Sender::Embedding => (PathStart::Embedding, 0),
            Sender::After { layer } => (PathStart::After(layer), layer + 1),
            Sender::Head { head: (layer, head) } => (PathStart::Head(layer, head), layer + 1),
        };
        let (end, at) = match to {
            Receiver::Logits => (PathEnd::Logits, num_layers),
            Receiver::Head { head: (layer, head), part } => {
                let part = match part {
                    HeadPart::Q => PathPart::Queries,
                    HeadPart::K => PathPart::Keys,
                    HeadPart::V => PathPart::Values,
                };
                (PathEnd::Head(layer, head, part), layer)
            }
        };
        let heads: Vec<(usize, usize)> = [
            if let PathStart::Head(layer, head) = start { Some((layer, head)) } else { None },
            if let PathEnd::Head(layer, head, _) = end { Some((layer, head)) } else { None },
        ]
        .into_iter()
        .flatten()
        .collect();
        if behind > at || heads.iter().any(|(layer, _)| *layer >= num_layers) {
            return Err(refused("a path goes from a layer to a later one that there is"));
        }
        if heads.iter().any(|(_, head)| *head >= num_heads) {
            return Err(Error::Request(format!("there are {num_heads} heads, counted from 0")));
        }
        let is_read = matches!(end, PathEnd::Head(_, _, PathPart::Keys | PathPart::Values));
        if readers.is_some() && !is_read {
            return Err(refused("only keys and values are read by others"));
        }
        let readers = self.readers(readers.unwrap_or(&TokenGroup::All.into()))?;
        let donor = match value {
            PathValue::Itself => None,
            PathValue::Donor(donor) => {
                let file = self.donors.file(donor.file.as_deref())?;
                let file = file.ok_or_else(|| refused("donor wants a file, as by --donor FILE"))?;
                let theirs = OfDonor::select(file, tokens, own.len()).map_err(Error::Request)?;
                let theirs = self.sender(&theirs, start)?;
                (!self.sham).then_some(theirs)
            }
        };
        Ok(DirectPath { tokens: own, start, end, readers, donor, delta: None, changed: 0 })
    }

    /// What a donor has at the start of a path, [n, D], of a head [n, d].
    fn sender(&self, donor: &OfDonor, start: PathStart) -> Result<Tensor> {
        let config = &self.model.config.text;
        let count = donor.rows.len();
        let (values, width) = match start {
            PathStart::Embedding => {
                (donor.file.rows("embedding", None, &donor.rows, config.hidden_size)?, config.hidden_size)
            }
            PathStart::After(layer) => {
                (donor.file.rows("after", Some(layer), &donor.rows, config.hidden_size)?, config.hidden_size)
            }
            PathStart::Head(layer, head) => {
                let all = donor.file.rows("heads", Some(layer), &donor.rows, config.head_dim)?;
                let each = count * config.head_dim;
                let Some(own) = all.get(head * each..(head + 1) * each) else {
                    let found = format!("{}", all.len() / each.max(1));
                    let expected = format!("{} heads", config.num_heads);
                    return Err(Error::field(donor.file.path(), "heads", expected, found));
                };
                (own.to_vec(), config.head_dim)
            }
        };
        Ok(Tensor::from_vec(values, (count, width), self.model.device())?)
    }
}

/// Are tokens behind the prompt meant?
fn is_behind(group: TokenGroup) -> bool {
    matches!(group, TokenGroup::Answer | TokenGroup::Readers)
}
