//! What chat templates expect of Python and of transformers beside Jinja itself.

use std::io;
use std::sync::LazyLock;

use fancy_regex::Regex;
use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// `{% generation %}` and its end as blocks that do nothing: they mark the assistant's turns for training, and change no
/// text. What they trim they still trim.
pub fn without_generation_marks(source: &str) -> String {
    static MARK: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").expect("a pattern of this file")
    });
    let replaced = |groups: &fancy_regex::Captures<'_>| {
        let part = |i: usize| groups.get(i).map_or("", |found| found.as_str());
        let word = if part(2).is_empty() { "if true" } else { "endif" };
        format!("{{%{} {word} {}%}}", part(1), part(3))
    };
    MARK.replace_all(source, replaced).into_owned()
}

#[expect(clippy::needless_pass_by_value, reason = "filters are given their options")]
/// The filter `tojson` as transformers defines it: Python's `json.dumps`, which unlike Jinja's own escapes nothing for HTML.
///
/// # Errors
/// An option that there is not or of another kind, more or fewer separators than two, a value that JSON cannot say.
pub fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, e.to_string());
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let indent = options.get::<Option<usize>>("indent")?;
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    options.assert_all_used()?;
    let mut json = serde_json::to_value(value).map_err(|e| failed(&e))?;
    if sorted {
        json.sort_all_objects();
    }
    let mut out = Vec::new();
    match (indent, separators) {
        (Some(indent), _) => {
            let indent = " ".repeat(indent.min(64));
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            json.serialize(&mut Serializer::with_formatter(&mut out, formatter)).map_err(|e| failed(&e))?;
        }
        (None, separators) => {
            let [item, key] = match separators.as_deref() {
                None => [", ".to_owned(), ": ".to_owned()],
                Some([item, key]) => [item.clone(), key.clone()],
                Some(other) => {
                    return Err(failed(&format!("expected two separators, found {}", other.len())));
                }
            };
            let formatter = Separated { item, key };
            json.serialize(&mut Serializer::with_formatter(&mut out, formatter)).map_err(|e| failed(&e))?;
        }
    }
    let text = String::from_utf8(out).map_err(|e| failed(&e))?;
    Ok(Value::from_safe_string(if ascii { escaped(&text) } else { text }))
}

/// Every character beyond ASCII by its code, as `ensure_ascii` has it.
fn escaped(text: &str) -> String {
    use std::fmt::Write;
    let mut units = [0; 2];
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}").expect("a text takes everything");
            }
        }
        out
    })
}

/// Lists and objects on one line, with these between items and after keys.
struct Separated {
    item: String,
    key: String,
}

impl Formatter for Separated {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(self.item.as_bytes()) }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(self.item.as_bytes()) }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(self.key.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str) -> String {
        let mut environment = minijinja::Environment::new();
        environment.add_filter("tojson", tojson);
        environment.render_str(&without_generation_marks(source), minijinja::context! {}).unwrap()
    }

    #[test]
    fn json_is_pythons() {
        for (source, expected) in [
            (
                "{{ {'b': [1, 2.5, none], 'a': 'x < y & \\'z\\''} | tojson }}",
                r#"{"b": [1, 2.5, null], "a": "x < y & 'z'"}"#,
            ),
            ("{{ {'b': 1, 'a': true} | tojson(sort_keys=true) }}", r#"{"a": true, "b": 1}"#),
            ("{{ [1, {'a': []}] | tojson(indent=2) }}", "[\n  1,\n  {\n    \"a\": []\n  }\n]"),
            ("{{ 'größe 😀' | tojson }}", "\"größe 😀\""),
            ("{{ 'ö😀' | tojson(ensure_ascii=true) }}", "\"\\u00f6\\ud83d\\ude00\""),
            ("{{ {'a': [1, 2]} | tojson(separators=[',', ':']) }}", r#"{"a":[1,2]}"#),
        ] {
            assert_eq!(rendered(source), expected);
        }
    }

    #[test]
    fn marks_of_generation_change_no_text() {
        assert_eq!(rendered("a {% generation %}b{% endgeneration %} c"), "a b c");
        assert_eq!(rendered("a {%- generation -%} b {%-endgeneration-%} c"), "abc");
        assert_eq!(rendered("{{ '{% if x %}' }}"), "{% if x %}");
    }
}
