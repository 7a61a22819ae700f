//! Results to standard output, progress to standard error.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::engine::worker::panic_message;
use crate::error::Result;
use crate::progress::{Observer, Progress};
use crate::trace::Timings;

/// Prints a line. A closed pipe is the reader's choice; anything else that stops the result is a failure.
pub fn print(text: &str) {
    print_bytes(format!("{}\n", harmless(text)).as_bytes());
}

/// A text without what a terminal would obey: a model's answer, a name of a data file, may hold anything.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(is_control) {
        Cow::Owned(text.replace(is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Could a result not be written?
static FAILED: AtomicBool = AtomicBool::new(false);

/// Prints bytes as they are, of which a closed pipe may have enough. What cannot be written is said once, and fails the
/// program at its end ([`is_written`]).
pub fn print_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(problem) = out.write_all(bytes).and_then(|()| out.flush())
        && problem.kind() != std::io::ErrorKind::BrokenPipe
        && !FAILED.swap(true, Ordering::Relaxed)
    {
        say(&format!("livr: cannot write the result: {problem}"));
    }
}

/// Could every result be written?
pub fn is_written() -> bool {
    !FAILED.load(Ordering::Relaxed)
}

/// Prints a value as JSON.
pub fn print_json(value: &impl Serialize) {
    print(&json(value));
}

/// A value as JSON for people.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data serialises")
}

/// Timings on one line.
pub fn timings(t: &Timings) -> String {
    format!(
        "{:.2} s (input {:.2}, vision {:.2}, prompt {:.2}, answer {:.2}, choices {:.2})",
        t.total_secs(),
        t.input_secs,
        t.vision_secs,
        t.prompt_secs,
        t.answer_secs,
        t.choices_secs
    )
}

/// Shows progress on a terminal, in place; says nothing into a file.
pub struct Terminal {
    last: Cell<Option<Instant>>,
    shown: Cell<bool>,
}

impl Terminal {
    /// Watches a job.
    pub fn new() -> Self {
        Self { last: Cell::new(None), shown: Cell::new(false) }
    }

    /// Clears the line.
    pub fn finish(&self) {
        if self.shown.take() {
            overwrite("\r\x1b[K");
        }
    }
}

/// Writes on the terminal's present line.
fn overwrite(text: &str) {
    let mut err = std::io::stderr().lock();
    if err.write_all(text.as_bytes()).and_then(|()| err.flush()).is_err() {
        log::debug!("standard error was closed");
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Observer for Terminal {
    fn progress(&self, progress: Progress) -> Result<()> {
        const INTERVAL: Duration = Duration::from_millis(100);
        let due = self.last.get().is_none_or(|last| last.elapsed() >= INTERVAL);
        if due && std::io::stderr().is_terminal() {
            self.last.set(Some(Instant::now()));
            self.shown.set(true);
            overwrite(&format!("\r\x1b[K{} {:.0} %", progress.phase.label(), 100.0 * progress.fraction()));
        }
        Ok(())
    }

    fn note(&self, text: &str) {
        self.finish();
        note(text);
    }
}

/// Has the place of a panic logged: each is caught somewhere and said in a sentence, which does not know it.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        log::error!("a fault{place}, thread {name}: {}", panic_message(info.payload()));
    }));
}

/// Runs to the end; a panic on the way is a failure like any other, said in one sentence.
pub fn as_a_sentence(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let work = std::panic::AssertUnwindSafe(work);
    std::panic::catch_unwind(work).unwrap_or_else(|panic| {
        Err(anyhow::anyhow!("the program has a fault: {}", panic_message(panic.as_ref())))
    })
}

/// Says on standard error what the user should know.
pub fn note(text: &str) {
    say(&format!("livr: {text}"));
}

/// Says on standard error, in one sentence, what failed.
pub fn complain(problem: &anyhow::Error) {
    say(&format!("livr: {problem:#}"));
}

/// Says something on standard error.
pub fn say(text: &str) {
    let mut err = std::io::stderr().lock();
    if writeln!(err, "{}", harmless(text)).is_err() {
        log::debug!("standard error was closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_is_printed() {
        assert_eq!(harmless("(B)\n\tso"), "(B)\n\tso");
        assert_eq!(harmless("\u{1b}[2J\u{9b}1A\u{7}\r"), "\u{fffd}[2J\u{fffd}1A\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_panic_is_a_failure_in_one_sentence() {
        let failed = as_a_sentence(|| panic!("index 5\nof {}", 3)).unwrap_err();
        assert_eq!(failed.to_string(), "the program has a fault: index 5 of 3");
        let plain = as_a_sentence(|| anyhow::bail!("no such file")).unwrap_err();
        assert_eq!(plain.to_string(), "no such file");
        assert!(as_a_sentence(|| Ok(())).is_ok());
    }
}
