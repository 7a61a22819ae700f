//! Sample to [`ModelInput`]: template, tokens, placeholder expansion, roles, positions, patches.

mod edited;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokenizers::Tokenizer;

pub use self::edited::Behind;
use super::image_processor::ImageProcessor;
use super::latents::{LatentSetup, Latents, register};
use super::model_input::ModelInput;
use super::positions::positions_of;
use super::template::{ChatTemplate, MessagePart, user_parts};
use super::tokens::{add_listed_tokens, add_tokens_of, expand_placeholders, expanded_text};
use crate::array::Array;
use crate::ask::{LatentChoice, MAX_LATENTS};
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::{Family, ModelConfig};
use crate::checkpoint::folder::Folder;
use crate::checkpoint::generation::GenerationConfig;
use crate::checkpoint::livr::{LivrConfig, Placement, latent_name};
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::progress::{Observer, Phase, Progress};
use crate::units::{GridThw, Role};

/// Everything of a checkpoint but the weights. A clone shares the tokenizer.
#[derive(Clone)]
pub struct Processor {
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    images: ImageProcessor,
    livr: Option<LivrConfig>,
    latents: LatentSetup,
    /// Says which positions its tokens have.
    family: Family,
    image_token_id: u32,
    image_token: String,
    vocab_size: usize,
    max_positions: usize,
    generation: GenerationConfig,
    end_of_turn: BTreeSet<u32>,
}

impl Processor {
    /// Reads tokenizer, template, image settings and end-of-turn ids of a folder.
    ///
    /// # Errors
    /// A file that is not there or damaged, a tokenizer without the image placeholder, files that contradict each
    /// other.
    pub fn read(folder: &Folder, config: &ModelConfig) -> Result<Self> {
        const TOKENIZER: &str = "tokenizer.json";
        let bytes = folder.bytes(TOKENIZER)?;
        let mut tokenizer = Tokenizer::from_bytes(&bytes[..])
            .map_err(|e| Error::format(folder.path(TOKENIZER), "tokenizer.json cannot be read", e))?;
        // Saved with training settings they would cut or pad the prompt; the reference resets them too.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|e| Error::format(folder.path(TOKENIZER), "tokenizer.json cannot be used", e))?;
        let mut tokenizer = Arc::new(tokenizer);
        add_listed_tokens(&mut tokenizer, folder)?;
        let image_token = tokenizer.id_to_token(config.image_token_id).ok_or_else(|| {
            Error::field(
                folder.path(TOKENIZER),
                "added_tokens",
                format!(
                    "the image placeholder with id {}, the image_token_id of config.json",
                    config.image_token_id
                ),
                "no token with that id",
            )
        })?;
        let livr = LivrConfig::read(folder)?;
        let generation = GenerationConfig::read(folder, config)?;
        let mut end_of_turn: BTreeSet<u32> = generation.end_of_turn.iter().copied().collect();
        if end_of_turn.is_empty() {
            end_of_turn.extend(
                ["<|im_end|>", "<|endoftext|>"].iter().filter_map(|name| tokenizer.token_to_id(name)),
            );
        }
        let vocab_size = config.text.vocab_size;
        let trained = livr.as_ref().map_or(0, |livr| livr.num_latents);
        let latents = register(&mut tokenizer, livr.as_ref(), trained, vocab_size)?;
        Ok(Self {
            tokenizer,
            template: ChatTemplate::read(folder)?,
            images: ImageProcessor::read(folder, &config.vision)?,
            livr,
            latents,
            family: config.family,
            image_token_id: config.image_token_id,
            image_token,
            vocab_size,
            max_positions: config.text.max_positions,
            generation,
            end_of_turn,
        })
    }

