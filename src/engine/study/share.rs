//! A share of the samples: several programs, each with one, do a study together.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The i-th of n shares, counted from 1: `1/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    index: usize,
    count: usize,
}

impl Share {
    /// Every n-th of the items, from its own on: tasks that stand one after the other are divided evenly.
    pub fn of<T>(self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip(self.index - 1).step_by(self.count).collect()
    }

    /// Items of so many that are its own.
    pub fn count_of(self, total: usize) -> usize {
        (total + self.count - self.index) / self.count
    }

    /// As part of a file's name: `1-of-4`.
    pub fn as_file_name(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }

    /// Are these all shares there are? Each comes with the place to name where it does not fit.
    ///
    /// # Errors
    /// A share that is not there, or there twice; one of another division.
    pub fn check_all(parts: &[(Self, &Path)]) -> Result<()> {
        let Some((first, first_path)) = parts.first() else { return Ok(()) };
        let count = first.count;
        for (place, (share, path)) in parts.iter().enumerate() {
            if share.count != count {
                return Err(Error::field(path, "share", format!("one of {count}"), share.to_string()));
            }
            if parts[..place].iter().any(|(other, _)| other == share) {
                let expected = format!("each of 1/{count} to {count}/{count} once");
                return Err(Error::field(path, "share", expected, format!("{share} twice")));
            }
        }
        let is_there = |index: &usize| parts.iter().any(|(share, _)| share.index == *index);
        let missing: Vec<String> =
            (1..=count).filter(|index| !is_there(index)).map(|index| format!("{index}/{count}")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let expected = format!("each of 1/{count} to {count}/{count} once");
        Err(Error::field(first_path, "share", expected, format!("{} nowhere", missing.join(", "))))
    }

    /// What each share has, in the order that [`Self::of`] divided; each comes with the place to name where it does not fit.
    ///
    /// # Errors
    /// A share that is not there, or there twice; one of another division; one that has not all of its items.
    pub fn joined<T>(mut parts: Vec<(Self, Vec<T>, PathBuf)>) -> Result<Vec<T>> {
        parts.sort_by_key(|(share, ..)| *share);
        Self::check_all(&parts.iter().map(|(share, _, path)| (*share, path.as_path())).collect::<Vec<_>>())?;
        let count = parts.len();
        let total: usize = parts.iter().map(|(_, items, _)| items.len()).sum();
        for (share, items, path) in &parts {
            let due = share.count_of(total);
            if items.len() != due {
                let expected = format!("{due} of {total}, as a share of {share} has");
                return Err(Error::field(path, "samples", expected, items.len().to_string()));
            }
        }
        let mut all: Vec<_> = parts.into_iter().map(|(_, items, _)| items.into_iter()).collect();
        Ok((0..total).filter_map(|i| all[i % count].next()).collect())
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("expected a share as 1/4, found {text}");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        match (index.parse(), count.parse()) {
            (Ok(index), Ok(count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(count: usize, items: usize) -> Vec<(Share, Vec<usize>, PathBuf)> {
        let share = |index| Share { index, count };
        (1..=count)
            .map(|i| (share(i), share(i).of((0..items).collect()), PathBuf::from(format!("{i}"))))
            .collect()
    }

    #[test]
    fn what_is_divided_comes_together_in_its_order() {
        for count in 1..6 {
            for items in 0..20 {
                let mut parts = parts(count, items);
                parts.reverse();
                assert_eq!(Share::joined(parts).unwrap(), (0..items).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_not_all_of_it_is_said() {
        let said = |parts| Share::joined::<usize>(parts).unwrap_err().to_string();
        let mut missing = parts(3, 9);
        missing.remove(1);
        assert!(said(missing).contains("each of 1/3 to 3/3 once, found 2/3 nowhere"));
        assert!(said(parts(3, 9)[..1].to_vec()).contains("2/3, 3/3 nowhere"));
        let mut twice = parts(3, 9);
        twice.push(twice[0].clone());
        assert!(said(twice).contains("each of 1/3 to 3/3 once, found 1/3 twice"));
        let mut short = parts(3, 9);
        short[0].1.pop();
        assert!(said(short).contains("samples: expected"));
        let mixed = [parts(3, 9)[0].clone(), parts(2, 9)[1].clone()].to_vec();
        assert!(said(mixed).contains("one of 3"));
    }
}
