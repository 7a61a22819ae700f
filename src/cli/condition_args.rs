//! The options of a condition, made of its table of words.

use std::marker::PhantomData;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::ask::Condition;
use crate::ask::words::{WORDS, Word};

/// How a command asks where no option says otherwise, and which options it has.
pub trait Usual: Clone + Send + Sync + 'static {
    /// Where no option says otherwise.
    fn condition() -> Condition;

    /// Has it this option?
    fn has(_option: &str) -> bool {
        true
    }
}

/// One sample is asked.
#[derive(Debug, Clone)]
pub struct OneSample;

impl Usual for OneSample {
    fn condition() -> Condition {
        Condition::default()
    }
}

/// Samples of a data set are asked.
#[derive(Debug, Clone)]
pub struct ManySamples;

impl Usual for ManySamples {
    fn condition() -> Condition {
        Condition::of_studies()
    }
}

/// Samples of a data set are read, and what they are answered with matters little.
#[derive(Debug, Clone)]
pub struct StatesOnly;

impl Usual for StatesOnly {
    fn condition() -> Condition {
        Condition::of_studies()
    }

    fn has(option: &str) -> bool {
        ["mask", "latents", "max-pixels", "do", "donor"].contains(&option)
    }
}

/// The window is shown with an answer.
#[derive(Debug, Clone)]
pub struct Shown;

impl Usual for Shown {
    fn condition() -> Condition {
        Condition::of_studies()
    }

    fn has(option: &str) -> bool {
        ["mask", "latents", "max-new-tokens", "do", "donor"].contains(&option)
    }
}

/// A condition as options say it.
#[derive(Debug, Clone)]
pub struct ConditionArgs<U> {
    /// What they say.
    pub condition: Condition,
    usual: PhantomData<U>,
}

fn words<U: Usual>() -> impl Iterator<Item = &'static Word> {
    WORDS.iter().filter(|word| U::has(word.option))
}

fn arg<U: Usual>(word: &'static Word) -> Arg {
    let usual = (word.written)(&U::condition());
    let arg = Arg::new(word.option)
        .long(word.option)
        .value_name(word.value_name)
        .help(word.help)
        .allow_negative_numbers(true)
        .action(if word.repeats { ArgAction::Append } else { ArgAction::Set });
    let arg = match usual.into_iter().next() {
        Some(usual) => arg.default_value(clap::builder::OsStr::from(usual)),
        None => arg,
    };
    if word.values.is_empty() {
        let read = |text: String| (word.read)(&mut U::condition(), &text).map(|()| text);
        arg.value_parser(clap::builder::StringValueParser::new().try_map(read))
    } else {
        arg.value_parser(PossibleValuesParser::new(word.values))
    }
}

impl<U: Usual> Args for ConditionArgs<U> {
    fn augment_args(command: Command) -> Command {
        words::<U>().fold(command, |command, word| command.arg(arg::<U>(word)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<U: Usual> FromArgMatches for ConditionArgs<U> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut condition = U::condition();
        for word in words::<U>() {
            for text in matches.get_many::<String>(word.option).into_iter().flatten() {
                let wrong = |problem| clap::Error::raw(clap::error::ErrorKind::ValueValidation, problem);
                (word.read)(&mut condition, text).map_err(wrong)?;
            }
        }
        Ok(Self { condition, usual: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