    /// An adapter with the rows that PEFT saved told apart: those of latents, which a run puts into prompts, and those of
    /// other tokens, which have names that are no latents'. A token that nobody names is a latent.
    ///
    /// # Errors
    /// Tokens of the adapter's own tokenizer that this one cannot take, latents that `livr.json` counts otherwise.
    pub fn sorted(&self, adapter: Adapter) -> Result<Adapter> {
        let Some(rows) = &adapter.token_rows else { return Ok(adapter) };
        let mut tokenizer = self.tokenizer.clone();
        add_tokens_of(&mut tokenizer, &adapter.folder)?;
        let livr = adapter.livr.as_ref().or(self.livr.as_ref());
        let is_latent = |id: u32| {
            tokenizer.id_to_token(id).is_none_or(|name| {
                livr.is_some_and(|livr| livr.latent_tokens.contains(&name))
                    || (0..MAX_LATENTS).any(|i| latent_name(i) == name)
            })
        };
        let (latents, others) = (rows.of(is_latent)?, rows.of(|id| !is_latent(id))?);
        let latent_rows = match (adapter.latent_rows.clone(), latents) {
            (Some(own), _) => Some(own),
            (None, latents) => latents,
        };
        let sorted = Adapter { latent_rows, token_rows: others, ..adapter };
        sorted.check_latents()?;
        Ok(sorted)
    }

    /// This processor of the base with the latents of an adapter, and with the tokens that its own tokenizer adds.
    ///
    /// # Errors
    /// Tokens that get other ids here than in the adapter, latents without rows, rows of an adapter for another
    /// model.
    pub fn with_adapter(&self, adapter: &Adapter) -> Result<Self> {
        let mut with = self.clone();
        add_tokens_of(&mut with.tokenizer, &adapter.folder)?;
        with.vocab_size = adapter.vocab_size().unwrap_or(self.vocab_size);
        let rows = adapter.latent_rows.as_ref();
        let livr = adapter.livr.as_ref().or(self.livr.as_ref());
        let trained = match (rows, livr) {
            (Some(rows), _) => rows.len(),
            (None, Some(livr)) => livr.num_latents,
            (None, None) => self.latents.trained,
        };
        let own_names = self.livr.is_some() || self.latents.trained > 0;
        if adapter.livr.is_some() && rows.is_none() && !own_names && adapter.vocab_size().is_none() {
            return Err(Error::Missing {
                what: "latent_rows.safetensors, for the latents that livr.json names,".to_owned(),
                path: adapter.folder.path("latent_rows.safetensors"),
            });
        }
        with.latents = register(&mut with.tokenizer, livr, trained, with.vocab_size)?;
        if let Some(rows) = rows
            && rows.token_ids != with.latents.token_ids
        {
            return Err(Error::field(
                adapter.folder.root(),
                "token_ids of the latent rows",
                format!("{:?}, where this model's tokenizer puts them", with.latents.token_ids),
                format!("{:?}; was the adapter made for another model?", rows.token_ids),
            ));
        }
        Ok(with)
    }

    /// This processor with K latents about to be trained, in the place of any it had.
    ///
    /// # Errors
    /// A name that the tokenizer does not take.
    pub fn with_latents(&self, livr: &LivrConfig) -> Result<Self> {
        let mut with = self.clone();
        with.latents = register(&mut with.tokenizer, Some(livr), livr.num_latents, with.vocab_size)?;
        with.livr = Some(livr.clone());
        Ok(with)
    }

