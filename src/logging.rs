//! What goes wrong beside the work itself: said on standard error, and kept for reports.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Names the least level that is said: `off`, `error`, `warn`, `info`, `debug` or `trace`.
pub const VARIABLE: &str = "LIVR_LOG";

/// Lines kept for a report.
const MOST_LINES: usize = 200;

static LOGGER: Logger = Logger { lines: Mutex::new(VecDeque::new()) };

struct Logger {
    /// The latest last.
    lines: Mutex<VecDeque<String>>,
}

/// Begins to say and to keep what is logged, warnings and worse unless the variable says otherwise. Once for a program.
pub fn install() {
    let asked = std::env::var(VARIABLE).ok();
    let level = asked.as_deref().map_or(Some(LevelFilter::Warn), |level| level.parse().ok());
    log::set_max_level(level.unwrap_or(LevelFilter::Warn));
    if log::set_logger(&LOGGER).is_err() {
        // Who embeds the program has a logger already.
        return;
    }
    if level.is_none() {
        log::warn!(
            "{VARIABLE}: expected off, error, warn, info, debug or trace, found {}",
            asked.unwrap_or_default()
        );
    }
}

/// The latest lines, the oldest first.
pub fn recent() -> Vec<String> {
    LOGGER.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// How many of the latest lines are of a library.
pub fn messages_of(library: &str) -> usize {
    let mark = format!(" ({library}");
    recent().iter().filter(|line| line.contains(&mark)).count()
}

/// Is a message of the program itself, rather than of a library?
fn is_own(target: &str) -> bool {
    target.split("::").next() == Some(env!("CARGO_CRATE_NAME")) || target.split("::").next() == Some("livr")
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries warn of much that is no fault of anybody here: of theirs, what is worse by a level.
        let shift = usize::from(!is_own(metadata.target()));
        metadata.level() as usize + shift <= log::max_level() as usize
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        let from = if is_own(record.target()) { String::new() } else { format!(" ({})", record.target()) };
        let line = format!("{level}{from}: {}", record.args());
        {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == MOST_LINES {
                lines.pop_front();
            }
            lines.push_back(line.clone());
        }
        // Where nobody listens any more there is nobody to tell.
        drop(writeln!(std::io::stderr().lock(), "livr: {line}"));
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_are_kept() {
        let logger = Logger { lines: Mutex::new(VecDeque::new()) };
        log::set_max_level(LevelFilter::Warn);
        for i in 0..MOST_LINES + 5 {
            let text = format!("number {i}");
            let args = format_args!("{text}");
            logger.log(&Record::builder().level(Level::Warn).target("livr_explorer::app").args(args).build());
        }
        let quiet = format_args!("a driver is old");
        logger.log(&Record::builder().level(Level::Warn).target("wgpu_hal::gles").args(quiet).build());
        let lines = logger.lines.lock().unwrap();
        assert_eq!(lines.len(), MOST_LINES);
        assert_eq!(lines.back().unwrap(), &format!("warning: number {}", MOST_LINES + 4));
    }
}
