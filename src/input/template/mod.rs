//! The chat template: Jinja from wherever the checkpoint keeps it.

mod python;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use crate::checkpoint::folder::Folder;
use crate::error::{Error, Result};
use crate::progress::{Observer, Unobserved};
use crate::sandbox::{self, Limits, Outcome};
use crate::units::counted;

/// Steps a template may take before it is held to loop; real ones take a few thousand.
const FUEL: u64 = 2_000_000;
/// No sensible rendering of one question is longer.
const MAX_TEXT: usize = 16 << 20;
/// What a template may take besides: real ones take well under a millisecond.
const LIMITS: Limits = Limits { bytes: 128 << 20, time: Duration::from_secs(5) };

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessagePart {
    /// An image, rendered as a placeholder.
    Image,
    /// Text as it is.
    Text {
        /// The text.
        text: String,
    },
}

/// A template that parsed.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    path: std::path::PathBuf,
    /// `bos_token`, `eos_token` and the like, by these names.
    special_tokens: Arc<BTreeMap<String, String>>,
}

impl ChatTemplate {
    /// From the first of these that has one, as transformers' `get_processor_dict` looks for it.
    ///
    /// # Errors
    /// No template, one that does not parse or takes too much memory or time to, a file that cannot be read.
    pub fn read(folder: &Folder) -> Result<Self> {
        const JINJA: &str = "chat_template.jinja";
        const FILES: [&str; 4] =
            ["processor_config.json", "chat_template.json", JINJA, "tokenizer_config.json"];
        for file in FILES {
            if !folder.has(file) {
                continue;
            }
            let source = if file == JINJA {
                Some(folder.text(file)?)
            } else {
                let json = folder.json(file)?;
                match json.get("chat_template") {
                    None | Some(serde_json::Value::Null) => None,
                    // Several named templates: the one called default.
                    Some(serde_json::Value::Array(list)) => list
                        .iter()
                        .find(|item| item["name"] == "default")
                        .and_then(|item| item["template"].as_str().map(str::to_owned))
                        .map(Some)
                        .ok_or_else(|| {
                            json.wrong("chat_template", "a text, or a list with one named default")
                        })?,
                    Some(_) => Some(json.string("chat_template")?),
                }
            };
            if let Some(source) = source {
                let special_tokens = Arc::new(special_tokens(folder)?);
                return Ok(Self { special_tokens, ..Self::parse(source, folder.path(file))? });
            }
        }
        Err(Error::Missing {
            what: "chat_template.jinja (or chat_template in chat_template.json or tokenizer_config.json)"
                .to_owned(),
            path: folder.root().to_owned(),
        })
    }

    fn parse(source: String, path: std::path::PathBuf) -> Result<Self> {
        let failed = |problem: String| Error::format(&path, "the chat template does not parse", problem);
        // The engine computes with constants while it parses.
        let environment = limited(&Unobserved, move || compile(&source))?.map_err(failed)?;
        Ok(Self { environment: Arc::new(environment), path, special_tokens: Arc::default() })
    }

    /// One user turn, ready for the assistant's.
    ///
    /// # Errors
    /// A template that refuses the turn, does not end or takes too much memory or time; a stop.
    pub fn render(&self, parts: &[MessagePart], observer: &dyn Observer) -> Result<String> {
        let failed =
            |problem: String| Error::format(&self.path, "the chat template does not render", problem);
        let (environment, parts, special) =
            (self.environment.clone(), parts.to_vec(), self.special_tokens.clone());
        limited(observer, move || render(&environment, &parts, &special))?.map_err(failed)
    }
}

/// The special tokens that the tokenizer's config names, which transformers hands to templates; `special_tokens_map.json`
/// has them where that does not.
fn special_tokens(folder: &Folder) -> Result<BTreeMap<String, String>> {
    let mut tokens = BTreeMap::new();
    for file in ["tokenizer_config.json", "special_tokens_map.json"] {
        if !folder.has(file) {
            continue;
        }
        for (key, value) in folder.json(file)?.value().as_object().into_iter().flatten() {
            // A text, or an object of its text and how it is found.
            let text = value.as_str().or_else(|| value.get("content")?.as_str());
            if let Some(text) = text.filter(|_| key.ends_with("_token")) {
                tokens.entry(key.clone()).or_insert_with(|| text.to_owned());
            }
        }
    }
    Ok(tokens)
}

/// Runs the template engine within limits; a limit reached is a sentence like any other failure of it.
fn limited<T: Send + 'static>(
    observer: &dyn Observer,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<Result<T, String>> {
    Ok(match sandbox::run(LIMITS, observer, work)? {
        Outcome::Done(result) => result,
        Outcome::OutOfMemory => Err(format!("it takes more than {} MiB of memory", LIMITS.bytes >> 20)),
        Outcome::OutOfTime => Err(format!("it takes more than {} s", LIMITS.time.as_secs())),
        Outcome::Panicked => Err("the template engine failed on it".to_owned()),
    })
}

/// Jinja as transformers sets it up.
fn compile(source: &str) -> Result<Environment<'static>, String> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", python::tojson);
    environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment
        .add_template_owned("chat", python::without_generation_marks(source))
        .map_err(|e| describe(&e))?;
    Ok(environment)
}

