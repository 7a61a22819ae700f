//! Tables as CSV, for spreadsheets and pandas.

use std::path::Path;

use crate::atomic;
use crate::error::{Error, Result};

/// Writes a table: names of its columns, then a row each of as many texts.
///
/// # Errors
/// A disk that cannot be written.
pub fn write(path: &Path, names: &[String], rows: &[Vec<String>]) -> Result<()> {
    let line = |cells: &[String]| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
    atomic::write(path, |out| {
        writeln!(out, "{}", line(names))?;
        rows.iter().try_for_each(|row| writeln!(out, "{}", line(row)))
    })
}

/// A text of a table, which spreadsheets take for a text: what begins as their formulas do has an apostrophe before it.
pub fn quoted(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("\"{}{}\"", if is_formula { "'" } else { "" }, text.replace('"', "\"\""))
}

/// That a table can have this name.
///
/// # Errors
/// Another ending than .csv.
pub fn check_ending(path: &Path) -> Result<()> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if ending.eq_ignore_ascii_case("csv") {
        Ok(())
    } else {
        Err(Error::field(path, "the table's name", "an ending of .csv", format!("{ending:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula() {
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
        for start in ["=1+1", "+1", "-1", "@x", "\tx"] {
            assert_eq!(quoted(start), format!("\"'{start}\""));
        }
    }

    #[test]
    fn a_table_is_lines_of_quoted_texts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let texts = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        write(&path, &texts(&["id", "said"]), &[texts(&["a", "one,\ntwo"])]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"id\",\"said\"\n\"a\",\"one,\ntwo\"\n");
        assert!(check_ending(Path::new("t.txt")).is_err() && check_ending(&path).is_ok());
    }
}
