//! Sample to [`ModelInput`]: template, tokens, placeholder expansion, roles, positions, patches.

use std::collections::BTreeSet;

use tokenizers::Tokenizer;

use super::image_processor::ImageProcessor;
use super::latents::{LatentSetup, Latents, add_names, register};
use super::model_input::ModelInput;
use super::positions::mrope_positions;
use super::template::{ChatTemplate, Part, user_parts};
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::{ModelConfig, end_of_turn_ids};
use crate::checkpoint::folder::Folder;
use crate::checkpoint::latent_rows::LatentRows;
use crate::checkpoint::livr::{LivrConfig, Placement};
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::progress::{Observer, Phase, Progress};
use crate::settings::LatentChoice;
use crate::trace::Array;
use crate::units::{Role, Span};

/// Everything of a checkpoint but the weights.
pub struct Processor {
    base_tokenizer: Tokenizer,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    images: ImageProcessor,
    livr: Option<LivrConfig>,
    latents: LatentSetup,
    image_token_id: u32,
    image_token: String,
    vocab_size: usize,
    max_positions: usize,
    end_of_turn: BTreeSet<u32>,
}

impl Processor {
    /// Reads tokenizer, template, image settings and end-of-turn ids of a folder.
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
        let mut end_of_turn: BTreeSet<u32> = end_of_turn_ids(folder, config)?.into_iter().collect();
        if end_of_turn.is_empty() {
            end_of_turn.extend(
                ["<|im_end|>", "<|endoftext|>"].iter().filter_map(|name| tokenizer.token_to_id(name)),
            );
        }
        let vocab_size = config.text.vocab_size;
        let mut with_latents = tokenizer.clone();
        let trained = livr.as_ref().map_or(0, |livr| livr.num_latents);
        let latents = register(&mut with_latents, livr.as_ref(), trained, vocab_size)?;
        Ok(Self {
            base_tokenizer: tokenizer,
            tokenizer: with_latents,
            template: ChatTemplate::read(folder)?,
            images: ImageProcessor::read(folder, &config.vision)?,
            livr,
            latents,
            image_token_id: config.image_token_id,
            image_token,
            vocab_size,
            max_positions: config.text.max_positions,
            end_of_turn,
        })
    }

    /// Takes the latents of an adapter, or goes back to the checkpoint's own.
    pub fn set_adapter(&mut self, adapter: Option<&Adapter>) -> Result<()> {
        let own = self.livr.clone();
        let rows = adapter.and_then(|a| a.latent_rows.as_ref());
        let livr = adapter.and_then(|a| a.livr.clone()).or(own);
        if let Some(adapter) = adapter.filter(|a| a.livr.is_some() && rows.is_none() && self.livr.is_none()) {
            return Err(Error::Missing {
                what: "latent_rows.safetensors, for the latents that livr.json names,".to_owned(),
                path: adapter.folder.path("latent_rows.safetensors"),
            });
        }
        let trained = rows.map(LatentRows::len);
        let trained = trained.or(livr.as_ref().map(|livr| livr.num_latents)).unwrap_or(0);
        let mut tokenizer = self.base_tokenizer.clone();
        let latents = register(&mut tokenizer, livr.as_ref(), trained, self.vocab_size)?;
        if let (Some(rows), Some(adapter)) = (rows, adapter)
            && rows.token_ids != latents.token_ids
        {
            return Err(Error::field(
                adapter.folder.root(),
                "token_ids of the latent rows",
                format!("{:?}, where this model's tokenizer puts them", latents.token_ids),
                format!("{:?}; was the adapter made for another model?", rows.token_ids),
            ));
        }
        self.tokenizer = tokenizer;
        self.latents = latents;
        Ok(())
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
        self.base_tokenizer.get_vocab_size(true)
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

    fn largest_latent(&self) -> usize {
        self.latents.token_ids.iter().map(|id| *id as usize + 1).max().unwrap_or(0)
    }

    /// Prepares a sample.
    pub fn process(
        &self,
        sample: &Sample,
        choice: LatentChoice,
        observer: &dyn Observer,
    ) -> Result<ModelInput> {
        let latents = self.latents.select(choice)?;
        let merge_size = self.images.merge_size;
        if sample.prompt.contains(&self.image_token) {
            return Err(Error::Request(format!(
                "the question contains {}, which stands for an image: write <image> where one goes",
                self.image_token
            )));
        }
        if let Some(name) = latents.names.iter().find(|name| sample.prompt.contains(*name)) {
            return Err(Error::Request(format!("the question contains the latent token {name}")));
        }
        self.check_length(sample)?;
        let (mut grids, mut patches) = (Vec::new(), Array::default());
        for (i, picture) in sample.images.iter().enumerate() {
            observer.progress(Progress { phase: Phase::Images, done: i, total: sample.images.len() })?;
            let (array, grid) = self.images.process(&picture.pixels).map_err(|e| match e {
                Error::Request(problem) => Error::Request(format!("{}: {problem}", picture.name)),
                other => other,
            })?;
            grids.push(grid);
            if patches.shape.is_empty() {
                patches = array;
            } else {
                patches.shape[0] += array.shape[0];
                patches.data.extend(array.data);
            }
        }
        let rendered = self.render(sample, latents)?;
        let encoded = if latents.names.is_empty() || self.latents.trained > 0 {
            self.encode(&rendered)?
        } else {
            // Spare rows, which the tokenizer has no names for outside such a run.
            let mut tokenizer = self.tokenizer.clone();
            add_names(&mut tokenizer, latents.names)?;
            self.encode_with(&tokenizer, &rendered)?
        };
        let placeholders = encoded.iter().filter(|id| **id == self.image_token_id).count();
        if placeholders != grids.len() {
            return Err(Error::Request(format!(
                "the rendered prompt has {placeholders} {} placeholders for {} images",
                self.image_token,
                grids.len()
            )));
        }
        let (mut input_ids, mut image_spans) = (Vec::new(), Vec::new());
        for id in encoded {
            let count = if id == self.image_token_id {
                let count = grids[image_spans.len()].num_visual_tokens(merge_size);
                image_spans.push(Span { start: input_ids.len(), end: input_ids.len() + count });
                count
            } else {
                1
            };
            input_ids.extend(std::iter::repeat_n(id, count));
        }
        if input_ids.len() >= self.max_positions {
            return Err(Error::Request(format!(
                "the prompt is {} tokens long, the model takes less than {} (max_position_embeddings)",
                input_ids.len(),
                self.max_positions
            )));
        }
        let roles: Vec<Role> = input_ids.iter().map(|id| self.role(*id, latents, Role::Prompt)).collect();
        let is_image = roles.iter().map(|role| *role == Role::Image);
        let (positions, next_position) = mrope_positions(is_image, &grids, merge_size);
        let text = self.expand(&rendered, &image_spans);
        Ok(ModelInput {
            input_ids,
            roles,
            positions,
            next_position,
            grids,
            merge_size,
            image_spans,
            pixel_values: patches,
            text,
        })
    }

    /// Refuses images that alone are past the context, before their pixels are touched.
    fn check_length(&self, sample: &Sample) -> Result<()> {
        let side = self.images.patch_size * self.images.merge_size;
        let mut visual_tokens = 0usize;
        for picture in &sample.images {
            let (width, height) = picture.size();
            if let Ok((height, width)) = self.images.target_size(height as usize, width as usize) {
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

    fn render(&self, sample: &Sample, latents: Latents<'_>) -> Result<String> {
        let mut parts = user_parts(&sample.prompt, sample.images.len())?;
        if latents.names.is_empty() {
            return self.template.render(&parts);
        }
        let block = format!("{}{}", latents.names.concat(), self.latents.livr.separator);
        match self.latents.livr.placement {
            Placement::AssistantPrefix => Ok(self.template.render(&parts)? + &block),
            Placement::UserSuffix => {
                match parts.last_mut() {
                    Some(Part::Text { text }) => text.push_str(&block),
                    _ => parts.push(Part::Text { text: block }),
                }
                self.template.render(&parts)
            }
        }
    }

    /// The rendered prompt with every placeholder as often as its image has visual tokens.
    fn expand(&self, rendered: &str, image_spans: &[Span]) -> String {
        let mut pieces = rendered.split(&self.image_token);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (piece, span) in pieces.zip(image_spans) {
            text.push_str(&self.image_token.repeat(span.len()));
            text.push_str(piece);
        }
        text
    }
}
