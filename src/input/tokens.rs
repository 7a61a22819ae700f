//! Tokens that stand beside the tokenizer's own file: in `tokenizer_config.json`, or in the folder of an adapter that
//! brought some of its own.

use std::sync::Arc;

use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer};

use crate::checkpoint::folder::Folder;
use crate::error::{Error, Result};
use crate::units::Span;

const FILE: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";

/// Makes a tokenizer know the tokens of `added_tokens_decoder` in `tokenizer_config.json` that its own file lacks, as the
/// reference does: without them they would be cut to pieces.
///
/// # Errors
/// A token that comes to have another id than is listed.
pub fn add_listed_tokens(tokenizer: &mut Arc<Tokenizer>, folder: &Folder) -> Result<()> {
    if !folder.has(CONFIG) {
        return Ok(());
    }
    let config = folder.json(CONFIG)?;
    let Some(listed) = config.get("added_tokens_decoder").and_then(Value::as_object) else { return Ok(()) };
    let mut tokens = Vec::new();
    for (id, token) in listed {
        let content = token.as_str().or_else(|| token.get("content")?.as_str());
        let (Ok(id), Some(content)) = (id.parse::<u32>(), content) else {
            return Err(config.wrong("added_tokens_decoder", "tokens with a content, by their ids"));
        };
        let flag = |name: &str| token.get(name).and_then(Value::as_bool);
        let special = flag("special").unwrap_or(false);
        let added = AddedToken::from(content, special)
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .single_word(flag("single_word").unwrap_or(false))
            .normalized(flag("normalized").unwrap_or(!special));
        tokens.push((id, added));
    }
    add(tokenizer, tokens, folder, CONFIG)
}

/// Makes a tokenizer know the tokens that the tokenizer in an adapter's folder adds.
///
/// # Errors
/// A tokenizer that cannot be read, a token that comes to have another id than there.
pub fn add_tokens_of(tokenizer: &mut Arc<Tokenizer>, folder: &Folder) -> Result<()> {
    if !folder.has(FILE) {
        return Ok(());
    }
    let bytes = folder.bytes(FILE)?;
    let own = Tokenizer::from_bytes(&bytes[..])
        .map_err(|e| Error::format(folder.path(FILE), "tokenizer.json cannot be read", e))?;
    let tokens = own.get_added_tokens_decoder().into_iter().collect();
    add(tokenizer, tokens, folder, FILE)
}

fn add(
    tokenizer: &mut Arc<Tokenizer>,
    mut tokens: Vec<(u32, AddedToken)>,
    folder: &Folder,
    file: &str,
) -> Result<()> {
    tokens.retain(|(_, token)| tokenizer.token_to_id(&token.content).is_none());
    if tokens.is_empty() {
        return Ok(());
    }
    tokens.sort_by_key(|(id, _)| *id);
    let with = Arc::make_mut(tokenizer);
    for (id, token) in tokens {
        let content = token.content.clone();
        let added = if token.special { with.add_special_tokens([token]) } else { with.add_tokens([token]) };
        added.map_err(|e| {
            Error::format(folder.path(file), format!("the token {content} cannot be added"), e)
        })?;
        let found = with.token_to_id(&content);
        if found != Some(id) {
            let expected = format!("id {id}, as the file says");
            let found = found.map_or_else(|| "none".to_owned(), |id| id.to_string());
            return Err(Error::field(folder.path(file), format!("token {content}"), expected, found));
        }
    }
    Ok(())
}

/// Ids with every placeholder as often as its image has visual tokens, and where each image's are.
pub fn expand_placeholders(
    encoded: &[u32],
    placeholder: u32,
    mut counts: impl Iterator<Item = usize>,
) -> (Vec<u32>, Vec<Span>) {
    let (mut input_ids, mut image_spans) = (Vec::new(), Vec::new());
    for id in encoded {
        let mut count = 1;
        if *id == placeholder {
            count = counts.next().expect("a placeholder for each image");
            image_spans.push(Span { start: input_ids.len(), end: input_ids.len() + count });
        }
        input_ids.extend(std::iter::repeat_n(*id, count));
    }
    (input_ids, image_spans)
}

/// The rendered prompt with every placeholder as often as its image has visual tokens.
pub fn expanded_text(rendered: &str, image_token: &str, image_spans: &[Span]) -> String {
    let mut pieces = rendered.split(image_token);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for (piece, span) in pieces.zip(image_spans) {
        text.push_str(&image_token.repeat(span.len()));
        text.push_str(piece);
    }
    text
}