    /// The tokens a model should answer with: the text, and the end of the turn.
    ///
    /// # Errors
    /// An empty answer, a token that the model has no row for, a model without a token that ends answers.
    pub fn answer(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text)?;
        if ids.is_empty() {
            return Err(Error::Request("the answer is empty".to_owned()));
        }
        // Where several ids end an answer, the one that ends a turn of the chat.
        let named = self.tokenizer.token_to_id("<|im_end|>").filter(|id| self.end_of_turn.contains(id));
        let end = named.or_else(|| self.end_of_turn.first().copied());
        ids.push(end.ok_or_else(|| Error::Request("the model has no token that ends an answer".to_owned()))?);
        Ok(ids)
    }

    /// The tokenizer as a file, latents included.
    ///
    /// # Errors
    /// A tokenizer that cannot be written as JSON.
    pub fn tokenizer_json(&self) -> Result<String> {
        self.tokenizer
            .to_string(true)
            .map_err(|e| Error::Request(format!("the tokenizer cannot be written: {e}")))
    }

    /// Tokens whose ids the model has no row for, best known first; those of latents with rows of their own
    /// aside.
    pub fn tokens_past_vocabulary(&self) -> Vec<(String, u32)> {
        let has_row = |id: u32| (id as usize) < self.vocab_size || self.latents.token_ids.contains(&id);
        let vocabulary = self.tokenizer.get_vocab(true);
        let mut past: Vec<(String, u32)> = vocabulary.into_iter().filter(|(_, id)| !has_row(*id)).collect();
        past.sort_by_key(|(_, id)| *id);
        past
    }

    /// What the checkpoint publishes about decoding.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The latents at hand.
    pub fn latents(&self) -> &LatentSetup {
        &self.latents
    }

    /// The image settings.
    pub fn images(&self) -> &ImageProcessor {
        &self.images
    }

    /// Does this token end the answer?
    pub fn ends_turn(&self, id: u32) -> bool {
        self.end_of_turn.contains(&id)
    }

    /// Ids that end the answer.
    pub fn end_of_turn(&self) -> &BTreeSet<u32> {
        &self.end_of_turn
    }

    /// Tokens the tokenizer knows.
    pub fn num_tokens(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Rows of the model's embedding.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Longest sequence the model takes.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    /// A token as text, special ones by name.
    pub fn token_text(&self, id: u32) -> String {
        match self.tokenizer.decode(&[id], false) {
            Ok(text) if !text.is_empty() => text,
            _ => self.tokenizer.id_to_token(id).unwrap_or_else(|| format!("<{id}>")),
        }
    }

    /// Generated ids as text, special tokens left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, true).unwrap_or_default()
    }

    /// Token ids of a text as it stands; used for answers to be scored.
    ///
    /// # Errors
    /// A text that the tokenizer does not take, a token that the model has no row for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_with(&self.tokenizer, text)
    }

    fn encode_with(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
        let encoding = tokenizer
            .encode(text, false)
            .map_err(|e| Error::Request(format!("the tokenizer cannot encode the text: {e}")))?;
        let ids = encoding.get_ids();
        match ids.iter().find(|id| **id as usize >= self.vocab_size.max(self.largest_latent())) {
            Some(id) => Err(Error::Request(format!(
                "the tokenizer gives the token id {id}, the model's vocab_size is {}",
                self.vocab_size
            ))),
            None => Ok(ids.to_vec()),
        }
    }

    /// One past the largest id of a latent; 0 where there is none.
    pub fn largest_latent(&self) -> usize {
        self.latents.token_ids.iter().map(|id| *id as usize + 1).max().unwrap_or(0)
    }

    /// Prepares a sample; images get at most `max_pixels`.
    ///
    /// # Errors
    /// More latents than there are, special tokens in the question, marks that do not fit the images, an image that
    /// is too long and narrow, a template that does not render, a prompt that is too long, a stop.
    pub fn process(
        &self,
        sample: &Sample,
        choice: LatentChoice,
        max_pixels: usize,
        observer: &dyn Observer,
    ) -> Result<ModelInput> {
        let latents = self.latents.select(choice)?;
        let merge_size = self.images.merge_size;
        self.check_prompt(sample, latents)?;
        self.check_length(sample, max_pixels)?;
        let (grids, patches) = self.cut(sample, max_pixels, observer)?;
        let rendered = self.render(sample, latents, observer)?;
        let encoded = self.encode_rendered(&rendered, latents)?;
        let placeholders = encoded.iter().filter(|id| **id == self.image_token_id).count();
        if placeholders != grids.len() {
            return Err(Error::Request(format!(
                "the rendered prompt has {placeholders} {} placeholders for {} images",
                self.image_token,
                grids.len()
            )));
        }
        let counts = grids.iter().map(|grid| grid.num_visual_tokens(merge_size));
        let (input_ids, image_spans) = expand_placeholders(&encoded, self.image_token_id, counts);
        if input_ids.len() >= self.max_positions {
            return Err(Error::Request(format!(
                "the prompt is {} tokens long, the model takes less than {} (max_position_embeddings)",
                input_ids.len(),
                self.max_positions
            )));
        }
        let roles: Vec<Role> = input_ids.iter().map(|id| self.role(*id, latents, Role::Prompt)).collect();
        let is_image = roles.iter().map(|role| *role == Role::Image);
        let (positions, next_position) = positions_of(self.family, is_image, &grids, merge_size);
        let text = expanded_text(&rendered, &self.image_token, &image_spans);
        Ok(ModelInput {
            input_ids,
            roles,
            positions,
            next_position,
            grids,
            patch_size: self.images.patch_size,
            merge_size,
            image_spans,
            pixel_values: patches,
            text,
        })
    }

    /// Refuses a question that would make roles lie.
    fn check_prompt(&self, sample: &Sample, latents: Latents<'_>) -> Result<()> {
        if sample.prompt.contains(&self.image_token) {
            return Err(Error::Request(format!(
                "the question contains {}, which stands for an image: write <image> where one goes",
                self.image_token
            )));
        }
        match latents.names.iter().find(|name| sample.prompt.contains(*name)) {
            Some(name) => Err(Error::Request(format!("the question contains the latent token {name}"))),
            None => Ok(()),
        }
    }

    /// Every image resized and cut: the grids, and the patches of all.
    fn cut(
        &self,
        sample: &Sample,
        max_pixels: usize,
        observer: &dyn Observer,
    ) -> Result<(Vec<GridThw>, Array)> {
        let (mut grids, mut patches) = (Vec::new(), Array::default());
        for (i, picture) in sample.images.iter().enumerate() {
            observer.progress(Progress { phase: Phase::Images, done: i, total: sample.images.len() })?;
            let (array, grid) = self.images.process(&picture.pixels, max_pixels).map_err(|e| match e {
                Error::Request(problem) => Error::Request(format!("{}: {problem}", picture.name)),
                other => other,
            })?;
            grids.push(grid);
            patches.extend(array);
        }
        Ok((grids, patches))
    }

    /// Refuses images that alone are past the context, before their pixels are touched.
    fn check_length(&self, sample: &Sample, max_pixels: usize) -> Result<()> {
        let side = self.images.patch_size * self.images.merge_size;
        let mut visual_tokens = 0usize;
        for picture in &sample.images {
            let (width, height) = picture.size();
            if let Ok((height, width)) = self.images.target_size(height as usize, width as usize, max_pixels)
            {
                visual_tokens = visual_tokens.saturating_add((height / side) * (width / side));
            }
        }
        if visual_tokens >= self.max_positions {
            return Err(Error::Request(format!(
                "the images are {visual_tokens} tokens long, the model takes less than {} (max_position_embeddings)",
                self.max_positions
            )));
        }
        Ok(())
    }

    /// The role of a token; `otherwise` where it is neither image nor latent.
    fn role(&self, id: u32, latents: Latents<'_>, otherwise: Role) -> Role {
        if id == self.image_token_id {
            Role::Image
        } else if latents.token_ids.contains(&id) {
            Role::Latent
        } else {
            otherwise
        }
    }

    /// The role of a generated token: an answer, but for a latent id or the image placeholder, which as in the
    /// reference have their own role wherever they stand.
    pub fn generated_role(&self, id: u32, choice: LatentChoice) -> Role {
        match self.latents.select(choice) {
            Ok(latents) => self.role(id, latents, Role::Answer),
            Err(_) => Role::Answer,
        }
    }

    fn render(&self, sample: &Sample, latents: Latents<'_>, observer: &dyn Observer) -> Result<String> {
        let mut parts = user_parts(&sample.prompt, sample.images.len())?;
        if latents.names.is_empty() {
            return self.template.render(&parts, observer);
        }
        let block = format!("{}{}", latents.names.concat(), self.latents.livr.separator);
        match self.latents.livr.placement {
            Placement::AssistantPrefix => return Ok(self.template.render(&parts, observer)? + &block),
            Placement::UserSuffix => match parts.last_mut() {
                Some(MessagePart::Text { text }) => text.push_str(&block),
                _ => parts.push(MessagePart::Text { text: block }),
            },
            Placement::BeforePrompt => {
                let last_image = parts.iter().rposition(|part| *part == MessagePart::Image);
                let after_images = last_image.map_or(0, |i| i + 1);
                match parts.get_mut(after_images) {
                    Some(MessagePart::Text { text }) => text.insert_str(0, &block),
                    _ => parts.insert(after_images, MessagePart::Text { text: block }),
                }
            }
        }
        self.template.render(&parts, observer)
    }
}