/// Renders within the limits of the engine itself; on the way out a failure is a sentence.
fn render(
    environment: &Environment<'_>,
    parts: &[MessagePart],
    special_tokens: &BTreeMap<String, String>,
) -> Result<String, String> {
    let template = environment.get_template("chat").map_err(|e| describe(&e))?;
    let content: Vec<Value> = parts
        .iter()
        .map(|part| match part {
            MessagePart::Image => context! { type => "image" },
            MessagePart::Text { text } => context! { type => "text", text => text },
        })
        .collect();
    let context = context! {
        messages => vec![context! { role => "user", content }],
        add_generation_prompt => true,
        add_vision_id => false,
        ..Value::from(special_tokens.clone())
    };
    let mut limited = Limited { text: Vec::new() };
    template.render_captured_to(context, &mut limited).map_err(|e| describe(&e))?;
    String::from_utf8(limited.text).map_err(|e| format!("it is not text: {e}"))
}

fn describe(error: &minijinja::Error) -> String {
    let place = error.line().map_or_else(String::new, |line| format!(" in line {line}"));
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("it takes more than {FUEL} steps, so it loops{place}");
    }
    match error.detail() {
        Some(detail) => format!("{}: {detail}{place}", error.kind()),
        None => format!("{}{place}", error.kind()),
    }
}

/// A writer that refuses to grow without end.
struct Limited {
    text: Vec<u8>,
}

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.text.len() + bytes.len() > MAX_TEXT {
            return Err(std::io::Error::other("it writes without end"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The user's turn: images where `<image>` marks stand; without marks all come first.
///
/// # Errors
/// Marks, but not as many as images: which image is meant where would be a guess.
pub fn user_parts(prompt: &str, num_images: usize) -> Result<Vec<MessagePart>> {
    const MARK: &str = "<image>";
    let marks = prompt.matches(MARK).count();
    if marks != 0 && marks != num_images {
        return Err(Error::Request(format!(
            "the prompt has {} for {}: mark where each image goes, or none",
            counted(marks, &format!("{MARK} mark")),
            counted(num_images, "image"),
        )));
    }
    let mut parts = vec![MessagePart::Image; num_images - marks];
    for (i, text) in prompt.split(MARK).enumerate() {
        if i > 0 {
            parts.push(MessagePart::Image);
        }
        if !text.is_empty() || marks == 0 {
            parts.push(MessagePart::Text { text: text.to_owned() });
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Result<ChatTemplate> {
        ChatTemplate::parse(source.to_owned(), "chat_template.jinja".into())
    }

    #[test]
    fn images_go_where_they_are_marked() {
        let text = |t: &str| MessagePart::Text { text: t.to_owned() };
        assert_eq!(user_parts("why", 2).unwrap(), [MessagePart::Image, MessagePart::Image, text("why")]);
        assert_eq!(user_parts("a <image> b", 1).unwrap(), [text("a "), MessagePart::Image, text(" b")]);
        let both = user_parts("a<image>b<image>", 2).unwrap();
        assert_eq!(both, [text("a"), MessagePart::Image, text("b"), MessagePart::Image]);
        assert_eq!(user_parts("", 1).unwrap(), [MessagePart::Image, text("")]);
        assert!(user_parts("<image>", 0).is_err());
        let few = user_parts("a<image>", 2).unwrap_err().to_string();
        assert!(few.contains("1 <image> mark for 2 images:"), "{few}");
        let many = user_parts("<image><image>", 1).unwrap_err().to_string();
        assert!(many.contains("2 <image> marks for 1 image:"), "{many}");
    }

    #[test]
    fn a_template_that_loops_or_does_not_parse_is_one_sentence() {
        let looping =
            template("{% for i in range(10000) %}{% for j in range(10000) %}{{ i }}{% endfor %}{% endfor %}");
        assert!(problem(looping).contains("loops"));
        assert!(template("{% for %}").unwrap_err().to_string().contains("does not parse"));
        assert!(problem(template("{{ raise_exception('no system turn') }}")).contains("no system turn"));
    }

    fn problem(template: Result<ChatTemplate>) -> String {
        template.unwrap().render(&[], &Unobserved).unwrap_err().to_string()
    }

    #[test]
    fn a_template_that_takes_memory_is_one_sentence() {
        for source in [
            "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "{{ 'x' * 100000000000 }}",
            "{% set x = 'x' * 10000000000 %}",
            "{{ ('a\n' * 10000)|indent(1000000) }}",
            "{% set x %}{% for i in range(99999) %}{{ 'y' * 9999 }}{% endfor %}{% endset %}",
            "{% macro m(s) %}{{ m(s ~ s) }}{% endmacro %}{{ m('x') }}",
        ] {
            let problem = problem(template(source));
            assert!(problem.contains("does not render") && !problem.contains('\n'), "{source}: {problem}");
        }
        // The engine computes with constants while it parses.
        let constants = "{{ 'x' * 99999999 }}".repeat(1000);
        let joined = format!("{{{{ {} }}}}", ["('x' * 99999999)"; 50].join(" ~ "));
        for source in [constants, joined] {
            let problem = template(&source).unwrap_err().to_string();
            assert!(problem.contains("does not parse") && problem.contains("of memory"), "{problem}");
        }
        // Output of its own that has no end, and ranges past all use.
        assert!(problem(template("{% for i in range(99999) %}{{ 'y' * 999 }}{% endfor %}")).contains("end"));
        assert!(problem(template("{{ range(10 ** 12) }}")).contains("does not render"));
    }
}
