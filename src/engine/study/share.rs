//! A share of the samples: several programs, each with one, do a study together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The i-th of n shares, counted from 1: `1/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    index: usize,
    count: usize,
}

impl Share {
    /// Every n-th of the items, from its own on: tasks that stand one after the other are divided evenly.
    pub fn of<T>(self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip(self.index - 1).step_by(self.count).collect()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a share as 1/4, found {text}");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        match (index.parse(), count.parse()) {
            (Ok(index), Ok(count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err(wrong()),
        }
    }
}
